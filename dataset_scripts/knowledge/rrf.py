"""Reading the UMLS's rich release format: MRCONSO, MRREL, MRSTY, and the lists beside them.

One row a line, columns separated by `|` with one more `|` at the end, never quoted (UMLS Reference Manual,
section "Metathesaurus Rich Release Format").
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from kbioxlm.common.errors import shown
from kbioxlm.dataset_scripts.knowledge.languages import ISO_OF_UMLS
from kbioxlm.dataset_scripts.knowledge.line_blocks import LONGEST_LINE, line_blocks
from kbioxlm.dataset_scripts.knowledge.line_fields import Fields, Rows, code, fields_of
from kbioxlm.dataset_scripts.knowledge.rejects import BadLineError, Rejects
from kbioxlm.dataset_scripts.knowledge.release_files import ReleaseFile
from kbioxlm.dataset_scripts.knowledge.rrf_columns import MRCONSO_COLUMNS, MRREL_COLUMNS, MRSTY_COLUMNS

NAMES = pa.schema(
    [
        *((name, pa.string()) for name in ("concept", "language", "name", "source", "term_type", "level")),
        ("rank", pa.uint8()),
    ]
)
RELATIONS = pa.schema([(name, pa.string()) for name in ("subject", "relation", "object", "source")])
SEMANTIC_TYPES = pa.schema([("concept", pa.string()), ("semantic_type", pa.string())])
_CUI, _LAT, _TS, _STT, _ISPREF, _SAB, _TTY, _STR, _SRL, _SUPPRESS = (
    MRCONSO_COLUMNS.index(name)
    for name in ("CUI", "LAT", "TS", "STT", "ISPREF", "SAB", "TTY", "STR", "SRL", "SUPPRESS")
)
_CUI1, _REL, _CUI2, _RELA, _REL_SAB, _REL_SUPPRESS = (
    MRREL_COLUMNS.index(name) for name in ("CUI1", "REL", "CUI2", "RELA", "SAB", "SUPPRESS")
)


class Converted(NamedTuple):
    """What one block of lines gives: its rows, and the numbers of lines (from 0) that look wrong."""

    rows: pa.RecordBatch
    suspicious: Rows


class Layout(Protocol):
    """One kind of RRF file, and what is made of its lines."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Of a line, in their order."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """Of the rows that are made of the lines."""
        ...

    @property
    def repetitive(self) -> tuple[str, ...]:
        """Columns of `schema` with few values."""
        ...

    def convert(self, fields: Fields) -> Converted:
        """The rows of a block. Good lines that cannot be used are suspicious, and become no rows."""
        ...

    def examine(self, row: list[str]) -> None:
        """Say what is wrong with a row that `convert` found suspicious, by raising `BadLineError`."""
        ...


