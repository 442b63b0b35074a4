"""A tiny checkpoint with its own tokenizer, and NER files, for the tests of training."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from transformers import XLMRobertaTokenizer

from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.dataset_scripts.corpora.build import build_corpora
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings
from kbioxlm.dataset_scripts.knowledge.build import BuildSettings, build_from_umls
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.models.tokenizer import TokenizerRecipe, train_tokenizer

LABELLED_TEXTS = pa.schema(
    [*((name, pa.string()) for name in ("id", "document", "language", "text")), ("labels", pa.list_(pa.string()))]
)
SAMPLE = Path(__file__).parents[2] / "sample"
LEARNT_PIECES = 900
DRUGS = {"aspirin": "阿司匹林", "heparin": "肝素", "lithium": "锂", "morphine": "吗啡"}
EFFECTS = {"severe bleeding": "严重出血", "nausea": "恶心", "skin rash": "皮疹", "fever": "发热"}


def sentence(language: str, number: int) -> list[tuple[str, str]]:
    """The units and tags of sentence `number` in `en` or `zh`."""
    drug = sorted(DRUGS)[number % 4]
    effect = sorted(EFFECTS)[number // 4 % 4]
    if language == "en":
        drugs, effects = [drug], effect.split()
        frame = ["the", "patient", "took", drugs, "and", "had", effects, "."]
    else:
        drugs, effects = list(DRUGS[drug]), list(EFFECTS[effect])
        frame = ["患", "者", "服", "用", drugs, "后", "出", "现", effects, "。"]
    rows: list[tuple[str, str]] = []
    for part in frame:
        if isinstance(part, str):
            rows.append((part, "O"))
            continue
        label = "Drug" if part is drugs else "Effect"
        rows += [(unit, f"{'I' if i else 'B'}-{label}") for i, unit in enumerate(part)]
    return rows


def iob_text(language: str, numbers: range) -> str:
    """An IOB file with one sentence a document, numbered like the sentence."""
    blocks = []
    for number in numbers:
        lines = [f"-DOCSTART-\td{number}", ""] + [f"{unit}\t{tag}" for unit, tag in sentence(language, number)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small are slower with several threads, and much slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def ner_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """IOB files `train_en`, `dev_en`, `test_en` and `test_zh`; the last two are parallel."""
    folder = tmp_path_factory.mktemp("ner")
    files = {
        "train_en": ("en", range(0, 48)),
        "dev_en": ("en", range(48, 64)),
        "test_en": ("en", range(64, 80)),
        "test_zh": ("zh", range(64, 80)),
    }
    paths = {name: folder / f"{name}.txt" for name in files}
    for name, (language, numbers) in files.items():
        paths[name].write_text(iob_text(language, numbers), encoding="utf-8")
    return paths


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretraining checkpoint with random weights (2 layers, 32 dimensions, 62 positions) and a tokenizer."""
    rows = [row for language in ("en", "zh") for number in range(16) for row in sentence(language, number)]
    characters = sorted({character for unit, _ in rows for character in unit})
    words = ["▁the", "▁patient", "▁took", "▁and", "▁had", "▁asp", "irin", "患者", "服用", "出现", "阿司", "匹林"]
    pieces = [(piece, -2.0) for piece in ["▁", *words]] + [(character, -6.0) for character in characters]
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = XLMRobertaTokenizer(vocab=[*special, *pieces, ("<mask>", 0.0)])
    torch.manual_seed(1)
    model = KBioXLMForPreTraining(
        KBioXLMConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=64,
        )
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sample_texts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """JSON-lines files with the sample's first English and Chinese texts."""
    folder = tmp_path_factory.mktemp("texts")
    paths = [folder / f"{language}.jsonl" for language in ("en", "zh")]
    for path in paths:
        lines = (SAMPLE / "text" / path.name).read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[:150]), encoding="utf-8")
    return paths


