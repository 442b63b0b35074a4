"""Training steps of ours and of the peers on the same random pieces.

A contestant is a function that builds model and optimizer and gives its step: forward, backward, AdamW. Each runs in a
process of its own, so that its peak memory is its own too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaForTokenClassification

from kbioxlm.common.memory import keep_freed_memory
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForMaskedLM

SMALL = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
VOCABULARY = 250_002
REDUCED = 37_030  # rows of the head (appendix A.1)
TRIMMED = 38_000  # pieces that English and Chinese texts need
XLM_R = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1}
FIRST_PIECE = 4  # special ones come before
MASKED = 0.15  # share of the pieces that are predicted
THREADS = 2
Step = Callable[[], float]


def random_batch(sequences: int, length: int) -> dict[str, torch.Tensor]:
    """Full sequences of pieces that every vocabulary here has, and labels."""
    generator = torch.Generator().manual_seed(13)
    ids = torch.randint(FIRST_PIECE, REDUCED, (sequences, length), generator=generator)
    masked = torch.rand(ids.shape, generator=generator) < MASKED
    return {
        "input_ids": torch.randint(FIRST_PIECE, REDUCED, ids.shape, generator=generator),
        "attention_mask": torch.ones_like(ids),
        "labels": ids.masked_fill(~masked, -100),
    }


def plain(shape: dict[str, int], sequences: int, length: int) -> Step:
    """transformers' own model, logits over all pieces at all positions, AdamW as it comes."""
    torch.set_num_threads(THREADS)
    model = XLMRobertaForMaskedLM(XLMRobertaConfig(**shape, **XLM_R, vocab_size=VOCABULARY))
    return _step(model, random_batch(sequences, length), torch.optim.AdamW(model.parameters()))


def authors(shape: dict[str, int], sequences: int, length: int) -> Step:
    """The authors' variant: a token classifier whose labels are the reduced vocabulary, at all positions."""
    torch.set_num_threads(THREADS)
    config = XLMRobertaConfig(**shape, **XLM_R, vocab_size=VOCABULARY, num_labels=REDUCED)
    model = XLMRobertaForTokenClassification(config)
    return _step(model, random_batch(sequences, length), torch.optim.AdamW(model.parameters()))


def ours(shape: dict[str, int], sequences: int, length: int, vocabulary: int) -> Step:
    """Reduced head on the masked positions, fused AdamW, memory as train.py keeps it; `vocabulary` input pieces."""
    keep_freed_memory()
    torch.set_num_threads(THREADS)
    model = KBioXLMForMaskedLM(KBioXLMConfig(**shape, vocab_size=vocabulary, mlm_vocab_size=REDUCED))
    return _step(model, random_batch(sequences, length), torch.optim.AdamW(model.parameters(), fused=True))


def training_step(
    model: Any, next_batch: Callable[[], dict[str, torch.Tensor]], optimizer: torch.optim.Optimizer, bf16: bool = False
) -> Step:
    """Forward, backward, AdamW on the batch that comes next."""
    model.train()

    def step() -> float:
        batch = next_batch()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def _step(model: Any, batch: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer) -> Step:
    return training_step(model, lambda: batch, optimizer)