class Names:
    """The names of MRCONSO, as columns `NAMES`.

    `level` is the restriction level of the source vocabulary (SRL). `rank` orders the names of a concept in one
    language by TS (`P` first), STT (`PF`) and ISPREF (`Y`).

    Args:
        languages: ISO 639-1 codes to keep; None keeps all, and then a line in a language without a code here is bad.
        suppressible: values of SUPPRESS to keep beside `N`.
    """

    columns = MRCONSO_COLUMNS
    schema = NAMES
    repetitive = ("language", "source", "term_type", "level")

    def __init__(self, languages: tuple[str, ...] | None = None, suppressible: tuple[str, ...] = ()):
        kept = {lat: iso for lat, iso in ISO_OF_UMLS.items() if languages is None or iso in languages}
        self._all = languages is None
        self._lats = dict(sorted(kept.items(), key=lambda item: code(item[0])))
        self._lat_codes = np.array([code(lat) for lat in self._lats], np.uint64)
        self._isos = pa.array(list(self._lats.values()), pa.string())
        self._suppress = ("N", *suppressible)

    def convert(self, fields: Fields) -> Converted:
        """See `Layout`."""
        rows = np.flatnonzero(fields.good)
        codes = fields.codes(_LAT, rows)
        language = np.searchsorted(self._lat_codes, codes).clip(max=self._lat_codes.size - 1)
        known = self._lat_codes[language] == codes
        unknown = rows[~known] if self._all else rows[:0]
        suppress = fields.codes(_SUPPRESS, rows)
        known &= np.logical_or.reduce([suppress == code(value) for value in self._suppress])
        rows, language = rows[known], language[known]
        tidied = _tidied(fields, _STR, rows)
        empty = fields.empty(_CUI, rows) | fields.empty(_STR, rows)
        blank = [row for row, text in tidied.items() if not text]
        if blank:
            empty |= np.isin(rows, blank)
        bad = rows[empty]
        if bad.size:
            rows, language = rows[~empty], language[~empty]
        rank = np.zeros(rows.size, np.uint8)
        for column, value in ((_TS, "P"), (_STT, "PF"), (_ISPREF, "Y")):
            rank = 2 * rank + (fields.codes(column, rows) != code(value))
        columns = [
            fields.texts(_CUI, rows),
            self._isos.take(pa.array(language)),
            _replaced(fields.texts(_STR, rows), rows, tidied),
            fields.texts(_SAB, rows),
            fields.texts(_TTY, rows),
            fields.texts(_SRL, rows),
            pa.array(rank),
        ]
        return Converted(pa.RecordBatch.from_arrays(columns, schema=NAMES), np.concatenate([unknown, bad]))

    def examine(self, row: list[str]) -> None:
        """See `Layout`."""
        if self._all and row[_LAT] not in self._lats:
            raise BadLineError(
                f"unknown language {shown(row[_LAT])} in column LAT", "choose known ones with --languages"
            )
        if not row[_CUI] or not row[_STR].strip():
            column = "STR" if row[_CUI] else "CUI"
            raise BadLineError(f"column {column} is empty", "every line needs a concept and a name")


class Relations:
    """The relations of MRREL that are not suppressible and join two concepts, as columns `RELATIONS`.

    The relation runs from the second concept of a line to the first: `CUI2 RELA CUI1`, or `CUI2 REL CUI1` where
    RELA is empty.
    """

    columns = MRREL_COLUMNS
    schema = RELATIONS
    repetitive = ("relation", "source")

    def convert(self, fields: Fields) -> Converted:
        """See `Layout`."""
        rows = np.flatnonzero(fields.good)
        rows = rows[fields.codes(_REL_SUPPRESS, rows) == code("N")]
        for column in (_CUI1, _CUI2):
            rows = rows[~fields.empty(column, rows)]
        rows = rows[np.asarray(pc.not_equal(fields.texts(_CUI1, rows), fields.texts(_CUI2, rows)), bool)]
        finer = ~fields.empty(_RELA, rows)
        empty = ~finer & fields.empty(_REL, rows)
        suspicious = rows[empty]
        rows, finer = rows[~empty], finer[~empty]
        relation = pc.if_else(pa.array(finer), fields.texts(_RELA, rows), fields.texts(_REL, rows))
        columns = [fields.texts(_CUI2, rows), relation, fields.texts(_CUI1, rows), fields.texts(_REL_SAB, rows)]
        return Converted(pa.RecordBatch.from_arrays(columns, schema=RELATIONS), suspicious)

    def examine(self, row: list[str]) -> None:
        """See `Layout`."""
        if not row[_RELA] and not row[_REL]:
            raise BadLineError("columns REL and RELA are both empty", "every line needs a relation")


class SemanticTypes:
    """The semantic types of MRSTY as their TUI, as columns `SEMANTIC_TYPES`."""

    columns = MRSTY_COLUMNS
    schema = SEMANTIC_TYPES
    repetitive = ("semantic_type",)

    def convert(self, fields: Fields) -> Converted:
        """See `Layout`."""
        rows = np.flatnonzero(fields.good)
        columns = [fields.texts(0, rows), fields.texts(1, rows)]
        return Converted(pa.RecordBatch.from_arrays(columns, schema=SEMANTIC_TYPES), rows[:0])

    def examine(self, row: list[str]) -> None:
        """See `Layout`."""


