"""The tiny checkpoint and data of the tests of training, and a benchmarks folder in two languages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load(name: str, path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


training = _load("conftest_of_training", Path(__file__).parents[1] / "training" / "conftest.py")
checkpoint, ner_files, labelled_texts = training.checkpoint, training.ner_files, training.labelled_texts
_one_thread = training._one_thread


@pytest.fixture(scope="session")
def base() -> dict[str, Any]:
    """Keys of a fine-tuning recipe that suit the tiny checkpoint."""
    return {
        "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "max_length": 62, "bf16": False,
        "allow_near_duplicates": True,
    }  # fmt: skip


@pytest.fixture(scope="session")
def small_benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set folder with `gad` and `hoc` in both languages; documents are parallel. `hoc` has no dev split."""
    folder = tmp_path_factory.mktemp("benchmarks") / "data"
    parts = {"train": range(120), "validation": range(120, 132), "test": range(132, 156)}
    makers = {"gad": training.relation_rows, "hoc": training.document_rows}
    configs = {
        f"{name}_{language}": {
            split: make(language, numbers) for split, numbers in parts.items() if (name, split) != ("hoc", "validation")
        }
        for name, make in makers.items()
        for language in ("en", "zh")
    }
    training.write_labelled_texts(folder, configs)
    return folder
