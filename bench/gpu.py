"""XLM-R base on a GPU in bfloat16, texts of uneven length: pieces per second and model-flops utilisation.

A step goes through all texts in micro-batches, as many at a time as the logits of each leave room for, and ends with
AdamW. Utilisation is what `training/pretraining/flops.py` says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from harness import Row, in_turn_apart, more_is_better
from steps import BASE, REDUCED, TRIMMED, VOCABULARY, XLM_R, Step
from transformers import DataCollatorWithFlattening, XLMRobertaConfig, XLMRobertaForMaskedLM
from transformers.utils import is_flash_attn_2_available
from uneven import Texts, batches_of, random_texts

from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForMaskedLM
from kbioxlm.training.pretraining.flops import peak_flops, step_flops

TEXTS = 512
AT_A_TIME = {"ours": 256, "peers": 32}
ROUNDS = 10
SPEED_GOAL = 4.0
UTILISATION_GOAL = 45.0  # percent
FLASH = "flash_attention_2"


def ours(attention: str, device: str, shape: dict[str, int] = BASE) -> Step:
    """Reduced head on the masked positions, trimmed input vocabulary, no padding, fused AdamW."""
    config = KBioXLMConfig(**shape, vocab_size=TRIMMED, mlm_vocab_size=REDUCED, attn_implementation=attention)
    model = KBioXLMForMaskedLM(config).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    return _step(model, batches_of(random_texts(TEXTS), AT_A_TIME["ours"]), optimizer, device)


def padded(device: str, shape: dict[str, int] = BASE) -> Step:
    """transformers' own model on padded batches, logits over all pieces at all positions."""
    return _peer(lambda texts: batches_of(texts, len(texts))[0], "sdpa", device, shape)


def flattened(device: str, shape: dict[str, int] = BASE) -> Step:
    """The same on flattened batches, through the variable-length path of FlashAttention."""
    collate = DataCollatorWithFlattening(return_flash_attn_kwargs=True, position_ids_start=2)

    def flat(texts: Texts) -> dict[str, Any]:
        return collate([{"input_ids": ids, "labels": labels} for ids, labels in texts])

    return _peer(flat, FLASH, device, shape)


def _peer(collate: Callable[[Texts], dict[str, Any]], attention: str, device: str, shape: dict[str, int]) -> Step:
    config = XLMRobertaConfig(**shape, **XLM_R, vocab_size=VOCABULARY, attn_implementation=attention)
    model = XLMRobertaForMaskedLM(config).to(device)
    texts, size = random_texts(TEXTS), AT_A_TIME["peers"]
    batches = [collate(texts[start : start + size]) for start in range(0, len(texts), size)]
    return _step(model, batches, torch.optim.AdamW(model.parameters()), device)


def _step(model: Any, batches: list[dict[str, Any]], optimizer: torch.optim.Optimizer, device: str) -> Step:
    model.train()
    counts = [int((batch["labels"] != -100).sum()) for batch in batches]
    batches = [
        {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
        for batch in batches
    ]

    def step() -> float:
        total = torch.zeros((), device=device)
        for batch, count in zip(batches, counts, strict=True):
            with torch.autocast(device, torch.bfloat16):
                loss = model(**batch).loss * (count / sum(counts))
            loss.backward()
            total += loss.detach()
        optimizer.step()
        optimizer.zero_grad()
        return float(total)  # waits for the device

    return step


def gpu_rows() -> tuple[list[Row], dict[str, Any]]:
    """The rows of the GPU; none, and why, where there is none."""
    if not torch.cuda.is_available():
        return [], {"XLM-R base in bfloat16 on a GPU": "skipped, no CUDA device here"}
    device, has_flash = "cuda", is_flash_attn_2_available()
    attention = FLASH if has_flash else "sdpa"
    makers: dict[str, Any] = {"ours": (ours, (attention, device)), "plain, padded": (padded, (device,))}
    notes: dict[str, Any] = {"GPU": torch.cuda.get_device_name(), "our attention": attention}
    if has_flash:
        makers["plain, FlashAttention"] = (flattened, (device,))
    else:
        notes["plain, FlashAttention"] = "skipped, the package flash-attn is not installed"
    texts = random_texts(TEXTS)
    lengths = [len(ids) for ids, _ in texts]
    pieces = sum(lengths)
    seconds = {name: taken for name, (taken, _) in in_turn_apart(makers, ROUNDS).items()}
    rates = {name: pieces / taken for name, taken in seconds.items()}
    rows = [
        more_is_better("XLM-R base on a GPU, bfloat16", "pieces/s", rates["ours"], rate, name, goal)
        for name, rate in rates.items()
        if name != "ours"
        for goal in [SPEED_GOAL if name == "plain, padded" else None]
    ]
    predicted = sum(int((labels != -100).sum()) for _, labels in texts)
    config = KBioXLMConfig(**BASE, vocab_size=TRIMMED, mlm_vocab_size=REDUCED)
    operations = step_flops(config, pieces, sum(length**2 for length in lengths), predicted, examples=0)
    peak = peak_flops(torch.device(device), bf16=True)
    if peak is None:
        return rows, {**notes, "model-flops utilisation": "skipped, the peak of this GPU is not known"}
    utilisation = 100 * operations / seconds["ours"] / peak
    rows.append(more_is_better("model-flops utilisation", "%", utilisation, UTILISATION_GOAL, "the goal", 1.0))
    return rows, notes
