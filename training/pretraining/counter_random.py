"""Random numbers that depend on a key and a counter alone, so that any of them can be drawn at any time, in any order.

A generator with a state would have to be run from the start to know what is drawn at step 100,000; here a step, an
example or a unit is a counter. Keys and counters are mixed by the finaliser of SplitMix64 (Steele et al., 2014).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ROUNDS = 6  # of the permutation; four are the least that hides the structure (Luby and Rackoff, 1988)


def random_bits(*counters: ArrayLike) -> NDArray[np.uint64]:
    """64 random bits for each combination of `counters`, which are whole numbers and are broadcast together."""
    with np.errstate(over="ignore"):  # arithmetic is modulo 2**64
        bits = np.zeros((), dtype=np.uint64)
        for counter in counters:
            bits = _mixed(bits + _GOLDEN + np.asarray(counter).astype(np.uint64) * _FIRST)
        return bits


def uniform(*counters: ArrayLike) -> NDArray[np.float64]:
    """A number in [0, 1) for each combination of `counters`."""
    return np.asarray((random_bits(*counters) >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def permuted(places: NDArray[np.int64], size: int, *key: ArrayLike) -> NDArray[np.int64]:
    """Where a random permutation of `range(size)` sends `places`; each `key` gives a permutation of its own.

    A Feistel network over the smallest even number of bits that holds `size`; what falls outside the range is sent
    on until it falls inside. Memory is that of `places`, whatever the size.

    Args:
        places: numbers below `size`.
        key: whole numbers, or arrays of the shape of `places`, for a permutation of its own at each place.
    """
    half = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    mixed = np.broadcast_to(random_bits(*key), places.shape)
    sent = places.astype(np.uint64)
    outside = np.arange(len(places))
    while len(outside):
        left, right = sent[outside] >> half, sent[outside] & mask
        bits = mixed[outside]
        with np.errstate(over="ignore"):
            for _ in range(_ROUNDS):
                bits = bits + _GOLDEN
                left, right = right, left ^ (_mixed(bits ^ right) & mask)
        sent[outside] = (left << half) | right
        outside = outside[sent[outside] >= np.uint64(size)]
    return sent.astype(np.int64)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))
