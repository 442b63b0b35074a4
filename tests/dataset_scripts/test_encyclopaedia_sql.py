"""The reader of Wikimedia's SQL dumps, against an escaper written apart from it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.encyclopaedia import sql
from kbioxlm.dataset_scripts.encyclopaedia.sql import SqlTable

HEAD = b"""/*M!999999\\- enable the sandbox mode */
-- MariaDB dump 10.19  Distrib 10.5.29-MariaDB, for debian-linux-gnu (x86_64)
/*!40101 SET NAMES utf8mb4 */;
DROP TABLE IF EXISTS `redirect`;
CREATE TABLE `redirect` (
  `rd_from` int(8) unsigned NOT NULL DEFAULT 0,
  `rd_namespace` int(11) NOT NULL DEFAULT 0,
  `rd_title` varbinary(255) NOT NULL DEFAULT '',
  `rd_interwiki` varbinary(32) DEFAULT NULL,
  `rd_score` double unsigned NOT NULL,
  PRIMARY KEY (`rd_from`),
  KEY `rd_ns_title` (`rd_namespace`,`rd_title`,`rd_from`)
) ENGINE=InnoDB DEFAULT CHARSET=binary;
/*!40000 ALTER TABLE `redirect` DISABLE KEYS */;
"""
TAIL = b"/*!40000 ALTER TABLE `redirect` ENABLE KEYS */;\n-- Dump completed on 2025-11-01 12:00:00\n"
COLUMNS = ("rd_from", "rd_namespace", "rd_title", "rd_interwiki")
Row = tuple[int, int, bytes, bytes | None]
ESCAPES = {0: b"\\0", 10: b"\\n", 13: b"\\r", 26: b"\\Z", 34: b'\\"', 39: b"\\'", 92: b"\\\\"}


def literal(value: int | float | bytes | None, doubled: bool = False) -> bytes:
    """A value as mysqldump writes it; `doubled` writes quotes twice instead of behind a backslash."""
    if value is None:
        return b"NULL"
    if not isinstance(value, bytes):
        return str(value).encode()
    escapes = {**ESCAPES, 39: b"''"} if doubled else ESCAPES
    return b"'" + b"".join(escapes.get(byte, bytes([byte])) for byte in value) + b"'"


def statement(rows: list[Row], doubled: bool = False, separator: bytes = b",", start: bytes = b" ") -> bytes:
    values = separator.join(b"(" + b",".join(literal(value, doubled) for value in (*row, 0.25)) + b")" for row in rows)
    return b"INSERT INTO `redirect` VALUES" + start + values + b";\n"


def read(path: Path, columns: tuple[str, ...] = COLUMNS) -> list[tuple[object, ...]]:
    batches = list(SqlTable(path, "redirect").read(columns))
    return [tuple(row[column] for column in columns) for batch in batches for row in batch.to_pylist()]


def expected(rows: list[Row]) -> list[tuple[object, ...]]:
    return [
        (page, namespace, title.decode("utf-8", "replace"), wiki if wiki is None else wiki.decode("utf-8", "replace"))
        for page, namespace, title, wiki in rows
    ]


NASTY = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=12).map(str.encode),
    st.sampled_from(
        [b"a);(1,'b", b"');\nINSERT INTO `redirect` VALUES (", b"\\", b"'", b"''", b"\\'", b"NULL", b"_b'"]
    ),
)
ROWS = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(-2, 3000), NASTY, st.one_of(st.none(), NASTY)), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(
    statements=st.lists(ROWS.filter(bool), max_size=4),
    doubled=st.booleans(),
    block=st.integers(20, 600),
    newlines=st.booleans(),
)
def test_reads_what_an_independent_writer_wrote(
    tmp_path_factory: pytest.TempPathFactory, statements: list[list[Row]], doubled: bool, block: int, newlines: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "enwiki-20251101-redirect.sql"
    around = (b",\n", b"\n") if newlines else (b",", b" ")
    path.write_bytes(HEAD + b"".join(statement(rows, doubled, *around) for rows in statements) + TAIL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "BLOCK", block)  # rows and statements are cut anywhere
        assert read(path) == [row for rows in statements for row in expected(rows)]


def test_reads_gzip_in_the_order_of_the_wanted_columns(tmp_path: Path) -> None:
    path = tmp_path / "enwiki-20251101-redirect.sql.gz"
    path.write_bytes(gzip.compress(HEAD + statement([(7, 0, b"A_(b);(c", None), (8, -1, b"\xe5\x8c", b"fr")]) + TAIL))
    assert read(path, ("rd_title", "rd_from")) == [("A_(b);(c", 7), ("\ufffd", 8)]
    (batch,) = SqlTable(path, "redirect").read(("rd_interwiki", "rd_namespace"))
    assert batch.schema == pa.schema([("rd_interwiki", pa.large_string()), ("rd_namespace", pa.int64())])
    assert batch.to_pydict() == {"rd_interwiki": [None, "fr"], "rd_namespace": [0, -1]}


def test_reads_strings_marked_as_binary(tmp_path: Path) -> None:
    path = tmp_path / "x.sql"
    path.write_bytes(HEAD + b"INSERT INTO `redirect` VALUES (1,0,_binary 'a\\'b',NULL,1e-05),(2,0,'',_binary '',0);\n")
    assert read(path) == [(1, 0, "a'b", None), (2, 0, "", "")]


def test_rows_of_other_tables_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.sql"
    other = HEAD.replace(b"redirect", b"other") + b"INSERT INTO `other` VALUES (1,0,'x',NULL,0);\n"
    path.write_bytes(other + HEAD + statement([(2, 0, b"y", None)]) + TAIL)
    with pytest.raises(InputError, match="no CREATE TABLE of table 'redirect' before the first row"):
        read(path)
    path.write_bytes(HEAD + b"INSERT INTO `other` VALUES (1,'x');\n" + statement([(2, 0, b"y", None)]) + TAIL)
    assert read(path) == [(2, 0, "y", None)]


def test_a_schema_without_a_wanted_column(tmp_path: Path) -> None:
    path = tmp_path / "enwiki-20251101-redirect.sql"
    path.write_bytes(HEAD.replace(b"rd_title", b"rd_target_id") + statement([]) + TAIL)
    message = (
        r"enwiki-20251101-redirect\.sql: table .redirect. has no column .rd_title.; its columns are rd_from,rd_n.*fetch"
    )
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("rows", "near"),
    [
        (b"(1,0,'a',NULL)", "near .*NULL"),
        (b"(1,0,'a',NULL,0,0)", "near"),
        (b"('1',0,'a',NULL,0)", "near"),
        (b"(1,0,a,NULL,0)", "near"),
        (b"(1,0,'a'b,NULL,0)", "near"),
        (b"(1.5,0,'a',NULL,0)", "near"),
        (b"(1,0,'a',NULL,0) x", "near"),
        (b"(,0,'a',NULL,0)", "near"),
    ],
)
def test_a_row_of_another_form(tmp_path: Path, rows: bytes, near: str) -> None:
    path = tmp_path / "x.sql"
    path.write_bytes(HEAD + statement([(1, 0, b"a", None)])[:-2] + b"," + rows + b";\n")
    with pytest.raises(InputError, match=rf"row cannot be read at byte \d+ of the SQL, {near}"):
        read(path)


def test_gzip_that_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "x.sql.gz"
    whole = gzip.compress(HEAD + b"".join(statement([(i, 0, b"t%d" % i, None)]) for i in range(3000)) + TAIL)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"the gzip data breaks off or is damaged after .*fetch the file again"):
        read(path)


def test_sql_that_breaks_off_within_a_statement(tmp_path: Path) -> None:
    path = tmp_path / "x.sql"
    path.write_bytes(HEAD + statement([(1, 0, b"a", None), (2, 0, b"b", None)])[:-8])
    with pytest.raises(InputError, match="the data breaks off within a statement"):
        read(path)


def test_no_dump_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.sql"
    path.write_bytes(b"<html>404 Not Found</html>\n")
    with pytest.raises(InputError, match="no CREATE TABLE of table 'redirect'"):
        SqlTable(path, "redirect")
    with pytest.raises(InputError, match="no such file"):
        SqlTable(tmp_path / "y.sql", "redirect")


def test_a_statement_of_any_length_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.sql"
    rows: list[Row] = [(i, 0, b"title_%d" % i, None) for i in range(20_000)]
    path.write_bytes(HEAD + statement(rows) + TAIL)
    monkeypatch.setattr(sql, "BLOCK", 1 << 12)
    monkeypatch.setattr(sql, "LONGEST_ROW", 1 << 14)
    batches = list(SqlTable(path, "redirect").read(("rd_from",)))
    assert len(batches) > 100
    assert pa.Table.from_batches(batches)["rd_from"].to_pylist() == list(range(20_000))


def test_a_row_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.sql"
    path.write_bytes(HEAD + b"INSERT INTO `redirect` VALUES (1,0,'" + b"a" * 100_000)
    monkeypatch.setattr(sql, "BLOCK", 1 << 12)
    monkeypatch.setattr(sql, "LONGEST_ROW", 1 << 14)
    with pytest.raises(InputError, match="a row or line of more than 0 MB at byte 638"):
        read(path)
