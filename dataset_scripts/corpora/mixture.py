"""The mixture: as many tokens of monolingual as of aligned data, levels interleaved, in one config."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.folder import ROWS_PER_GROUP

PIECES_PER_SHARD = 4
_MASK = np.uint64(0xFFFFFFFFFFFFFFFF)


def mixing_keys(digest: NDArray[np.uint64], level: int, seed: int) -> NDArray[np.uint64]:
    """Random numbers of rows, drawn from their digests, their level and the seed: `(rows,)` (SplitMix64)."""
    with np.errstate(over="ignore"):
        start = np.uint64((seed * 0x9E3779B97F4A7C15 + level * 0xD1B54A32D192ED03) & int(_MASK))
        value = digest + start
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = value ^ (value >> np.uint64(31))
    return mixed


def equal_shares(
    tokens: Mapping[str, NDArray[np.uint32]], keys: Mapping[str, NDArray[np.uint64]], unpaired: str = "monolingual"
) -> dict[str, NDArray[np.bool_]]:
    """Which rows of each level are mixed: all of the side with fewer tokens, and of the other the first by key.

    Args:
        tokens, keys: of the rows of each level.
        unpaired: the level that is one side; all others together are the other.
    """
    aligned = [level for level in tokens if level != unpaired]
    totals = {level: int(tokens[level].sum(dtype=np.int64)) for level in tokens}
    goal = min(totals[unpaired], sum(totals[level] for level in aligned))
    chosen: dict[str, NDArray[np.bool_]] = {}
    for side in ([unpaired], aligned):
        sizes = [len(tokens[level]) for level in side]
        mask = _first_by_key(_joined(tokens, side), _joined(keys, side), goal)
        chosen.update(zip(side, np.split(mask, np.cumsum(sizes)[:-1]), strict=True))
    return chosen


def _joined(arrays: Mapping[str, NDArray[np.generic]], side: list[str]) -> NDArray[np.generic]:
    return np.concatenate([arrays[level] for level in side])


def _first_by_key(tokens: NDArray[np.generic], keys: NDArray[np.generic], goal: int) -> NDArray[np.bool_]:
    order = np.argsort(keys, kind="stable")
    mask = np.zeros(len(tokens), bool)
    mask[order[np.cumsum(tokens[order].astype(np.int64)) <= goal]] = True
    return mask


def pieces_of(rows: int, shard: int, shards: int) -> list[tuple[int, int]]:
    """The ranges of a level of `rows` rows that go into one shard of the mixture.

    Every shard takes pieces from all over the level, so that no language and no source stands alone in it, and
    every row is read once.
    """
    size = max(1, min(ROWS_PER_GROUP, rows // (shards * PIECES_PER_SHARD)))
    return [(start, min(start + size, rows)) for start in range(shard * size, rows, shards * size)]
