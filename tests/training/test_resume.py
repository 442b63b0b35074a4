"""A run that is killed goes on with the same command and ends with the same bytes; nothing good is ever lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kbioxlm.training.pretraining.progress import TIMES

STEPS, SAVE_STEPS, LOGGING_STEPS = 40, 7, 3  # logs and checkpoints fall on different steps
SHAPE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "max_position_embeddings": 66, "hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def keys(sample_corpora: Path, sample_tokenizer: Path) -> dict[str, Any]:
    return {
        "corpora": str(sample_corpora), "tokenizer": str(sample_tokenizer), "shape": SHAPE,
        "shares": {"passage": 0.2, "fact": 0.2, "entity": 0.2, "monolingual": 0.4},
        "steps": STEPS, "batch_size": 6, "micro_batch": 3, "learning_rate": 5e-3, "warmup_steps": 4, "max_length": 48,
        "save_steps": SAVE_STEPS, "logging_steps": LOGGING_STEPS, "bf16": False,
    }  # fmt: skip


def recipe_in(folder: Path, keys: dict[str, Any], **changes: Any) -> Path:
    """A recipe file whose output is `folder/model`."""
    folder.mkdir(exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**keys, "output": str(folder / "model"), **changes}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(workers: Any, keys: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of a run that was left alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert workers.finish(workers.start(recipe_in(folder, keys), folder / "errors")) == 0
    return folder / "model"


def without_times(model: Path) -> dict[str, Any]:
    report = json.loads((model / "report.json").read_text(encoding="utf-8"))
    for key in ("seconds", "training_seconds"):
        assert report.pop(key) > 0
    for entry in report["history"]:
        for key in TIMES:
            entry.pop(key, None)
    report["recipe"].pop("output")
    return report


def assert_same_run(model: Path, other: Path) -> None:
    """Weights, losses and everything else but the times are the same, to the last bit."""
    assert (model / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert without_times(model) == without_times(other)
    assert {path.name for path in model.iterdir()} == {path.name for path in other.iterdir()}


@pytest.mark.parametrize("delays", [(0.0, 0.013), (0.031, 0.002)])
def test_resume_after_two_kills_is_bit_for_bit(
    workers: Any, undisturbed: Path, keys: dict[str, Any], tmp_path: Path, delays: tuple[float, float]
) -> None:
    recipe = recipe_in(tmp_path, keys)
    for step, delay in zip((SAVE_STEPS, 3 * SAVE_STEPS), delays, strict=True):
        workers.kill_after([workers.start(recipe, tmp_path / "errors")], tmp_path, step, delay)
        assert not (tmp_path / "model").exists()
    assert workers.finish(workers.start(recipe, tmp_path / "errors")) == 0
    assert_same_run(tmp_path / "model", undisturbed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["errors", "model", "recipe.yaml"]


def test_resume_after_a_full_disk(workers: Any, undisturbed: Path, keys: dict[str, Any], tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path, keys)
    workers.kill_after([workers.start(recipe, tmp_path / "errors")], tmp_path, SAVE_STEPS)
    work = tmp_path / ".model.training"
    (checkpoint,) = work.glob("checkpoint-*")
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    step = int(checkpoint.name.rpartition("-")[2])
    assert workers.finish(workers.start(recipe, tmp_path / "errors", largest_file=100_000)) == 2
    message = (tmp_path / "errors").read_text(encoding="utf-8").splitlines()[-1]
    assert f"error: {work}: the checkpoint of step {step + SAVE_STEPS} cannot be written" in message
    assert "File too large" in message
    assert "make room and run the same command again; it goes on from the checkpoint before" in message
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before
    assert sorted(path.name for path in work.iterdir()) == [checkpoint.name, "run.json"]
    assert workers.finish(workers.start(recipe, tmp_path / "errors")) == 0
    assert_same_run(tmp_path / "model", undisturbed)


def test_resume_with_a_changed_recipe_is_refused(
    workers: Any, undisturbed: Path, keys: dict[str, Any], tmp_path: Path
) -> None:
    recipe = recipe_in(tmp_path, keys)
    workers.kill_after([workers.start(recipe, tmp_path / "errors")], tmp_path, SAVE_STEPS)
    changed = recipe_in(tmp_path, keys, learning_rate=1e-3, steps=80)
    assert workers.finish(workers.start(changed, tmp_path / "errors")) == 2
    message = (tmp_path / "errors").read_text(encoding="utf-8").splitlines()[-1]
    assert "differs in recipe.steps (40, now 80), recipe.learning_rate (0.005, now 0.001); restore these" in message
    assert workers.finish(workers.start(recipe_in(tmp_path, keys), tmp_path / "errors")) == 0
    assert_same_run(tmp_path / "model", undisturbed)
