"""Article pairs from small dumps that are true to Wikimedia's format."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import datasets
import pytest
import torch
from transformers import XLMRobertaTokenizer

from kbioxlm.common.errors import InputError
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.dataset_scripts.encyclopaedia import extraction, relevance
from kbioxlm.dataset_scripts.encyclopaedia.build import build_article_pairs, steps_folder
from kbioxlm.dataset_scripts.encyclopaedia.cleaner import Cleaner
from kbioxlm.dataset_scripts.encyclopaedia.settings import ArticleSettings
from kbioxlm.dataset_scripts.folder import read_table
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.matcher import Match, NameMatcher
from kbioxlm.dataset_scripts.matching.rules import read_rules
from kbioxlm.modeling_kbioxlm import KBioXLMForTokenClassification
from kbioxlm.training.finetuning.tagger import load_tagger

OTHER, CATEGORY = 0, 14


class P(NamedTuple):
    """A page of a dump; `title` with spaces and without prefix."""

    id: int
    title: str
    categories: str = ""  # separated by |
    links: str = ""  # language links such as zh=甲|fr=x
    text: str = ""
    redirect: str = ""
    namespace: int = 0


LONG = " Running text about it goes on for a while so that the article is long enough."
EN = [
    P(10, "Medicine", "Main", "zh=Category:医学", namespace=CATEGORY),
    P(11, "Drugs", "Medicine", "zh=分类:药物", namespace=CATEGORY),
    P(12, "Analgesics", "Drugs", namespace=CATEGORY),
    P(13, "Deep", "Analgesics", namespace=CATEGORY),
    P(14, "Medicine films", "Medicine", namespace=CATEGORY),
    P(15, "Main", "Drugs", namespace=CATEGORY),  # round in a circle: Main > Medicine > Drugs > Main
    P(20, "Aspirin", "Drugs|Analgesics", "zh=阿司匹林|fr=Aspirine", f"'''Aspirin''' is a [[drug]].{LONG}"),
    P(21, "ASA", redirect="Aspirin"),
    P(22, "Ibuprofen", "Analgesics", "zh=布洛芬 (药物)", f"Ibuprofen &lt;b&gt; relieves pain.{LONG}"),
    P(23, "Only deep", "Deep", "zh=深", f"Deep.{LONG}"),
    P(24, "Film", "Medicine films", "zh=电影", f"Film.{LONG}"),
    P(25, "Paracetamol", "Analgesics", "", f"Paracetamol has no link of its own.{LONG}"),
    P(26, "Tramadol", "Analgesics", "zh=曲马多", f"Tramadol.{LONG}"),
    P(27, "Tramadol (drug)", "Analgesics", "zh=曲马多", f"Tramadol again.{LONG}"),
    P(28, "Gone", "Analgesics", "zh=没有", f"Gone.{LONG}"),
    P(29, "Stub", "Drugs", "zh=小", "Stub."),
    P(30, "IPhone drug", "Drugs", "zh=手机", f"The iPhone.{LONG}"),
    P(31, "Paracetamol brand", "Drugs", "zh=品牌", redirect="Paracetamol"),
    P(32, "Talk of it", "Drugs", "zh=讨论", f"Talk.{LONG}", namespace=4),
    P(33, 'O\'Neill \\ "test"); (', "Drugs", "zh=奥尼尔'); ('", f"O'Neill.{LONG}"),
    P(34, "Lone circle", redirect="Lone circle 2"),
    P(35, "Lone circle 2", redirect="Lone circle"),
]
LANG = "，这里还有一些连续的文字，使这个条目足够长，可以留下来，不会因为太短而被去掉。"
ZH = [
    P(110, "醫學", "", "en=Category:Medicine", namespace=CATEGORY),
    P(111, "药物", "醫學", namespace=CATEGORY),
    P(112, "药物2", "药物", namespace=CATEGORY),
    P(120, "阿司匹林", "药物", "en=Aspirin", f"'''阿司匹林'''是一種-{{zh-hans:药物;zh-hant:藥物}}-{LANG * 2}"),
    P(121, "布洛芬", "药物", "en=Ibuprofen", f"布洛芬止痛{LANG * 2}\n== 參考文獻 ==\n无"),
    P(122, "布洛芬 (药物)", redirect="布洛芬1"),
    P(123, "布洛芬1", redirect="布洛芬"),
    P(124, "对乙酰氨基酚", "药物2", "en=Paracetamol brand", f"对乙酰氨基酚{LANG * 2}"),
    P(125, "曲马多", "药物", "en=Tramadol (drug)", f"曲马多{LANG * 2}"),
    P(126, "深", "药物", "", f"深{LANG * 2}"),
    P(127, "电影", "药物", "", f"电影{LANG * 2}"),
    P(128, "小", "药物", "en=Stub", f"小{LANG * 2}"),
    P(129, "手机", "", "en=IPhone drug", f"手机{LANG * 2}"),
    P(130, "讨论", "药物", "en=Lone circle", f"讨论{LANG * 2}"),
    P(131, "奥尼尔'); ('", "药物", "", f"奥尼尔{LANG * 2}"),
]
PAIRS = {
    "Aspirin": "阿司匹林",
    "Ibuprofen": "布洛芬",
    "Paracetamol": "对乙酰氨基酚",
    "Tramadol (drug)": "曲马多",
    'O\'Neill \\ "test"); (': "奥尼尔'); ('",
}
SCHEMAS = {
    "page": "id int(8) ns int(11) title varbinary(255) redirect tinyint(1) random double len int(8)",
    "redirect": "from int(8) namespace int(11) title varbinary(255) interwiki varbinary(32) fragment varbinary(255)",
    "langlinks": "from int(8) lang varbinary(35) title varbinary(255)",
    "linktarget": "id bigint(20) namespace int(11) title varbinary(255)",
    "old": "from int(8) to varbinary(255) sortkey varbinary(230) timestamp timestamp collation varbinary(32) type enum",
    "new": "from int(8) sortkey varbinary(230) timestamp timestamp type enum collation_id int(5) target_id bigint(20)",
}
PREFIXES = {"page": "page_", "redirect": "rd_", "langlinks": "ll_", "linktarget": "lt_", "old": "cl_", "new": "cl_"}
RENAMED = {"page_ns": "page_namespace", "page_redirect": "page_is_redirect"}


def under(title: str) -> str:
    return title.replace(" ", "_")


def dump_sql(path: Path, table: str, schema: str, rows: Sequence[Sequence[object]]) -> None:
    words = SCHEMAS[schema].split()
    columns = [(PREFIXES[schema] + name, kind) for name, kind in zip(words[::2], words[1::2], strict=True)]
    created = ",\n".join(f"  `{RENAMED.get(name, name)}` {kind} NOT NULL" for name, kind in columns)

    def value(cell: object) -> str:
        if cell is None:
            return "NULL"
        if not isinstance(cell, str):
            return str(cell)
        return "'" + cell.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"') + "'"

    values = ",".join("(" + ",".join(map(value, row)) + ")" for row in rows)
    insert = f"INSERT INTO `{table}` VALUES {values};\n" if rows else ""
    text = f"-- MariaDB dump\nCREATE TABLE `{table}` (\n{created},\n  KEY `x` (`y`)\n) ENGINE=InnoDB;\n{insert}"
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def page_xml(page: P) -> str:
    redirect = f'    <redirect title="{escape(page.redirect)}" />\n' if page.redirect else ""
    text = f"#REDIRECT [[{page.redirect}]]" if page.redirect else page.text
    return (
        f"  <page>\n    <title>{escape(page.title)}</title>\n    <ns>{page.namespace}</ns>\n    <id>{page.id}</id>\n"
        f"{redirect}    <revision>\n      <id>{page.id + 10_000}</id>\n      <contributor><username>U</username>"
        f"<id>20</id></contributor>\n      <comment>c</comment>\n      <origin>1</origin>\n"
        f"      <model>wikitext</model>\n      <format>text/x-wiki</format>\n"
        f'      <text bytes="1" sha1="x" xml:space="preserve">{escape(text)}</text>\n    </revision>\n  </page>\n'
    )


def head_xml(wiki: str, category: str) -> str:
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="x">\n  <siteinfo>\n'
        f"    <sitename>W</sitename>\n    <dbname>{wiki}wiki</dbname>\n    <namespaces>\n"
        '      <namespace key="0" case="first-letter" />\n      <namespace key="6">File</namespace>\n'
        f'      <namespace key="14" case="first-letter">{category}</namespace>\n    </namespaces>\n  </siteinfo>\n'
    )


def dump(folder: Path, wiki: str, pages: list[P], schema: str = "new", form: str = "whole") -> Path:
    folder.mkdir(parents=True)
    name = f"{wiki}wiki-20251101-"
    rows = [(p.id, p.namespace, under(p.title), int(bool(p.redirect)), 0.5, len(p.text)) for p in pages]
    dump_sql(folder / f"{name}page.sql.gz", "page", "page", rows)
    moved = [(p.id, 0, under(p.redirect), None if p.id % 2 else "", "") for p in pages if p.redirect]
    dump_sql(folder / f"{name}redirect.sql.gz", "redirect", "redirect", moved)
    links = [(p.id, *link.split("=", 1)) for p in pages for link in filter(None, p.links.split("|"))]
    dump_sql(folder / f"{name}langlinks.sql.gz", "langlinks", "langlinks", links)
    members = [(p, under(category)) for p in pages for category in filter(None, p.categories.split("|"))]
    targets = {category: i for i, category in enumerate(dict.fromkeys(category for _, category in members), 900)}
    kinds = {p.id: "subcat" if p.namespace == CATEGORY else "page" for p in pages}
    if schema == "new":
        cells = [(p.id, "K\x07'", "2025-01-01", kinds[p.id], 1, targets[c]) for p, c in members]
        others = [(1, 0, "Drugs"), (2, 10, "Analgesics")]
        rows_of_targets = [*others, *((i, CATEGORY, c) for c, i in targets.items())]
        dump_sql(folder / f"{name}linktarget.sql.gz", "linktarget", "linktarget", rows_of_targets)
        dump_sql(folder / f"{name}categorylinks.sql.gz", "categorylinks", "new", cells)
    else:
        old = [(p.id, c, "K", "2025-01-01", "uca", kinds[p.id]) for p, c in members]
        dump_sql(folder / f"{name}categorylinks.sql.gz", "categorylinks", "old", old)
    head = head_xml(wiki, {"en": "Category", "zh": "分类", "ja": "カテゴリ"}[wiki])
    ordered = sorted(pages, key=lambda page: page.id)
    if form == "whole":
        text = head + "".join(map(page_xml, ordered)) + "</mediawiki>\n"
        (folder / f"{name}pages-articles.xml.bz2").write_bytes(bz2.compress(text.encode()))
    elif form == "parts":
        for i, part in enumerate((ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]), start=1):
            text = head + "".join(map(page_xml, part)) + "</mediawiki>\n"
            file = f"{name}pages-articles{i}.xml-p{part[0].id}p{part[-1].id}.bz2"
            (folder / file).write_bytes(bz2.compress(text.encode()))
    else:
        streams = [bz2.compress(head.encode())]
        index = []
        for start in range(0, len(ordered), 4):
            offset = sum(map(len, streams))
            index += [f"{offset}:{p.id}:{p.title}\n" for p in ordered[start : start + 4]]
            streams.append(bz2.compress("".join(map(page_xml, ordered[start : start + 4])).encode()))
        streams.append(bz2.compress(b"</mediawiki>\n"))
        (folder / f"{name}pages-articles-multistream.xml.bz2").write_bytes(b"".join(streams))
        (folder / f"{name}pages-articles-multistream-index.txt.bz2").write_bytes(bz2.compress("".join(index).encode()))
    return folder


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    path = tmp_path / "roots.tsv"
    path.write_text("language\tcategory\nen\tMedicine\n", encoding="utf-8")
    return path


@pytest.fixture
def editions(tmp_path: Path) -> tuple[tuple[str, Path], ...]:
    return ("en", dump(tmp_path / "en", "en", EN)), ("zh", dump(tmp_path / "zh", "zh", ZH, "old"))


@pytest.fixture
def plain(tmp_path: Path, roots: Path, editions: tuple[tuple[str, Path], ...]) -> ArticleSettings:
    return ArticleSettings(editions, tmp_path / "out", roots, depth=2, minimal_characters=60)


def titles(folder: Path, first: str = "en_title", second: str = "zh_title") -> dict[str, str]:
    table = read_table(folder, "articles", (first, second)).to_pydict()
    return dict(zip(table[first], table[second], strict=True))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def left_out(folder: Path) -> list[list[str]]:
    return [line.split("\t") for line in (folder / "left_out.tsv").read_text(encoding="utf-8").splitlines()[1:]]


def test_pairs_texts_and_counts(plain: ArticleSettings) -> None:
    statistics = build_article_pairs(plain)
    assert titles(plain.output) == PAIRS
    table = datasets.load_dataset(str(plain.output), "articles", split="train")
    assert table.column_names == ["id", "en", "en_title", "zh", "zh_title"]
    assert table["id"] == ["en:20", "en:22", "en:25", "en:27", "en:33"]
    assert table["en"][0] == "Aspirin is a drug." + LONG
    assert table["en"][1] == "Ibuprofen relieves pain." + LONG
    assert table["zh"][0] == f"阿司匹林是一种药物{LANG * 2}"
    assert table["zh"][1] == f"布洛芬止痛{LANG * 2}"
    english, chinese = statistics.editions["en"], statistics.editions["zh"]
    assert english.roots == {"Medicine": 10}
    assert chinese.roots == {"医学": 110}  # carried over by the language link, written in the other script
    # Medicine; Drugs; Analgesics and Main. Films are on the shipped list, Deep is one step too deep.
    assert (english.categories, english.categories_excluded) == ([1, 1, 2], 1)
    assert chinese.categories == [1, 1, 1]
    assert (english.wanted, english.articles, english.short, english.missing) == (6, 5, 1, 0)
    # Gone, Main's link to a category that is one, the circle, and brands
    assert statistics.links["zh"]["pairs"] == 6
    assert statistics.links["zh"]["conflicts"] == 1  # Tramadol: both editions tell Tramadol (drug)
    assert statistics.links["zh"]["mutual"] == 4
    assert (statistics.rows, statistics.incomplete, statistics.off_topic) == (5, 1, 0)
    assert json.loads((plain.output / "stats.json").read_text()) == json.loads(
        json.dumps(dataclasses.asdict(statistics))
    )
    assert left_out(plain.output) == [["en", "29", "Stub", "too short", ""]]
    card = (plain.output / "README.md").read_text(encoding="utf-8")
    assert "license: cc-by-sa-4.0" in card
    assert "enwiki-20251101 | Medicine | 1, 1, 2 | 1 |" in card
    assert not steps_folder(plain.output).exists()


@pytest.mark.parametrize("form", ["parts", "multistream"])
def test_the_form_of_the_dump_and_the_workers_change_nothing(tmp_path: Path, plain: ArticleSettings, form: str) -> None:
    build_article_pairs(plain)
    schemas = ("old", "new")
    others = tuple(
        (wiki, dump(tmp_path / form / wiki, wiki, pages, schema, form))
        for (wiki, pages), schema in zip((("en", EN), ("zh", ZH)), schemas, strict=True)
    )
    build_article_pairs(dataclasses.replace(plain, editions=others, output=tmp_path / "again", workers=3))
    assert bytes_of(tmp_path / "again") == bytes_of(plain.output)


def test_either_article_deeper_walks_and_other_lists(tmp_path: Path, plain: ArticleSettings) -> None:
    build_article_pairs(dataclasses.replace(plain, depth=3, either=True))
    assert titles(plain.output) == {**PAIRS, "Only deep": "深", "IPhone drug": "手机", "Film": "电影"}
    nothing = tmp_path / "nothing.tsv"
    nothing.write_text("language\tcategory\nen\t/^Anal/\nen\tCategory:Deep\n", encoding="utf-8")
    build_article_pairs(dataclasses.replace(plain, excluded=nothing))
    kept = ("Aspirin", 'O\'Neill \\ "test"); (', "Film")
    assert titles(plain.output) == {title: {**PAIRS, "Film": "电影"}[title] for title in kept}
    build_article_pairs(dataclasses.replace(plain, depth=0, either=True, minimal_characters=0))
    assert titles(plain.output) == {}


def test_three_editions(tmp_path: Path, plain: ArticleSettings) -> None:
    japanese = [
        P(210, "医学", "", "en=Category:Medicine", namespace=CATEGORY),
        P(220, "アスピリン", "医学", "en=aspirin", f"アスピリン{'は薬である。' * 20}"),
        P(221, "孤立", "医学", "zh=布洛芬", f"孤立{'は薬である。' * 20}"),
    ]
    pages = [p._replace(links=p.links + "|ja=Category:医学") if p.id == 10 else p for p in EN]
    editions = (
        ("en", dump(tmp_path / "en2", "en", pages)),
        plain.editions[1],
        ("ja", dump(tmp_path / "ja", "ja", japanese)),
    )
    settings = dataclasses.replace(plain, editions=editions)
    statistics = build_article_pairs(settings)
    assert titles(plain.output) == PAIRS
    assert titles(plain.output, second="ja_title") == {**dict.fromkeys(PAIRS), "Aspirin": "アスピリン"}
    assert {code: counts["pairs"] for code, counts in statistics.links.items()} == {"zh": 6, "ja": 1}
    build_article_pairs(dataclasses.replace(settings, complete=True))
    assert titles(plain.output) == {"Aspirin": "阿司匹林"}


class NamesOf:
    """A matcher of one name in each language, beside the real one in what it is asked."""

    def find_all(self, texts: Sequence[str], languages: Sequence[str]) -> list[list[Match]]:
        names = {"en": "Aspirin", "zh": "布洛芬止痛"}
        found: list[list[Match]] = []
        for text, language in zip(texts, languages, strict=True):
            at, name = text.find(names[language]), names[language]
            found.append([] if at < 0 else [Match(at, at + len(name), "C1", language, False)])
        return found


def test_off_topic_articles_are_left_out_and_listed(plain: ArticleSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    density = relevance.EntityDensity(NamesOf())  # type: ignore[arg-type]
    monkeypatch.setattr(relevance.EntityDensity, "of_folder", classmethod(lambda cls, folder, languages: density))
    settings = dataclasses.replace(plain, knowledge_base=Path("kb"), threshold=0.02)
    statistics = build_article_pairs(settings)
    assert titles(plain.output) == {key: PAIRS[key] for key in ("Aspirin", "Ibuprofen")}
    assert statistics.off_topic == 3
    rows = left_out(plain.output)
    assert [row[:4] for row in rows if row[3] == "off topic"] == [
        ["en", "25", "Paracetamol", "off topic"],
        ["en", "27", "Tramadol (drug)", "off topic"],
        ["en", "33", 'O\'Neill \\ "test"); (', "off topic"],
        ["zh", "124", "对乙酰氨基酚", "off topic"],
        ["zh", "125", "曲马多", "off topic"],
        ["zh", "131", "奥尼尔'); ('", "off topic"],
    ]
    assert {row[4] for row in rows if row[3] == "off topic"} == {"0.0000"}
    assert density.scores(["Aspirin x y", "", "Aspirin"], "en") == [7 / 9, 0.0, 1.0]


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    """A token classifier that calls everything a drug: the output layer's bias decides."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "▁", *sorted(set("Aspirin is a drug.阿司匹林")), "<mask>"]
    tokenizer = XLMRobertaTokenizer(vocab=[(word, -1.0) for word in words])
    tags = {0: "O", 1: "B-Drug", 2: "I-Drug"}
    config = KBioXLMConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=40, id2label=tags, label2id={tag: i for i, tag in tags.items()}, use_crf=False,
    )  # fmt: skip
    model = KBioXLMForTokenClassification(config)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([0.0, 100.0, 0.0]))
    model.save_pretrained(tmp_path / "tagger")
    tokenizer.save_pretrained(tmp_path / "tagger")
    return tmp_path / "tagger"


