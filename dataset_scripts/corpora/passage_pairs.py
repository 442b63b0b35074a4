"""Counting and numbering all pairs of passages, so that pairs are drawn uniformly without ever being listed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class PassagePairs:
    """All pairs of passages that articles give.

    Passages are numbered by language, article and text, and pairs of each kind by their two languages, the article
    of the first passage and the numbers of both. A pair stands in one order alone and so has one number.

    Args:
        language, article, size: of each text, (texts,): numbers from 0, and how many passages it has, at least one.
    """

    def __init__(self, language: Sequence[int], article: Sequence[int], size: Sequence[int]):
        languages, articles, sizes = (np.array(column, np.int64) for column in (language, article, size))
        shape = (int(languages.max(initial=-1)) + 1, int(articles.max(initial=-1)) + 1)
        self._order = np.lexsort((np.arange(len(sizes)), articles, languages))
        self._ordered = sizes[self._order]
        self._text_starts = _before(self._ordered)
        self._sizes = np.zeros(shape, np.int64)
        np.add.at(self._sizes, (languages, articles), sizes)
        self._starts = _before(self._sizes.ravel()).reshape(shape)
        self._in_language = self._sizes.sum(axis=1)
        self._language_starts = _before(self._in_language)
        self._languages = list(itertools.combinations(range(shape[0]), 2))
        self.contexts = int((self._ordered - 1).sum())
        self.positives = sum(self._totals(self._partners_inside))
        self.randoms = sum(self._totals(self._partners_outside))

    def context(self, numbers: Numbers) -> Numbers:
        """Two consecutive passages of one text for each of `numbers`, which are below `contexts`; (n, 2)."""
        text, rest = _divided(numbers, self._ordered - 1)
        first = self._text_starts[text] + rest
        return np.stack([first, first + 1], axis=1)

    def positive(self, numbers: Numbers) -> Numbers:
        """Passages of one article in two languages for each of `numbers`, which are below `positives`; (n, 2)."""

        def second(language: int, article: Numbers, rest: Numbers) -> Numbers:
            return self._starts[language, article] + rest

        return self._in_two_languages(numbers, self._partners_inside, second)

    def random(self, numbers: Numbers) -> Numbers:
        """Passages of two articles in two languages for each of `numbers`, which are below `randoms`; (n, 2)."""

        def second(language: int, article: Numbers, rest: Numbers) -> Numbers:
            passage = self._language_starts[language] + rest
            behind = passage >= self._starts[language, article]
            return passage + np.where(behind, self._sizes[language, article], 0)

        return self._in_two_languages(numbers, self._partners_outside, second)

    def texts(self, passages: Numbers) -> tuple[Numbers, Numbers]:
        """Of each passage the text, as a place in the constructor's arguments, and its number there."""
        text, number = _divided(passages, self._ordered)
        return self._order[text], number

    def _partners_inside(self, second: int) -> Numbers:
        return self._sizes[second]

    def _partners_outside(self, second: int) -> Numbers:
        return self._in_language[second] - self._sizes[second]

    def _totals(self, partners: Callable[[int], Numbers]) -> list[int]:
        return [int((self._sizes[first] * partners(second)).sum()) for first, second in self._languages]

    def _in_two_languages(
        self,
        numbers: Numbers,
        partners: Callable[[int], Numbers],
        place: Callable[[int, Numbers, Numbers], Numbers],
    ) -> Numbers:
        """The pairs of `numbers`.

        Args:
            partners: second language → of each article, how many passages go with one of its passages; (articles,).
            place: second language, article of the first passage, number among those that go with it → passage.
        """
        pairs = np.zeros((len(numbers), 2), np.int64)
        languages, rest = _divided(numbers, np.array(self._totals(partners), np.int64))
        for number, (first, second) in enumerate(self._languages):
            chosen = languages == number
            amounts = partners(second)
            article, inside = _divided(rest[chosen], self._sizes[first] * amounts)
            one, other = np.divmod(inside, amounts[article])
            pairs[chosen, 0] = self._starts[first, article] + one
            pairs[chosen, 1] = place(second, article, other)
        return pairs


def _before(sizes: Numbers) -> Numbers:
    """The sum of all earlier `sizes`, for each."""
    return np.cumsum(sizes) - sizes


def _divided(numbers: Numbers, sizes: Numbers) -> tuple[Numbers, Numbers]:
    """Of each number the group that holds it, where groups of `sizes` follow one another, and its place in there."""
    ends = np.cumsum(sizes)
    group = np.searchsorted(ends, numbers, side="right")
    return group, numbers - (ends - sizes)[group]
