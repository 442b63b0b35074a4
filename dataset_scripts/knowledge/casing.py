"""Names as they stand in running text: "Toe pain" becomes "toe pain", while "Down syndrome" stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice

_EDGES = "()[]{},;:.'\"-"
_AT_ONCE = 50_000


class RunningCase:
    """Undoes the capital that a vocabulary gives to the first word of every name.

    A first word is written small if, in the names of the language, it is seen small more often than it is seen
    with a capital where no capital is due (anywhere but in front). A word that is a whole name is also written
    small if neither is seen: it is rarely a person's or a place's. German names stay, whose nouns have capitals.
    """

    def __init__(self, names: Iterable[str], language: str):
        self._capital_nouns = language == "de"
        small: Counter[str] = Counter()
        capital: Counter[str] = Counter()
        everywhere, in_front = _word_counts(names)
        for written, count in everywhere.items():
            word = written.strip(_EDGES)
            if word.islower():
                small[word] += count
            elif count > in_front[written] and _is_capitalised(word):
                capital[word.lower()] += count - in_front[written]
        self._small = frozenset(word for word, count in small.items() if count > capital[word])
        self._seen = frozenset(small | capital)
        self._starts: dict[tuple[str, bool], str] = {}

    def __call__(self, name: str) -> str:
        """`name` with its first word in the case of running text."""
        written, space, rest = name.partition(" ")
        key = (written, space == "")
        start = self._starts.get(key)
        if start is None:
            start = self._starts[key] = self._cased(*key)
        return start + space + rest

    def _cased(self, written: str, alone: bool) -> str:
        first = written.strip(_EDGES)
        alone = alone and first == written
        if self._capital_nouns or not _is_capitalised(first) or not self._is_small(first.lower(), alone):
            return written
        position = written.index(first)
        return written[:position] + first[0].lower() + written[position + 1 :]

    def _is_small(self, word: str, alone: bool) -> bool:
        if word in self._small or ("-" in word and word.split("-", 1)[0] in self._small):
            return True
        return alone and word not in self._seen


def _word_counts(names: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """How often each word is written in names, and how often in front."""
    everywhere: Counter[str] = Counter()
    in_front: Counter[str] = Counter()
    for part in _parts(iter(names)):
        words = [name.split() for name in part]
        everywhere.update(chain.from_iterable(words))
        in_front.update(chain.from_iterable(row[:1] for row in words))
    return everywhere, in_front


def _parts(names: Iterator[str]) -> Iterator[list[str]]:
    while part := list(islice(names, _AT_ONCE)):
        yield part


def _is_capitalised(word: str) -> bool:
    return len(word) > 1 and word[0].isupper() and word[1:].islower()
