"""What the machine at hand is good at."""

from __future__ import annotations

from typing import Any

import torch


def has_fast_bfloat16() -> bool:
    """Whether matrix products in bfloat16 beat float32 here: a GPU with it, or a CPU with AVX-512 BF16 or AMX.

    Elsewhere a CPU emulates bfloat16 and is several times slower than in float32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # The public torch.cpu.get_capabilities() came after the oldest torch that is supported.
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def trainer_device(bf16: bool | None) -> dict[str, Any]:
    """TrainingArguments that depend on the machine; `bf16=None` takes bfloat16 autocast where it is fast."""
    return {
        "bf16": has_fast_bfloat16() if bf16 is None else bf16,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
