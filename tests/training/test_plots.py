from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from kbioxlm.training import plots

HISTORY = [
    {"step": 10, "epoch": 0.5, "loss": 2.0},
    {"step": 20, "epoch": 1.0, "loss": 1.0},
    {"step": 20, "epoch": 1.0, "eval_f1": 40.0},
    {"step": 20, "epoch": 1.0, "train_runtime": 3.0},
]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    saved: list[Figure] = []
    save = plots.save_figure

    def kept(figure: Figure, path: str | Path) -> None:
        saved.append(figure)
        save(figure, path)

    monkeypatch.setattr(plots, "save_figure", kept)
    return saved


def test_loss_curve(tmp_path: Path, figures: list[Figure]) -> None:
    plots.loss_curve(HISTORY, tmp_path / "loss.png", "Fine-tuning")
    left, right = figures[0].axes
    assert np.asarray(left.get_lines()[0].get_xydata()).tolist() == [[10, 2.0], [20, 1.0]]
    assert np.asarray(right.get_lines()[0].get_xydata()).tolist() == [[20, 40.0]]
    assert (left.get_xlabel(), left.get_ylabel(), left.get_title()) == ("step", "loss", "Fine-tuning")
    assert "F1" in right.get_ylabel()


def test_loss_curve_without_dev(tmp_path: Path, figures: list[Figure]) -> None:
    plots.loss_curve(HISTORY[:2], tmp_path / "loss.png", "Pretraining")
    assert len(figures[0].axes) == 1


def test_objective_curves(tmp_path: Path, figures: list[Figure]) -> None:
    history = [
        {"step": 5, "loss": 9.0, "entity_loss": 7.0, "entity_accuracy": 0.1, "relation_loss": 0.0, "passage_loss": 0.0},
        {"step": 9, "loss": 6.0, "entity_loss": 5.0, "entity_accuracy": 0.2, "relation_loss": 0.0, "passage_loss": 1.0,
         "passage_accuracy": 0.5},
    ]  # fmt: skip
    plots.objective_curves(history, tmp_path / "loss.png", "Pretraining")
    losses, accuracies = figures[0].axes
    drawn = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in losses.get_lines()}
    assert drawn == {"sum": [[5, 9], [9, 6]], "entity": [[5, 7], [9, 5]], "passage": [[5, 0], [9, 1]]}
    drawn = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in accuracies.get_lines()}
    assert drawn == {"entity": [[5, 0.1], [9, 0.2]], "passage": [[9, 0.5]]}
    assert losses.get_title() == "Pretraining"
    assert accuracies.get_ylim() == (0, 1)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_f1_bars(tmp_path: Path, figures: list[Figure]) -> None:
    plots.f1_bars({"a": {"en": 60.0, "zh": 6.5}, "b": {"en": 62.0}}, tmp_path / "f1.png", "F1")
    (axes,) = figures[0].axes
    assert [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)] == [60.0, 6.5, 62.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["en", "zh"]
    assert "60.0" in [text.get_text() for text in axes.texts]
    assert "0 to 100" in axes.get_ylabel()


def test_same_figures_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plots.f1_bars({"a": {"en": 60.0}}, tmp_path / name, "F1")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    image = Image.open(tmp_path / "a.png")
    assert min(image.size) > 300
    assert "Software" not in image.info
