"""A knowledge base translated by two translators, with what they disagree on in a file for review."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.folder import dataset_folder, write_rows, write_statistics
from kbioxlm.dataset_scripts.knowledge import translation_tables
from kbioxlm.dataset_scripts.knowledge.agreement import normalised
from kbioxlm.dataset_scripts.knowledge.review import HEADER
from kbioxlm.dataset_scripts.knowledge.schemas import CONCEPTS, NAMES, RELATION_NAMES, RELATIONS, SOURCES
from kbioxlm.dataset_scripts.knowledge.translate import TranslationSettings, translate_knowledge_base
from kbioxlm.dataset_scripts.knowledge.translation_report import summary
from kbioxlm.dataset_scripts.translation.lexicon import LexiconSettings, LexiconTranslator

CC0, MIT = "CC0-1.0", "MIT"
NAME_ROWS = [
    ("C1", "en", "fever", True, "HP", "PT", CC0),
    ("C1", "en", "pyrexia", False, "HP", "SY", CC0),
    ("C1", "zh", "发热", True, "HP-ZH", "PT", MIT),
    ("C2", "en", "asthma", True, "HP", "PT", CC0),
    ("C2", "en", "bronchial asthma", False, "DO", "PT", MIT),
    ("C2", "es", "asma", True, "HP-ES", "PT", CC0),
    ("C3", "en", "cough", True, "HP", "PT", CC0),
    ("C3", "en", "tussis", False, "", "SY", ""),
    ("C4", "en", "gout", False, "DO", "PT", MIT),
    ("C4", "en", "gout", True, "HP", "PT", CC0),
    ("C4", "en", "urate arthritis", False, "HP", "SY", CC0),
    ("C5", "es", "hipo", True, "HP-ES", "PT", CC0),
    ("C6", "en", "itch", True, "HP", "PT", CC0),
]
PHRASES = [
    ("isa", "en", "is a"), ("isa", "zh", "是一种"), ("causes", "en", "causes"), ("may_treat", "en", "may treat"),
]  # fmt: skip
SOURCE_ROWS = [("DO", MIT, "Disease Ontology", "1", "do.obo", "ab", 2), ("HP", CC0, "HPO", "2", "hp.obo", "cd", 8)]
FIRST = {
    "fever": "发烧", "pyrexia": "发热", "asthma": "哮喘", "bronchial asthma": "哮喘", "cough": "咳嗽", "tussis": "咳",
    "gout": "痛風", "urate arthritis": "尿酸性关节炎", "causes": "引起", "may treat": "可治疗",
}  # fmt: skip
SECOND = {
    "fever": "发烧", "pyrexia": "发热", "asthma": "哮喘。", "bronchial asthma": "支气管哮喘", "cough": "咳",
    "tussis": "咳", "gout": "痛风", "urate arthritis": "尿酸性关节炎", "causes": "导致",
    "may treat": "可治疗", "itch": "瘙痒",
}  # fmt: skip


def write_knowledge_base(
    folder: Path, names: Sequence[tuple[Any, ...]], phrases: Sequence[tuple[str, ...]] = PHRASES
) -> Path:
    with dataset_folder(folder) as draft:
        write_rows(draft / "names", NAMES, names)
        write_rows(draft / "concepts", CONCEPTS, [(concept, ["T1"]) for concept in sorted({row[0] for row in names})])
        write_rows(draft / "relations", RELATIONS, [("C1", "isa", "C2", "HP")])
        write_rows(draft / "relation_names", RELATION_NAMES, sorted(phrases))
        write_rows(draft / "sources", SOURCES, SOURCE_ROWS)
        counts = {language: sum(row[1] == language for row in names) for language in ("en", "es", "zh")}
        write_statistics(
            draft,
            {
                "concepts": 6, "bilingual_concepts": 2, "names": counts, "relations": {"isa": 1},
                "relation_names": {"en": 3, "zh": 1}, "sources": {"DO": 2, "HP": 8},
            },
        )  # fmt: skip
    return folder


def lexicon(path: Path, entries: Mapping[str, str], target: str = "zh") -> LexiconTranslator:
    rows = [f"en\t{target}\t{name}\t{answer}\n" for name, answer in entries.items()]
    path.write_text("source_language\ttarget_language\tsource\ttarget\n" + "".join(rows), encoding="utf-8")
    return LexiconTranslator(LexiconSettings(kind="lexicon", file=path))


@pytest.fixture
def settings(tmp_path: Path) -> TranslationSettings:
    return TranslationSettings(
        knowledge_base=write_knowledge_base(tmp_path / "kb", NAME_ROWS),
        output=tmp_path / "out",
        source="en",
        target="zh",
        translators=(lexicon(tmp_path / "one.tsv", FIRST), lexicon(tmp_path / "two.tsv", SECOND)),
        review=tmp_path / "review.tsv",
        cache=tmp_path / "cache" / "answers.sqlite",
    )


def rows(folder: Path, config: str) -> list[dict[str, Any]]:
    return [row for shard in sorted((folder / config).glob("*.parquet")) for row in pq.read_table(shard).to_pylist()]


def added(folder: Path) -> list[tuple[Any, ...]]:
    """The names that were not there before, without their source."""
    return [
        (row["concept"], row["name"], row["preferred"], row["term_type"], row["license"])
        for row in rows(folder, "names")
        if row["source"].startswith("translation:")
    ]


def review_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def decide(path: Path, **changes: str | tuple[str, str]) -> None:
    """Fill column `decision` (or decision and flag) by source name, spaces written as `_`."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    for cells in lines[1:]:
        change = changes.get(cells[2].replace(" ", "_"))
        if change is not None:
            cells[6:] = [change, cells[7]] if isinstance(change, str) else list(change)
    path.write_text("".join("\t".join(cells) + "\n" for cells in lines), encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_agreed_names_are_added_and_the_others_go_to_review(settings: TranslationSettings) -> None:
    statistics = translate_knowledge_base(settings)
    assert added(settings.output) == [
        ("C2", "哮喘", True, "MT", "CC0-1.0 (translated)"),
        ("C4", "痛風", True, "MT", "CC0-1.0 (translated)"),
    ]
    assert review_rows(settings.review) == [
        dict(zip(HEADER, cells, strict=True))
        for cells in (
            ("name", "C3", "cough", "咳嗽", "咳", "differ", "", ""),
            ("name", "C6", "itch", "", "瘙痒", "answer 1 is empty", "", ""),
            ("relation", "causes", "causes", "引起", "导致", "differ", "", ""),
        )
    ]
    names = statistics.names
    assert (names.asked, names.agreed, names.reviewed, names.rejected, names.open, names.added) == (4, 2, 0, 0, 2, 2)
    assert (statistics.relation_names.asked, statistics.relation_names.added) == (2, 1)
    assert statistics.reasons == {"answer 1 is empty": 1, "differ": 2}
    assert [one.answers for one in statistics.translators] == [5, 6]
    assert summary(statistics).splitlines() == [
        "names: 4 asked, 2 agreed (50.0%), 0 reviewed, 0 rejected, 2 open; 2 added",
        "relation phrases: 2 asked, 1 agreed (50.0%), 0 reviewed, 0 rejected, 1 open; 1 added",
        "  2: differ",
        "  1: answer 1 is empty",
    ]


def test_everything_else_stays_as_it_was(settings: TranslationSettings) -> None:
    translate_knowledge_base(settings)
    before, after = contents(settings.knowledge_base), contents(settings.output)
    for config in ("concepts", "relations"):
        assert before[f"{config}/part-00000.parquet"] == after[f"{config}/part-00000.parquet"]
    kept = [row for row in rows(settings.output, "names") if not row["source"].startswith("translation:")]
    assert sorted(kept, key=str) == sorted(rows(settings.knowledge_base, "names"), key=str)
    keys = [
        tuple(row[key] for key in ("concept", "language", "name", "source")) for row in rows(settings.output, "names")
    ]
    assert keys == sorted(keys)
    phrases = {(row["relation"], row["language"]): row["name"] for row in rows(settings.output, "relation_names")}
    assert phrases == {(row[0], row[1]): row[2] for row in PHRASES} | {("may_treat", "zh"): "可治疗"}


def test_sources_statistics_and_card_tell_of_the_translation(settings: TranslationSettings, tmp_path: Path) -> None:
    translate_knowledge_base(settings)
    source = "translation:" + "+".join(one.identity for one in settings.translators)
    made = [row for row in rows(settings.output, "sources") if row["source"] == source]
    assert [(row["license"], row["names"]) for row in made] == [("CC0-1.0 (translated)", 2)]
    assert len(rows(settings.output, "sources")) == len(SOURCE_ROWS) + 1
    statistics = json.loads((settings.output / "stats.json").read_text())
    assert statistics["names"] == {"en": 10, "es": 2, "zh": 3}
    assert statistics["sources"] == {"DO": 2, "HP": 8, source: 2}
    assert statistics["relation_names"] == {"en": 3, "zh": 2}
    assert statistics["bilingual_concepts"] == 3
    (translation,) = statistics["translations"]
    assert translation["names"]["open"] == 2
    assert translation["translators"][0]["settings"]["kind"] == "lexicon"
    card = (settings.output / "README.md").read_text()
    assert "## Translation from English into Chinese" in card
    assert "| names | 4 | 2 | 0 | 0 | 2 | 2 |" in card
    loaded = datasets.load_dataset(str(settings.output), "names", split="train", cache_dir=str(tmp_path / "hf"))
    assert len(loaded) == len(NAME_ROWS) + 2


ALL_OF_C2_TO_C4 = [("C2", "哮喘", True), ("C3", "咳", True), ("C4", "尿酸性关节炎", False), ("C4", "痛風", True)]


@pytest.mark.parametrize(
    ("concepts", "names", "expected"),
    [
        ("missing", "all", ALL_OF_C2_TO_C4),
        ("all", "preferred", [("C1", "发烧", False), ("C2", "哮喘", True), ("C4", "痛風", True)]),
        ("all", "all", [("C1", "发烧", False), *ALL_OF_C2_TO_C4]),  # 发热 is there already
    ],
)
def test_what_is_asked_for(
    settings: TranslationSettings, concepts: Any, names: Any, expected: list[tuple[str, str, bool]]
) -> None:
    translate_knowledge_base(replace(settings, concepts=concepts, names=names))
    assert [row[:3] for row in added(settings.output)] == expected
    preferred = Counter((row["concept"], row["language"]) for row in rows(settings.output, "names") if row["preferred"])
    assert set(preferred.values()) == {1}
    assert set(preferred) >= {(row[0], "zh") for row in expected}
    licenses = {row[1]: row[4] for row in added(settings.output)}
    # a name of two sources has both licences; one without a stated licence has none to pass on
    assert licenses["痛風"] == f"CC0-1.0{' AND MIT' if names == 'all' else ''} (translated)"
    assert licenses.get("咳", "") == ""


def test_decisions_are_applied_and_stay(settings: TranslationSettings) -> None:
    translate_knowledge_base(settings)
    decide(settings.review, cough="1", itch="发痒  感", causes="-")
    decided = settings.review.read_bytes()
    for _ in range(2):
        statistics = translate_knowledge_base(settings)
        assert [row[:4] for row in added(settings.output)] == [
            ("C2", "哮喘", True, "MT"),
            ("C3", "咳嗽", True, "MT-reviewed"),
            ("C4", "痛風", True, "MT"),
            ("C6", "发痒 感", True, "MT-reviewed"),
        ]
        assert (statistics.names.reviewed, statistics.names.open) == (2, 0)
        assert (statistics.relation_names.rejected, statistics.relation_names.added) == (1, 1)
        assert [one.chosen for one in statistics.translators] == [1, 0]
        assert settings.review.read_bytes() == decided.replace("发痒  感".encode(), "发痒 感".encode())


def test_a_decision_waits_when_the_answers_have_changed(settings: TranslationSettings, tmp_path: Path) -> None:
    translate_knowledge_base(settings)
    decide(settings.review, cough="1")
    changed = replace(
        settings, translators=(lexicon(tmp_path / "one.tsv", {**FIRST, "cough": "呛咳"}), settings.translators[1])
    )
    for _ in range(2):
        statistics = translate_knowledge_base(changed)
        row = review_rows(settings.review)[0]
        assert (row["answer_1"], row["answer_2"], row["decision"]) == ("呛咳", "咳", "1")
        assert row["flag"] == "changed, decided on: 咳嗽 ¦ 咳"
        assert statistics.names.open == 2
        assert "C3" not in [name[0] for name in added(settings.output)]
    before = settings.review.read_bytes()
    translate_knowledge_base(settings)  # the answers that were decided on are back
    assert review_rows(settings.review)[0]["flag"] == ""
    assert ("C3", "咳嗽") in [name[:2] for name in added(settings.output)]
    settings.review.write_bytes(before)
    decide(settings.review, cough=("1", ""))  # a person confirms
    translate_knowledge_base(changed)
    assert ("C3", "呛咳") in [name[:2] for name in added(settings.output)]


def test_decisions_are_kept_when_their_names_are_gone_and_come_back(
    settings: TranslationSettings, tmp_path: Path
) -> None:
    translate_knowledge_base(settings)
    decide(settings.review, cough="2", causes="1")
    without = write_knowledge_base(tmp_path / "without", [row for row in NAME_ROWS if row[0] != "C3"], PHRASES[:2])
    for _ in range(2):
        translate_knowledge_base(replace(settings, knowledge_base=without, output=tmp_path / "other"))
        assert [(row["source_name"], row["decision"], row["flag"]) for row in review_rows(settings.review)] == [
            ("itch", "", ""), ("cough", "2", "gone"), ("causes", "1", "gone"),
        ]  # fmt: skip
    translate_knowledge_base(settings)
    assert [(row["source_name"], row["decision"], row["flag"]) for row in review_rows(settings.review)] == [
        ("cough", "2", ""), ("itch", "", ""), ("causes", "1", ""),
    ]  # fmt: skip
    assert ("C3", "咳") in [name[:2] for name in added(settings.output)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("name\tC3\tcough", r"review\.tsv:3: 3 columns: 'name\\tC3\\tcough'; write the 8 columns"),
        ("name\tC3\tcough\ta\tb\tdiffer\t1\t\t", r"review\.tsv:3: 9 columns"),
        ("mane\tC3\tcough\ta\tb\tdiffer\t1\t", r"review\.tsv:3: not the row of a name or relation"),
        (
            "name\tC3\tcough\t\tb\tdiffer\t1\t",
            r"review\.tsv:3: decision 1, but answer 1 is empty; write the other number",
        ),
        ("name\tC3\tcough\ta\tb\tdiffer\t1\tok", r"review\.tsv:3: flag 'ok'; .*clear it to confirm"),
        ("name\tC2\tasthma\ta\tb\tdiffer\t1\t", r"review\.tsv:3: 'asthma' is decided twice"),
    ],
)
def test_a_malformed_review_file_is_an_error_and_stays(settings: TranslationSettings, line: str, message: str) -> None:
    content = "\t".join(HEADER) + f"\nname\tC2\tasthma\ta\tb\tdiffer\t2\t\n{line}\n"
    settings.review.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        translate_knowledge_base(settings)
    assert settings.review.read_text(encoding="utf-8") == content
    assert not settings.output.exists()