def read_rows(file: ReleaseFile, layout: Layout, rejects: Rejects) -> Iterator[pa.RecordBatch]:
    """What `layout` makes of the lines of `file`, in their order; several blocks of lines at a time.

    Raises:
        InputError: a file that is missing, empty or damaged; the first bad line, unless `rejects` takes them.
    """
    before = 0
    with tqdm(desc=file.table, unit=" lines", unit_scale=True) as progress:
        for converted, fields in _converted(line_blocks(file.path, file.place), layout):
            suspicious = set(converted.suspicious.tolist()) | set(np.flatnonzero(~fields.good).tolist())
            for line in sorted(suspicious):
                text = fields.line(line)
                rejects.add(file.place, before + line + 1, _problem(text, layout), text)
            yield converted.rows
            before += fields.good.size
            progress.update(fields.good.size)


def plain_rows(file: ReleaseFile, columns: tuple[str, ...], rejects: Rejects) -> Iterator[list[str]]:
    """The rows of a small file (MRDOC, MRSAB)."""
    line = 0
    for block in line_blocks(file.path, file.place):
        for text in block[:-1].split(b"\n"):
            line += 1
            try:
                yield plain_row(text, columns)
            except BadLineError as bad:
                rejects.add(file.place, line, bad, text)


def plain_row(line: bytes, columns: tuple[str, ...]) -> list[str]:
    """The fields of one line.

    Raises:
        BadLineError: too long, not UTF-8, or another number of columns.
    """
    if len(line) > LONGEST_LINE:
        raise BadLineError(
            f"a line of more than {LONGEST_LINE:,} bytes", "check that the file has not lost its line ends"
        )
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        value = shown(line[max(error.start - 20, 0) : error.end])
        raise BadLineError(
            f"not UTF-8 text ({error.reason} at the end of {value})", "convert the file to UTF-8"
        ) from None
    row = text.split("|")
    if len(row) == len(columns) + 1 and not row[-1]:
        row.pop()
    if len(row) != len(columns):
        found = text.removesuffix("|").count("|") + 1
        amount = "few" if found < len(columns) else "many"
        raise BadLineError(
            f"too {amount} columns, {found} instead of {len(columns)}: {shown(text)}",
            f"a line of this file has the columns {'|'.join(columns)}|",
        )
    return row


def _problem(line: bytes, layout: Layout) -> BadLineError:
    try:
        layout.examine(plain_row(line, layout.columns))
    except BadLineError as bad:
        return bad
    raise AssertionError(f"taken for a bad line: {line!r}")


def _converted(blocks: Iterator[bytes], layout: Layout) -> Iterator[tuple[Converted, Fields]]:
    """Blocks converted by several threads, given back in their order; only a few are in memory at a time."""

    def convert(block: bytes) -> tuple[Converted, Fields]:
        fields = fields_of(block, len(layout.columns))
        return layout.convert(fields), fields

    threads = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[tuple[Converted, Fields]]] = deque()
        for block in blocks:
            waiting.append(pool.submit(convert, block))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _tidied(fields: Fields, column: int, rows: Rows) -> dict[int, str]:
    """By line, the texts in which white space had to be made single spaces between words."""
    rows = fields.untidy(column, rows)
    found = zip(rows.tolist(), fields.texts(column, rows).to_pylist(), strict=True)
    return {row: tidy for row, text in found if (tidy := " ".join(text.split())) != text}


def _replaced(column: pa.StringArray, rows: Rows, values: dict[int, str]) -> pa.StringArray:
    mask = np.isin(rows, list(values)) if values else np.zeros(0, bool)
    if not mask.any():
        return column
    return pc.replace_with_mask(column, pa.array(mask), pa.array([values[row] for row in rows[mask].tolist()]))
