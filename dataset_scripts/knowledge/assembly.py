"""The sorted tables of a knowledge base from those of its sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from kbioxlm.dataset_scripts.folder import ShardWriter
from kbioxlm.dataset_scripts.knowledge.relation_folding import RelationFolding
from kbioxlm.dataset_scripts.knowledge.schemas import CONCEPTS, NAMES, RELATIONS
from kbioxlm.dataset_scripts.knowledge.sorted_tables import ranges, stored, write_frame
from kbioxlm.dataset_scripts.knowledge.sources import SourceTables

NAME_KEY = ("concept", "language", "name", "source", "term_type")
# Order of names: rank, then source, then row. 2^34 rows a source are more than there are names in the world.
RANK, SOURCE = 2**40, 2**34


@dataclass
class NameCounts:
    """What the names table holds."""

    concepts: int = 0
    bilingual_concepts: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    licenses: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass
class RelationCounts:
    """What the relations table holds, and how many statements it does not hold again."""

    relations: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    folded: int = 0


def write_names(
    draft: Path,
    scratch: Path,
    tables: Sequence[SourceTables],
    stands_for: Mapping[str, str],
    languages: tuple[str, ...] | None,
) -> NameCounts:
    """Write the configs `names` and `concepts`.

    Names: sorted, none twice, exactly one preferred a concept and language, that with the smallest rank; of equal
    ranks the one of the earlier source, and in a source the first. Concepts: those with a name, with their types.
    """
    merged = [_renamed(_ordered(each.names, place), stands_for, "concept") for place, each in enumerate(tables)]
    names = pl.concat(merged)
    if languages is not None:
        names = names.filter(pl.col("language").is_in(languages))
    names = stored(names, scratch / "names.parquet")
    types = stored(
        pl.concat([_renamed(each.semantic_types, stands_for, "concept") for each in tables]),
        scratch / "semantic_types.parquet",
    )
    counts = NameCounts()
    name_shards, concept_shards = (
        ShardWriter(draft / config, schema) for config, schema in (("names", NAMES), ("concepts", CONCEPTS))
    )
    for within in ranges(names, "concept", "names"):
        rows = (
            names.filter(within)
            .collect(engine="streaming")
            .sort(*NAME_KEY, "order")
            .unique(NAME_KEY, keep="first", maintain_order=True)
            .with_columns(preferred=pl.col("order") == pl.col("order").min().over("concept", "language"))
        )
        write_frame(name_shards, rows)
        concepts = rows.select("concept").unique(maintain_order=True)
        write_frame(concept_shards, _with_types(concepts, types.filter(within)))
        _count_names(counts, rows, concepts.height)
    name_shards.close()
    concept_shards.close()
    return counts


def write_relations(
    draft: Path,
    scratch: Path,
    tables: Sequence[SourceTables],
    stands_for: Mapping[str, str],
    folding: RelationFolding,
) -> RelationCounts:
    """Write the config `relations`: between concepts that `write_names` kept, folded, sorted, none twice."""
    told = pl.concat([_renamed(each.relations, stands_for, "subject", "object") for each in tables])
    told = folding.apply(told.filter(pl.col("subject") != pl.col("object")))
    known = pl.scan_parquet(draft / "concepts" / "*.parquet").select("concept")
    for column in ("subject", "object"):
        told = told.join(known, left_on=column, right_on="concept", how="semi")
    told = stored(told, scratch / "relations.parquet")
    counts = RelationCounts()
    shards = ShardWriter(draft / "relations", RELATIONS)
    for within in ranges(told, "subject", "relations"):
        rows = (
            told.filter(within)
            .group_by(RELATIONS.names)
            .agg(rows=pl.len(), turned=pl.col("turned").any(), straight=~pl.col("turned").all())
            .collect(engine="streaming")
            .sort(RELATIONS.names)
        )
        write_frame(shards, rows)
        directions = int(rows["turned"].sum()) + int(rows["straight"].sum())
        counts.duplicates += int(rows["rows"].sum()) - directions
        counts.folded += directions - rows.height
        counts.relations.update(dict(rows["relation"].value_counts().iter_rows()))
    shards.close()
    return counts


def _ordered(names: pl.LazyFrame, place: int) -> pl.LazyFrame:
    order = pl.col("rank").cast(pl.UInt64) * RANK + place * SOURCE + pl.col("row").cast(pl.UInt64)
    return names.with_row_index("row").with_columns(order=order).drop("row", "rank")


def _renamed(table: pl.LazyFrame, stands_for: Mapping[str, str], *columns: str) -> pl.LazyFrame:
    return table.with_columns(pl.col(columns).replace(dict(stands_for))) if stands_for else table


def _with_types(concepts: pl.DataFrame, types: pl.LazyFrame) -> pl.DataFrame:
    listed = (
        types.join(concepts.lazy(), on="concept", how="semi")
        .group_by("concept")
        .agg(semantic_types=pl.col("semantic_type").unique().sort())
        .collect(engine="streaming")
    )
    joined = concepts.join(listed, on="concept", how="left", maintain_order="left")
    return joined.with_columns(pl.col("semantic_types").fill_null([]))


def _count_names(counts: NameCounts, rows: pl.DataFrame, concepts: int) -> None:
    spoken = rows.group_by("concept").agg(languages=pl.col("language").n_unique())
    counts.concepts += concepts
    counts.bilingual_concepts += int((spoken["languages"] > 1).sum())
    counts.languages.update(dict(rows["language"].value_counts().iter_rows()))
    for source, license_, found in rows.group_by("source", "license").len().iter_rows():
        counts.licenses[source, license_] += found
