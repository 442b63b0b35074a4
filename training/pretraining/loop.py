"""The optimizer steps of a pretraining run, on one device or many, from the start or from a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm

from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.device import check_sharding, configure_deepspeed
from kbioxlm.training.pretraining.examples import MaskedSteps, MicroBatch
from kbioxlm.training.pretraining.flops import peak_flops, step_flops
from kbioxlm.training.pretraining.progress import OBJECTIVES, Window, check_finite, labelled
from kbioxlm.training.pretraining.saved_state import load_checkpoint, save_checkpoint
from kbioxlm.training.runs import step_of


@dataclass(frozen=True)
class Optimization:
    """How a run optimizes, logs and saves; the keys of `PretrainRecipe`."""

    steps: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    max_gradient_norm: float
    logging_steps: int
    save_steps: int
    workers: int
    compiled: bool

    def learning_rate_at(self, step: int) -> float:
        """Linear from 0 to the peak in the warm-up, then linear to 0 at the end (A.1; the fall is XLM-R's)."""
        if step < self.warmup_steps:
            return self.learning_rate * step / self.warmup_steps
        return self.learning_rate * (self.steps - step) / max(1, self.steps - self.warmup_steps)


@dataclass
class State:
    """Where a run is; together with weights, moments and random states all that its next step depends on."""

    step: int
    pieces: int
    seconds: float  # of all attempts
    seconds_here: float  # since the run went on
    window: Window
    history: list[dict[str, float]]

    @classmethod
    def of(cls, saved: dict[str, Any]) -> State:
        """The state that `dataclasses.asdict` made `saved` of, in another attempt."""
        return cls(**{**saved, "window": Window(**saved["window"]), "seconds_here": 0.0})


def optimize(
    accelerator: Accelerator,
    model: KBioXLMForPreTraining,
    batches: MaskedSteps,
    how: Optimization,
    work: Path,
    resumed: Path | None,
    on_log: Callable[[dict[str, float]], None] = lambda entry: None,
) -> tuple[torch.nn.Module, State]:
    """Run the steps that are left.

    The loss of a step is that of equation 4 over the whole batch: an objective's loss is the mean over all of its
    labelled positions, whichever process and micro-batch they are in. Losses and weights are the same, up to rounding,
    however a batch is divided.

    Args:
        accelerator: holds the processes together.
        model: not wrapped yet.
        batches: what this process computes in each step.
        work: folder of the checkpoints.
        resumed: the checkpoint to go on from; None to begin.
        on_log: is told of every entry of the log, on the main process.

    Returns:
        the model as `accelerator` wrapped it, and the state at the end.

    Raises:
        InputError: a loss that is not finite, a checkpoint that does not fit or cannot be written.
    """
    optimizer = _optimizer(model, how)
    accelerator.gradient_accumulation_steps = batches.rounds
    check_sharding(accelerator, is_tied=model.lm_head.token_ids is None)
    configure_deepspeed(accelerator, batches.largest_micro_batch, how.max_gradient_norm)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    wrapped.train()
    if how.compiled:
        wrapped.compile(dynamic=True)  # batches differ in size
    state = State(0, 0, 0.0, 0.0, Window(), [])
    loader = _loader(batches, how, accelerator, resumed)
    if resumed is not None:
        state = State.of(load_checkpoint(accelerator, wrapped, optimizer, resumed))
    pending = _Pending(accelerator, model.config)
    peak = peak_flops(accelerator.device, accelerator.mixed_precision == "bf16")
    peak = None if peak is None else peak * accelerator.num_processes
    bar = tqdm(
        total=how.steps, initial=state.step, desc="pretraining", unit="step",
        disable=not accelerator.is_local_main_process,
    )  # fmt: skip
    clock = time.perf_counter()
    with bar:
        for micro_batches in loader:
            positions = torch.stack([labelled(batch) for batch in micro_batches]).sum(dim=0)
            counts = accelerator.reduce(positions.to(accelerator.device), "sum")
            for group in optimizer.param_groups:
                group["lr"] = how.learning_rate_at(state.step)
            pending.begin(counts, micro_batches)
            for batch in micro_batches:
                batch = {name: tensor.to(accelerator.device, non_blocking=True) for name, tensor in batch.items()}
                with accelerator.accumulate(wrapped):
                    outputs = wrapped(**batch)
                    parts = torch.stack([outputs[f"{name}_loss"] for name in OBJECTIVES])
                    parts = parts * labelled(batch) / counts.clamp(min=1)
                    # accelerate takes the mean over micro-batches, and torch over processes
                    accelerator.backward(parts.sum() * batches.rounds * accelerator.num_processes)
                    pending.add(parts.detach(), outputs.correct)
            norm = accelerator.clip_grad_norm_(wrapped.parameters(), how.max_gradient_norm)
            optimizer.step()
            optimizer.zero_grad()
            pending.end(norm)
            state.step += 1
            bar.update()
            logs = state.step % how.logging_steps == 0 or state.step == how.steps
            saves = state.step % how.save_steps == 0 and state.step < how.steps
            if logs or saves:
                now = time.perf_counter()
                pending.flush(state, now - clock, work)
                clock = now
            if logs:
                entry = {**state.window.entry(state.step, peak), "learning_rate": how.learning_rate_at(state.step - 1)}
                state.window = Window()
                state.history.append(entry)
                bar.set_postfix(loss=entry["loss"])
                if accelerator.is_main_process:
                    on_log(entry)
            if saves:
                save_checkpoint(accelerator, wrapped, optimizer, work, asdict(state))
    return wrapped, state


class _Pending:
    """The figures of the last steps, left on the device until they are needed, so that it is never waited for."""

    def __init__(self, accelerator: Accelerator, config: KBioXLMConfig):
        self._accelerator = accelerator
        self._config = config
        self._steps: list[torch.Tensor] = []  # of this process: 3 losses, 3 correct, and four sizes of the batch
        self._counts: list[torch.Tensor] = []  # (3,) of all processes
        self._norms: list[Any] = []

    def begin(self, counts: torch.Tensor, micro_batches: list[MicroBatch]) -> None:
        """A step begins: `counts` labelled positions in the whole batch, `(3,)`."""
        lengths = torch.cat([batch["attention_mask"].sum(dim=1) for batch in micro_batches])
        padded = sum(batch["attention_mask"].numel() for batch in micro_batches)
        sizes = [int(lengths.sum()), padded, int((lengths**2).sum()), len(lengths)]
        self._steps.append(torch.tensor([*[0.0] * 6, *sizes], dtype=torch.float64, device=self._accelerator.device))
        self._counts.append(counts)

    def add(self, losses: torch.Tensor, found: torch.Tensor) -> None:
        """A micro-batch of the step: its part of the losses, and right predictions, `(3,)` each."""
        self._steps[-1][:3] += losses
        self._steps[-1][3:6] += found

    def end(self, norm: Any) -> None:
        """The step's gradient has this norm."""
        self._norms.append(norm)

    def flush(self, state: State, seconds: float, work: Path) -> None:
        """Add the steps to `state`, to its last step inclusive; `seconds` were spent on them."""
        table = self._accelerator.reduce(torch.stack(self._steps), "sum").tolist()
        counts = torch.stack(self._counts).tolist()
        first = state.step - len(table) + 1
        kept = f"the last checkpoint is in {work}" if any(work.glob("checkpoint-*")) else "there is no checkpoint yet"
        for number, (row, positions, norm) in enumerate(zip(table, counts, self._norms, strict=True)):
            check_finite(row[:3], first + number, kept)
            *found, pieces, padded, squared, examples = (int(value) for value in row[3:])
            state.window.add(
                row[:3], positions, found, gradient_norm=float(norm or 0.0), pieces=pieces, padded_pieces=padded,
                flops=step_flops(self._config, pieces, squared, sum(positions[:2]), examples),
                seconds=seconds / len(table),
            )  # fmt: skip
            state.pieces += pieces
        state.seconds += seconds
        state.seconds_here += seconds
        self._steps, self._counts, self._norms = [], [], []


def _optimizer(model: torch.nn.Module, how: Optimization) -> torch.optim.Optimizer:
    """AdamW; matrices and embeddings decay, biases and layer norms do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": how.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=how.learning_rate, fused=True)


def _loader(batches: MaskedSteps, how: Optimization, accelerator: Accelerator, resumed: Path | None) -> Any:
    """The micro-batches of the steps that are left."""
    first = 0 if resumed is None else step_of(resumed)
    return DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, how.steps),
        num_workers=how.workers,
        multiprocessing_context="fork" if how.workers else None,  # the memory-mapped corpora are shared, not copied
        pin_memory=accelerator.device.type == "cuda",
        generator=torch.Generator(),  # torch's own generator belongs to dropout
    )
