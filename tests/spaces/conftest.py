"""The Space as a process of its own, where `kbioxlm` cannot be imported, over the shipped models or small new ones."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from kbioxlm.tests.conftest import port_to_listen_on
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.finetuning.run import finetune

ROOT = Path(__file__).parents[2]
SPACES = ROOT / "spaces"
ENGLISH = "The patient took aspirin and developed nausea ."
CHINESE = "患者服用阿司匹林后出现恶心。"
DRUGS = {"aspirin": "阿司匹林", "heparin": "肝素", "lithium": "锂", "morphine": "吗啡"}
EFFECTS = {"nausea": "恶心", "headache": "头痛", "fever": "发热", "cough": "咳嗽"}
START = "import runpy, sys; sys.modules['kbioxlm'] = None; sys.path.insert(0, sys.argv[1]); " \
    "runpy.run_path(sys.argv[1] + '/app.py', run_name='__main__')"  # fmt: skip


@dataclass
class RunningSpace:
    """A Space that answers.

    Attributes:
        url: where.
        temporary: its folder for temporary files, which is empty before it starts.
        process: it.
    """

    url: str
    temporary: Path
    process: subprocess.Popen[str]

    def files(self) -> list[Path]:
        """All files with content below its folder."""
        return [path for path in self.temporary.rglob("*") if path.is_file() and path.stat().st_size]

    def stop(self) -> str:
        """End it as a container does, and give what it has printed."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)[0]


def sentences(frame: str, drugs: Iterable[str], effects: Iterable[str], space: str) -> list[str]:
    """`frame` with every drug and every effect, one unit and its tag a line."""
    start, middle, end = frame.split("{}")
    blocks = []
    for drug, effect in itertools.product(drugs, effects):
        rows: list[str] = []
        for words, label in ((start, ""), (drug, "Chemical"), (middle, ""), (effect, "Disease"), (end, "")):
            for place, unit in enumerate(words.split() if space else words):
                rows.append(f"{unit}\t{'I-' if place else 'B-'}{label}" if label else f"{unit}\tO")
        blocks.append("\n".join(rows))
    return blocks


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of both models: none where they are shipped, else the small encoder with some sentences by heart."""
    if (SPACES / "models" / "bilingual").is_dir() and (SPACES / "models" / "english").is_dir():
        return {}
    folder = tmp_path_factory.mktemp("models")
    keys: dict[str, Any] = {
        "checkpoint": str(ROOT / "kbioxlm-small"), "epochs": 12, "batch_size": 4, "learning_rate": 1e-3,
        "head_learning_rate": 1e-2, "max_length": 64, "bf16": False, "allow_near_duplicates": True, "dev_share": 0.1,
    }  # fmt: skip
    english = sentences("The patient took {} and developed {} .", DRUGS, EFFECTS, " ")
    chinese = sentences("患者服用{}后出现{}。", DRUGS.values(), EFFECTS.values(), "")
    for name, blocks in (("bilingual", english + chinese), ("english", english)):
        train = folder / f"{name}.txt"
        documents = (f"-DOCSTART-\td{number}\n\n{block}\n" for number, block in enumerate(blocks))
        train.write_text("\n".join(documents), encoding="utf-8")
        finetune(FinetuneRecipe(train=str(train), output=folder / name, **keys))
    return {"KBIOXLM_MODEL": str(folder / "bilingual"), "KBIOXLM_COMPARE": str(folder / "english")}


@pytest.fixture(scope="session")
def started(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningSpace]]:
    """Starts a Space with the settings that it is given."""
    running = []

    def start(**settings: str) -> RunningSpace:
        temporary, log = tmp_path_factory.mktemp("temporary"), tmp_path_factory.mktemp("log") / "log.txt"
        port = port_to_listen_on()
        environment = {
            **os.environ, **models, "TMPDIR": str(temporary), "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1", "HF_MODULES_CACHE": str(log.parent / "modules"), **settings,
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(SPACES)], env=environment, cwd=log.parent, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        space = RunningSpace(f"http://127.0.0.1:{port}", temporary, process)
        running.append(space)
        for _ in range(600):
            if process.poll() is not None:
                raise RuntimeError(process.communicate()[0])
            try:
                httpx.get(space.url + "/config").raise_for_status()
                return space
            except httpx.HTTPError:
                time.sleep(0.2)
        raise RuntimeError("the Space does not answer")

    yield start
    for space in running:
        if space.process.poll() is None:
            space.stop()


@pytest.fixture(scope="session")
def space(started: Callable[..., RunningSpace]) -> RunningSpace:
    """A Space with the settings that it has by itself."""
    return started()
