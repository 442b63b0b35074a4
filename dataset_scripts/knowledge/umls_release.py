"""A release of the UMLS (or anything in its format) as a source of knowledge."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.knowledge import sources
from kbioxlm.dataset_scripts.knowledge.rejects import OnError, Rejects
from kbioxlm.dataset_scripts.knowledge.release_files import ReleaseFile, ReleaseFiles, release_files
from kbioxlm.dataset_scripts.knowledge.rrf import (
    Layout,
    Names,
    Relations,
    SemanticTypes,
    plain_rows,
    read_rows,
)
from kbioxlm.dataset_scripts.knowledge.rrf_columns import MRDOC_COLUMNS, MRSAB_COLUMNS
from kbioxlm.dataset_scripts.knowledge.sources import Provenance, SourceTables

SUPPRESSIBLE = ("O", "E", "Y")
ROWS_PER_GROUP = 100_000


@dataclass(frozen=True)
class UmlsOptions:
    """What is read of a release.

    Attributes:
        languages: ISO 639-1 codes; None keeps all.
        vocabularies: source vocabularies (SAB) of names and relations; None keeps all.
        semantic_types: TUIs; only concepts with at least one of them are kept. None keeps all.
        suppressible: values of SUPPRESS (of `O`, `E`, `Y`) with which names are kept, beside `N`.
        on_error: whether a line that cannot be used stops the run or is skipped.
    """

    languages: tuple[str, ...] | None = None
    vocabularies: tuple[str, ...] | None = None
    semantic_types: tuple[str, ...] | None = None
    suppressible: tuple[str, ...] = ()
    on_error: OnError = "stop"

    def __post_init__(self) -> None:
        """Raise an InputError for a value that no release can have."""
        for value in self.suppressible:
            if value not in SUPPRESSIBLE:
                raise InputError("suppressible names", f"unknown value {shown(value)}", "give some of O, E, Y")
        if self.on_error not in ("stop", "skip"):
            raise InputError("on error", f"unknown value {shown(self.on_error)}", "give stop or skip")


ALL_NAMES = UmlsOptions()


@dataclass(frozen=True)
class UmlsRelease:
    """A release, see `release_files`.

    Args:
        scratch: folder for intermediate tables, made when needed; the caller removes it when the tables are used.
        rejects: file for the lines that are skipped.
    """

    path: Path
    scratch: Path
    rejects: Path
    options: UmlsOptions = ALL_NAMES

    def read(self) -> SourceTables:
        """Its tables, on disk in `scratch`.

        Raises:
            InputError: see `release_files`; a line that cannot be used (with `on_error="stop"`), or a vocabulary or
                semantic type that was asked for and is not there.
        """
        self.scratch.mkdir(parents=True, exist_ok=True)
        files = release_files(self.path, self.scratch / "zip")
        options = self.options
        with Rejects(self.rejects, options.on_error) as rejects:
            types = self._stored(files["MRSTY"], SemanticTypes(), rejects)
            names = self._stored(files["MRCONSO"], Names(options.languages, options.suppressible), rejects)
            relations = self._stored(files["MRREL"], Relations(), rejects)
            inverses = dict(_inverses(files, rejects))
            described = _described(files, rejects)
        if rejects.count:
            print(f"{rejects.count:,} lines were skipped, they are in {self.rejects}", file=sys.stderr)
        if options.vocabularies is not None:
            _require(files["MRCONSO"], "source vocabulary", options.vocabularies, names, "source")
            names, relations = (table.filter(_among("source", options.vocabularies)) for table in (names, relations))
        if options.semantic_types is not None:
            _require(files["MRSTY"], "semantic type", options.semantic_types, types, "semantic_type")
            kept = types.filter(_among("semantic_type", options.semantic_types)).select("concept").unique()
            names = names.join(kept, on="concept", how="semi", maintain_order="left")
        level = pl.when(pl.col("level") == "").then(pl.lit("unknown")).otherwise(pl.col("level"))
        names = names.with_columns(license="UMLS-SRL-" + level).select(sources.NAMES.names())
        return SourceTables(
            names=names,
            relations=relations,
            semantic_types=types,
            same_as={},
            provenance=_provenance(names, files["MRCONSO"], described),
            inverses=inverses,
            rejected=rejects.count,
        )

    def _stored(self, file: ReleaseFile, layout: Layout, rejects: Rejects) -> pl.LazyFrame:
        path = self.scratch / f"{file.table}.parquet"
        with pq.ParquetWriter(path, layout.schema, compression="lz4", use_dictionary=list(layout.repetitive)) as writer:
            for table in _together(read_rows(file, layout, rejects)):
                writer.write_table(table)
        return pl.scan_parquet(path)


def _together(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= ROWS_PER_GROUP:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _among(column: str, values: tuple[str, ...]) -> pl.Expr:
    return pl.col(column).is_in(sorted(values))


def _require(file: ReleaseFile, kind: str, asked: tuple[str, ...], table: pl.LazyFrame, column: str) -> None:
    found = table.select(pl.col(column).unique().sort()).collect(engine="streaming")[column].to_list()
    for value in asked:
        if value not in found:
            raise InputError(file.place, f"nothing with {kind} {shown(value)}", f"leave it out; there is {_few(found)}")


def _few(values: list[str]) -> str:
    return ", ".join(values[:20]) + (f" and {len(values) - 20} more" if len(values) > 20 else "") or "none"


def _inverses(files: ReleaseFiles, rejects: Rejects) -> Iterator[tuple[str, str]]:
    if "MRDOC" in files:
        for key, value, kind, explanation in plain_rows(files["MRDOC"], MRDOC_COLUMNS, rejects):
            if (key, kind) in (("RELA", "rela_inverse"), ("REL", "rel_inverse")) and value and explanation:
                yield value, explanation


def _described(files: ReleaseFiles, rejects: Rejects) -> dict[str, tuple[str, str]]:
    """Title and version of each current source vocabulary."""
    if "MRSAB" not in files:
        return {}
    rows = (dict(zip(MRSAB_COLUMNS, row, strict=True)) for row in plain_rows(files["MRSAB"], MRSAB_COLUMNS, rejects))
    return {row["RSAB"]: (row["SON"], row["SVER"]) for row in rows if row["CURVER"] == "Y"}


def _provenance(
    names: pl.LazyFrame, file: ReleaseFile, described: dict[str, tuple[str, str]]
) -> tuple[Provenance, ...]:
    found = names.select("source", "license").unique().collect(engine="streaming").sort("source", "license")
    return tuple(
        Provenance(source, license_, *described.get(source, ("", "")), file=f"{file.table}.RRF")
        for source, license_ in found.iter_rows()
    )
