"""Texts that say the same with small differences, found exactly and without comparing every pair.

Two texts are as similar as the Jaccard index of their sets of character n-grams. What carries no meaning is taken
off first (case, width, spaces, punctuation), so that tokenization makes no difference, and no word boundaries are
needed, so that Chinese works as English does.

The search is a set similarity join with prefix filtering (Chaudhuri et al. 2006; Bayardo et al. 2007): with the
n-grams of every text ordered from the rarest to the commonest, two texts of Jaccard index t or more share one of their
first |x| - ceil(t |x|) + 1. Unlike MinHash it misses no pair, and nothing in it is drawn at random.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

THRESHOLD = 0.8
NGRAM = 4  # characters
_MEANINGLESS = re.compile(r"[\W_]+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd and without pattern: spreads n-grams over 64 bits


def near_duplicates(
    left: Sequence[str], right: Sequence[str], threshold: float = THRESHOLD
) -> list[tuple[int, int, float]]:
    """All pairs of a text of `left` and a text of `right` that are at least `threshold` similar.

    Args:
        threshold: above 0, at most 1. At 1 texts are found whose n-grams are the same, which are nearly always
            those that `normalized` makes equal.

    Returns:
        `(index in left, index in right, Jaccard index)`, sorted.

    Raises:
        ValueError: `threshold` is not in its range.
    """
    return _join(left, right, threshold)


def near_duplicates_within(texts: Sequence[str], threshold: float = THRESHOLD) -> list[tuple[int, int, float]]:
    """All pairs of `texts` that are at least `threshold` similar, each once, the lower index first; see
    `near_duplicates`.
    """
    return [pair for pair in _join(texts, texts, threshold) if pair[0] < pair[1]]


def normalized(text: str) -> str:
    """`text` without case, width, spaces and punctuation; as it is where nothing would be left."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _MEANINGLESS.sub("", folded) or text


@dataclass(frozen=True)
class _Sets:
    """The n-gram sets of different texts, one after the other.

    Attributes:
        members: ranks of n-grams, the rarest first; sorted within a text.
        starts: `(texts + 1)`, where each text's own begin in `members`.
        positions: where each text stands in what was given; equal ones are kept once.
    """

    members: np.ndarray
    starts: np.ndarray
    positions: list[list[int]]


def _join(left: Sequence[str], right: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} is not in (0, 1]")
    if not left or not right:
        return []
    one, other = _ranked(left, right)
    elements, owners = _prefixes(other, threshold)
    bounds = np.searchsorted(elements, np.arange(max(one.members.max(), other.members.max()) + 2))
    pairs = _search(one.members, one.starts, other.members, other.starts, bounds, owners, threshold)
    return sorted(
        (i, j, similarity) for a, b, similarity in pairs for i in one.positions[a] for j in other.positions[b]
    )


def _ranked(*sides: Sequence[str]) -> list[_Sets]:
    grouped: list[dict[str, list[int]]] = []
    for side in sides:
        positions: dict[str, list[int]] = {}
        for index, text in enumerate(side):
            positions.setdefault(normalized(text), []).append(index)
        grouped.append(positions)
    ngrams = [[_ngrams(text) for text in positions] for positions in grouped]
    _, inverse, counts = np.unique(
        np.concatenate([own for side in ngrams for own in side]), return_inverse=True, return_counts=True
    )
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    ranks = rank[inverse]
    sets = []
    for of_side, positions in zip(ngrams, grouped, strict=True):
        sizes = [len(own) for own in of_side]
        members, ranks = ranks[: sum(sizes)], ranks[sum(sizes) :]
        by_text = np.lexsort((members, np.repeat(np.arange(len(of_side)), sizes)))
        sets.append(_Sets(members[by_text], np.cumsum([0, *sizes]), list(positions.values())))
    return sets


def _ngrams(text: str) -> np.ndarray:
    """The hashes of the character n-grams of `text`, each once; of the whole text where it is shorter than one."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    size = min(NGRAM, len(points))
    hashes = np.full(len(points) - size + 1, size, np.uint64)
    for offset in range(size):
        hashes = (hashes ^ points[offset : offset + len(hashes)]) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return np.unique(hashes)


def _prefixes(sets: _Sets, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The elements of all prefixes, sorted, and the set that each is of."""
    sizes = np.diff(sets.starts)
    within = np.arange(len(sets.members)) - np.repeat(sets.starts[:-1], sizes)
    lengths = np.array([_prefix_length(size, threshold) for size in sizes.tolist()])
    owners = np.repeat(np.arange(len(sizes)), sizes)
    chosen = within < lengths[owners]
    elements, owners = sets.members[chosen], owners[chosen]
    order = np.argsort(elements, kind="stable")
    return elements[order], owners[order]


@numba.njit(cache=True, nogil=True)
def _prefix_length(size, threshold):
    return min(size, size - math.ceil(threshold * size - 1e-9) + 1)


@numba.njit(cache=True, nogil=True)
def _search(left, left_starts, right, right_starts, bounds, owners, threshold):
    """`(left, right, Jaccard index)` of sets; `owners[bounds[e] : bounds[e + 1]]` have element e in their prefix."""
    found = [(0, 0, 0.0) for _ in range(0)]
    seen = np.full(right_starts.size - 1, -1, np.int64)
    for a in range(left_starts.size - 1):
        start, end = left_starts[a], left_starts[a + 1]
        size = end - start
        for place in range(start, start + _prefix_length(size, threshold)):
            element = left[place]
            for hit in range(bounds[element], bounds[element + 1]):
                b = owners[hit]
                if seen[b] == a:
                    continue
                seen[b] = a
                other = right_starts[b + 1] - right_starts[b]
                if other < threshold * size or size < threshold * other:
                    continue
                shared = _shared(left, start, end, right, right_starts[b], right_starts[b + 1], threshold)
                if shared >= threshold * (size + other - shared):
                    found.append((a, b, shared / (size + other - shared)))
    return found


@numba.njit(cache=True, nogil=True)
def _shared(left, i, left_end, right, j, right_end, threshold):
    """How many elements two sorted stretches share; -1 as soon as they are too few."""
    needed = threshold / (1 + threshold) * (left_end - i + right_end - j) - 1e-9
    shared = 0
    while i < left_end and j < right_end:
        if shared + min(left_end - i, right_end - j) < needed:
            return -1
        if left[i] == right[j]:
            shared += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return shared