def test_a_review_file_needs_its_header_and_may_come_from_a_spreadsheet(settings: TranslationSettings) -> None:
    settings.review.write_text("name\tC3\tcough\ta\tb\tdiffer\t1\t\n")
    with pytest.raises(InputError, match=r"review\.tsv:1: header 'name"):
        translate_knowledge_base(settings)
    # byte order mark, CRLF, empty cells at the ends of lines cut off
    lines = ["\t".join(HEADER), "name\tC3\tcough\t咳嗽\t咳\tdiffer\t1", "relation\tcauses\tcauses\t引起\t导致\tdiffer"]
    settings.review.write_bytes("\r\n".join(["\ufeff" + lines[0], *lines[1:], ""]).encode())
    translate_knowledge_base(settings)
    assert ("C3", "咳嗽") in [name[:2] for name in added(settings.output)]


def test_the_bytes_depend_on_input_and_cache_alone(
    settings: TranslationSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, concepts="all", names="all")
    translate_knowledge_base(settings)
    review = settings.review.read_bytes()
    for rows_at_once in (1, 2, 5):
        monkeypatch.setattr(translation_tables, "ROWS_AT_ONCE", rows_at_once)
        monkeypatch.setattr(LexiconTranslator, "batch_size", rows_at_once)
        cache = tmp_path / f"{rows_at_once}.sqlite"
        other = replace(settings, output=tmp_path / f"out{rows_at_once}", review=tmp_path / "new.tsv", cache=cache)
        for _ in range(2):
            translate_knowledge_base(other)
            assert contents(other.output) == contents(settings.output)
            assert other.review.read_bytes() == review


