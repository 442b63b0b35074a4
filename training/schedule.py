"""Which examples a run sees, in which order: settled before it starts, from the seed alone.

A batch's position fixes its examples and their masks, so a killed run that continues at batch n sees what it
would have seen, and any number of loader workers gives the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BUCKET = 64  # batches that are sorted by length together


@dataclass(frozen=True)
class Pool:
    """The rows of one level.

    Args:
        lengths: pieces of each row, `(rows,)`.
        languages: language of each row, `(rows,)`.
        share: the level's part of the examples, relative to the other levels'.
    """

    lengths: NDArray[np.integer]
    languages: NDArray[np.str_]
    share: float


def plan_batches(pools: Sequence[Pool], steps: int, batch_size: int, seed: int) -> NDArray[np.int64]:
    """The examples of a whole run, in order.

    Each level contributes its share of the examples, and each language an equal part of that, however much text
    it has; rows are gone round in a new order each time. Examples of similar length share a batch, so that
    little padding is computed; the batches come in random order.

    Returns:
        `(steps * batch_size, 2)`: number of the pool, and row in it.
    """
    rng = np.random.default_rng(seed)
    total = steps * batch_size
    parts = []
    for number, (pool, count) in enumerate(zip(pools, _split(total, [pool.share for pool in pools]), strict=True)):
        languages = np.unique(pool.languages)
        for language, part in zip(languages, _split(count, [1.0] * len(languages)), strict=True):
            rows = _rounds(np.flatnonzero(pool.languages == language), part, rng)
            parts.append(np.stack([np.full(part, number), rows, pool.lengths[rows]], axis=1))
    examples = rng.permutation(np.concatenate(parts))
    bucket = _BUCKET * batch_size
    batches = []
    for start in range(0, total, bucket):
        group = examples[start : start + bucket]
        batches += np.split(group[np.argsort(group[:, 2], kind="stable")], range(batch_size, len(group), batch_size))
    order = rng.permutation(len(batches))
    return np.concatenate([batches[i] for i in order])[:, :2]


def _split(total: int, shares: Sequence[float]) -> NDArray[np.int64]:
    """`total` in whole parts proportional to `shares`."""
    bounds = np.round(np.cumsum(shares) / np.sum(shares) * total).astype(np.int64)
    return np.diff(bounds, prepend=0)


def _rounds(rows: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` of `rows`, going round them, each round in a new order."""
    rounds = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)] or [rows])[:count]
