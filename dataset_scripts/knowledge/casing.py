"""Names as they stand in running text: "Toe pain" becomes "toe pain", while "Down syndrome" stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_EDGES = "()[]{},;:.'\"-"


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
        for name in names:
            for position, word in enumerate(name.split()):
                word = word.strip(_EDGES)
                if word.islower():
                    small[word] += 1
                elif position > 0 and _is_capitalised(word):
                    capital[word.lower()] += 1
        self._small = frozenset(word for word, count in small.items() if count > capital[word])
        self._seen = frozenset(small | capital)

    def __call__(self, name: str) -> str:
        """`name` with its first word in the case of running text."""
        first = name.split(" ", 1)[0].strip(_EDGES)
        if not self._capital_nouns and _is_capitalised(first) and self._is_small(first.lower(), alone=first == name):
            position = name.index(first)
            return name[:position] + first[0].lower() + name[position + 1 :]
        return name

    def _is_small(self, word: str, alone: bool) -> bool:
        if word in self._small or ("-" in word and word.split("-", 1)[0] in self._small):
            return True
        return alone and word not in self._seen


def _is_capitalised(word: str) -> bool:
    return len(word) > 1 and word[0].isupper() and word[1:].islower()