def test_row_groups_do_not_depend_on_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [(f"C{number:05d}", "en", f"name {number}", True, "HP", "PT", CC0) for number in range(1000)]
    folder = write_knowledge_base(tmp_path / "kb", names)
    monkeypatch.setattr(translation_tables, "ROWS_PER_GROUP", 100)
    monkeypatch.setattr("kbioxlm.dataset_scripts.folder.ROWS_PER_GROUP", 100)
    written = []
    for rows_at_once in (90, 250, 5000):
        monkeypatch.setattr(translation_tables, "ROWS_AT_ONCE", rows_at_once)
        reader = translation_tables.NamesReader(folder)
        writer = translation_tables.NamesWriter(tmp_path / str(rows_at_once), reader.schema)
        for frame in reader.concepts():
            writer.write(frame, frame.clear())
        writer.close()
        written.append((tmp_path / str(rows_at_once) / "names" / "part-00000.parquet").read_bytes())
    assert written[0] == written[1] == written[2]


def test_a_limit_asks_for_the_first_names_only(settings: TranslationSettings) -> None:
    statistics = translate_knowledge_base(replace(settings, limit=1))
    assert (statistics.names.asked, statistics.relation_names.asked) == (1, 1)
    assert [row[:2] for row in added(settings.output)] == [("C2", "哮喘")]
    assert len(rows(settings.output, "names")) == len(NAME_ROWS) + 1