def test_scores_of_a_tagger(tagger: Path) -> None:
    density = relevance.TaggerDensity(str(tagger))
    assert density.scores(["Aspirin is a drug.", "阿司匹林" * 30, ""], "en") == [1.0, 1.0, 0.0]
    model, _ = load_tagger(str(tagger))
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([100.0, 0.0, 0.0]))
    model.save_pretrained(tagger)
    assert relevance.TaggerDensity(str(tagger)).scores(["Aspirin is a drug."], "en") == [0.0]


def test_scores_of_a_knowledge_base() -> None:
    names = {"en": {"C1": ["aspirin"], "C2": ["heart attack"]}, "zh": {"C1": ["阿司匹林"]}}
    base = KnowledgeBase.of(("en", "zh"), names, {}, {})
    density = relevance.EntityDensity(NameMatcher.build(base.name_table(), read_rules()))
    assert density.scores(["Aspirin for heart attack!", "nothing"], "en") == [18 / 22, 0.0]
    assert density.scores(["阿司匹林 是药物"], "zh") == [4 / 7]


def test_a_page_that_cannot_be_cleaned_is_listed(
    tmp_path: Path, plain: ArticleSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [p._replace(text="[http://x " * 20_000) if p.title == "Ibuprofen" else p for p in EN]
    folder = dump(tmp_path / "hangs", "en", pages)
    monkeypatch.setattr(extraction, "Cleaner", partial(Cleaner, seconds=1.0))
    statistics = build_article_pairs(dataclasses.replace(plain, editions=(("en", folder), plain.editions[1])))
    assert titles(plain.output) == {title: zh for title, zh in PAIRS.items() if title != "Ibuprofen"}
    assert statistics.editions["en"].failed == 1
    assert ["en", "22", "Ibuprofen", "not cleaned: took more than 1 s", ""] in left_out(plain.output)


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, plain: ArticleSettings) -> None:
    build_article_pairs(plain)
    expected = bytes_of(plain.output)
    output = tmp_path / "killed"
    slow = [p._replace(text="[http://x " * 20_000) if p.title == "Ibuprofen" else p for p in EN]
    editions = (("en", dump(tmp_path / "slow", "en", slow)), plain.editions[1])
    program = (
        "import pathlib, sys\n"
        "from kbioxlm.dataset_scripts.encyclopaedia.build import build_article_pairs\n"
        "from kbioxlm.dataset_scripts.encyclopaedia.settings import ArticleSettings\n"
        "en, zh, out, roots = map(pathlib.Path, sys.argv[1:])\n"
        "build_article_pairs(ArticleSettings((('en', en), ('zh', zh)), out, roots, depth=2, minimal_characters=60))\n"
    )
    arguments = [str(path) for path in (editions[0][1], editions[1][1], output, plain.roots)]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.DEVNULL)
    steps = steps_folder(output)
    deadline = time.monotonic() + 60
    while not list(steps.glob("en-zh-pairs-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not output.exists()
    kept = {path: path.stat().st_mtime_ns for path in steps.iterdir() if not path.name.startswith(".")}
    assert any(path.name.startswith("zh-categorylinks-") for path in kept)
    settings = dataclasses.replace(plain, editions=editions, output=output, keep_steps=True)
    (editions[0][1] / "enwiki-20251101-pages-articles.xml.bz2").write_bytes(
        (plain.editions[0][1] / "enwiki-20251101-pages-articles.xml.bz2").read_bytes()
    )
    build_article_pairs(settings)
    assert bytes_of(output) == expected
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # nothing was done again
    before = {path: path.stat().st_mtime_ns for path in steps.iterdir()}
    build_article_pairs(dataclasses.replace(settings, minimal_characters=0))
    assert {path: path.stat().st_mtime_ns for path in steps.iterdir() if path in before} == before


def test_dumps_that_cannot_be_used_leave_nothing(tmp_path: Path, plain: ArticleSettings) -> None:
    chinese = plain.editions[1]

    def refused(folder: Path, message: str, language: str = "en") -> None:
        with pytest.raises(InputError, match=message):
            build_article_pairs(dataclasses.replace(plain, editions=((language, folder), chinese)))
        assert not plain.output.exists()

    folder = dump(tmp_path / "bad", "en", EN)
    pages, links = (folder / f"enwiki-20251101-{name}" for name in ("pages-articles.xml.bz2", "categorylinks.sql.gz"))
    whole, tables = pages.read_bytes(), links.read_bytes()
    refused(tmp_path / "none", "no such folder; give the folder with the dump files of language 'en'")
    refused(folder, "holds enwiki, not language 'ja'", "ja")
    pages.write_bytes(whole[: len(whole) - 20])
    refused(folder, r"pages-articles.xml.bz2: the bzip2 data breaks off or is damaged")
    pages.write_bytes(whole)
    links.write_bytes(tables[:-30])
    refused(folder, "categorylinks.sql.gz: the gzip data breaks off or is damaged")
    dump_sql(links, "categorylinks", "page", [])
    refused(folder, "table 'categorylinks' has no column 'cl_from'; its columns are page_id,")
    dump_sql(links, "categorylinks", "langlinks", [])
    refused(folder, "no column 'cl_from'; its columns are ll_from,ll_lang,ll_title; it is of another version")
    links.write_bytes(tables)
    (folder / "enwiki-20251101-linktarget.sql.gz").rename(tmp_path / "linktarget")
    refused(folder, "categories are rows of table linktarget, whose dump is not there; fetch")
    (tmp_path / "linktarget").rename(folder / "enwiki-20251101-linktarget.sql.gz")
    (folder / "enwiki-20251001-page.sql.gz").write_bytes(b"x")
    refused(folder, "one edition and date were expected; found: enwiki-20251001, enwiki-20251101")
    (folder / "enwiki-20251001-page.sql.gz").unlink()
    links.unlink()
    refused(folder, "no enwiki-20251101-categorylinks.sql.gz; fetch it")
    links.write_bytes(tables)
    pages.unlink()
    refused(folder, "no pages-articles.xml.bz2")
    pages.write_bytes(bz2.compress(bz2.decompress(whole).replace(b"enwiki", b"dewiki")))
    refused(folder, "holds pages of dewiki")
    assert not list(tmp_path.glob(".out.*.part"))


def test_lists_of_categories_that_cannot_be_used(tmp_path: Path, plain: ArticleSettings) -> None:
    bad = tmp_path / "bad.tsv"
    for text, message in (
        ("title\nx\n", "header 'title'; begin with the columns language, category"),
        ("language\tcategory\nen\n", "bad.tsv:2: cannot use 'en'"),
        ("language\tcategory\nen\t/(/\n", r"bad.tsv:2: '/\(/' is not a regular expression"),
        ("language\tcategory\nen\tNo such\n", "none of its categories is in the dump of language 'en'"),
    ):
        bad.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            build_article_pairs(dataclasses.replace(plain, roots=bad))


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    two = (("en", tmp_path), ("zh", tmp_path))
    for changed, message in (
        ({"editions": two[:1]}, "give two or more, each once"),
        ({"editions": (two[0], two[0])}, "give two or more, each once"),
        ({"knowledge_base": tmp_path, "tagger": "x"}, "scored twice"),
        ({"threshold": 0.1}, "nothing to score articles with"),
        ({"depth": -1}, "give a number from 0 to 100"),
        ({"workers": 0}, "give a number from 1 to"),
    ):
        with pytest.raises(InputError, match=message):
            ArticleSettings(**{"editions": two, "output": tmp_path / "x", **changed})  # type: ignore[arg-type]
