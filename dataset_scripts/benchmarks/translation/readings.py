"""A marked text in the target language, read: where its entities are, and what stands in the way of using it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from kbioxlm.dataset_scripts.benchmarks.translation.defects import OVERLAPS, UNUSABLE, Defect
from kbioxlm.dataset_scripts.benchmarks.translation.markers import Marker, Numbered, parsed, with_markers
from kbioxlm.dataset_scripts.benchmarks.translation.projection import Projection, projected
from kbioxlm.dataset_scripts.benchmarks.translation.sources import is_placeholder
from kbioxlm.dataset_scripts.benchmarks.translation.tidying import tidied


@dataclass(frozen=True)
class Reading:
    """A translation as it is offered to a person, and as it would be used.

    Attributes:
        marked: with markers written in the one right way and placeholders as in the source.
        projection: its text, spans and defects of markers.
        notes: what was mended on the way here.
    """

    marked: str
    projection: Projection
    notes: tuple[Defect, ...] = ()

    @property
    def defects(self) -> tuple[Defect, ...]:
        """Of its markers: what is wrong, then what was mended."""
        return (*self.projection.defects, *self.notes)


def read(marked_text: str, labels: Sequence[str], language: str) -> Reading:
    """`marked_text`, in `language`, of a row with `labels`.

    Whatever stands between the markers of a placeholder becomes the placeholder itself: @基因$ is @GENE$ again. One
    that has lost its markers is looked for, also with spaces inside or at full width.
    """
    tidy = tidied(marked_text, language)
    notes = [Defect("odd_marker", f"markers of entity {number} were written in another way") for number in tidy.odd]
    text = tidy.text
    for number, label in enumerate(labels, start=1):
        if is_placeholder(label):
            text, restored = _with_placeholder(text, number, label, len(labels))
            notes += [Defect("restored", f"{label} had lost its markers {number}")] if restored else []
    return Reading(text, projected(text, len(labels)), tuple(notes))


def problems(reading: Reading, labels: Sequence[str]) -> list[str]:
    """Why a reading is no annotated text, in words; empty if it is one. An entity may be lost, a placeholder not."""
    found = [defect.message for defect in reading.projection.defects if defect.name in UNUSABLE]
    found += [
        f"{labels[number - 1]} is missing"
        for defect in reading.projection.defects
        if defect.name == "lost"
        for number in defect.numbers
        if is_placeholder(labels[number - 1])
    ]
    if not reading.projection.text.strip():
        found.append("there is no text")
    return found


def with_span(marked_text: str, span: Numbered) -> str:
    """`marked_text` with the markers of one number around `span`, and nowhere else."""
    plain, markers = parsed(marked_text)
    others = [marker for marker in markers if marker.number != span.number]
    return with_markers(plain, _inserted(others, span))


def _inserted(markers: list[Marker], span: Numbered) -> list[Marker]:
    """Opened behind all that closes there, closed before all that opens there."""
    closing = next((place for place, one in enumerate(markers) if one.place >= span.end), len(markers))
    markers = [*markers[:closing], Marker(span.end, span.number, True), *markers[closing:]]
    opening = next(
        place
        for place, one in enumerate(markers)
        if one.place > span.start or (one.place == span.start and not one.closing)
    )
    return [*markers[:opening], Marker(span.start, span.number, False), *markers[opening:]]


def _with_placeholder(marked_text: str, number: int, placeholder: str, count: int) -> tuple[str, bool]:
    """`marked_text` with the placeholder as it should be, and whether it had to be looked for."""
    projection = projected(marked_text, count)
    spans = [span for span in projection.spans if span.number == number]
    looked_for = False
    if not spans:
        if any(defect.name in OVERLAPS and number in defect.numbers for defect in projection.defects):
            return marked_text, False
        found = [
            Numbered(number, *match.span())
            for match in _mangled(placeholder).finditer(projection.text)
            if all(match.end() <= other.start or other.end <= match.start() for other in projection.spans)
        ]
        if len(found) != 1:
            return marked_text, False
        spans, looked_for = found, True
        marked_text = with_span(marked_text, found[0])
    for span in reversed(spans):
        plain, markers = parsed(marked_text)
        grown = len(placeholder) - (span.end - span.start)
        moved = [one._replace(place=one.place + grown) if one.place >= span.end else one for one in markers]
        marked_text = with_markers(plain[: span.start] + placeholder + plain[span.end :], moved)
    return marked_text, looked_for


@lru_cache
def _mangled(placeholder: str) -> re.Pattern[str]:
    """`placeholder` with spaces between its signs, in any letter case and at full width."""
    signs = {"@": "[@＠]", "$": "[$＄]"}
    parts = []
    for character in placeholder:
        wide = chr(ord(character) + 0xFEE0)
        same = unicodedata.normalize("NFKC", wide) == character
        parts.append(signs.get(character) or (f"[{re.escape(character)}{wide}]" if same else re.escape(character)))
    return re.compile(r"\s*".join(parts), re.IGNORECASE)
