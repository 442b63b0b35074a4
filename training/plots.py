"""Plots of training and scores, as PNG; the same figures give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kbioxlm.common.files import written_beside

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
    losses = [(row["step"], row["loss"]) for row in history if "loss" in row]
    axes.plot(*_columns(losses), color="tab:blue", label="training loss")
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    scores = [(row["step"], row["eval_f1"]) for row in history if "eval_f1" in row]
    if scores:
        right = axes.twinx()
        right.plot(*_columns(scores), color="tab:orange", marker="o", label="dev F1")
        right.set(ylabel="strict F1 on dev (0 to 100)", ylim=(0, 100))
        handles = [*axes.get_lines(), *right.get_lines()]
        axes.legend(handles, [str(line.get_label()) for line in handles], loc="upper center", ncols=2)
    _save(figure, path)


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
    _save(figure, path)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _save(figure: Figure, path: str | Path) -> None:
    FigureCanvasAgg(figure)
    with written_beside(path) as draft:
        figure.savefig(draft, format="png", dpi=_DPI, metadata={"Software": None})
