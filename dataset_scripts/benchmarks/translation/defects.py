"""What can be wrong with a translated row, and how likely it is that a person must look at it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

WEIGHTS = {
    # the translation as a whole
    "missing": 1.0,
    "copied": 0.95,
    "remains": 0.8,
    "meaning": 0.6,
    "length": 0.4,
    "numbers": 0.4,
    "untranslated": 0.5,
    "foreign_name": 0.2,
    "unchecked": 0.05,
    # its markers
    "lost": 0.9,
    "half": 0.9,
    "empty": 0.9,
    "crossed": 0.9,
    "nested": 0.9,
    "doubled": 0.6,
    "unknown": 0.6,
    "stray": 0.5,
    # its entities
    "other_type": 0.4,
    "other_concept": 0.3,
    # mended
    "repaired": 0.15,
    "restored": 0.1,
    "odd_marker": 0.05,
}
# entities whose markers overlap have no place, and cannot be given one without the other
OVERLAPS = frozenset({"crossed", "nested"})
# a text with one of these is no annotation; a person must correct it before it can be used
UNUSABLE = frozenset({"half", "empty", "crossed", "nested", "unknown", "stray"})


class Defect(NamedTuple):
    """Something that is, or may be, wrong with a translated row.

    Attributes:
        name: one of `WEIGHTS`.
        message: for the person who looks at it.
        numbers: of the entities that it is about.
    """

    name: str
    message: str
    numbers: tuple[int, ...] = ()

    @property
    def weight(self) -> float:
        """From 0 to 1: how likely a row with this defect alone is to need a person. Set by hand."""
        return WEIGHTS[self.name]


def risk(defects: Iterable[Defect]) -> float:
    """How likely a row is to need a person, were its defects independent: 1 - Π (1 - weight)."""
    sound = 1.0
    for defect in defects:
        sound *= 1.0 - defect.weight
    return round(1.0 - sound, 4)
