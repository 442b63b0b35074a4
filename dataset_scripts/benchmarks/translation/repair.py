"""Entities whose markers were lost, found again by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kbioxlm.common.errors import shown
from kbioxlm.dataset_scripts.benchmarks.translation.defects import OVERLAPS, Defect
from kbioxlm.dataset_scripts.benchmarks.translation.markers import Numbered
from kbioxlm.dataset_scripts.benchmarks.translation.names import Mention
from kbioxlm.dataset_scripts.benchmarks.translation.projection import Projection, projected
from kbioxlm.dataset_scripts.benchmarks.translation.readings import Reading, with_span
from kbioxlm.dataset_scripts.benchmarks.translation.sources import Row, is_placeholder
from kbioxlm.dataset_scripts.matching.folding import is_boundary

Place = tuple[int, int]


@dataclass(frozen=True)
class Knowledge:
    """What the knowledge base knows of one row.

    Attributes:
        concepts: of each entity of the source, in order.
        mentions: names in the translation, of any concept.
    """

    concepts: Sequence[set[str]]
    mentions: Sequence[Mention]


NOTHING_KNOWN = Knowledge((), ())


def repaired(reading: Reading, row: Row, knowledge: Knowledge = NOTHING_KNOWN) -> Reading:
    """`reading` with markers around the names of entities that had none, each noted as `repaired`.

    A place is taken if a name of one of the entity's concepts stands there, or the entity itself as in the source,
    and if there are just as many free places as entities that could have them: then they are taken in order. Of
    entities whose markers overlap either all are placed anew or none.
    """
    projection = reading.projection
    places = _places(projection, row, knowledge)
    for defect in projection.defects:
        if defect.name in OVERLAPS and not all(number in places for number in defect.numbers):
            places = {number: place for number, place in places.items() if number not in defect.numbers}
    marked, notes = reading.marked, list(reading.notes)
    for number, (start, end) in sorted(places.items()):
        marked = with_span(marked, Numbered(number, start, end))
        name = shown(projection.text[start:end], 40)
        notes.append(Defect("repaired", f"entity {number} had lost its markers and was found as {name}", (number,)))
    return replace(reading, marked=marked, projection=projected(marked, len(row.enclosed)), notes=tuple(notes))


def _places(projection: Projection, row: Row, knowledge: Knowledge) -> dict[int, Place]:
    """Where entities without a place are found."""
    taken = [(span.start, span.end) for span in projection.spans]
    wanted: dict[tuple[Place, ...], list[int]] = {}
    for number in sorted(projection.missing):
        if is_placeholder(row.labels[number - 1]):
            continue
        found = [place for place in _candidates(projection.text, row, number, knowledge) if _is_free(place, taken)]
        wanted.setdefault(tuple(found), []).append(number)
    places: dict[int, Place] = {}
    for free, numbers in wanted.items():
        if len(free) == len(numbers) and all(_is_free(place, taken) for place in free):
            places.update(zip(numbers, free, strict=True))
            taken += free
    return places


def _candidates(text: str, row: Row, number: int, knowledge: Knowledge) -> list[Place]:
    """Places of names of an entity, in order."""
    entity = row.enclosed[number - 1]
    name = row.text[entity.start : entity.end]
    found = {
        match.span()
        for match in re.finditer(re.escape(name), text)
        if is_boundary(text, match.start()) and is_boundary(text, match.end())
    }
    if knowledge.concepts:
        meant = knowledge.concepts[number - 1]
        found |= {(one.start, one.end) for one in knowledge.mentions if one.concepts & meant}
    # where one name lies inside another, the longer one is the entity
    return sorted(place for place in found if not any(other != place and _is_inside(place, other) for other in found))


def _is_free(place: Place, taken: Sequence[Place]) -> bool:
    return all(place[1] <= start or end <= place[0] for start, end in taken)


def _is_inside(place: Place, other: Place) -> bool:
    return other[0] <= place[0] and place[1] <= other[1]


def named_otherwise(
    reading: Reading, row: Row, concepts: Sequence[set[str]], found: Sequence[set[str]]
) -> list[Defect]:
    """Entities whose translation is a name of other concepts than the entity itself.

    Args:
        concepts: of each entity of the source, in order.
        found: of the text of each span of the reading, in order.
    """
    defects = []
    for span, there in zip(reading.projection.spans, found, strict=True):
        meant = concepts[span.number - 1]
        if meant and there and not meant & there:
            one = row.enclosed[span.number - 1]
            name, other = row.text[one.start : one.end], reading.projection.text[span.start : span.end]
            message = f"{shown(other, 40)} is a name of another concept than {shown(name, 40)}"
            defects.append(Defect("other_concept", message, (span.number,)))
    return defects
