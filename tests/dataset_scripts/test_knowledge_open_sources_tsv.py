"""The project's own table of names."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge.own_tsv import TsvSource
from kbioxlm.dataset_scripts.knowledge.sources import Provenance

DATA = Path(__file__).parents[1] / "data" / "open_sources"
HEADER = "concept\tlanguage\tname\tpreferred\tsource\tlicense\tterm_type"
ROW = "C1\ten\tfever\tyes\tMSH\tCC0-1.0\tPT"


def written(folder: Path, *lines: str, name: str = "table.tsv") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    return path


def rows(source: TsvSource) -> list[tuple]:
    return list(source.read().names.collect().iter_rows())


def test_rows_keep_their_order_source_and_licence(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, "C1\tzh-CN\t发热\tno\t\t\t", "", ROW, 'C1\ten\t "hot"  body\t\tX\tCC-BY-4.0\tSY')
    assert rows(TsvSource(path, license="CC0")) == [
        ("C1", "zh", "发热", "table", "", "CC0-1.0", 1),
        ("C1", "en", "fever", "MSH", "PT", "CC0-1.0", 0),
        ("C1", "en", '"hot" body', "X", "SY", "CC-BY-4.0", 1),
    ]
    provenance = TsvSource(path, license="CC0").read().provenance
    assert [(entry.source, entry.license) for entry in provenance] == [
        ("MSH", "CC0-1.0"),
        ("X", "CC-BY-4.0"),
        ("table", "CC0-1.0"),
    ]


def test_only_three_columns_are_needed_and_others_are_ignored(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffname\tline\tconcept\tlanguage\tfault", "fever\tx\tC1\ten\ty")
    assert rows(TsvSource(path, license="CC0")) == [("C1", "en", "fever", "table", "", "CC0-1.0", 1)]


def test_line_ends_of_windows_are_no_part_of_a_value(tmp_path: Path) -> None:
    path = written(tmp_path, *(f"{line}\r" for line in (HEADER, ROW)))
    assert rows(TsvSource(path)) == [("C1", "en", "fever", "MSH", "PT", "CC0-1.0", 0)]


def test_languages_may_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, ROW, ROW.replace("\ten\t", "\ttlh\t"), ROW.replace("\ten\tfever", "\tes\tfiebre"))
    assert [row[1:3] for row in rows(TsvSource(path, languages=("es", "fr")))] == [("es", "fiebre")]


def test_relations_are_read_from_their_own_file() -> None:
    tables = TsvSource(DATA / "complaints.tsv", DATA / "complaints.relations.tsv", "CC0").read()
    assert list(tables.relations.collect().iter_rows()) == [
        ("XO:0000004", "has_finding_site", "XO:0000008", "complaints"),
        ("XO:0000004", "isa", "XO:0000002", "complaints"),
    ]
    assert [(entry.source, entry.license) for entry in tables.provenance] == [
        ("complaints", "CC-BY-4.0"),
        ("complaints", "CC0-1.0"),
    ]
    assert isinstance(tables.provenance[0], Provenance)


def test_a_file_name_is_no_pattern(tmp_path: Path) -> None:
    written(tmp_path, HEADER, ROW.replace("fever", "wrong"), name="a1.tsv")
    assert rows(TsvSource(written(tmp_path, HEADER, ROW, name="a[1].tsv")))[0][2] == "fever"
    assert rows(TsvSource(written(tmp_path, HEADER, ROW, name="a*.tsv")))[0][2] == "fever"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("C1\ten\tfever", r":4: another number of columns than the header: 'C1\\ten\\tfever'; give 7 columns"),
        (ROW + "\t", ":4: another number of columns"),
        (" ", ":4: another number of columns"),
        (ROW.replace("C1", " "), ":4: no concept: "),
        (ROW.replace("fever", " \u3000"), ":4: no name: "),
        (ROW.replace("\ten\t", "\t\t"), ":4: unknown language: ''"),
        (ROW.replace("\ten\t", "\teng\t"), ":4: unknown language: 'eng'; give one of ar,cs,"),
        (ROW.replace("\ten\t", "\ttlh\t"), ":4: unknown language: 'tlh'"),
        (ROW.replace("yes", "true"), ":4: neither yes nor no: 'true'; write yes or no"),
        (ROW.replace("CC0-1.0", ""), ":4: no licence: ''; fill the column license, or give one with --license"),
    ],
)
def test_a_bad_row_is_named_by_its_line(line: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, ROW, "", line, ROW, line)
    with pytest.raises(InputError, match=f"table.tsv{message}"):
        TsvSource(path).read()


def test_a_bad_row_far_down_is_found(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, *[ROW] * 200_000, "C1\ten", *[ROW] * 1000, "C1")
    with pytest.raises(InputError, match=":200002: another number of columns"):
        TsvSource(path).read()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("concept,language,name", ":1: no column 'concept'.*separated by tabs"),
        ("concept\tlanguage", ":1: no column 'name'"),
        (f"{HEADER}\tname", ":1: a column is named twice"),
        ("", ":1: no column 'concept'"),
    ],
)
def test_a_bad_header_is_refused(header: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        TsvSource(written(tmp_path, header, ROW), license="CC0").read()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["subject\trelation", "a\tb"], ":1: no column 'object'"),
        (["subject\trelation\tobject", "a\tisa\tb", "a\t\tb"], ":3: no relation: "),
        (["subject\trelation\tobject", "a\tisa"], ":2: another number of columns"),
    ],
)
def test_bad_relations_are_refused(lines: list[str], message: str, tmp_path: Path) -> None:
    relations = written(tmp_path, *lines, name="r.tsv")
    with pytest.raises(InputError, match=f"r.tsv{message}"):
        TsvSource(written(tmp_path, HEADER, ROW), relations).read()


WHITE_SPACE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")  # as Unicode has it
NAME = st.text(st.characters(exclude_characters="\t\r\n", exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: WHITE_SPACE.sub("", text) != ""
)


@settings(max_examples=100, deadline=None)
@given(st.lists(NAME, min_size=1, max_size=20))
def test_any_names_come_back_with_white_space_folded(names: list[str]) -> None:
    with TemporaryDirectory() as folder:
        path = written(Path(folder), HEADER, *(ROW.replace("fever", name) for name in names))
        read = [row[2] for row in rows(TsvSource(path))]
    assert read == [WHITE_SPACE.sub(" ", name).strip(" ") for name in names]
