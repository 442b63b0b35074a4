"""The masked examples of a pretraining run, and their batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from kbioxlm.training.features import encode_rows
from kbioxlm.training.masking import IGNORED, MaskingRule, mask_example
from kbioxlm.training.schedule import Pool, plan_batches


class MaskedExamples(torch.utils.data.Dataset):
    """The examples of a whole run in order; the draw of an example's masks depends on the seed and its place alone.

    Args:
        levels: rows by level, as `features.load_level` gives them.
        shares: share of each level in the examples.
        steps: batches of the run.
        batch_size: examples in a batch.
        seed: decides order and masks.
        rule: what is masked.
        tokenizer: makes the pieces, at the last moment.
        max_length: pieces in an example.
    """

    def __init__(
        self,
        levels: Mapping[str, datasets.Dataset],
        shares: Mapping[str, float],
        steps: int,
        batch_size: int,
        seed: int,
        rule: MaskingRule,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
    ):
        pools = [Pool(_bytes(rows), np.asarray(rows["language"]), shares[level]) for level, rows in levels.items()]
        self.plan = plan_batches(pools, steps, batch_size, seed)
        self._levels = [(level != "monolingual", rows) for level, rows in levels.items()]
        self._seed = seed
        self._rule = rule
        self._tokenizer = tokenizer
        self._max_length = max_length

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: list[int]) -> list[dict[str, Any]]:
        chosen = [self._levels[level] for level, _ in self.plan[places]]
        rows = [rows[int(row)] for (_, rows), (_, row) in zip(chosen, self.plan[places], strict=True)]
        examples = []
        for place, (aligned, _), encoded in zip(
            places, chosen, encode_rows(rows, self._tokenizer, self._max_length), strict=True
        ):
            rng = np.random.default_rng((self._seed, place))
            masked = mask_example(encoded.input_ids, encoded.units, encoded.kinds, aligned, self._rule, rng)
            examples.append(
                {
                    "input_ids": masked.input_ids,
                    "labels": masked.labels,
                    "relation_labels": masked.relation_labels,
                    "passage_labels": encoded.passage_label,
                }
            )
        return examples


def _bytes(rows: datasets.Dataset) -> NDArray[np.int64]:
    """UTF-8 bytes of each row, `(rows,)`: about proportional to its pieces, in Latin script and Chinese alike."""
    sizes = np.zeros(len(rows), dtype=np.int64)
    for column in ("text", "text_pair"):
        sizes += pc.fill_null(pc.binary_length(rows.data.column(column)), 0).to_numpy()
    return sizes


class PaddingCollator:
    """Pads the examples of a batch to its longest: all but `passage_labels` become (batch, sequence)."""

    def __init__(self, pad_token_id: int):
        self._fill = {"input_ids": pad_token_id, "labels": IGNORED, "relation_labels": IGNORED}

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        lengths = [len(example["input_ids"]) for example in examples]
        batch = {}
        for name, value in self._fill.items():
            padded = np.full((len(examples), max(lengths)), value, dtype=np.int64)
            for row, example in enumerate(examples):
                padded[row, : lengths[row]] = example[name]
            batch[name] = torch.from_numpy(padded)
        batch["attention_mask"] = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        batch["passage_labels"] = torch.tensor([example["passage_labels"] for example in examples])
        return batch
