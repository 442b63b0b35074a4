"""Finding the names of a knowledge base in text.

The matches taken are the leftmost-longest among those that respect boundaries: an automaton's own leftmost-longest
mode, filtered afterwards, would lose a valid short name wherever a longer one fails.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kbioxlm.dataset_scripts.knowledge.name_table import NameTable
from kbioxlm.dataset_scripts.matching.arrays import Found
from kbioxlm.dataset_scripts.matching.batches import folded_batch
from kbioxlm.dataset_scripts.matching.code_points import CODE, SEPARATOR
from kbioxlm.dataset_scripts.matching.folding import in_spaced_word, is_unspaced
from kbioxlm.dataset_scripts.matching.index_build import build_index
from kbioxlm.dataset_scripts.matching.names_index import NamesIndex
from kbioxlm.dataset_scripts.matching.rules import MatchingRules
from kbioxlm.dataset_scripts.matching.search import patterns_named, search

CHARACTERS_AT_ONCE = 1 << 18
UNKNOWN_LANGUAGE = 255


class Match(NamedTuple):
    """A name in a text: `text[start:end]`.

    Attributes:
        concept: the concept named; of several, the first in order (then `ambiguous`).
        language: the language the name is in, that of the text where it has the name too.
        ambiguous: whether the name stands for several concepts and is the preferred name of none or of several.
    """

    start: int
    end: int
    concept: str
    language: str
    ambiguous: bool


class NameMatcher:
    """All usable names of a knowledge base, in all its languages.

    Args:
        index: as `build` makes it and `open` reads it.
    """

    def __init__(self, index: NamesIndex):
        self._index = index
        self._places = {language: place for place, language in enumerate(index.languages)}

    @classmethod
    def build(cls, table: NameTable, rules: MatchingRules) -> NameMatcher:
        """A matcher of all names of `table` that `rules` let pass."""
        return cls(build_index(table, rules))

    def save(self, folder: str | Path) -> None:
        """Write the folder that `open` reads; a matcher that is there is replaced.

        Raises:
            InputError: there is something else.
        """
        self._index.save(folder)

    @classmethod
    def open(cls, folder: str | Path) -> NameMatcher:
        """A matcher that was saved, memory-mapped: processes that open it share it.

        Raises:
            InputError: not a matcher, one of another version, or a damaged one.
        """
        return cls(NamesIndex.open(folder))

    def find(self, text: str, language: str) -> list[Match]:
        """The names in `text`, which is in `language`: leftmost-longest, in order, never overlapping."""
        return self.find_all([text], [language])[0]

    def find_all(self, texts: Sequence[str], languages: Sequence[str]) -> list[list[Match]]:
        """For each text, what `find` gives for it and its language."""
        matches: list[list[Match]] = [[] for _ in texts]
        index = self._index
        for found in self.find_spans(texts, languages):
            for text, start, end, concept, language, ambiguous in zip(
                *(column.tolist() for column in found), strict=True
            ):
                match = Match(start, end, index.concept(concept), index.languages[language], ambiguous)
                matches[text].append(match)
        return matches

    def find_spans(self, texts: Sequence[str], languages: Sequence[str]) -> Iterator[Found]:
        """What `find_all` gives, as arrays, for some texts at a time."""
        index = self._index
        for first, last in _batches(texts):
            places = [self._places.get(language, UNKNOWN_LANGUAGE) for language in languages[first:last]]
            batch = folded_batch(texts[first:last], np.array(places, np.uint8), index.tables)
            found = Found.of_size(len(batch.codes))
            count = search(index.names, batch, found, np.uint64(index.seed), index.longest, index.singles)
            found.text[:count] += first
            yield found.first(count)

    def concepts_named(self, names: Sequence[str]) -> list[set[str]]:
        """For each name all concepts that have it, in any language and letter case; none if it is too short."""
        index = self._index
        concepts: list[set[str]] = []
        for first, last in _batches(names):
            folded = folded_batch(names[first:last], np.zeros(last - first, np.uint8), index.tables).folded
            separators = np.flatnonzero(folded & CODE == SEPARATOR)
            patterns = np.empty(last - first, np.int64)
            patterns_named(index.names, folded, separators, np.uint64(index.seed), patterns)
            for pattern in patterns.tolist():
                begin, end = index.names.entry_offsets[pattern : pattern + 2] if pattern >= 0 else (0, 0)
                concepts.append({index.concept(concept) for concept in index.names.entry_concept[begin:end].tolist()})
        return concepts


def is_long_enough(folded: str, rules: MatchingRules | None = None) -> bool:
    """Whether a folded name is long enough to be told in text.

    2 letters or digits if it has characters of Han and the like, otherwise 3 with a letter among them, or as the
    rules say.
    """
    rules = rules or MatchingRules()
    if any(map(is_unspaced, folded)):
        return sum(unicodedata.category(character)[0] in "LN" for character in folded) >= rules.minimal_unspaced
    return any(map(str.isalpha, folded)) and sum(map(in_spaced_word, folded)) >= rules.minimal_spaced


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Texts that go together: first and last, exclusive."""
    first, size = 0, 0
    for place, text in enumerate(texts):
        size += len(text) + 1
        if size >= CHARACTERS_AT_ONCE:
            yield first, place + 1
            first, size = place + 1, 0
    if size:
        yield first, len(texts)
