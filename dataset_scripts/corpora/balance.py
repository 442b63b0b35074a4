"""Balancing code-switched rows so that as many entities are replaced into each language (paper, section 3.1.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def balanced(target: NDArray[np.uint8], replaced: NDArray[np.uint16], key: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which rows are kept: `(rows,)`.

    Rows replaced into the language with the fewest replaced entities are all kept; of the others, those that come
    first by their keys, up to the same number of replaced entities. A language into which nothing is replaced at
    all does not count.

    Args:
        target: the language that the names of a row are replaced into.
        replaced: replaced names of a row.
        key: decides the order; drawn from the seed and the row's id.
    """
    kept = np.zeros(len(target), bool)
    languages = np.unique(target)
    goal = min((int(replaced[target == language].sum(dtype=np.int64)) for language in languages), default=0)
    for language in languages:
        rows = np.flatnonzero(target == language)
        rows = rows[np.argsort(key[rows], kind="stable")]
        kept[rows[_filling(replaced[rows].astype(np.int64), goal)]] = True
    return kept


def _filling(amounts: NDArray[np.int64], goal: int) -> NDArray[np.int64]:
    """The places taken when each amount in turn is taken if the sum stays within `goal`."""
    taken = []
    start = 0
    while start < len(amounts) and goal > 0:
        sums = np.cumsum(amounts[start:])
        fitting = int(np.searchsorted(sums, goal, side="right"))
        taken.append(np.arange(start, start + fitting))
        goal -= int(sums[fitting - 1]) if fitting else 0
        start += fitting
        later = np.flatnonzero(amounts[start:] <= goal)
        if not len(later):
            break
        start += int(later[0])
    return np.concatenate(taken) if taken else np.zeros(0, np.int64)
