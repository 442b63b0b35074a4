"""Which examples a run sees, in which order: settled by the recipe and the seed, and computed when it is needed.

The plan has no state. A step and a place in it give an example, whoever asks: a killed run that continues at step n
sees what it would have seen, and any number of processes and loader workers sees the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kbioxlm.training.pretraining.counter_random import permuted

_BLOCK = 4096  # turns of a stratum that are computed together


@dataclass(frozen=True)
class Stratum:
    """Rows that are drawn alike: those of one level in one language.

    Args:
        rows: their numbers in the level, `(rows,)`; may be memory-mapped.
        level: number of the level.
        mean_length: pieces in a row, on average.
        share: the stratum's part of the run's pieces, relative to the other strata's.
    """

    rows: NDArray[np.int64]
    level: int
    mean_length: float
    share: float


class Plan:
    """The examples of a whole run.

    Shares are of pieces, not of examples: a stratum gives examples in proportion to its share divided by the mean
    length of its rows, so that names beside their translations take no more of a run than was meant for them
    ("equal proportion", section 3.1.4; Table 1 counts tokens too). Every batch holds the strata in these proportions,
    as closely as whole examples allow, because a loss is a mean over a batch: in a batch of short examples alone each
    piece would weigh more. Rows of a stratum are gone round, each round in a new order.

    Args:
        strata: where examples come from.
        steps: batches of the run.
        batch_size: examples in a batch.
        seed: decides the orders.
    """

    def __init__(self, strata: Sequence[Stratum], steps: int, batch_size: int, seed: int):
        self.steps = steps
        self.batch_size = batch_size
        self._strata = strata
        self._seed = seed
        self._blocks: dict[tuple[int, int], NDArray[np.int64]] = {}  # the last one of each stratum
        self._before = _prefixes(example_shares(strata), steps, batch_size)  # (steps + 1, strata)

    def step(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Level and row of each example of a step, `(batch,)` each."""
        levels, rows = [], []
        for index, stratum in enumerate(self._strata):
            first, last = self._before[number : number + 2, index].tolist()
            for block in range(first // _BLOCK, -(-last // _BLOCK)):
                start = block * _BLOCK
                rows.append(self._block(index, block)[max(first - start, 0) : last - start])
            levels.append(np.full(last - first, stratum.level))
        return np.concatenate(levels), np.concatenate(rows)

    def _block(self, index: int, block: int) -> NDArray[np.int64]:
        """The rows that stratum `index` gives in its turns from `block * _BLOCK` on, `(_BLOCK,)`."""
        if (index, block) not in self._blocks:
            self._blocks = {key: rows for key, rows in self._blocks.items() if key[0] != index}
            stratum = self._strata[index]
            rounds, places = np.divmod(np.arange(block * _BLOCK, (block + 1) * _BLOCK), len(stratum.rows))
            self._blocks[index, block] = stratum.rows[permuted(places, len(stratum.rows), self._seed, index, rounds)]
        return self._blocks[index, block]

    def examples(self) -> dict[int, int]:
        """Examples of the whole run by level."""
        counts: dict[int, int] = {}
        for stratum, count in zip(self._strata, self._before[-1].tolist(), strict=True):
            counts[stratum.level] = counts.get(stratum.level, 0) + count
        return counts


def example_shares(strata: Sequence[Stratum]) -> NDArray[np.float64]:
    """Each stratum's part of the examples, `(strata,)`; they add up to 1."""
    shares = np.array([stratum.share / stratum.mean_length for stratum in strata])
    return shares / shares.sum()


def mean_length(strata: Sequence[Stratum]) -> float:
    """Pieces in an example of the mixture, on average."""
    return float(example_shares(strata) @ np.array([stratum.mean_length for stratum in strata]))


def _prefixes(shares: NDArray[np.float64], steps: int, batch_size: int) -> NDArray[np.int64]:
    """How many examples of each stratum come before each step, `(steps + 1, strata)`.

    Example i of a stratum is due at (i + 1/2) / share; examples come in the order of these times. A row holds the
    first `step * batch_size` of them, so that rows never fall and no stratum is ever a whole example early or late
    by more than the others allow.
    """
    totals = np.arange(steps + 1) * batch_size  # (steps + 1,)
    counts = np.floor(shares * totals[:, None] + 0.5).astype(np.int64)
    rows = np.arange(steps + 1)
    while True:
        excess = counts.sum(axis=1) - totals
        if not excess.any():
            return counts
        last = np.where(counts > 0, (counts - 0.5) / shares, -np.inf)
        latest = counts.shape[1] - 1 - np.argmax(last[:, ::-1], axis=1)  # of equal times the last stratum's
        earliest = np.argmin((counts + 0.5) / shares, axis=1)  # of equal times the first stratum's
        counts[rows, latest] -= excess > 0
        counts[rows, earliest] += excess < 0
