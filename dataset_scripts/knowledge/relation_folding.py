"""Folding of inverse relations: of two statements that say the same, one direction is kept.

The UMLS states a relation in both directions, as `isa` and as `inverse_isa`. Which of two inverse relations is
kept is a matter of their names alone: the one that the shipped list puts first; else the one whose name is less
turned around (`inverse_…` over passives in `…_by`, over `…_of`); else the one that sorts first. Of the two
directions of a relation that is its own inverse (`SIB`), that with the smaller subject is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_lines

SHIPPED = Path(__file__).with_name("inverse_of.tsv")
HEADER = ("kept", "inverse")


@dataclass(frozen=True)
class RelationFolding:
    """Which relations are turned around.

    Attributes:
        turned: relation → its inverse, for those that are told by their inverse.
        symmetric: relations that are their own inverse.
    """

    turned: dict[str, str]
    symmetric: frozenset[str]

    @classmethod
    def of(cls, inverses: Mapping[str, str] | None = None) -> RelationFolding:
        """From `inverses` (relation → inverse, as a release's MRDOC lists them) over the shipped pairs.

        Pairs that contradict each other (the inverse of a's inverse is not a) are left alone.
        """
        shipped = shipped_inverses()
        listed = {inverse: kept for kept, inverse in shipped.items()} | shipped | dict(inverses or {})
        turned: dict[str, str] = {}
        symmetric = set()
        for relation, inverse in listed.items():
            if listed.get(inverse, relation) != relation:
                continue
            if relation == inverse:
                symmetric.add(relation)
            elif _kept(relation, inverse, shipped) == inverse:
                turned[relation] = inverse
            else:
                turned[inverse] = relation
        return cls(turned, frozenset(symmetric))

    def apply(self, relations: pl.LazyFrame) -> pl.LazyFrame:
        """`relations` told in the kept direction, with a column `turned` that says which rows were turned around."""
        subject, relation, object_ = pl.col("subject"), pl.col("relation"), pl.col("object")
        symmetric = relation.is_in(sorted(self.symmetric)) & (subject > object_)
        return relations.with_columns(turned=relation.is_in(sorted(self.turned)) | symmetric).with_columns(
            subject=pl.when("turned").then(object_).otherwise(subject),
            relation=relation.replace(self.turned),
            object=pl.when("turned").then(subject).otherwise(object_),
        )


def shipped_inverses() -> dict[str, str]:
    """The well-known pairs, relation that is kept → its inverse.

    Raises:
        InputError: a line that does not have two filled columns, or a relation listed twice.
    """
    pairs: dict[str, str] = {}
    seen: set[str] = set()
    for line, text in read_lines(SHIPPED):
        row = tuple(text.split("\t"))
        if (row != HEADER) if line == 1 else (len(row) != 2 or not all(row) or not seen.isdisjoint(row)):
            raise InputError(SHIPPED, f"unexpected line {shown(text)}", "write relation, inverse, each once", line=line)
        if line > 1:
            pairs[row[0]] = row[1]
            seen.update(row)
    return pairs


def _kept(one: str, other: str, shipped: Mapping[str, str]) -> str:
    if shipped.get(one) == other:
        return one
    if shipped.get(other) == one:
        return other
    return min(one, other, key=lambda name: (_turns(name), name))


def _turns(name: str) -> int:
    if name.startswith("inverse_"):
        return 3
    if name.endswith("_by") or "_be_" in name:
        return 2
    return int(name.endswith("_of"))
