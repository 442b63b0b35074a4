"""PubMed files: texts by language, revisions, and files that are damaged or hostile."""

from __future__ import annotations

import gzip
import logging
import tracemalloc
from pathlib import Path

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.readers.documents import Document, Withdrawal
from kbioxlm.dataset_scripts.readers.pubmed import LANGUAGES, read_pubmed
from kbioxlm.dataset_scripts.readers.xml_records import xml_records

SAMPLE = Path(__file__).parents[1] / "data" / "readers" / "pubmed.xml"
ALL = ("en", "zh", "es", "de")


def read(path: Path, languages: tuple[str, ...] = ALL) -> list[Document | Withdrawal]:
    return list(read_pubmed(path, path.name, languages))


def texts(path: Path, languages: tuple[str, ...] = ALL) -> dict[str, str]:
    return {found.id: found.text for found in read(path, languages) if isinstance(found, Document)}


def citation(number: int | str, title: str = "A title.", more: str = "", version: int = 1) -> str:
    return (
        f'<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="{version}">{number}</PMID><Article>'
        f"<ArticleTitle>{title}</ArticleTitle>{more}<Language>eng</Language></Article></MedlineCitation></PubmedArticle>"
    )


def in_set(citations: str) -> str:
    return f"<PubmedArticleSet>{citations}</PubmedArticleSet>"


def pubmed_file(folder: Path, *citations: str, head: str = "") -> Path:
    path = folder / "pubmed.xml"
    body = "\n".join(citations)
    path.write_text(f'<?xml version="1.0"?>\n{head}<PubmedArticleSet>\n{body}\n</PubmedArticleSet>\n', encoding="utf-8")
    return path


def test_title_and_abstract_become_one_text_a_language() -> None:
    assert texts(SAMPLE) == {
        "101": "Growth of Escherichia coli at 10⁶ cells with CO2 & Ca²⁺.\nBACKGROUND: Cells grow if p < .05.\n"
        "WHAT WE DID: They were counted.\nNothing more.\nGerms grow.",
        "102": "Treatment of fever [with aspirin].\nAspirin was given. The fever fell.",
        "102:zh": "阿司匹林治疗发热。\n目的：观察疗效。\n结果：体温下降到37.5℃。",
        "102:de": "Das Fieber sank.",
        "104": "The second version.",
        "105": "[3H]Ouabain binding in [Na+].\nWe found x=1/2 and r².",
        "106": "A rare disease\nCLINICAL CHARACTERISTICS: It is rare.",
    }


def test_every_text_names_its_record_and_deleted_or_empty_citations_withdraw_theirs() -> None:
    found = read(SAMPLE)
    assert {(one.id, one.language, one.record) for one in found if isinstance(one, Document)} >= {
        ("102", "en", "pubmed:102"),
        ("102:zh", "zh", "pubmed:102"),
    }
    assert [one.record for one in found if isinstance(one, Withdrawal)] == ["pubmed:103", "pubmed:201", "pubmed:202"]
    assert [one.record.removeprefix("pubmed:") for one in found] == (
        ["101", "102", "102", "102", "103", "104", "105", "106", "201", "202"]
    )