@pytest.fixture(scope="session")
def sample_tokenizer(sample_texts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tokenizer of `LEARNT_PIECES` pieces learnt from `sample_texts`."""
    folder = tmp_path_factory.mktemp("learnt") / "tokenizer"
    train_tokenizer(TokenizerRecipe(output=folder, texts=sample_texts, vocab_size=LEARNT_PIECES))
    return folder


@pytest.fixture(scope="session")
def sample_corpora(sample_texts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora folder of all four levels, built from the sample's knowledge base, `sample_texts` and its pairs."""
    folder = tmp_path_factory.mktemp("sample")
    build_from_umls(SAMPLE / "umls", folder / "knowledge_base", settings=BuildSettings(("en", "zh")))
    settings = CorporaSettings(
        languages=("en", "zh"), seed=1, hold_out=8, max_chars={"en": 150, "zh": 50}, translation_facts=True
    )
    build_corpora(folder / "knowledge_base", sample_texts, folder / "corpora", settings, SAMPLE / "pairs.jsonl")
    return folder / "corpora"


def write_labelled_texts(folder: Path, configs: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    """A data set folder of texts with labels: configuration, split, rows without `language`."""
    for config, splits in configs.items():
        for split, rows in splits.items():
            (folder / config / split).mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist([{"language": config[-2:], **row} for row in rows], schema=LABELLED_TEXTS)
            pq.write_table(table, folder / config / split / "part-00000.parquet")
    card = [
        {"config_name": c, "data_files": [{"split": s, "path": f"{c}/{s}/*.parquet"} for s in splits]}
        for c, splits in configs.items()
    ]
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': card})}---\n", encoding="utf-8")


def relation_rows(language: str, numbers: range) -> list[dict[str, Any]]:
    """Sentences in which a drug is, or is not, said to have caused an effect."""
    rows = []
    for number in numbers:
        drug, effect = sorted(DRUGS)[number % 4], sorted(EFFECTS)[number // 4 % 4]
        holds = number % 3 > 0
        if language == "en":
            text = f"@GENE$ {'and' if holds else 'the'} {drug} took {effect} @DISEASE$"
        else:
            text = f"@GENE$ {'患者' if holds else '服用'}{DRUGS[drug]}{EFFECTS[effect]} @DISEASE$"
        rows.append({"id": f"r{number}", "document": f"r{number}", "text": text, "labels": [str(int(holds))]})
    return rows


WORDS = {"had": "出现", "took": "服用"}  # single pieces


def document_rows(language: str, numbers: range) -> list[dict[str, Any]]:
    """Texts with both, one or none of two words, which are their labels."""
    rows = []
    for number in numbers:
        named = [word for i, word in enumerate(WORDS) if number >> i & 1]
        words = named if language == "en" else [WORDS[word] for word in named]
        text = ("the patient " if language == "en" else "患者") + " ".join(words)
        rows.append({"id": f"d{number}", "document": f"d{number}", "text": text, "labels": named})
    return rows


@pytest.fixture(scope="session")
def labelled_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set folder with `gad_en`, `hoc_en` (train, validation, test) and `gad_zh`, `hoc_zh` (test)."""
    folder = tmp_path_factory.mktemp("texts")
    splits = {"train": range(0, 96), "validation": range(96, 128), "test": range(128, 160)}
    makers = {"gad": relation_rows, "hoc": document_rows}
    configs = {
        f"{name}_{language}": {split: make(language, numbers) for split, numbers in chosen.items()}
        for name, make in makers.items()
        for language, chosen in (("en", splits), ("zh", {"test": splits["test"]}))
    }
    write_labelled_texts(folder, configs)
    return folder


_PRETRAIN = """
import os, resource, sys, torch
from kbioxlm.common.cli import run
from kbioxlm.common.recipe import load_recipe
from kbioxlm.training.pretraining.recipe import PretrainRecipe
from kbioxlm.training.pretraining.run import pretrain
os.environ.update(environment)
torch.set_num_threads(1)
sys.stderr = open(errors, "w", buffering=1)
if largest_file:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
run(lambda: pretrain(load_recipe(PretrainRecipe, recipe)))
"""


class Workers:
    """Processes of their own that pretrain, for tests that kill them, limit them or let them work together.

    They start in milliseconds: the server that they are forked from has imported everything already.
    """

    def __init__(self) -> None:
        self._server = multiprocessing.get_context("forkserver")
        self._server.set_forkserver_preload(["kbioxlm.training.pretraining.run"])

    def start(self, recipe: Path, errors: Path, largest_file: int = 0, **environment: str) -> ForkServerProcess:
        """A process that does what `train.py pretrain RECIPE` does.

        Args:
            errors: file that gets its standard error.
            largest_file: bytes beyond which no file can grow, as on a full disk; 0 for no limit.
            environment: what its environment has in addition.
        """
        names: dict[str, Any] = {
            "recipe": recipe, "errors": str(errors), "largest_file": largest_file, "environment": environment,
        }  # fmt: skip
        worker = self._server.Process(target=exec, args=(_PRETRAIN, names), daemon=True)
        worker.start()
        return worker

    @staticmethod
    def finish(worker: ForkServerProcess, seconds: float = 120) -> int:
        """Wait for a worker; its exit code."""
        worker.join(seconds)
        assert worker.exitcode is not None, f"still running after {seconds} s"
        return worker.exitcode

    @staticmethod
    def kill_after(workers: Sequence[ForkServerProcess], folder: Path, step: int, delay: float = 0) -> None:
        """SIGKILL, `delay` seconds after the checkpoint of `step`, or a later one, of `folder/model` is there."""
        work = folder / ".model.training"
        deadline = time.monotonic() + 120
        while not any(int(path.name.rpartition("-")[2]) >= step for path in work.glob("checkpoint-*")):
            alive = all(worker.is_alive() for worker in workers)
            assert alive, [path.read_text(encoding="utf-8") for path in folder.glob("errors*")]
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(delay)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join()
            assert worker.exitcode == -9


@pytest.fixture(scope="session")
def workers() -> Workers:
    return Workers()
