"""From a marked translation to a text with exact offsets, and what its markers have gone through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from kbioxlm.dataset_scripts.benchmarks.translation.defects import Defect
from kbioxlm.dataset_scripts.benchmarks.translation.markers import Marker, Numbered, parsed


@dataclass(frozen=True)
class Projection:
    """A translated text and where its entities are.

    Attributes:
        text: without markers.
        spans: in the order of the text, not overlapping, none empty; a number that is there twice has two.
        defects: of the markers, by number.
    """

    text: str
    spans: tuple[Numbered, ...]
    defects: tuple[Defect, ...]

    @property
    def missing(self) -> set[int]:
        """Numbers of entities without a place in the text."""
        return {number for defect in self.defects for number in defect.numbers} - {span.number for span in self.spans}


def projected(marked_text: str, count: int) -> Projection:
    """The text of `marked_text` and the places of the entities 1 to `count` in it.

    Entities whose markers cross or are nested have no place: the source's entities do not overlap.
    """
    text, markers = parsed(marked_text)
    defects: list[Defect] = []
    pairs: list[Numbered] = []
    for number in range(1, count + 1):
        found, defect = _pairs([marker for marker in markers if marker.number == number], number)
        pairs += found
        defects += defect
    overlapping = _overlapping(pairs)
    defects += overlapping
    dropped = {number for defect in overlapping for number in defect.numbers}
    spans = sorted((pair for pair in pairs if pair.number not in dropped), key=lambda pair: pair.start)
    unknown = sorted({marker.number for marker in markers if not 1 <= marker.number <= count})
    defects += [Defect("unknown", f"marker {number} is not in the source") for number in unknown]
    return Projection(text, tuple(spans), tuple(sorted(defects, key=lambda defect: (defect.numbers, defect.name))))


def _pairs(markers: Sequence[Marker], number: int) -> tuple[list[Numbered], list[Defect]]:
    """The stretches that the markers of one number enclose, and what is wrong with these markers."""
    if not markers:
        return [], [Defect("lost", f"entity {number} has lost its markers", (number,))]
    enclosed: list[Numbered] = []
    opened: Marker | None = None
    alone = 0
    for marker in markers:
        if marker.closing and opened is not None:
            enclosed.append(Numbered(number, opened.place, marker.place))
            opened = None
        elif marker.closing:
            alone += 1
        else:
            alone += opened is not None
            opened = marker
    alone += opened is not None
    filled = [pair for pair in enclosed if pair.start < pair.end]
    defects = []
    if not enclosed:
        defects.append(Defect("half", f"entity {number} has half of its markers", (number,)))
    elif alone:
        defects.append(Defect("stray", f"entity {number} has a marker too many", (number,)))
    if len(filled) < len(enclosed):
        defects.append(Defect("empty", f"the markers of entity {number} enclose nothing", (number,)))
    if len(filled) > 1:
        defects.append(Defect("doubled", f"entity {number} is there {len(filled)} times", (number,)))
    return filled, defects


def _overlapping(pairs: Sequence[Numbered]) -> list[Defect]:
    defects = set()
    for one, other in combinations(pairs, 2):
        if one.end <= other.start or other.end <= one.start:
            continue
        inside = (one.start >= other.start and one.end <= other.end) or (
            other.start >= one.start and other.end <= one.end
        )
        numbers = tuple(sorted((one.number, other.number)))
        if inside:
            defects.add(Defect("nested", f"entities {numbers[0]} and {numbers[1]} are one in the other", numbers))
        else:
            defects.add(Defect("crossed", f"the markers of entities {numbers[0]} and {numbers[1]} cross", numbers))
    return list(defects)
