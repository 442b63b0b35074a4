"""A batch divided among micro-batches or processes teaches the same as the whole batch at once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from kbioxlm.common.recipe import load_recipe
from kbioxlm.training.pretraining.recipe import PretrainRecipe
from kbioxlm.training.pretraining.run import pretrain

ROOT = Path(__file__).parents[2]
SHAPE = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48,
    "max_position_embeddings": 66, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def keys(sample_corpora: Path, sample_tokenizer: Path) -> dict[str, Any]:
    return {
        "corpora": str(sample_corpora), "tokenizer": str(sample_tokenizer), "shape": SHAPE,
        "shares": {"passage": 0.2, "fact": 0.2, "entity": 0.2, "monolingual": 0.4},
        "steps": 8, "batch_size": 8, "learning_rate": 5e-3, "warmup_steps": 2, "max_length": 48, "save_steps": 3,
        "bf16": False,
    }  # fmt: skip


def recipe_in(folder: Path, keys: dict[str, Any], **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**keys, "output": str(folder / "model"), **changes}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(keys: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batches of 8 in one process, each taken at once."""
    folder = tmp_path_factory.mktemp("whole")
    pretrain(load_recipe(PretrainRecipe, recipe_in(folder, keys)))
    return folder / "model"


def history(model: Path) -> list[dict[str, float]]:
    return json.loads((model / "report.json").read_text(encoding="utf-8"))["history"]


def assert_learnt_the_same(model: Path, other: Path) -> None:
    first, second = (load_file(folder / "model.safetensors") for folder in (model, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert (tensor - second[name]).abs().max() < 1e-5, name
    logs = history(model), history(other)
    assert len(logs[0]) == len(logs[1]) == 8
    for entry, same in zip(*logs, strict=True):
        for key in ("loss", "entity_loss", "relation_loss", "passage_loss", "entity_accuracy", "gradient_norm"):
            assert entry[key] == pytest.approx(same[key], abs=1e-5), (entry["step"], key)


@pytest.mark.parametrize("micro_batch", [4, 3])
def test_accumulated_micro_batches_teach_what_the_batch_teaches(
    whole: Path, keys: dict[str, Any], tmp_path: Path, micro_batch: int
) -> None:
    """Parts have unequal numbers of labels, and some have none of an objective's: a mean of means would differ."""
    pretrain(load_recipe(PretrainRecipe, recipe_in(tmp_path, keys, micro_batch=micro_batch)))
    assert_learnt_the_same(tmp_path / "model", whole)


def test_ddp_of_two_processes_teaches_what_one_does(whole: Path, keys: dict[str, Any], tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path, keys, micro_batch=2)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "train.py", "pretrain", str(recipe)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("see README.md and loss.png") == 1
    report = json.loads((tmp_path / "model" / "report.json").read_text(encoding="utf-8"))
    assert report["hardware"]["processes"] == 2
    assert_learnt_the_same(tmp_path / "model", whole)


def test_ddp_resume_is_bit_for_bit(workers: Any, keys: dict[str, Any], tmp_path: Path) -> None:
    """Two processes with dropout, both killed after a checkpoint."""
    shape = {**SHAPE, "hidden_dropout_prob": 0.2}

    def run(folder: Path, steps: int, kill: bool = False) -> list[int]:
        recipe = recipe_in(folder, keys, shape=shape, steps=steps)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        started = [
            workers.start(
                recipe, folder / f"errors-{rank}", RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
                MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
            )
            for rank in (0, 1)
        ]  # fmt: skip
        if kill:
            workers.kill_after(started, folder, 3)
        return [workers.finish(worker) for worker in started]

    assert run(tmp_path / "left_alone", 40) == [0, 0]
    assert run(tmp_path / "killed", 40, kill=True) == [-9, -9]
    assert run(tmp_path / "killed", 40) == [0, 0]
    first, second = (tmp_path / name / "model" / "model.safetensors" for name in ("left_alone", "killed"))
    assert first.read_bytes() == second.read_bytes()
    # one process has other masks of dropout, so it does not go on where two were
    assert run(tmp_path / "other", 40, kill=True) == [-9, -9]
    assert workers.finish(workers.start(tmp_path / "other" / "recipe.yaml", tmp_path / "errors")) == 2
    message = (tmp_path / "errors").read_text(encoding="utf-8").splitlines()[-1]
    assert "was written by 2 processes, now there are 1; start 2 processes, or delete" in message
