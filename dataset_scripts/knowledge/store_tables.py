"""Reading the Parquet shards of a knowledge base into the columns that a `KnowledgeBase` keeps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.folder import read_table
from kbioxlm.dataset_scripts.knowledge.casing import RunningCase

_NAMES_AT_ONCE = 200_000


class NameColumns(NamedTuple):
    """One row a name, sorted by concept, then language, the preferred name of both first.

    Attributes:
        concepts: ids of all concepts, sorted; large_string.
        concept: of each name, its place in `concepts`; int32.
        language: of each name, its place among the languages; uint8.
        names: large_string.
    """

    concepts: pa.LargeStringArray
    concept: NDArray[np.int32]
    language: NDArray[np.uint8]
    names: pa.LargeStringArray


class RelationColumns(NamedTuple):
    """One row a relation of two concepts, sorted by subject, object, relation, none twice.

    Attributes:
        relations: ids of the relations, sorted.
        subject, object: of each row, a place in `NameColumns.concepts`; int32.
        relation: of each row, its place in `relations`; int32.
    """

    relations: list[str]
    subject: NDArray[np.int32]
    object: NDArray[np.int32]
    relation: NDArray[np.int32]


def read_names(folder: str | Path, languages: tuple[str, ...]) -> NameColumns:
    """The names in `languages`, in running case.

    Raises:
        InputError: no readable shards, or a language without a single name.
    """
    table = read_table(folder, "names", ("concept", "language", "name", "preferred"))
    wanted = table.filter(pc.is_in(table.column("language"), pa.array(languages, pa.string())))
    present = set(pc.unique(wanted.column("language")).to_pylist())
    for language in languages:
        if language not in present:
            found = sorted(pc.unique(table.column("language")).to_pylist())
            raise InputError(
                folder,
                f"no names in language {language!r}",
                f"build it with that language, or ask for others; it has {','.join(found)}",
            )
    del table
    concepts, concept = _coded(wanted.column("concept"))
    place = _places(wanted.column("language"), pa.array(languages, pa.large_string()))
    rows = pl.DataFrame(
        {
            "concept": concept,
            "language": place.astype(np.uint8),
            "other": ~_numbers(wanted.column("preferred"), np.bool_),
        }
    ).with_columns(pl.Series("name", pl.from_arrow(wanted.column("name"))))
    del wanted
    rows = rows.sort("concept", "language", "other", "name")
    rows = rows.with_columns(name=_in_running_case(rows, languages))
    rows = rows.unique(("concept", "language", "name"), keep="first", maintain_order=True)
    return NameColumns(
        concepts,
        rows["concept"].to_numpy(),
        rows["language"].to_numpy(),
        rows["name"].to_arrow().cast(pa.large_string()),
    )


def read_relations(folder: str | Path, concepts: pa.LargeStringArray) -> RelationColumns:
    """The relations between `concepts`.

    Raises:
        InputError: no readable shards.
    """
    table = read_table(folder, "relations", ("subject", "relation", "object"))
    subject, object_ = (_places(table.column(end), concepts) for end in ("subject", "object"))
    relations, relation = _coded(table.column("relation"))
    kept = (subject >= 0) & (object_ >= 0)
    return sorted_relations(subject[kept], object_[kept], relation[kept], relations.to_pylist())


def sorted_relations(
    subject: NDArray[np.int32], object_: NDArray[np.int32], relation: NDArray[np.int32], relations: list[str]
) -> RelationColumns:
    """The rows sorted, none twice. Concepts and relations are places in sorted lists."""
    shape = (_size(subject), _size(object_), len(relations) or 1)
    keys = np.ravel_multi_index((subject, object_, relation), shape)
    keys.sort()  # np.unique hashes first, which takes three times as long here
    rows = np.unravel_index(keys[np.diff(keys, prepend=-1) > 0], shape)
    return RelationColumns(relations, *(column.astype(np.int32) for column in rows))


def read_phrases(folder: str | Path, languages: Iterable[str]) -> dict[tuple[str, str], str]:
    """(relation, language) → phrase, for `languages`."""
    table = read_table(folder, "relation_names", ("relation", "language", "name"))
    rows = zip(*(column.to_pylist() for column in table.itercolumns()), strict=True)
    wanted = set(languages)
    return {(relation, language): name for relation, language, name in rows if language in wanted}


def _coded(column: pa.ChunkedArray) -> tuple[pa.LargeStringArray, NDArray[np.int32]]:
    """The different values of a column, sorted, and of each row its place among them."""
    different = pc.unique(column).cast(pa.large_string())
    values = different.take(pc.array_sort_indices(different))
    return values, _places(column, values)


def _places(column: pa.ChunkedArray, values: pa.LargeStringArray) -> NDArray[np.int32]:
    """Of each row, its place in `values`, or -1."""
    return _numbers(pc.fill_null(pc.index_in(column.cast(pa.large_string()), values), -1), np.int32)


def _in_running_case(rows: pl.DataFrame, languages: tuple[str, ...]) -> pl.Series:
    cases = []
    for code in range(len(languages)):
        names = rows.filter(pl.col("language") == code).select("name").iter_slices(_NAMES_AT_ONCE)
        cases.append(RunningCase((name for part in names for name in part["name"].to_list()), languages[code]))
    cased = []
    for part in rows.iter_slices(_NAMES_AT_ONCE):
        pairs = zip(part["language"].to_list(), part["name"].to_list(), strict=True)
        cased.append(pl.Series([cases[code](name) for code, name in pairs], dtype=pl.String))
    return pl.concat(cased)


def _numbers(column: pa.ChunkedArray, kind: type[Any]) -> NDArray[Any]:
    return column.to_numpy().astype(kind, copy=False)


def _size(column: NDArray[np.int32]) -> int:
    return int(column.max()) + 1 if len(column) else 1
