"""What the machine at hand is good at."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedType

from kbioxlm.common.errors import InputError


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


def training_accelerator(bf16: bool | None) -> Accelerator:
    """The processes and devices of a run, alone or under `accelerate launch`; `bf16=None` as in `trainer_device`."""
    # An earlier run in this process may have had another precision, or another number of micro-batches.
    AcceleratorState._reset_state()
    GradientState._reset_state()
    precision = "bf16" if trainer_device(bf16)["bf16"] else "no"
    return Accelerator(cpu=not torch.cuda.is_available(), mixed_precision=precision)


def check_sharding(accelerator: Accelerator, is_tied: bool) -> None:
    """Refuse what FSDP cannot shard.

    Args:
        is_tied: whether the MLM head shares its matrix with the embeddings.

    Raises:
        InputError: FSDP and a tied head, whose bias torch finds in two of its groups.
    """
    if is_tied and accelerator.distributed_type == DistributedType.FSDP:
        raise InputError(
            "recipe",
            "FSDP cannot shard an MLM head that is tied to the embeddings",
            "set mlm_vocab_size (A.1), or use DDP",
        )


def configure_deepspeed(accelerator: Accelerator, micro_batch: int, max_gradient_norm: float) -> None:
    """Tell DeepSpeed, where it is used, what the recipe says and its own configuration leaves `auto`."""
    plugin = accelerator.state.deepspeed_plugin
    if plugin is not None:
        plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = micro_batch
        plugin.deepspeed_config["gradient_clipping"] = max_gradient_norm


def hardware(accelerator: Accelerator) -> dict[str, Any]:
    """What a run ran on, for its report."""
    if accelerator.device.type == "cuda":
        device = torch.cuda.get_device_name(accelerator.device)
    else:
        device = f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"
    return {
        "device": device,
        "processes": accelerator.num_processes,
        "precision": "bfloat16" if accelerator.mixed_precision == "bf16" else "float32",
    }


def is_main_process() -> bool:
    """Whether this is the first, or only, process of a run."""
    return int(os.environ.get("RANK", "0")) == 0
