"""Plots of training and scores, as PNG; the same figures give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kbioxlm.common.files import written_beside
from kbioxlm.training.pretraining.progress import OBJECTIVES

_DPI = 120


def loss_curve(history: Sequence[Mapping[str, Any]], path: str | Path, title: str) -> None:
    """Training loss over steps, and dev F1 on a second axis where there is any.

    Args:
        history: `Trainer.state.log_history`; entries with `loss`, and with `eval_f1` (0 to 100), are drawn.
        path: the PNG to write.
        title: stands above the plot.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*_columns(_series(history, "loss")), color="tab:blue", label="training loss")
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    scores = _series(history, "eval_f1")
    if scores:
        right = axes.twinx()
        right.plot(*_columns(scores), color="tab:orange", marker="o", label="dev F1")
        right.set(ylabel="strict F1 on dev (0 to 100)", ylim=(0, 100))
        handles = [*axes.get_lines(), *right.get_lines()]
        axes.legend(handles, [str(line.get_label()) for line in handles], loc="upper center", ncols=2)
    save_figure(figure, path)


def objective_curves(history: Sequence[Mapping[str, Any]], path: str | Path, title: str) -> None:
    """Losses over steps, and below them accuracies, a line for each pretraining objective.

    Args:
        history: entries with `step`, and `loss`, `NAME_loss` and `NAME_accuracy` (0 to 1) for each objective.
        path: the PNG to write.
        title: stands above the plot.
    """
    figure = Figure(figsize=(7, 7), layout="constrained")
    losses, accuracies = figure.subplots(2, 1, sharex=True)
    losses.plot(*_columns(_series(history, "loss")), color="black", linewidth=1, label="sum")
    for number, name in enumerate(OBJECTIVES):
        for axes, figure_of in ((losses, f"{name}_loss"), (accuracies, f"{name}_accuracy")):
            if f"{name}_accuracy" in {key for row in history for key in row}:  # else the run has none of its labels
                axes.plot(*_columns(_series(history, figure_of)), color=f"C{number}", label=name)
    losses.set(ylabel="loss", title=title)
    losses.set_ylim(bottom=0)
    accuracies.set(xlabel="step", ylabel="accuracy (0 to 1)", ylim=(0, 1))
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
        axes.legend(loc="upper right" if axes is losses else "lower right", ncols=2)
    save_figure(figure, path)


def f1_bars(scores: Mapping[str, Mapping[str, float]], path: str | Path, title: str) -> None:
    """Bars of F1: a group for each test set, in it a bar for each arm.

    Args:
        scores: arm, then test set, to F1 in 0 to 100; an arm may lack a test set.
        path: the PNG to write.
        title: stands above the plot.
    """
    tests = list(dict.fromkeys(test for by_test in scores.values() for test in by_test))
    figure = Figure(figsize=(max(5.0, 1.2 + 0.5 * len(tests) * (len(scores) + 1)), 4.2), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / max(1, len(scores))
    for number, (arm, by_test) in enumerate(scores.items()):
        present = [(i, by_test[test]) for i, test in enumerate(tests) if test in by_test]
        places = [i - 0.4 + (number + 0.5) * width for i, _ in present]
        bars = axes.bar(places, [value for _, value in present], width, label=arm)
        axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=1)
    axes.set_xticks(range(len(tests)), tests)
    axes.set(ylabel="strict entity-level F1 (0 to 100)", ylim=(0, 105), title=title)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=min(4, max(1, len(scores))))
    save_figure(figure, path)


def coverage_curve(shares: Mapping[str, NDArray[np.floating]], size: int, path: str | Path, title: str) -> None:
    """Share of each language's pieces that a vocabulary covers, over the vocabulary's size.

    Args:
        shares: by language, covered share (0 to 1) by the most frequent 1, 2, 3, … pieces.
        size: marked by a line.
        path: the PNG to write.
        title: stands above the plot.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for number, (language, values) in enumerate(shares.items()):
        sizes = np.unique(np.geomspace(1, len(values), 400).astype(int))  # a curve needs no more points
        axes.plot(sizes, 100 * values[sizes - 1], color=f"C{number}", label=language)
    axes.axvline(size, color="grey", linestyle="--", linewidth=1, label=f"{size:,} pieces")
    axes.set(xscale="log", xlabel="pieces in the vocabulary", ylabel="covered (%)", ylim=(0, 101), title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save_figure(figure, path)


def _series(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(row["step"], row[key]) for row in history if key in row]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write `figure` to `path` as PNG; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    with written_beside(path) as draft:
        figure.savefig(draft, format="png", dpi=_DPI, metadata={"Software": None})
