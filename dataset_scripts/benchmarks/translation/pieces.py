"""Marked texts as a translator gets them: a few whole sentences at a time, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kbioxlm.dataset_scripts.benchmarks.translation.markers import marked
from kbioxlm.dataset_scripts.benchmarks.translation.sources import Row
from kbioxlm.dataset_scripts.corpora.segmentation import segment_spans
from kbioxlm.dataset_scripts.translation.protocol import Answer
from kbioxlm.dataset_scripts.translation.scripts import is_written_without_spaces

INSTRUCTION = (
    "You are a translator of biomedical texts. Translate each numbered text from {source} into {target}, as a "
    "physician would write it, whole and without additions. Parts of a text stand between markers such as <1> and "
    "</1>: keep every marker, with its number, around the translation of what it encloses, also where the order of "
    "the words changes. Answer with a JSON list of exactly {count} strings, one for each text, in the same order, and "
    "with nothing else. Give an empty string for a text that you cannot translate."
)


class Piece(NamedTuple):
    """A part of a row's text.

    Attributes:
        text: marked, with the numbers of the row.
        gap: whitespace between it and the next piece.
    """

    text: str
    gap: str


def pieces_of(row: Row, longest: int) -> list[Piece]:
    """The marked text of `row` in pieces of whole sentences, up to `longest` characters where sentences allow it.

    What is in markers is never cut.
    """
    spans = [(one.start, one.end) for one in row.enclosed]
    segments: list[tuple[int, int]] = []
    for start, end in segment_spans(row.text, longest):
        if segments and any(first < start and segments[-1][1] < last for first, last in spans):
            segments[-1] = (segments[-1][0], end)
        else:
            segments.append((start, end))
    # an entity may begin or end with whitespace, which no segment has
    segments = [(_least(start, spans), _most(end, spans)) for start, end in segments]
    pieces = []
    number = 1
    for place, (start, end) in enumerate(segments):
        inside = [(first - start, last - start) for first, last in spans if start <= first and last <= end]
        following = segments[place + 1][0] if place + 1 < len(segments) else end
        pieces.append(Piece(marked(row.text[start:end], inside, number), row.text[end:following]))
        number += len(inside)
    return pieces


def joined(pieces: Sequence[Piece], answers: Sequence[Answer], language: str) -> str:
    """The answers to all pieces of a row as one text in `language`; nothing where there is no answer.

    Line breaks between pieces are kept; other gaps are what the language puts between sentences.
    """
    space = "" if is_written_without_spaces(language) else " "
    parts = []
    for piece, answer in zip(pieces, answers, strict=True):
        parts += [(answer or "").strip(), piece.gap if "\n" in piece.gap else space]
    return "".join(parts[:-1])


def _least(start: int, spans: Sequence[tuple[int, int]]) -> int:
    return min([start, *(first for first, last in spans if first < start < last)])


def _most(end: int, spans: Sequence[tuple[int, int]]) -> int:
    return max([end, *(last for first, last in spans if first < end < last)])
