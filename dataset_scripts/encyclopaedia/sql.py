"""Reading the tables that Wikimedia publishes as MySQL dumps (`enwiki-20251101-page.sql.gz`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_blocks
from kbioxlm.dataset_scripts.encyclopaedia.scanning import (
    BROKEN,
    ENDED,
    INTEGER,
    TEXT,
    UNWANTED,
    ScannedRows,
    scan_rows,
)

BLOCK = 1 << 22
LONGEST_ROW = 1 << 24
_CREATED = re.compile(rb"CREATE TABLE `([^`]+)`")
_COLUMN = re.compile(rb"\s*`([^`]+)`\s+([a-z]+)")
_INSERTED = re.compile(rb"INSERT INTO `([^`]+)` VALUES\s*")
_INTEGER_TYPES = {b"int", b"bigint", b"smallint", b"tinyint", b"mediumint"}


class SqlTable:
    """One table of a dump, plain or `.gz`, read from its beginning to its end in bounded memory.

    Args:
        path: the dump.
        table: name of the table that it must hold.

    Attributes:
        columns: column name → whether it holds integers, in the order of CREATE TABLE.

    Raises:
        InputError: a file that is missing, damaged or no dump of `table`.
    """

    def __init__(self, path: str | Path, table: str):
        self.path = Path(path)
        self.table = table
        self.columns = self._schema()

    def read(self, wanted: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """The rows' `wanted` columns, as int64 or string, some megabytes of the dump at a time.

        NULL is null. Bytes that are not UTF-8, as where MediaWiki cut a text in the middle of a character, become
        U+FFFD.

        Raises:
            InputError: a column that the table lacks, gzip data or SQL that breaks off, a row of another form.
        """
        for column in wanted:
            if column not in self.columns:
                raise InputError(
                    self.path,
                    f"table {self.table!r} has no column {column!r}; its columns are {','.join(self.columns)}",
                    "it is of another version of MediaWiki; fetch a dump from dumps.wikimedia.org",
                )
        kinds = tuple(
            (INTEGER if integer else TEXT) if column in wanted else UNWANTED for column, integer in self.columns.items()
        )
        yield from self._batches(kinds, wanted)

    def _schema(self) -> dict[str, bool]:
        columns: dict[str, bool] = {}
        inside = False
        for line in _Lines(self.path):
            created = _CREATED.match(line)
            if created and created[1].decode("utf-8", "replace") == self.table:
                inside = True
            elif inside and (column := _COLUMN.match(line)):
                columns[column[1].decode("utf-8", "replace")] = column[2] in _INTEGER_TYPES
            elif inside and line.startswith(b")"):
                return columns
            elif _INSERTED.match(line):
                break
        raise InputError(
            self.path,
            f"no CREATE TABLE of table {self.table!r} before the first row",
            f"give a dump of that table as Wikimedia publishes it (…-{self.table}.sql.gz)",
        )

    def _batches(self, kinds: tuple[int, ...], wanted: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        lines = _Lines(self.path)
        for line in lines:
            inserted = _INSERTED.match(line)
            if not inserted or inserted[1].decode("utf-8", "replace") != self.table:
                continue
            lines.put_back(inserted.end())
            ended = False
            while not ended:
                scanned = scan_rows(lines.data, lines.position, kinds)
                if scanned.state == BROKEN:
                    self._refuse(lines, scanned.position)
                if scanned.rows:
                    yield self._batch(scanned, wanted)
                ended = scanned.state == ENDED
                lines.position = scanned.position
                if not ended and not lines.grow():
                    raise InputError(self.path, "the data breaks off within a statement", "fetch the file again")

    def _refuse(self, lines: _Lines, position: int) -> None:
        around = bytes(lines.data[max(0, position - 30) : position + 30]).decode("utf-8", "replace")
        raise InputError(
            self.path,
            f"row cannot be read at byte {lines.offset + position:,} of the SQL, near {shown(around)}",
            f"its rows should be ({','.join(self.columns)}); fetch the file again",
        )

    def _batch(self, scanned: ScannedRows, wanted: tuple[str, ...]) -> pa.RecordBatch:
        arrays: dict[str, pa.Array] = {}
        integers = strings = 0
        for column, integer in self.columns.items():
            if column not in wanted:
                continue
            missing = scanned.missing[len(arrays)]
            if integer:
                arrays[column] = pa.array(scanned.integers[integers], pa.int64(), mask=missing)
                integers += 1
            else:
                arrays[column] = _strings(scanned.text[strings], scanned.offsets[strings], missing)
                strings += 1
        return pa.RecordBatch.from_pydict({column: arrays[column] for column in wanted})


class _Lines:
    """The lines of a dump, and within a statement, which may be one line of any length, its bytes as they come."""

    def __init__(self, path: Path):
        self._path = path
        self._blocks = read_blocks(path, BLOCK)
        self.data = b""
        self.position = 0
        self.offset = 0  # of data[0] in the file

    def __iter__(self) -> Iterator[bytes]:
        """Lines, the long ones cut: only their beginning matters."""
        while True:
            end = self.data.find(b"\n", self.position)
            while end < 0 and self.grow():
                end = self.data.find(b"\n", self.position)
                if len(self.data) - self.position >= LONGEST_ROW // 4:
                    break
            start = self.position
            self.position = end + 1 if end >= 0 else len(self.data)
            if start == self.position:
                return
            self._line = start
            yield self.data[start : min(self.position, start + 1000)]

    def put_back(self, length: int) -> None:
        """Go on `length` bytes behind the beginning of the last line."""
        self.position = self._line + length

    def grow(self) -> bool:
        """Read on, and forget what lies before `position`; False at the end of the file."""
        if len(self.data) - self.position > LONGEST_ROW:
            raise InputError(
                self._path,
                f"a row or line of more than {LONGEST_ROW >> 20} MB at byte {self.offset + self.position:,} of the SQL",
                "it is damaged; fetch the file again",
            )
        more: list[bytes] = []
        size = 0
        while size < BLOCK and (block := next(self._blocks, b"")):
            more.append(block)
            size += len(block)
        self.offset += self.position
        self.data = b"".join([self.data[self.position :], *more])
        self.position = 0
        return bool(more)


def _strings(data: NDArray[np.uint8], offsets: NDArray[np.int64], missing: NDArray[np.bool_]) -> pa.Array:
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little").tobytes())
    used = pa.py_buffer(data[: offsets[-1]].tobytes())
    binary = pa.Array.from_buffers(pa.large_binary(), len(missing), [valid, pa.py_buffer(offsets.tobytes()), used])
    try:
        return binary.cast(pa.large_string())
    except pa.ArrowInvalid:
        decoded = [value if value is None else value.decode("utf-8", "replace") for value in binary.to_pylist()]
        return pa.array(decoded, pa.large_string())