def test_other_languages_are_passed_over_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(texts(SAMPLE, ("zh",))) == ["102:zh"]
    assert "pubmed.xml: texts in languages not asked for: {'de': 1, 'en': 5}" in caplog.text


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("[Title].", "Title."),
        ("[Title?]", "Title?"),
        ("[Title?].", "Title?"),
        ("[Title]", "Title"),
        ("[A] and [B].", "[A] and [B]."),
        ("[A [B] C].", "A [B] C."),
        ("[A (author's transl)].", "A."),
        ("RETRACTED: [A].", "RETRACTED: [A]."),
        ("<b>[</b>A].", "A."),
    ],
)
def test_brackets_of_translated_titles_are_taken_off(tmp_path: Path, title: str, expected: str) -> None:
    assert texts(pubmed_file(tmp_path, citation(1, title))) == {"1": expected}


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("a<i>b</i>c", "abc"),
        ("a\n   <i>b</i>\n   c", "a b c"),
        ("10<sup>-3</sup> M", "10⁻³ M"),
        ("10<sup> 5 </sup>/ml", "10 ⁵ /ml"),
        ("2<sup>x</sup>", "2^x"),
        ("x<sup>a</sup>", "xa"),
        ("<sup>18</sup>F", "¹⁸F"),
        ("HbA<sub>1c</sub>", "HbA1c"),
        ("<b><i>p</i> &lt; .05</b>", "p < .05"),
        ("a\u00a0b\u2009c", "a b c"),
        ("x<u/>y", "xy"),
        ("&#945;-helix &amp;lt;", "α-helix &lt;"),
        ("5<sup><i>n</i></sup>", "5ⁿ"),
    ],
)
def test_inline_markup_is_flattened(tmp_path: Path, markup: str, expected: str) -> None:
    assert texts(pubmed_file(tmp_path, citation(1, markup))) == {"1": expected}


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("<m:mfrac><m:mrow><m:mi>a</m:mi><m:mo>+</m:mo><m:mi>b</m:mi></m:mrow><m:mn>2</m:mn></m:mfrac>", "(a+b)/2"),
        ("<m:msup><m:mn>10</m:mn><m:mi>x</m:mi></m:msup>", "10^x"),
        ("<m:semantics><m:mi>x</m:mi><m:annotation>\\alpha</m:annotation></m:semantics>", "x"),
        ("\n <m:mrow>\n <m:mi>n</m:mi>\n <m:mo>=</m:mo>\n <m:mn>5</m:mn>\n </m:mrow>\n", "n=5"),
    ],
)
def test_formulas_keep_their_symbols(tmp_path: Path, formula: str, expected: str) -> None:
    math = f'<m:math xmlns:m="http://www.w3.org/1998/Math/MathML">{formula}</m:math>'
    assert texts(pubmed_file(tmp_path, citation(1, f"Let {math} be"))) == {"1": f"Let {expected} be"}


@pytest.mark.parametrize(
    "remark",
    [
        "[This corrects the article DOI: 10.1/x.].",
        "[This retracts the article].",
        "Abstract available from the publisher.",
        "(ABSTRACT TRUNCATED)",
        "No abstract available.",
    ],
)
def test_remarks_are_no_text(tmp_path: Path, remark: str) -> None:
    abstract = f"<Abstract><AbstractText>{remark}</AbstractText></Abstract>"
    assert texts(pubmed_file(tmp_path, citation(1, more=abstract))) == {"1": "A title."}


def test_the_last_version_of_a_citation_counts_wherever_it_stands(tmp_path: Path) -> None:
    filler = [citation(1000 + n, "x" * 3000) for n in range(800)]
    path = pubmed_file(
        tmp_path,
        citation(7, "seven, one", version=1),
        citation(8, "eight, two", version=2),
        *filler,
        citation(7, "seven, two", version=2),
        citation(8, "eight, one", version=1),
        citation(7, "seven, two again", version=2),
        citation(77, "another"),
    )
    found = texts(path)
    assert {key: text for key, text in found.items() if len(key) < 4} == {
        "7": "seven, two again",
        "8": "eight, two",
        "77": "another",
    }
    assert len(found) == 803


def test_a_vernacular_title_in_latin_letters_is_no_chinese(tmp_path: Path) -> None:
    more = "<Language>{}</Language><VernacularTitle>{}</VernacularTitle>"
    path = pubmed_file(
        tmp_path,
        citation(1, more=more.format("chi", "Zhonghua yi xue za zhi")),
        citation(2, more=more.format("jpn", "発熱について")),
        citation(3, more=more.format("spa", "La fiebre")),
        citation(4, more=more.format("rus", "Lechenie likhoradki")),
        citation(5, more=more.format("bul", "Лечение")),
    )
    assert [key for key in texts(path, ("en", "zh", "ja", "es", "ru")) if ":" in key] == ["2:ja", "3:es"]


def test_languages_are_those_of_the_umls() -> None:
    assert LANGUAGES["chi"] == LANGUAGES["zho"] == "zh"
    assert LANGUAGES["ger"] == LANGUAGES["deu"] == "de"
    assert LANGUAGES["hrv"] == LANGUAGES["scr"] == "hr"
    assert "und" not in LANGUAGES


