"""The one row format of all levels, and its writer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LEVELS = ("monolingual", "entity", "fact", "passage")
BACK_TRANSLATION = "back_translation"  # a level that `back-translate` adds, from the monolingual one
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
        rows, characters, tokens: by language of `text`; characters and tokens of both texts.
        entities_per_row: number of entities of a row → rows.
        replaced_per_row: number of replaced entities of a row → rows.
        replaced_into: replaced entities by the language that they were replaced into.
        relations: facts by relation.
        passage_relations: rows by passage relation.
    """

    rows: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    entities_per_row: Counter[int] = field(default_factory=Counter)
    replaced_per_row: Counter[int] = field(default_factory=Counter)
    replaced_into: Counter[str] = field(default_factory=Counter)
    relations: Counter[str] = field(default_factory=Counter)
    passage_relations: Counter[str] = field(default_factory=Counter)

    def add(self, table: pa.Table) -> None:
        """Count the rows of `table` (schema `ROW`); tokens are left as they are."""
        text, pair = pc.utf8_length(table["text"]), pc.fill_null(pc.utf8_length(table["text_pair"]), 0)
        characters = table.select(["language"]).append_column("characters", pc.add(text, pair))
        for language, rows, total in _tuples(
            characters.group_by("language").aggregate([([], "count_all"), ("characters", "sum")])
        ):
            self.rows[language] += rows
            self.characters[language] += total
        entities = pc.list_flatten(table["entities"])
        replaced = pc.struct_field(entities, "replaced")
        owners = pc.filter(pc.list_parent_indices(table["entities"]), replaced)
        per_row = np.bincount(owners.to_numpy(), minlength=table.num_rows)
        _update(self.entities_per_row, pc.list_value_length(table["entities"]))
        _update(self.replaced_per_row, pa.array(per_row))
        _update(self.replaced_into, pc.filter(pc.struct_field(entities, "language"), replaced))
        _update(self.relations, pc.struct_field(pc.list_flatten(table["relations"]), "relation"))
        _update(self.passage_relations, pc.drop_null(table["passage_relation"]))

    def update(self, other: LevelCounts) -> None:
        """Add the counts of `other`."""
        for name, counter in vars(other).items():
            getattr(self, name).update(counter)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """All counts with keys as text, in order."""
        return {
            name: {str(key): counter[key] for key in sorted(counter)}
            for name, counter in vars(self).items()
            if counter or name == "rows"
        }


def _update(counter: Counter[Any], values: pa.Array | pa.ChunkedArray) -> None:
    for item in pc.value_counts(values).to_pylist():
        counter[item["values"]] += item["counts"]


def _tuples(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.itercolumns()), strict=True)


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
