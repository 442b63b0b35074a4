"""Reading rich release files."""

from __future__ import annotations

from pathlib import Path

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge.rrf import (
    Name,
    Relation,
    RichReleaseFiles,
    read_names,
    read_relations,
    read_semantic_types,
)

ATOM = "C1|ENG|P|L1|PF|S1|Y|A1||||MSH|PT|D1|heart failure|0|N||"


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "TABLE.RRF"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_an_atom_becomes_a_name(tmp_path: Path) -> None:
    assert list(read_names(written(tmp_path, ATOM))) == [
        Name("C1", "en", "heart failure", "MSH", "PT", (False, False, False))
    ]


def test_the_last_separator_may_be_missing(tmp_path: Path) -> None:
    assert [name.name for name in read_names(written(tmp_path, ATOM.removesuffix("|")))] == ["heart failure"]


def test_quotes_are_data(tmp_path: Path) -> None:
    quoted = ATOM.replace("heart failure", '"broken" heart')
    assert [name.name for name in read_names(written(tmp_path, quoted, ATOM))] == ['"broken" heart', "heart failure"]


def test_suppressible_names_and_other_languages_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, ATOM.replace("|N|", "|O|"), ATOM.replace("ENG", "FRE"), ATOM.replace("ENG", "XYZ"), ATOM)
    assert [name.language for name in read_names(path, ("en",))] == ["en"]


def test_rank_orders_by_ts_then_stt_then_ispref(tmp_path: Path) -> None:
    atoms = [
        ATOM.replace("|P|L1|PF|S1|Y|", f"|{ts}|L1|{stt}|S1|{ispref}|").replace("heart failure", f"{ts}{stt}{ispref}")
        for ispref in "NY"
        for stt in ("VO", "PF")
        for ts in "SP"
    ]
    ranked = sorted(read_names(written(tmp_path, *atoms)), key=lambda name: name.rank)
    assert [name.name for name in ranked[:4]] == ["PPFY", "PPFN", "PVOY", "PVON"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("C1|ENG|P|heart failure|", r"TABLE\.RRF:2: too few columns, 4 instead of 18: 'C1\|ENG.*CUI\|LAT\|TS"),
        (ATOM + "extra|", r"TABLE\.RRF:2: too many columns, 19 instead of 18"),
        (ATOM.replace("ENG", "XYZ"), r"TABLE\.RRF:2: unknown language 'XYZ' in column LAT; .*--languages"),
        (ATOM.replace("heart failure", " "), r"TABLE\.RRF:2: column STR is empty"),
        (ATOM.removeprefix("C1"), r"TABLE\.RRF:2: column CUI is empty"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_names(written(tmp_path, ATOM, line)))


def test_a_relation_runs_from_the_second_concept_to_the_first(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "C0020623||CUI|CHD|C0000744||CUI|isa|R1||DOID|DOID||N|N||",
        "C1||CUI|PAR|C2||CUI||R2||MSH|MSH|||N||",
        "C1||CUI|RO|C2||CUI|may_treat|R3||MED-RT|MED-RT|||O||",
        "C3||CUI|SY|C3||CUI|same_as|R4||MSH|MSH|||N||",
    )
    assert list(read_relations(path)) == [
        Relation("C0000744", "isa", "C0020623", "DOID"),
        Relation("C2", "PAR", "C1", "MSH"),
    ]


def test_relations_need_16_columns_and_a_relation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"RRF:1: too few columns, 2 instead of 16"):
        list(read_relations(written(tmp_path, "C1|C2|")))
    with pytest.raises(InputError, match=r"RRF:1: columns REL and RELA are both empty"):
        list(read_relations(written(tmp_path, "C1||CUI||C2||CUI||R2||MSH|MSH|||N||")))


def test_semantic_types(tmp_path: Path) -> None:
    path = written(tmp_path, "C1|T047|B2.2.1.2.1|Disease or Syndrome|AT1||")
    assert list(read_semantic_types(path)) == [("C1", "T047")]
    with pytest.raises(InputError, match=r"RRF:1: too few columns, 1 instead of 6"):
        list(read_semantic_types(written(tmp_path, "C1")))


def test_files_are_found_plain_or_compressed(tmp_path: Path) -> None:
    for name in ("MRCONSO.RRF", "MRREL.RRF.gz", "MRSTY.RRF"):
        (tmp_path / name).write_bytes(b"x")
    files = RichReleaseFiles.of_folder(tmp_path)
    assert files.relations.name == "MRREL.RRF.gz"
    (tmp_path / "MRSTY.RRF").unlink()
    with pytest.raises(InputError, match=r"MRSTY\.RRF: no such file; put MRSTY\.RRF or MRSTY\.RRF\.gz"):
        RichReleaseFiles.of_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        RichReleaseFiles.of_folder(tmp_path / "missing")
