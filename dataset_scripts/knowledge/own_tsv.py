"""The project's own table of names: plain TSV that anybody can write, and a second one of relations.

Nothing is quoted or escaped: a line is a row, a tab ends a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES
from kbioxlm.dataset_scripts.knowledge.licenses import agreed_license
from kbioxlm.dataset_scripts.knowledge.open_tables import (
    LANGUAGE_REMEDY,
    LANGUAGE_TAG,
    no_relations,
    no_semantic_types,
    white_space_folded,
)
from kbioxlm.dataset_scripts.knowledge.sources import NAMES, RELATIONS, Provenance, SourceTables
from kbioxlm.dataset_scripts.knowledge.text_files import checked, file_stem, open_text

NAME_COLUMNS = ("concept", "language", "name")
OPTIONAL_NAME_COLUMNS = ("preferred", "source", "license", "term_type")
RELATION_COLUMNS = ("subject", "relation", "object")
_NUMBER, _LINE, _LANGUAGE = "line number", "line", "language code"


class _Fault(NamedTuple):
    """A kind of bad row: where it holds, the column to show, what to do."""

    holds: pl.Expr
    column: str
    found: str
    remedy: str


@dataclass
class TsvSource:
    """A table of names in our own format, plain or `.gz`.

    Attributes:
        path: the file, with a header. Columns in any order: concept, language, name, and optional preferred
            (yes/no), source, license, term_type; others are ignored.
        relations: a file with the columns subject, relation, object and optional source, or None.
        license: of the rows that do not name their own.
        languages: ISO 639-1 codes to keep; None means all, and then a language that is not known is an error.
    """

    path: str | Path
    relations: str | Path | None = None
    license: str | None = None
    languages: tuple[str, ...] | None = None

    def read(self) -> SourceTables:
        """The tables, scanned lazily from the files, which must stay in place until they are collected.

        Raises:
            InputError: file that is missing or damaged, a header without the columns, a row with another number of
                columns, with an empty value where one is needed, an unknown language, or without a licence.
        """
        path = Path(self.path)
        digest = checked(path)
        header = _header(path, NAME_COLUMNS)
        rows = _rows(path, header, NAME_COLUMNS + OPTIONAL_NAME_COLUMNS)
        language = pl.col("language").str.extract(LANGUAGE_TAG, 1).str.to_lowercase()
        rows = rows.with_columns(language.alias(_LANGUAGE))
        given = agreed_license(path, [], self.license) if self.license else ""
        _refuse(path, rows, self._faults(len(header), given))
        names = rows.select(
            "concept",
            pl.col(_LANGUAGE).alias("language"),
            white_space_folded("name"),
            _or("source", file_stem(path)),
            pl.col("term_type"),
            _or("license", given),
            rank=pl.when(pl.col("preferred") == "yes").then(0).otherwise(1).cast(NAMES["rank"]),
        ).select(NAMES.names())
        if self.languages is not None:
            names = names.filter(pl.col("language").is_in(list(self.languages)))
        terms = names.select("source", "license").unique().sort("source", "license").collect(engine="streaming")
        provenance = tuple(
            Provenance(source, license_, file=path.name, sha256=digest) for source, license_ in terms.iter_rows()
        )
        relations = no_relations() if self.relations is None else _read_relations(Path(self.relations))
        return SourceTables(names, relations, no_semantic_types(), {}, provenance)

    def _faults(self, columns: int, given: str) -> list[_Fault]:
        need_license = (pl.col("license") == "") if not given else pl.lit(False)
        unknown = pl.col(_LANGUAGE).is_in(list(ENGLISH_NAMES)).fill_null(False).not_()
        return [
            *_row_faults(columns, ("concept", "name")),
            _Fault(pl.lit(self.languages is None) & unknown, "language", "unknown language", LANGUAGE_REMEDY),
            _Fault(
                pl.col("preferred").is_in(["yes", "no", ""]).not_(),
                "preferred",
                "neither yes nor no",
                "write yes or no",
            ),
            _Fault(need_license, "license", "no licence", "fill the column license, or give one with --license"),
        ]


def _read_relations(path: Path) -> pl.LazyFrame:
    checked(path)
    header = _header(path, RELATION_COLUMNS)
    rows = _rows(path, header, (*RELATION_COLUMNS, "source"))
    _refuse(path, rows, _row_faults(len(header), RELATION_COLUMNS))
    return rows.select(*RELATION_COLUMNS, _or("source", file_stem(path))).select(RELATIONS.names())


def header_columns(path: Path) -> list[str]:
    """The tab-separated values of the first line that is no comment of a file that was `checked`."""
    with open_text(path) as stream:
        first = next((line for line in stream if not line.startswith("#")), "")
    return first.rstrip("\r\n").split("\t")


def _header(path: Path, required: Sequence[str]) -> list[str]:
    with open_text(path) as stream:
        columns = stream.readline().rstrip("\r\n").split("\t")
    for name in required:
        if name not in columns:
            remedy = f"give a header with {', '.join(required)}, separated by tabs"
            raise InputError(path, f"no column {name!r} in {shown(columns)}", remedy, line=1)
    if len(set(columns)) < len(columns):
        raise InputError(path, f"a column is named twice in {shown(columns)}", "name every column once", line=1)
    return columns


def _rows(path: Path, header: list[str], columns: Sequence[str]) -> pl.LazyFrame:
    """The `columns` of the rows under the header with their line numbers; one that the header lacks is empty."""
    lines = pl.scan_lines(path, name=_LINE, row_index_name=_NUMBER, row_index_offset=1, glob=False)
    values = pl.col(_LINE).str.split_exact("\t", len(header) - 1).struct.rename_fields(header).alias("values")
    rows = lines.filter((pl.col(_NUMBER) > 1) & (pl.col(_LINE) != "")).with_columns(values)
    fields = [
        pl.col("values").struct.field(name).str.strip_chars() if name in header else pl.lit("").alias(name)
        for name in columns
    ]
    return rows.select(_NUMBER, _LINE, *fields)


def _row_faults(columns: int, required: Sequence[str]) -> list[_Fault]:
    tabs = pl.col(_LINE).str.count_matches("\t", literal=True)
    wrong = _Fault(tabs != columns - 1, _LINE, "another number of columns than the header", f"give {columns} columns")
    empty = [
        _Fault(pl.col(name).fill_null("") == "", _LINE, f"no {name}", f"give every row its {name}") for name in required
    ]
    return [wrong, *empty]


def _refuse(path: Path, rows: pl.LazyFrame, faults: list[_Fault]) -> None:
    """Stop at the first row for which one of the `faults` holds; of several, the first in the list counts."""
    which = pl.coalesce(*(pl.when(fault.holds).then(pl.lit(place)) for place, fault in enumerate(faults)))
    bad = rows.with_columns(fault=which).filter(pl.col("fault").is_not_null()).bottom_k(1, by=_NUMBER)
    for row in bad.collect(engine="streaming").iter_rows(named=True):
        fault = faults[row["fault"]]
        raise InputError(path, f"{fault.found}: {shown(row[fault.column])}", fault.remedy, line=row[_NUMBER])


def _or(column: str, default: str) -> pl.Expr:
    return pl.when(pl.col(column) == "").then(pl.lit(default)).otherwise(pl.col(column)).alias(column)
