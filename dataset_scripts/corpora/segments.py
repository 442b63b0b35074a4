"""Segments: pieces of documents with the names found in them, from which all levels are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kbioxlm.dataset_scripts.corpora.rows import Entity
from kbioxlm.dataset_scripts.corpora.segmentation import segment_spans
from kbioxlm.dataset_scripts.matching.matcher import Match, NameMatcher


class Piece(NamedTuple):
    """Consecutive sentences of one document. `id` is the document's, "/", and the piece's number from 0."""

    id: str
    language: str
    text: str


class Segment(NamedTuple):
    """A piece and the names found in it."""

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

    def segments(self, document_id: str, language: str, text: str) -> list[Segment]:
        """The segments of one document."""
        return self.matched(list(self.pieces([document_id], [language], [text])))

    def pieces(self, ids: Iterable[str], languages: Iterable[str], texts: Iterable[str]) -> Iterator[Piece]:
        """The pieces of documents, in order."""
        for document_id, language, text in zip(ids, languages, texts, strict=True):
            for number, (start, end) in enumerate(segment_spans(text, self._max_chars[language])):
                yield Piece(f"{document_id}/{number}", language, text[start:end])

    def matched(self, pieces: Sequence[Piece]) -> list[Segment]:
        """The pieces with the names in them, which are found in all at once."""
        matches = self._matcher.find_all([piece.text for piece in pieces], [piece.language for piece in pieces])
        return [Segment(*piece, found) for piece, found in zip(pieces, matches, strict=True)]