def test_a_translated_folder_can_be_translated_again(settings: TranslationSettings, tmp_path: Path) -> None:
    translate_knowledge_base(settings)
    spanish = {"asthma": "asma", "cough": "tos", "fever": "fiebre", "gout": "gota", "itch": "picor"}
    again = replace(
        settings,
        knowledge_base=settings.output,
        output=tmp_path / "both",
        target="es",
        review=tmp_path / "es.tsv",
        translators=(lexicon(tmp_path / "a.tsv", spanish, "es"), lexicon(tmp_path / "b.tsv", spanish, "es")),
    )
    translate_knowledge_base(again)
    assert [name[:2] for name in added(again.output) if name[1].isascii()] == [
        ("C1", "fiebre"), ("C3", "tos"), ("C4", "gota"), ("C6", "picor"),
    ]  # fmt: skip
    assert len(json.loads((again.output / "stats.json").read_text())["translations"]) == 2
    card = (again.output / "README.md").read_text()
    assert card.index("English into Chinese") < card.index("English into Spanish")
    # names that a machine made are not translated further
    back = replace(
        again, knowledge_base=again.output, output=tmp_path / "back", source="zh", target="en", concepts="all"
    )
    assert translate_knowledge_base(back).names.asked == 1


def test_an_older_folder_without_licences_is_read(settings: TranslationSettings, tmp_path: Path) -> None:
    old = tmp_path / "old"
    write_knowledge_base(old, NAME_ROWS)
    table = pq.read_table(old / "names" / "part-00000.parquet").drop_columns(["license"])
    pq.write_table(table, old / "names" / "part-00000.parquet")
    (old / "sources" / "part-00000.parquet").unlink()
    translate_knowledge_base(replace(settings, knowledge_base=old))
    assert {row["license"] for row in rows(settings.output, "names")} == {""}
    assert [row["names"] for row in rows(settings.output, "sources")] == [2]


