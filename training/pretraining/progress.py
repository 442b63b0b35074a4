"""What a pretraining run logs: losses and accuracies by objective, speed, padding."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from kbioxlm.common.errors import InputError
from kbioxlm.training.pretraining.masking import IGNORED

OBJECTIVES = ("entity", "relation", "passage")  # equations 1 to 3
_LABELS = ("labels", "relation_labels", "passage_labels")
TIMES = ("pieces_per_second", "model_tflops", "model_flops_utilisation")  # what differs when a run is repeated
_SUMS = ("steps", "loss", "gradient_norm", "seconds", "pieces", "padded_pieces", "flops")


def labelled(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Positions that count in each objective's loss, `(3,)`, int64."""
    return torch.stack([(batch[name] != IGNORED).sum() for name in _LABELS])


@dataclass
class Window:
    """Sums over the steps since the last entry of the log.

    Sums grow step by step in double precision, so that they are the same whether a run was interrupted or not.
    """

    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0.0))
    losses: list[float] = field(default_factory=lambda: [0.0] * 3)  # over positions, by objective
    positions: list[int] = field(default_factory=lambda: [0] * 3)
    correct: list[int] = field(default_factory=lambda: [0] * 3)

    def add(self, losses: list[float], positions: list[int], found: list[int], **sums: float) -> None:
        """Add one step: its mean loss, labelled positions and right predictions by objective, and other sums."""
        self.sums["steps"] += 1
        self.sums["loss"] += math.fsum(losses)
        for name, value in sums.items():
            self.sums[name] += value
        for task in range(3):
            self.losses[task] += losses[task] * positions[task]
            self.positions[task] += positions[task]
            self.correct[task] += found[task]

    def entry(self, step: int, peak: float | None) -> dict[str, float]:
        """The log's entry; docs/pretraining.md says what its figures are.

        Args:
            step: the last step of the window.
            peak: operations per second that all devices together could do, where it is known.
        """
        sums = self.sums
        entry = {"step": step, "steps": int(sums["steps"]), "loss": round(sums["loss"] / sums["steps"], 6)}
        for task, name in enumerate(OBJECTIVES):
            entry[f"{name}_loss"] = round(self.losses[task] / max(1, self.positions[task]), 6)
            if self.positions[task]:
                entry[f"{name}_accuracy"] = round(self.correct[task] / self.positions[task], 6)
        entry["gradient_norm"] = round(sums["gradient_norm"] / sums["steps"], 6)
        entry["padding"] = round(1 - sums["pieces"] / sums["padded_pieces"], 4)
        entry["pieces_per_second"] = round(sums["pieces"] / sums["seconds"], 1)
        entry["model_tflops"] = round(sums["flops"] / sums["seconds"] / 1e12, 6)
        if peak is not None:
            entry["model_flops_utilisation"] = round(sums["flops"] / sums["seconds"] / peak, 6)
        return entry


def check_finite(losses: list[float], step: int, kept: str) -> None:
    """Stop a run that has nothing to learn from any more.

    Args:
        losses: by objective.
        kept: says which checkpoint there is.

    Raises:
        InputError: a loss is not a finite number.
    """
    for name, loss in zip(OBJECTIVES, losses, strict=True):
        if not math.isfinite(loss):
            raise InputError(
                f"step {step}", f"the {name} loss is {loss}",
                f"try a lower learning_rate, more warmup_steps or bf16=false; {kept}",
            )  # fmt: skip
