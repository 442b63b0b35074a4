"""The one row format of all levels, and its writer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from kbioxlm.dataset_scripts.folder import ShardWriter

LEVELS = ("monolingual", "entity", "fact", "passage")
ENTITY = pa.struct(
    [
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("in_pair", pa.bool_()),
        ("concept", pa.string()),
        ("language", pa.string()),
        ("replaced", pa.bool_()),
    ]
)
RELATION = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("relation", pa.string())])
ROW = pa.schema(
    [
        ("id", pa.string()),
        ("level", pa.string()),
        ("language", pa.string()),
        ("text", pa.string()),
        ("text_pair", pa.string()),
        ("entities", pa.list_(ENTITY)),
        ("relations", pa.list_(RELATION)),
        ("passage_relation", pa.string()),
    ]
)
HELD_OUT = pa.schema(
    [
        ("concept", pa.string()),
        ("split", pa.string()),
        ("source", pa.string()),
        ("target", pa.string()),
        ("source_language", pa.string()),
        ("target_language", pa.string()),
    ]
)


class Entity(NamedTuple):
    """A mention in `text`, or in `text_pair` if `in_pair`. `replaced`: put there by us, in the other language."""

    start: int
    end: int
    in_pair: bool
    concept: str
    language: str
    replaced: bool


class RelationSpan(NamedTuple):
    """The phrase of a relation in `text_pair`."""

    start: int
    end: int
    relation: str


class Row(NamedTuple):
    """One example."""

    id: str
    level: str
    language: str
    text: str
    text_pair: str | None = None
    entities: Sequence[Entity] = ()
    relations: Sequence[RelationSpan] = ()
    passage_relation: str | None = None


@dataclass
class LevelCounts:
    """What was written of one level.

    Attributes:
        rows, characters: by language of `text`; characters of both texts.
        entities_per_row: number of entities of a row → rows.
        replaced_per_row: number of replaced entities of a row → rows.
        replaced_into: replaced entities by the language that they were replaced into.
        relations: facts by relation.
        passage_relations: rows by passage relation.
    """

    rows: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    entities_per_row: Counter[int] = field(default_factory=Counter)
    replaced_per_row: Counter[int] = field(default_factory=Counter)
    replaced_into: Counter[str] = field(default_factory=Counter)
    relations: Counter[str] = field(default_factory=Counter)
    passage_relations: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        """Count `row`."""
        self.rows[row.language] += 1
        self.characters[row.language] += len(row.text) + len(row.text_pair or "")
        replaced = [entity.language for entity in row.entities if entity.replaced]
        self.entities_per_row[len(row.entities)] += 1
        self.replaced_per_row[len(replaced)] += 1
        self.replaced_into.update(replaced)
        self.relations.update(relation.relation for relation in row.relations)
        if row.passage_relation is not None:
            self.passage_relations[row.passage_relation] += 1

    def as_dict(self) -> dict[str, dict[str, int]]:
        """All counts with keys as text, in order."""
        return {
            name: {str(key): counter[key] for key in sorted(counter)}
            for name, counter in vars(self).items()
            if counter or name == "rows"
        }


class RowWriter:
    """Writes rows to the shards of one config, a batch at a time, and counts them."""

    BATCH = 10_000

    def __init__(self, folder: Path):
        self._shards = ShardWriter(folder, ROW)
        self._rows: list[Row] = []
        self.counts = LevelCounts()

    def add(self, row: Row) -> None:
        """Append `row`."""
        self._rows.append(row)
        self.counts.add(row)
        if len(self._rows) == self.BATCH:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._shards.close()

    def _flush(self) -> None:
        if self._rows:
            self._shards.write(to_table(self._rows))
            self._rows = []


def to_table(rows: Sequence[Row]) -> pa.Table:
    """`rows` as a table with the schema `ROW`, built column by column."""
    ids, levels, languages, texts, pairs, entities, relations, kinds = zip(*rows, strict=True)
    columns = [
        *(pa.array(column, pa.string()) for column in (ids, levels, languages, texts, pairs)),
        _list_column(entities, ENTITY),
        _list_column(relations, RELATION),
        pa.array(kinds, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=ROW)


def _list_column(lists: Sequence[Sequence[tuple[object, ...]]], kind: pa.StructType) -> pa.ListArray:
    offsets = [0]
    flat: list[tuple[object, ...]] = []
    for items in lists:
        flat.extend(items)
        offsets.append(len(flat))
    columns = list(zip(*flat, strict=True)) if flat else [()] * kind.num_fields
    fields = list(kind)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.StructArray.from_arrays(arrays, fields=fields))


def from_table(table: pa.Table) -> list[Row]:
    """The rows of a table with the schema `ROW`."""
    columns = [table.column(name).to_pylist() for name in ROW.names]
    return [
        Row(
            id_,
            level,
            language,
            text,
            pair,
            [Entity(**entity) for entity in entities],
            [RelationSpan(**relation) for relation in relations],
            passage_relation,
        )
        for id_, level, language, text, pair, entities, relations, passage_relation in zip(*columns, strict=True)
    ]
