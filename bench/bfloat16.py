"""Steps in bfloat16 on a CPU that is fast at it, on batches of uneven texts, each with a shape that never came before.

A batch that comes again would find its matrix products compiled; in training none does.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from harness import Row, in_turn_apart, less_is_better
from steps import BASE, FIRST_PIECE, MASKED, REDUCED, SMALL, THREADS, TRIMMED, Step, training_step
from uneven import PaddedEncoder, uneven_lengths

from kbioxlm.common.memory import keep_freed_memory
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForMaskedLM
from kbioxlm.training.device import has_fast_bfloat16

CASES: dict[str, tuple[dict[str, int], int, int]] = {"4 x 256": (SMALL, 64, 20), "XLM-R base": (BASE, 16, 5)}
OURS, EXACT, PADDED = "ours", "ours in float32", "the same heads on transformers' encoder, padded to the longest"


def step_of(shape: dict[str, int], texts: int, kind: str) -> Step:
    """A training step on the next batch of `texts` texts."""
    keep_freed_memory()
    torch.set_num_threads(THREADS)
    torch.manual_seed(13)
    config = KBioXLMConfig(**shape, vocab_size=TRIMMED, mlm_vocab_size=REDUCED)
    model = KBioXLMForMaskedLM(config)
    if kind == PADDED:
        model.roberta = PaddedEncoder(config, add_pooling_layer=False)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    lengths = uneven_lengths(10_000)
    numbers = itertools.count()

    return training_step(model, lambda: _batch(lengths, texts, next(numbers)), optimizer, bf16=kind != EXACT)


def _batch(lengths: torch.Tensor, texts: int, number: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    chosen = lengths[torch.randint(len(lengths), (texts,), generator=generator)]
    shape = (texts, int(chosen.max()))
    inside = torch.arange(shape[1]) < chosen.unsqueeze(1)
    ids, labels = torch.randint(FIRST_PIECE, REDUCED, (2, *shape), generator=generator)
    masked = inside & (torch.rand(shape, generator=generator) < MASKED)
    return {
        "input_ids": ids.masked_fill(~inside, 1),
        "attention_mask": inside.long(),
        "labels": labels.masked_fill(~masked, -100),
    }


def bfloat16_rows() -> list[Row]:
    """The rows, none on a CPU without AVX-512 BF16 or AMX."""
    rows = []
    for name, (shape, texts, rounds) in CASES.items() if has_fast_bfloat16() else ():
        makers: dict[str, Any] = {kind: (step_of, (shape, texts, kind)) for kind in (OURS, EXACT, PADDED)}
        measured = in_turn_apart(makers, rounds)
        rows += [
            less_is_better(
                f"{name}, bfloat16, a step of new uneven texts", "s", measured[OURS][0], measured[kind][0], kind
            )
            for kind in (EXACT, PADDED)
        ]
    return rows