def test_gzip_reads_the_same_and_breaks_off_with_a_message(tmp_path: Path) -> None:
    whole = tmp_path / "pubmed.xml.gz"
    whole.write_bytes(gzip.compress(SAMPLE.read_bytes(), mtime=0))
    assert read(whole) == read(SAMPLE)
    whole.write_bytes(whole.read_bytes()[:-300])
    with pytest.raises(InputError, match=r"pubmed\.xml\.gz: the gzip data breaks off .* bytes of content .*fetch"):
        read(whole)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (SAMPLE.read_bytes()[:3000], r"a\.xml:\d+: malformed XML at column \d+ \(.*\); fetch the file again"),
        (SAMPLE.read_bytes().replace(b"</Article>", b"</Artikel>", 1), r"a\.xml:23: malformed XML .*mismatched tag"),
        (b"<html><body/></html>", r"a\.xml:1: the outermost element is 'html', not PubmedArticleSet or PubmedBook"),
        (b"no xml at all", r"a\.xml:1: malformed XML at column 1"),
        (b"<PubmedArticleSet><PubmedArticle><MedlineCitation/></PubmedArticle></PubmedArticleSet>", "whose PMID is ''"),
        (b"<PubmedArticleSet><PubmedArticle/></PubmedArticleSet>", "whose PMID is ''"),
        (in_set(citation("12a")).encode(), "a citation whose PMID is '12a'"),
        (in_set(citation(1, "café")).encode("latin-1"), "malformed XML .*token"),
        (in_set(citation(1, "&nbsp;")).encode(), "malformed XML .*undefined entity"),
        (
            in_set(citation(1, "<i>" * 300 + "</i>" * 300)).encode(),
            "more than 200 deep",
        ),
    ],
)
def test_damaged_files_are_named_with_the_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read(path)


BOMB = (
    "<!ENTITY a '" + "x" * 50 + "'>" + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9))
)


@pytest.mark.parametrize(
    ("head", "title", "message"),
    [
        (f"<!DOCTYPE PubmedArticleSet [{BOMB}]>\n", "&j;", r"pubmed\.xml:2: declares an entity"),
        ("<!DOCTYPE PubmedArticleSet [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>\n", "&x;", "declares an entity"),
        ("<!DOCTYPE PubmedArticleSet [<!ENTITY % x SYSTEM 'http://localhost:9/x'> %x;]>\n", "", "declares an entity"),
        ("<!DOCTYPE PubmedArticleSet SYSTEM 'http://localhost:9/x' [<!ENTITY y 'z'>]>\n", "&y;", "declares an entity"),
    ],
)
def test_entities_are_refused(tmp_path: Path, head: str, title: str, message: str) -> None:
    path = pubmed_file(tmp_path, citation(1, title), head=head)
    with pytest.raises(InputError, match=message):
        read(path)


def test_a_dtd_is_named_but_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr("socket.socket.connect", refuse)
    head = '<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD" "http://localhost:9/pubmed.dtd">\n'
    assert texts(pubmed_file(tmp_path, citation(1), head=head)) == {"1": "A title."}


def test_a_record_without_end_is_stopped(tmp_path: Path) -> None:
    path = pubmed_file(tmp_path, citation(1, "x" * 3_000_000))
    with pytest.raises(InputError, match="no end of a record within 1,000,000 bytes"):
        list(xml_records(path, frozenset({"PubmedArticleSet"}), frozenset({"PubmedArticle"}), limit=1_000_000))


def test_an_element_closed_where_it_does_not_belong_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<PubmedArticleSet><PubmedArticle><X><X><Y/></X></X></PubmedArticle></PubmedArticleSet>")
    with pytest.raises(InputError, match="</X> where it does not belong"):
        list(xml_records(path, frozenset({"PubmedArticleSet"}), frozenset({"PubmedArticle"}), frozenset({"X"})))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = pubmed_file(tmp_path, *(citation(n, "w" * 4000) for n in range(count)))
        tracemalloc.start()
        for _ in read_pubmed(path, path.name, ("en",)):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(300), peak(2400)
    assert large < small + 3_000_000  # 8 MB more of XML; only the PMIDs are kept
