"""Batches of windows: like lengths together, padded to the longest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from tqdm import tqdm


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """`rows` as one tensor (batch, longest), filled with `value`."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def padded_inputs(rows: Sequence[Sequence[int]], pad_token_id: int) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, (batch, longest) each."""
    return {"input_ids": pad(rows, pad_token_id), "attention_mask": pad([[1] * len(row) for row in rows], 0)}


def by_length(windows: Sequence[Any], batch_size: int) -> Iterator[list[int]]:
    """Indices of `windows` in batches, windows of like length (of their `input_ids`) together; shows progress."""
    order = sorted(range(len(windows)), key=lambda i: (len(windows[i].input_ids), i))
    for first in tqdm(range(0, len(order), batch_size), desc="predicting", unit="batch", leave=False):
        yield order[first : first + batch_size]