def test_settings_that_cannot_be(settings: TranslationSettings, tmp_path: Path) -> None:
    same = lexicon(tmp_path / "one.tsv", FIRST)
    for change, message in (
        ({"translators": (same, same)}, r"translators: both are one#.*independent"),
        ({"target": "en"}, "en into itself"),
        ({"target": "xx"}, "unknown language 'xx'"),
        ({"source": "fr"}, "no names in language 'fr'"),
        ({"output": settings.knowledge_base}, "is the knowledge base that is read"),
        ({"review": settings.output / "review.tsv"}, "the review file or the cache is in it"),
        ({"knowledge_base": tmp_path / "nowhere"}, "nowhere: no such folder"),
        ({"knowledge_base": tmp_path}, r"no (names|relation_names)/\*\.parquet in it"),
    ):
        with pytest.raises(InputError, match=message):
            translate_knowledge_base(replace(settings, **change))
    assert not settings.review.exists()


def test_names_out_of_order_are_an_error(settings: TranslationSettings, tmp_path: Path) -> None:
    folder = write_knowledge_base(tmp_path / "mixed", NAME_ROWS[::-1])
    with pytest.raises(InputError, match="the names are not sorted by concept"):
        translate_knowledge_base(replace(settings, knowledge_base=folder))


PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from kbioxlm.dataset_scripts.knowledge.translate import TranslationSettings, translate_knowledge_base

