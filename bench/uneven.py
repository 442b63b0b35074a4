"""Batches of texts of uneven length: ours, which computes no padding, beside three ways to pad.

All compute the same: the gradient of the mean loss over all masked pieces of all texts, added up batch by batch. Loss
and norm of the gradient are compared before anything is measured. There is no dropout, so that they can be equal.
"""

from __future__ import annotations

from typing import Any

import torch
from harness import Row, in_turn, less_is_better
from steps import FIRST_PIECE, MASKED, REDUCED, SMALL, THREADS, TRIMMED
from torch.nn.utils import get_total_norm
from transformers import XLMRobertaModel

from kbioxlm.common.memory import keep_freed_memory
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForMaskedLM

BATCH, BATCHES = 16, 8
MEAN, LONGEST, SHORTEST = 80, 256, 12  # pieces of a text
ROUNDS = 5
GOALS = {"padding to the longest": 1.7, f"padding to {LONGEST}": 2.5, "batches sorted by length": 1.15}
TOLERANCE = 1e-5
Texts = list[tuple[torch.Tensor, torch.Tensor]]  # input ids and labels of each text


class PaddedEncoder(XLMRobertaModel):
    """transformers' own encoder in place of ours."""

    def forward(self, *args: Any, wanted: torch.Tensor | None = None, **kwargs: Any) -> Any:
        """As in transformers; `wanted` is of no use to it."""
        return super().forward(*args, **kwargs)


def uneven_lengths(texts: int) -> torch.Tensor:
    """Lengths (texts,), skewed as those of real texts are, of the given mean; the longest occurs."""
    generator = torch.Generator().manual_seed(13)
    quantiles = torch.randn(texts, generator=generator)
    low, high = 0.0, float(LONGEST)
    for _ in range(50):  # the scale at which the mean is right after the ends were cut off
        scale = (low + high) / 2
        lengths = (scale * torch.exp(0.7 * quantiles)).round().clamp(SHORTEST, LONGEST)
        lengths[0] = LONGEST
        low, high = (scale, high) if lengths.mean() < MEAN else (low, scale)
    return lengths.long()


def random_texts(texts: int) -> Texts:
    """Pieces at random, masked at random."""
    generator = torch.Generator().manual_seed(13)
    made = []
    for length in uneven_lengths(texts).tolist():
        ids, labels = torch.randint(FIRST_PIECE, REDUCED, (2, length), generator=generator)
        made.append((ids, labels.masked_fill(torch.rand(length, generator=generator) >= MASKED, -100)))
    return made


def batches_of(texts: Texts, size: int, width: int | None = None) -> list[dict[str, torch.Tensor]]:
    """Padded batches of `size` in the order of the texts, each as wide as its longest text, or `width`."""
    made = []
    for start in range(0, len(texts), size):
        rows = texts[start : start + size]
        shape = (len(rows), width or max(len(ids) for ids, _ in rows))
        batch = {"input_ids": torch.ones(shape, dtype=torch.long), "labels": torch.full(shape, -100)}
        batch["attention_mask"] = torch.zeros(shape, dtype=torch.long)
        for place, (ids, labels) in enumerate(rows):
            batch["input_ids"][place, : len(ids)], batch["labels"][place, : len(ids)] = ids, labels
            batch["attention_mask"][place, : len(ids)] = 1
        made.append(batch)
    return made


def gradient(model: KBioXLMForMaskedLM, batches: list[dict[str, torch.Tensor]]) -> tuple[float, float]:
    """Loss over all batches and the norm of its gradient."""
    model.zero_grad()
    counts = [int((batch["labels"] != -100).sum()) for batch in batches]
    total = 0.0
    for batch, count in zip(batches, counts, strict=True):
        loss = model(**batch).loss * (count / sum(counts))
        loss.backward()
        total += float(loss.detach())
    return total, float(get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))


def uneven_rows() -> tuple[list[Row], dict[str, Any]]:
    """The rows of uneven texts, and what was compared.

    Raises:
        AssertionError: losses or gradients differ.
    """
    keep_freed_memory()  # as train.py does; here for all alike
    torch.set_num_threads(THREADS)
    torch.manual_seed(13)
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = KBioXLMConfig(**SMALL, **no_dropout, vocab_size=TRIMMED, mlm_vocab_size=REDUCED)
    ours, padded = KBioXLMForMaskedLM(config).train(), KBioXLMForMaskedLM(config).train()
    padded.roberta = PaddedEncoder(config, add_pooling_layer=False)
    padded.load_state_dict(ours.state_dict())
    texts = random_texts(BATCH * BATCHES)
    arms = {
        "ours": (ours, batches_of(texts, BATCH)),
        "padding to the longest": (padded, batches_of(texts, BATCH)),
        f"padding to {LONGEST}": (padded, batches_of(texts, BATCH, LONGEST)),
        "batches sorted by length": (padded, batches_of(sorted(texts, key=lambda text: len(text[0])), BATCH)),
    }
    found = {name: gradient(*arm) for name, arm in arms.items()}
    for name, values in found.items():
        for mine, theirs in zip(found["ours"], values, strict=True):
            assert abs(mine - theirs) <= TOLERANCE * abs(theirs), f"{name}: {values}, ours: {found['ours']}"
    seconds = in_turn({name: lambda arm=arm: gradient(*arm) for name, arm in arms.items()}, ROUNDS)  # type: ignore[misc]
    pieces = sum(len(ids) for ids, _ in texts)
    rows = [
        less_is_better("uneven texts, loss and gradient", "s", seconds["ours"], seconds[name], name, goal)
        for name, goal in GOALS.items()
    ]
    share = {
        name: 1 - pieces / sum(batch["labels"].numel() for batch in batches) for name, (_, batches) in arms.items()
    }
    return rows, {
        "uneven texts": f"{len(texts)} in batches of {BATCH}, mean {pieces / len(texts):.1f} pieces",
        "loss and norm of its gradient": found,
        "share of padding": {name: round(value, 3) for name, value in share.items() if name != "ours"},
    }
