"""Marked answers of translators, written in the one right way: brackets, and the spaces around markers."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from kbioxlm.dataset_scripts.benchmarks.translation.markers import Marker, parsed, with_markers
from kbioxlm.dataset_scripts.matching.folding import is_unspaced
from kbioxlm.dataset_scripts.translation.scripts import is_written_without_spaces


class Tidied(NamedTuple):
    """A marked text, and the numbers of those of its markers that were written in another way."""

    text: str
    odd: tuple[int, ...]


def tidied(marked_text: str, language: str) -> Tidied:
    """`marked_text`, a text in `language`, with markers as `with_markers` writes them.

    Spaces inside markers go outside: an entity begins and ends with its own characters. Of the spaces on both sides
    of a marker those on one side are kept; in a language without spaces between words, none beside a wide character.
    Where markers stand together, those that close come first. Tidying twice changes nothing more.
    """
    plain, markers = parsed(marked_text.strip())
    unspaced = is_written_without_spaces(language)
    parts: list[str] = []
    moved: list[Marker] = []
    length = last = 0
    for (start, end), found in groupby(markers, key=lambda marker: _gap(plain, marker.place)):
        group = list(found)
        parts.append(plain[last:start])
        length += start - last
        space = _kept(plain, start, end, group, unspaced)
        closing, opening = _parted(group)
        moved += [marker._replace(place=length) for marker in closing]
        length += len(space)
        moved += [marker._replace(place=length) for marker in opening]
        parts.append(space)
        last = end
    parts.append(plain[last:])
    odd = sorted({marker.number for marker in markers if marker.odd})
    return Tidied(with_markers("".join(parts), moved), tuple(odd))


def _gap(plain: str, place: int) -> tuple[int, int]:
    """The run of whitespace around `place`, which may be empty."""
    start = end = place
    while start and plain[start - 1].isspace():
        start -= 1
    while end < len(plain) and plain[end].isspace():
        end += 1
    return start, end


def _kept(plain: str, start: int, end: int, markers: Sequence[Marker], unspaced: bool) -> str:
    space = plain[start:end]
    if start == 0 or end == len(plain):
        return ""
    if "\n" in space:
        return space
    if unspaced and (_is_wide(plain[start - 1 : start]) or _is_wide(plain[end : end + 1])):
        return ""
    if any(start < marker.place < end for marker in markers):
        return space[:1]
    return space


def _is_wide(character: str) -> bool:
    return bool(character) and (is_unspaced(character) or unicodedata.east_asian_width(character) in "WF")


def _parted(markers: Sequence[Marker]) -> tuple[list[Marker], list[Marker]]:
    """The markers of one gap before and behind its space; a pair around nothing stays a pair."""
    closing: list[Marker] = []
    empty: list[Marker] = []
    opening: list[Marker] = []
    for marker in markers:
        if not marker.closing:
            opening.append(marker)
            continue
        partner = next((other for other in opening if other.number == marker.number), None)
        if partner is None:
            closing.append(marker)
        else:
            opening.remove(partner)
            empty += [partner, marker]
    return closing, empty + opening