class Logged:
    batch_size, concurrent = 10, 1
    def __init__(self, label, folder, kill_at):
        self.identity, self.settings = label, {"kind": label}
        self.log, self.kill_at, self.asked = folder / f"{label}.log", kill_at, 0
    def translate(self, texts, source, target):
        self.asked += 1
        if self.asked == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        with self.log.open("a") as stream:
            stream.writelines(f"{text}\\n" for text in texts)
        return [f"译{text.split()[1]}" for text in texts]

folder, kill_at = Path(sys.argv[1]), [int(number) for number in sys.argv[2:]]
translate_knowledge_base(TranslationSettings(
    knowledge_base=folder / "kb", output=folder / "out", source="en", target="zh",
    translators=tuple(Logged(label, folder, at) for label, at in zip(("one", "two"), kill_at)),
    review=folder / "review.tsv", cache=folder / "answers.sqlite",
))
"""


def test_killed_at_any_time_it_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    names = [(f"C{number:05d}", "en", f"name {number}", True, "HP", "PT", CC0) for number in range(95)]
    write_knowledge_base(tmp_path / "kb", names, PHRASES[:2])

    def run(*kill_at: int) -> int:
        environment = {**os.environ, "PYTHONHASHSEED": str(kill_at[0])}
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), *map(str, kill_at)]
        return subprocess.run(command, env=environment, capture_output=True).returncode

    assert run(4, 0) == -signal.SIGKILL
    assert run(0, 6) == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert run(0, 0) == 0
    for label in ("one", "two"):
        asked = (tmp_path / f"{label}.log").read_text().splitlines()
        assert sorted(asked) == sorted(f"name {number}" for number in range(95))
    assert [row[1] for row in added(tmp_path / "out")] == [f"译{number}" for number in range(95)]


@pytest.mark.skipif("KBIOXLM_REAL_DATA" not in os.environ, reason="KBIOXLM_REAL_DATA is not set")
def test_hidden_names_of_the_open_knowledge_base_are_found_again(tmp_path: Path) -> None:
    source = Path(os.environ["KBIOXLM_REAL_DATA"]) / "open_knowledge_base" / "MRCONSO.RRF"
    english: dict[str, list[str]] = defaultdict(list)
    chinese: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with source.open(encoding="utf-8") as stream:
        for line in stream:
            cells = line.split("|")
            if cells[1] == "ENG":
                english[cells[0]].append(cells[14])
            elif cells[1] == "CHI":
                chinese[cells[0]][cells[11]].append(cells[14])
    # one lexicon from the translators of the Human Phenotype Ontology, one from ICD-10 and the benchmarks
    lexicons: tuple[dict[str, str], dict[str, str]] = ({}, {})
    true: dict[str, set[str]] = defaultdict(set)
    for concept in sorted(english):
        for name in sorted(english[concept]):
            for entries, vocabularies in zip(lexicons, (("HPOCHI",), ("ICD10CN", "KBX")), strict=True):
                answers = [answer for vocabulary in vocabularies for answer in sorted(chinese[concept][vocabulary])]
                if answers:
                    entries.setdefault(name.casefold(), answers[0])
                true[name.casefold()].update(answers)
    known = [concept for concept in sorted(english) if any(chinese[concept].values())]
    in_both = [concept for concept in known if all(min(english[concept]).casefold() in one for one in lexicons)]
    hidden = sorted({*in_both, *known[:1000]})
    names = sorted(
        (concept, "en", name, place == 0, "X", "PT", CC0)
        for concept in hidden
        for place, name in enumerate(sorted(set(english[concept])))
    )
    settings = TranslationSettings(
        knowledge_base=write_knowledge_base(tmp_path / "kb", names),
        output=tmp_path / "out",
        source="en",
        target="zh",
        translators=(lexicon(tmp_path / "one.tsv", lexicons[0]), lexicon(tmp_path / "two.tsv", lexicons[1])),
        review=tmp_path / "review.tsv",
        cache=tmp_path / "answers.sqlite",
    )
    statistics = translate_knowledge_base(settings)
    name_of = {row[0]: row[2] for row in names if row[3]}

    def check_names(expected: int) -> None:
        accepted = added(settings.output)
        assert len(accepted) == expected
        for concept, name, preferred, *_ in accepted:
            assert preferred
            assert name in true[name_of[concept].casefold()]

    assert statistics.names.agreed > 0  # few: the vocabularies hold no name that another has in the same letters
    check_names(statistics.names.agreed)
    disputed = {row["id"]: row for row in review_rows(settings.review) if row["kind"] == "name"}
    assert {row[0] for row in added(settings.output)}.isdisjoint(disputed)
    assert statistics.names.agreed + len(disputed) == len(hidden) == statistics.names.asked
    for concept, row in disputed.items():
        answers = [row["answer_1"], row["answer_2"]]
        assert answers == [one.get(name_of[concept].casefold(), "") for one in lexicons]
        assert row["reason"] != "differ" or normalised(answers[0], "zh") != normalised(answers[1], "zh")
    differing = [row["source_name"] for row in disputed.values() if row["reason"] == "differ"]
    assert len(differing) > 100
    decide(settings.review, **{name.replace(" ", "_"): "12"[number % 2] for number, name in enumerate(differing)})
    assert translate_knowledge_base(settings).names.reviewed == len(differing)
    check_names(statistics.names.agreed + len(differing))
