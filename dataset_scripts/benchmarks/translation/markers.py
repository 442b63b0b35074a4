"""Numbered markers around the entities of a text, which a translator carries over: `<1>aspirin</1>`.

Paper, section 4: entities are enclosed in markers that hold their place in the sentence, so that their translations
can be told from the translated text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

# translators write brackets and digits at full width, put spaces in, or answer in HTML
_LEFT = "(?:[<＜〈《]|&lt;)"
_RIGHT = "(?:[>＞〉》]|&gt;)"
_MARKER = re.compile(rf"({_LEFT})(\\*)(\s*[/／]?\s*)([0-9０-９]{{1,4}})\s*{_RIGHT}")


class Marker(NamedTuple):
    """A marker at a place of the text without markers.

    Attributes:
        place: in code points.
        number: of the entity, from 1.
        closing: `</1>`, not `<1>`.
        odd: written in another way, such as `＜1＞` or `< 1 >`.
    """

    place: int
    number: int
    closing: bool
    odd: bool = False


class Numbered(NamedTuple):
    """Where an entity stands: code points, end exclusive."""

    number: int
    start: int
    end: int


def escaped(text: str) -> str:
    r"""`text` with one more backslash in whatever could be taken for a marker: `<1>` becomes `<\1>`."""
    return _MARKER.sub(lambda match: f"{match[1]}\\{match[0][len(match[1]) :]}", text)


def marked(text: str, spans: Sequence[tuple[int, int]], first: int = 1) -> str:
    """`text` with its spans in markers, numbered from `first`.

    Args:
        spans: `(start, end)`, in the order of the text, not overlapping.
    """
    return marked_by_number(text, [Numbered(first + place, *span) for place, span in enumerate(spans)])


def marked_by_number(text: str, spans: Iterable[Numbered]) -> str:
    """`text` with its spans, which do not overlap, in markers of their numbers."""
    markers = []
    for number, start, end in sorted(spans, key=lambda span: span.start):
        markers += [Marker(start, number, False), Marker(end, number, True)]
    return with_markers(text, markers)


def with_markers(text: str, markers: Sequence[Marker]) -> str:
    """The marked text that `parsed` reads as `text` and `markers`, all written in the one right way."""
    parts = []
    last = 0
    for marker in markers:
        parts.append(escaped(text[last : marker.place]))
        parts.append(f"</{marker.number}>" if marker.closing else f"<{marker.number}>")
        last = marker.place
    parts.append(escaped(text[last:]))
    return "".join(parts)


def parsed(marked_text: str) -> tuple[str, list[Marker]]:
    """A marked text without its markers, and the markers in their order. What was escaped is text again."""
    parts: list[str] = []
    markers: list[Marker] = []
    length = 0
    for part in _parts(marked_text):
        if isinstance(part, str):
            parts.append(part)
            length += len(part)
        else:
            markers.append(part._replace(place=length))
    return "".join(parts), markers


def _parts(marked_text: str) -> Iterator[str | Marker]:
    last = 0
    for match in _MARKER.finditer(marked_text):
        yield marked_text[last : match.start()]
        last = match.end()
        bracket, backslashes, slash, digits = match.groups()
        if backslashes:
            yield bracket + match[0][len(bracket) + 1 :]
            continue
        number, closing = int(digits), bool(slash.strip())
        right = f"</{number}>" if closing else f"<{number}>"
        yield Marker(0, number, closing, odd=match[0] != right)
    yield marked_text[last:]
