"""Segments: pieces of documents with the names found in them, from which all levels are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kbioxlm.dataset_scripts.corpora.rows import Entity
from kbioxlm.dataset_scripts.corpora.segmentation import segment_spans
from kbioxlm.dataset_scripts.matching.matcher import Match, NameMatcher


class Segment(NamedTuple):
    """Consecutive sentences of one document. `id` is the document's, "/", and the segment's number from 0."""

    id: str
    language: str
    text: str
    matches: list[Match]

    def entities(self, in_pair: bool = False) -> list[Entity]:
        """The names found, as entities that stand as the author wrote them."""
        return [Entity(match.start, match.end, in_pair, match.concept, match.language, False) for match in self.matches]


class Segmenter:
    """Cuts documents and finds the names in the pieces.

    Args:
        matcher: finds the names.
        max_chars: language → the most characters of a segment.
    """

    def __init__(self, matcher: NameMatcher, max_chars: Mapping[str, int]):
        self._matcher = matcher
        self._max_chars = max_chars

    def segments(self, document_id: str, language: str, text: str) -> Iterator[Segment]:
        """The segments of one document."""
        for number, (start, end) in enumerate(segment_spans(text, self._max_chars[language])):
            piece = text[start:end]
            yield Segment(f"{document_id}/{number}", language, piece, self._matcher.find(piece, language))
