"""The masked examples of a pretraining run, step by step, as the micro-batches of one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from kbioxlm.common.errors import InputError
from kbioxlm.training.pretraining.batch_masking import Batch, MaskedBatch, mask_batch
from kbioxlm.training.pretraining.encoded import EncodedLevel
from kbioxlm.training.pretraining.masking import IGNORED, MaskingRule
from kbioxlm.training.pretraining.schedule import Plan, Stratum

MicroBatch = dict[str, torch.Tensor]


class MaskedSteps(torch.utils.data.Dataset):
    """Item n is what one process computes in optimizer step n: its micro-batches.

    The examples of a step are sorted by length and cut into rounds of `processes` micro-batches; in a round, examples
    are dealt out in turn. So a micro-batch holds examples of similar length, and all processes are done with one at
    about the same time. A process reads the rows of its own micro-batches and no others. An example's masks depend
    on the seed and on its place in the plan alone, never on who computes it.

    `rounds` is the number of micro-batches of a step, and `largest_micro_batch` of the examples in one.

    Args:
        levels: the encoded levels, numbered as in `plan`.
        plan: which examples, in which order.
        rule: what is masked.
        seed: decides the masks.
        pad_token_id: fills up shorter examples.
        micro_batch: most examples that a process takes at once; None for all of its part.
        processes: how many share a batch.
        process: the number of this one.
    """

    def __init__(
        self,
        levels: Sequence[EncodedLevel],
        plan: Plan,
        rule: MaskingRule,
        seed: int,
        pad_token_id: int,
        micro_batch: int | None = None,
        processes: int = 1,
        process: int = 0,
    ):
        self.rounds = rounds(plan.batch_size, micro_batch, processes)
        self.largest_micro_batch = -(-plan.batch_size // (self.rounds * processes))
        self._levels = levels
        self.plan = plan
        self._rule = rule
        self._seed = seed
        self._pad = pad_token_id
        self._processes = processes
        self._process = process

    def __len__(self) -> int:
        return self.plan.steps

    def __getitem__(self, step: int) -> list[MicroBatch]:
        level_of, rows = self.plan.step(step)
        lengths = np.zeros(len(rows), dtype=np.int64)
        for number, level in enumerate(self._levels):
            lengths[level_of == number] = level.lengths(rows[level_of == number])
        order = np.argsort(-lengths, kind="stable")
        bounds = np.linspace(0, len(order), self.rounds + 1).round().astype(int)
        mine = [order[start:end][self._process :: self._processes] for start, end in pairwise(bounds)]
        chosen = np.concatenate(mine)
        batch, passages = self._read(level_of[chosen], rows[chosen], lengths[chosen], step * len(rows) + chosen)
        masked = mask_batch(batch, self._rule, self._seed)
        ends = np.append(0, np.cumsum([len(part) for part in mine]))
        return [_padded(masked, lengths[chosen], passages, slice(*part), self._pad) for part in pairwise(ends)]

    def _read(
        self,
        level_of: NDArray[np.int64],
        rows: NDArray[np.int64],
        lengths: NDArray[np.int64],
        places: NDArray[np.int64],
    ) -> tuple[Batch, NDArray[np.int64]]:
        """The chosen rows end to end, and their passage labels."""
        bounds = np.append(0, np.cumsum(lengths))
        within = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
        example = np.repeat(np.arange(len(rows)), lengths)
        pieces, marks = np.empty(bounds[-1], dtype=np.int64), np.empty(bounds[-1], dtype=np.uint8)
        passages = np.empty(len(rows), dtype=np.int64)
        for number, level in enumerate(self._levels):
            here = level_of == number
            if not here.any():
                continue
            starts = np.zeros(len(rows), dtype=np.int64)
            starts[here] = level.starts(rows[here])
            target = here[example]
            source = (starts[example] + within)[target]
            pieces[target], marks[target] = level.pieces[source], level.marks[source]
            passages[here] = level.passage_labels[rows[here]]
        kinds, begins = EncodedLevel.read_marks(marks)
        is_aligned = np.array([level.name != "monolingual" for level in self._levels])
        return Batch(pieces, kinds, begins, lengths, is_aligned[level_of], places), passages


def rounds(batch_size: int, micro_batch: int | None, processes: int) -> int:
    """How many micro-batches each process computes in a step of `batch_size` examples.

    Raises:
        InputError: some process would have nothing to do in some round.
    """
    number = 1 if micro_batch is None else -(-batch_size // (micro_batch * processes))
    if number * processes > batch_size:
        raise InputError(
            "recipe", f"a batch of {batch_size} examples cannot be dealt out to {processes} processes"
            + (f" in micro-batches of {micro_batch}" if micro_batch else ""),
            "raise batch_size or micro_batch, or start fewer processes",
        )  # fmt: skip
    return number


def strata_of(levels: Sequence[EncodedLevel], shares: Mapping[str, float]) -> list[Stratum]:
    """The strata of the plan: each level has its share of the pieces, and each language an equal part of that."""
    return [
        Stratum(rows, number, level.mean_length[language], shares[level.name] / len(level.rows_of))
        for number, level in enumerate(levels)
        for language, rows in level.rows_of.items()
    ]


def _padded(
    masked: MaskedBatch, lengths: NDArray[np.int64], passages: NDArray[np.int64], part: slice, pad_token_id: int
) -> MicroBatch:
    """Some examples padded to their longest: all but `passage_labels` become (batch, sequence)."""
    first, sizes = int(lengths[: part.start].sum()), lengths[part]
    pieces = slice(first, first + int(sizes.sum()))
    kept = np.arange(sizes.max()) < sizes[:, None]  # (batch, sequence)
    batch = {"attention_mask": torch.from_numpy(kept.astype(np.int64))}
    columns = (
        ("input_ids", masked.input_ids, pad_token_id),
        ("labels", masked.labels, IGNORED),
        ("relation_labels", masked.relation_labels, IGNORED),
    )
    for name, values, fill in columns:
        padded = np.full(kept.shape, fill, dtype=np.int64)
        padded[kept] = values[pieces]
        batch[name] = torch.from_numpy(padded)
    batch["passage_labels"] = torch.from_numpy(passages[part])
    return batch
