"""Reading rich release files."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge import line_blocks, rrf
from kbioxlm.dataset_scripts.knowledge.languages import ISO_OF_UMLS
from kbioxlm.dataset_scripts.knowledge.rejects import OnError, Rejects
from kbioxlm.dataset_scripts.knowledge.release_files import ReleaseFile
from kbioxlm.dataset_scripts.knowledge.rrf import Layout, Names, Relations, SemanticTypes, read_rows

ATOM = "C1|ENG|P|L1|PF|S1|Y|A1||||MSH|PT|D1|heart failure|0|N||"


def read(path: Path, layout: Layout, on_error: OnError = "stop") -> list[dict[str, object]]:
    with Rejects(path.with_name("rejects.tsv"), on_error) as rejects:
        return [
            row for batch in read_rows(ReleaseFile("TABLE", path, path), layout, rejects) for row in batch.to_pylist()
        ]


def rejected(path: Path) -> list[tuple[int, str]]:
    file = path.with_name("rejects.tsv")
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(int(row["line"]), row["reason"]) for row in rows]


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "TABLE.RRF"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def names(path: Path, languages: tuple[str, ...] | None = None) -> list[object]:
    return [row["name"] for row in read(path, Names(languages))]


def test_an_atom_becomes_a_name(tmp_path: Path) -> None:
    assert read(written(tmp_path, ATOM), Names()) == [
        {
            **{"concept": "C1", "language": "en", "name": "heart failure", "source": "MSH", "term_type": "PT"},
            **{"level": "0", "rank": 0},
        }
    ]


def test_the_last_separator_may_be_missing(tmp_path: Path) -> None:
    assert names(written(tmp_path, ATOM.removesuffix("|"))) == ["heart failure"]


def test_quotes_are_data(tmp_path: Path) -> None:
    quoted = ATOM.replace("heart failure", '"broken" heart')
    assert names(written(tmp_path, quoted, ATOM)) == ['"broken" heart', "heart failure"]


def test_suppressible_names_and_other_languages_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, ATOM.replace("|N|", "|O|"), ATOM.replace("ENG", "FRE"), ATOM.replace("ENG", "XYZ"), ATOM)
    assert [row["language"] for row in read(path, Names(("en",)))] == ["en"]
    assert len(read(path, Names(("en", "fr"), suppressible=("O", "E")))) == 3
    assert len(read(path, Names(("en",), suppressible=("Y",)))) == 1


def test_rank_orders_by_ts_then_stt_then_ispref(tmp_path: Path) -> None:
    atoms = [
        ATOM.replace("|P|L1|PF|S1|Y|", f"|{ts}|L1|{stt}|S1|{ispref}|").replace("heart failure", f"{ts}{stt}{ispref}")
        for ispref in "NY"
        for stt in ("VO", "PF")
        for ts in "SP"
    ]
    ranked = sorted(read(written(tmp_path, *atoms), Names()), key=lambda row: int(str(row["rank"])))
    assert [row["name"] for row in ranked[:4]] == ["PPFY", "PPFN", "PVOY", "PVON"]
    assert [row["rank"] for row in ranked] == list(range(8))


@pytest.mark.parametrize(
    "spaces",
    [
        " a\tb ",
        "a  b",
        "a\rb",
        "a\x1cb",
        "a\x85b",
        "a\xa0b",
        "a\u1680b",
        "a\u2003b",
        "a\u2028b",
        "a\u205fb",
        "a\u3000b",
    ],
)
def test_white_space_becomes_one_space(tmp_path: Path, spaces: str) -> None:
    path = written(tmp_path, ATOM, ATOM.replace("heart failure", spaces), ATOM.replace("heart failure", "a…–b"))
    assert names(path) == ["heart failure", "a b", "a…–b"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("C1|ENG|P|heart failure|", r"TABLE\.RRF:2: too few columns, 4 instead of 18: 'C1\|ENG.*CUI\|LAT\|TS"),
        (ATOM.removesuffix("||"), r"TABLE\.RRF:2: too few columns, 17 instead of 18"),
        (ATOM + "|", r"TABLE\.RRF:2: too many columns, 19 instead of 18"),
        (ATOM + "extra|", r"TABLE\.RRF:2: too many columns, 19 instead of 18"),
        (ATOM + "extra", r"TABLE\.RRF:2: too many columns, 19 instead of 18"),
        ("", r"TABLE\.RRF:2: too few columns, 1 instead of 18: ''"),
        (ATOM.replace("ENG", "XYZ"), r"TABLE\.RRF:2: unknown language 'XYZ' in column LAT; .*--languages"),
        (ATOM.replace("ENG", ""), r"TABLE\.RRF:2: unknown language '' in column LAT"),
        (ATOM.replace("ENG", "ENGLISH!"), r"TABLE\.RRF:2: unknown language 'ENGLISH!' in column LAT"),
        (ATOM.replace("heart failure", " "), r"TABLE\.RRF:2: column STR is empty"),
        (ATOM.replace("heart failure", ""), r"TABLE\.RRF:2: column STR is empty"),
        (ATOM.replace("heart failure", "\u3000\xa0"), r"TABLE\.RRF:2: column STR is empty"),
        (ATOM.removeprefix("C1"), r"TABLE\.RRF:2: column CUI is empty"),
        (ATOM.replace("heart", "h" * line_blocks.LONGEST_LINE), r"TABLE\.RRF:2: a line of more than 1,048,576 bytes"),
    ],
)
def test_a_bad_line_is_named_or_skipped(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, ATOM, line, ATOM.replace("heart", "renal"))
    with pytest.raises(InputError, match=message):
        names(path)
    assert not path.with_name("rejects.tsv").exists()
    assert [row["name"] for row in read(path, Names(), on_error="skip")] == ["heart failure", "renal failure"]
    [(number, reason)] = rejected(path)
    assert number == 2
    assert reason.split(";")[0] in message.replace("\\", "") or reason.split(",")[0] in message.replace("\\", "")
    assert names(written(tmp_path, ATOM)) == ["heart failure"]
    assert not path.with_name("rejects.tsv").exists(), "an earlier file of rejects misleads"


def test_the_first_bad_line_is_named_whatever_is_wrong_with_it(tmp_path: Path) -> None:
    path = written(tmp_path, *[ATOM] * 20_000, ATOM.removeprefix("C1"), *[ATOM] * 9, "short")
    with pytest.raises(InputError, match=r"RRF:20001: column CUI is empty"):
        names(path)
    assert len(read(path, Names(), on_error="skip")) == 20_009
    assert [number for number, _ in rejected(path)] == [20_001, 20_011]


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "TABLE.RRF"
    other = ATOM.encode().replace(b"D1", b"D\xff")  # a column that is not read
    path.write_bytes(ATOM.encode() + b"\n" + other + b"\n" + "C1|é|\n".encode())
    with pytest.raises(InputError, match=r"RRF:2: not UTF-8 text \(invalid start byte at the end of b'.*xff'\)"):
        names(path)
    assert len(read(path, Names(), on_error="skip")) == 1
    assert [number for number, _ in rejected(path)] == [2, 3]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["TABLE.RRF", "TABLE.RRF.gz"])
def test_line_ends_and_byte_order_marks_are_no_data(
    tmp_path: Path, ends: bytes, last: bool, mark: bytes, name: str
) -> None:
    content = mark + ends.join([ATOM.encode()] * 3) + (ends if last else b"")
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert [row["concept"] for row in read(path, Names())] == ["C1"] * 3


def test_a_nul_byte_is_data(tmp_path: Path) -> None:
    assert names(written(tmp_path, ATOM.replace("heart", "he\0art"))) == ["he\0art failure"]


def test_a_line_longer_than_the_memory_is_skipped_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 100)
    path = written(tmp_path, ATOM, "x" * (3 * line_blocks.LONGEST_LINE + 5), ATOM, "x" * line_blocks.LONGEST_LINE)
    assert names_skipped(path) == (["heart failure"] * 2, [2, 4])
    assert max(map(len, line_blocks.line_blocks(path, path))) < line_blocks.LONGEST_LINE + 200
    assert "1,048,576 bytes" in rejected(path)[0][1]
    assert "too few columns" in rejected(path)[1][1]


def names_skipped(path: Path) -> tuple[list[object], list[int]]:
    rows = read(path, Names(), on_error="skip")
    return [row["name"] for row in rows], [number for number, _ in rejected(path)]


def plainly(content: bytes, languages: tuple[str, ...] | None) -> tuple[list[tuple[object, ...]], list[int]]:
    """What a plain reader of MRCONSO makes of `content`: its names, and the lines that it cannot use."""
    found: list[tuple[object, ...]] = []
    bad = []
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines if lines[-1] else lines[:-1], start=1):
        try:
            row = line.decode("utf-8").rstrip("\r\n").split("|")
        except UnicodeDecodeError:
            bad.append(number)
            continue
        if len(row) == 19 and not row[-1]:
            row.pop()
        if len(row) != 18 or (languages is None and row[1] not in ISO_OF_UMLS):
            bad.append(number)
            continue
        language = ISO_OF_UMLS.get(row[1])
        if row[16] != "N" or language is None or (languages is not None and language not in languages):
            continue
        name = " ".join(row[14].split())
        if not row[0] or not name:
            bad.append(number)
            continue
        rank = 4 * (row[2] != "P") + 2 * (row[4] != "PF") + (row[6] != "Y")
        found.append((row[0], language, name, row[11], row[12], row[15], rank))
    return found, bad


PIECES = st.sampled_from(
    [
        *[
            b"|",
            b"|",
            b"||",
            b"\n",
            b"\r",
            b"\r\n",
            b'"',
            b"\0",
            b" ",
            b"  ",
            b"\xc2\xa0",
            b"\xe3\x80\x80",
            b"\xe2\x80\x89",
        ],
        *[
            b"\xff",
            b"\xc3",
            b"\xef\xbb\xbf",
            b"C1",
            b"ENG",
            b"CHI",
            b"XYZ",
            b"N",
            "肝".encode(),
            b"\x1f",
            b"\x85",
            b"a b",
        ],
    ]
)
FIELDS = {
    0: st.sampled_from([b"C1", b"", b"C2"]),
    1: st.sampled_from([b"ENG", b"CHI", b"FRE", b"XYZ", b""]),
    2: st.sampled_from([b"P", b"S"]),
    4: st.sampled_from([b"PF", b"VO", b""]),
    6: st.sampled_from([b"Y", b"N"]),
    14: st.lists(PIECES.filter(lambda piece: b"\n" not in piece), max_size=4).map(b"".join),
    16: st.sampled_from([b"N", b"N", b"N", b"O", b""]),
}
GOOD = st.tuples(*(FIELDS.get(column, st.sampled_from([b"", b"x"])) for column in range(18))).map(b"|".join)
LINES = st.one_of(
    GOOD.map(lambda line: line + b"|\n"),
    st.tuples(GOOD, st.sampled_from([b"\n", b"|\r\n", b"||\n", b"|x\n", b"", b"|", b"\r\n"])).map(b"".join),
    st.lists(PIECES, max_size=30).map(b"".join),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=8).map(b"".join), st.sampled_from([None, ("en", "zh")]))
def test_verdicts_are_those_of_a_plain_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, languages: tuple[str, ...] | None
) -> None:
    path = tmp_path_factory.mktemp("lines") / "TABLE.RRF"
    content = content or b"\n"
    path.write_bytes(content)
    expected, bad = plainly(content, languages)
    rows = read(path, Names(languages), on_error="skip")
    assert [tuple(row.values()) for row in rows] == expected
    assert [number for number, _ in rejected(path)] == bad
    if bad:
        with pytest.raises(InputError, match=rf"TABLE\.RRF:{bad[0]}: "):
            read(path, Names(languages))
    else:
        assert [tuple(row.values()) for row in read(path, Names(languages))] == expected


def test_a_relation_runs_from_the_second_concept_to_the_first(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "C0020623||CUI|CHD|C0000744||CUI|isa|R1||DOID|DOID||N|N||",
        "C1||CUI|PAR|C2||CUI||R2||MSH|MSH|||N||",
        "C1||CUI|RO|C2||CUI|may_treat|R3||MED-RT|MED-RT|||O||",
        "C3||CUI|SY|C3||CUI|same_as|R4||MSH|MSH|||N||",
        "||CUI|SY|C3||CUI|same_as|R4||MSH|MSH|||N||",
    )
    assert [tuple(row.values()) for row in read(path, Relations())] == [
        ("C0000744", "isa", "C0020623", "DOID"),
        ("C2", "PAR", "C1", "MSH"),
    ]


def test_relations_need_16_columns_and_a_relation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"RRF:1: too few columns, 2 instead of 16"):
        read(written(tmp_path, "C1|C2|"), Relations())
    with pytest.raises(InputError, match=r"RRF:1: columns REL and RELA are both empty"):
        read(written(tmp_path, "C1||CUI||C2||CUI||R2||MSH|MSH|||N||"), Relations())


def test_semantic_types(tmp_path: Path) -> None:
    path = written(tmp_path, "C1|T047|B2.2.1.2.1|Disease or Syndrome|AT1||")
    assert read(path, SemanticTypes()) == [{"concept": "C1", "semantic_type": "T047"}]
    with pytest.raises(InputError, match=r"RRF:1: too few columns, 1 instead of 6"):
        read(written(tmp_path, "C1"), SemanticTypes())


def test_an_empty_file_and_a_damaged_one(tmp_path: Path) -> None:
    (tmp_path / "TABLE.RRF").write_bytes(b"")
    with pytest.raises(InputError, match="the file is empty"):
        names(tmp_path / "TABLE.RRF")
    (tmp_path / "TABLE.RRF.gz").write_bytes(b"no gzip data")
    with pytest.raises(InputError, match=r"RRF\.gz: the gzip data breaks off or is damaged after line 0"):
        names(tmp_path / "TABLE.RRF.gz")


def test_blocks_are_read_by_several_threads_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr(rrf.os, "sched_getaffinity", lambda _: range(4), raising=False)
    path = written(tmp_path, *(ATOM.replace("heart failure", f"name {number}") for number in range(5_000)))
    assert names(path) == [f"name {number}" for number in range(5_000)]
