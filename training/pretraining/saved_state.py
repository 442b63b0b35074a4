"""Checkpoints of a pretraining run: everything that the next step depends on, complete or absent.

Weights, moments and random states are safetensors, the rest is JSON; nothing is pickled (but by DeepSpeed, in its own
files).
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from kbioxlm.common.errors import InputError
from kbioxlm.training.runs import STATE, disk_errors

_MODEL, _OPTIMIZER, _GROUPS = "model.safetensors", "optimizer.safetensors", "optimizer_groups.json"
# strict would refuse parameters that have had no gradient yet
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)


def save_checkpoint(
    accelerator: Accelerator, model: torch.nn.Module, optimizer: Any, work: Path, state: Mapping[str, Any]
) -> None:
    """Write `work/checkpoint-STEP`, then remove older ones. All processes call it together.

    Args:
        model, optimizer: as `accelerator` prepared them.
        state: what JSON can hold of where the run is; its `step` names the checkpoint.

    Raises:
        InputError: the disk is full or cannot be written; the checkpoint before is intact.
    """
    target = work / f"checkpoint-{state['step']}"
    draft = work / f".{target.name}.part"
    lost = f"the checkpoint of step {state['step']}"
    try:
        with disk_errors(work, lost, "it goes on from the checkpoint before"):
            draft.mkdir(exist_ok=True)
            save_file(_random_state(), draft / _random_file(accelerator.process_index))
            if accelerator.distributed_type == DistributedType.DEEPSPEED:
                accelerator.save_state(str(draft))  # its own files: only it knows how it divides the moments
            else:
                _save(accelerator, model, optimizer.optimizer, draft)
            if accelerator.is_main_process:
                (draft / STATE).write_text(json.dumps(state), encoding="utf-8")
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                for path in [*draft.rglob("*"), draft]:
                    _flush(path)
    except InputError:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        draft.rename(target)
        _flush(work)
        for old in work.glob("checkpoint-*"):
            if old != target:
                shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load_checkpoint(accelerator: Accelerator, model: torch.nn.Module, optimizer: Any, folder: Path) -> dict[str, Any]:
    """Put everything back as it was when `folder` was written; returns its `state`.

    Raises:
        InputError: it holds a model of another shape, or was written by another number of processes.
    """
    random_file = folder / _random_file(accelerator.process_index)
    processes = len(list(folder.glob(_random_file("*"))))
    if processes != accelerator.num_processes:
        raise InputError(
            folder, f"was written by {processes} processes, now there are {accelerator.num_processes}",
            f"start {processes} processes, or delete {folder.parent} to begin anew",
        )  # fmt: skip
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        accelerator.load_state(str(folder))
    else:
        _load(accelerator, model, optimizer.optimizer, folder)
    _set_random_state(load_file(random_file))
    return json.loads((folder / STATE).read_text(encoding="utf-8"))


def whole_weights(accelerator: Accelerator, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a model that may be in parts; all of them on the main process. All processes call it together."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        return accelerator.get_state_dict(model)
    return _weights(model)


def _weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    weights: Any = get_model_state_dict(model, options=_WHOLE)
    return weights


def _save(accelerator: Accelerator, model: torch.nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    weights = _weights(model)
    moments: Any = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
    if accelerator.is_main_process:
        save_file(_without_aliases(weights), folder / _MODEL)
        flat = {f"{name}/{part}": value for name, parts in moments["state"].items() for part, value in parts.items()}
        save_file(flat, folder / _OPTIMIZER)
        (folder / _GROUPS).write_text(json.dumps(moments["param_groups"]), encoding="utf-8")


def _load(accelerator: Accelerator, model: torch.nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    weights: dict[str, Any] = load_file(folder / _MODEL)
    own = {name: tensor.shape for name, tensor in accelerator.unwrap_model(model).state_dict().items()}
    for name, tensor in weights.items():
        if own.get(name) != tensor.shape:
            raise InputError(
                folder, f"{name} has shape {tuple(tensor.shape)}, in the model {tuple(own.get(name, ())) or 'none'}",
                f"delete {folder.parent} to begin anew",
            )  # fmt: skip
    moments: dict[str, Any] = {"state": {}, "param_groups": json.loads((folder / _GROUPS).read_text(encoding="utf-8"))}
    for key, value in load_file(folder / _OPTIMIZER).items():
        name, _, part = key.rpartition("/")
        moments["state"].setdefault(name, {})[part] = value
    set_model_state_dict(model, weights, options=_WHOLE)
    set_optimizer_state_dict(model, optimizer, moments, options=_WHOLE)


def _without_aliases(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tied weights once: they come back tied."""
    seen: set[int] = set()
    kept = {}
    for name, tensor in weights.items():
        if tensor.data_ptr() not in seen:
            kept[name] = tensor.contiguous()
            seen.add(tensor.data_ptr())
    return kept


def _random_file(process: int | str) -> str:
    return f"random-{process}.safetensors"


def _random_state() -> dict[str, torch.Tensor]:
    """The states of all generators of this process: torch's on each device, Python's and NumPy's."""
    numpy_state: Any = np.random.get_state(legacy=False)
    states = {
        "python": torch.tensor(random.getstate()[1]),
        "numpy": torch.from_numpy(np.append(numpy_state["state"]["key"].astype(np.int64), numpy_state["state"]["pos"])),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_random_state(states: dict[str, torch.Tensor]) -> None:
    random.setstate((3, tuple(states["python"].tolist()), None))
    *key, position = states["numpy"].tolist()
    np.random.set_state(("MT19937", np.array(key, dtype=np.uint32), position, 0, 0.0))
    torch.set_rng_state(states["torch"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])


def _flush(path: Path) -> None:
    """Make sure that a power cut finds the file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
