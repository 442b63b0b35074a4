"""A whole experiment in seconds: its report, what it skips, and what it refuses before the first step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.training.experiments import arm_runs
from kbioxlm.training.experiments import run as experiment
from kbioxlm.training.experiments.recipe import ExperimentRecipe
from kbioxlm.training.experiments.run import run_experiment

SAMPLE = Path(__file__).parents[2] / "sample"


@pytest.fixture(scope="module")
def keys(
    sample_texts: list[Path], ner_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Keys of an experiment of two arms."""
    return {
        "output": tmp_path_factory.mktemp("experiment") / "tiny",
        "seed": 5,
        "languages": ["en", "zh"],
        "umls": SAMPLE / "umls",
        "texts": sample_texts,
        "pairs": SAMPLE / "pairs.jsonl",
        "corpora": {"hold_out": 8, "max_chars": {"en": 120, "zh": 40}},
        "tokenizer": {"vocab_size": 900},
        "pretraining": {
            "shape": {
                "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48,
                "max_position_embeddings": 66,
            },
            "batch_size": 4, "max_length": 48, "learning_rate": 1e-3, "bf16": False,
        },
        "stage1": {"steps": 3, "warmup_steps": 1, "shares": {"monolingual": 1}},
        "stage2": {"steps": 3, "warmup_steps": 1},
        "arms": {
            "monolingual": {"shares": {"monolingual": 1}},
            "kbioxlm": {"shares": {"monolingual": 0.5, "entity": 0.2, "fact": 0.2, "passage": 0.1}},
        },
        "finetuning": {
            "epochs": 1, "batch_size": 16, "learning_rate": 1e-3, "max_length": 62, "bf16": False,
            "allow_near_duplicates": True,
        },
        "finetuning_seeds": [1, 2],
        "tasks": {
            "ner": {
                "train": str(ner_files["train_en"]), "dev": str(ner_files["dev_en"]),
                "tests": {"en": str(ner_files["test_en"]), "zh": str(ner_files["test_zh"])},
            }
        },
        "zero_shot": ["ner/zh"],
        "probes": {"seen_names": 20},
    }  # fmt: skip


def recipe_of(keys: dict[str, Any], **changes: Any) -> ExperimentRecipe:
    return parse_recipe(ExperimentRecipe, {**keys, **changes}, "tiny.yaml")


@pytest.fixture(scope="module")
def finished(keys: dict[str, Any]) -> dict[str, Any]:
    """The report of one experiment."""
    return run_experiment(recipe_of(keys), "python train.py experiment tiny.yaml")


def test_the_report_has_what_its_readers_rely_on(finished: dict[str, Any], keys: dict[str, Any]) -> None:
    assert json.loads((keys["output"] / "report.json").read_text(encoding="utf-8")) == finished
    assert list(finished["arms"]) == ["monolingual", "kbioxlm"]
    assert finished["seed"] == 5
    assert finished["seconds"] > 0
    assert finished["command"] == "python train.py experiment tiny.yaml"
    assert (finished["pretraining_seeds"], finished["finetuning_seeds"]) == ([6], [1, 2])
    for arm in finished["arms"].values():
        assert 0 <= arm["zero_shot_f1"] <= 100
        assert arm["n"] == 16  # sentences of test_zh
        assert set(arm["scores"]) == {"ner/dev", "ner/en", "ner/zh"}
        for cell in arm["scores"].values():
            assert len(cell["by_seed"]) == 2
            assert cell["f1"] == pytest.approx(sum(cell["by_seed"]) / 2, abs=0.006)
        assert arm["zero_shot_f1"] == arm["scores"]["ner/zh"]["f1"]
        assert [{"name_retrieval", "masked_names", "masked_names_seen"} <= set(run) for run in arm["probes"]] == [True]
    assert set(finished["step_seconds"]) == {
        "knowledge base", "corpora", "tokenizer", "pretraining stage 1",
        "pretraining monolingual", "fine-tuning monolingual ner", "probes monolingual",
        "pretraining kbioxlm", "fine-tuning kbioxlm ner", "probes kbioxlm",
    }  # fmt: skip
    assert finished["seconds"] == pytest.approx(sum(finished["step_seconds"].values()), abs=0.1)


def test_arms_differ_in_their_shares_alone(finished: dict[str, Any], keys: dict[str, Any]) -> None:
    reports = [json.loads((keys["output"] / arm / "report.json").read_text(encoding="utf-8")) for arm in keys["arms"]]
    first, second = (report["recipe"] for report in reports)
    assert {key for key in first if first[key] != second[key]} == {"output", "shares"}
    assert reports[0]["inputs"] == reports[1]["inputs"]
    assert [sum(report["examples"].values()) for report in reports] == [12, 12]
    assert first["seed"] != keys["seed"]  # not the examples of stage 1 again


def test_the_files_it_leaves(finished: dict[str, Any], keys: dict[str, Any]) -> None:
    out = keys["output"]
    table = (out / "table.md").read_text(encoding="utf-8")
    for figure in (
        "ner/zh",
        "zero-shot, mean",
        "monolingual",
        "kbioxlm",
        "P@1",
        "Seed 5; stage 2 seeds 6, fine-tuning seeds 1, 2",
    ):
        assert figure in table
    assert (out / "f1.png").read_bytes().startswith(b"\x89PNG")
    folders = {path.name for path in out.iterdir() if path.is_dir()}
    taggers = {f"{arm}-ner{end}" for arm in keys["arms"] for end in ("", "-seed2")}
    assert folders == {
        "knowledge_base",
        "corpora",
        ".corpora.pieces",
        "tokenizer",
        "stage1",
        "steps",
        *keys["arms"],
        *taggers,
    }


def test_the_tagger_loads_in_a_fresh_process_without_this_package(
    finished: dict[str, Any], keys: dict[str, Any], tmp_path: Path
) -> None:
    code = (
        "import sys; sys.modules['kbioxlm'] = None\n"
        "from transformers import AutoModelForTokenClassification as A\n"
        "model = A.from_pretrained(sys.argv[1], trust_remote_code=True)\n"
        "print(type(model).__name__, sorted(model.config.label2id))"
    )
    folder = keys["output"] / "kbioxlm-ner"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith(
        "KBioXLMForTokenClassification ['B-Drug', 'B-Effect', 'I-Drug', 'I-Effect', 'O']"
    )


def times(folder: Path) -> dict[str, int]:
    """When each file below was last written, but for what every call writes."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.parent != folder
    }


def test_a_second_call_runs_nothing_again(
    finished: dict[str, Any], keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = times(keys["output"])

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("run again")

    for step in ("build_from_umls", "build_corpora", "train_tokenizer"):
        monkeypatch.setattr(experiment, step, never)
    monkeypatch.setattr(arm_runs, "run_probes", never)
    again = run_experiment(recipe_of(keys))
    assert times(keys["output"]) == before
    assert again["arms"] == finished["arms"]
    assert again["seconds"] == finished["seconds"]
    assert again["step_seconds"] == finished["step_seconds"]


def test_seeds_side_by_side_give_what_they_give_one_after_another(
    finished: dict[str, Any], keys: dict[str, Any], tmp_path: Path
) -> None:
    both = {"pretraining_seeds": [6, 7], "finetuning_seeds": [1], "arms": {"kbioxlm": keys["arms"]["kbioxlm"]}}
    reports = [run_experiment(recipe_of(keys, output=tmp_path / str(jobs), jobs=jobs, **both)) for jobs in (1, 2)]
    arms = [report["arms"]["kbioxlm"] for report in reports]
    assert arms[0] == arms[1]
    assert len(arms[0]["probes"]) == len(arms[0]["scores"]["ner/zh"]["by_seed"]) == 2
    assert arms[0]["probes"][0] == finished["arms"]["kbioxlm"]["probes"][0]  # seed 6, as there
    weights = [(tmp_path / "1" / name / "model.safetensors").read_bytes() for name in ("kbioxlm", "kbioxlm-seed7")]
    assert weights[0] != weights[1]
    names = {"kbioxlm", "kbioxlm-seed7"}
    assert {path.stem for path in (tmp_path / "2" / "logs").iterdir()} == names
    assert all("fine-tuning on ner" in path.read_text() for path in (tmp_path / "2" / "logs").iterdir())


def test_an_error_of_a_run_beside_others_reaches_the_user(keys: dict[str, Any], tmp_path: Path) -> None:
    changes = {"finetuning": {**keys["finetuning"], "max_length": 65}}  # the model has 64 positions
    with pytest.raises(InputError, match="max_length 65 is longer than the model"):
        run_experiment(recipe_of(keys, output=tmp_path / "out", jobs=2, **changes))


def test_runs_side_by_side_end_with_the_experiment_that_is_killed() -> None:
    code = (
        "import os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from kbioxlm.training.experiments import arm_runs\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(1, get_context('spawn'), arm_runs._start, (1,))\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 600).result()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        run = int(killed.stdout.readline())
        assert is_running(run)
        killed.kill()
    for _ in range(200):
        if not is_running(run):
            return
        time.sleep(0.1)
    os.kill(run, signal.SIGKILL)
    pytest.fail("it goes on without its experiment")


def is_running(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"arms": {"a": {"shares": {"fact": 1}}, "b": {"shares": {"fact": 1}, "steps": 4}}},
            "recipe: arms differ in steps or batch",
        ),
        (
            {"arms": {"a": {"shares": {"fact": 1}}, "b": {"shares": {"fact": 1}, "batch_size": 8}}},
            "recipe: arms differ in steps or batch",
        ),
        ({"zero_shot": ["ner/de"]}, "recipe: zero_shot names 'ner/de', which no task tests; use ner/en, ner/zh"),
        ({"zero_shot": []}, "key 'zero_shot' has"),
        ({"arms": {}}, "key 'arms' has {}"),
        ({"finetuning_seeds": []}, "key 'finetuning_seeds' has"),
        ({"tokenizer": {"vocab_sise": 900}}, "recipe, tokenizer: unknown key 'vocab_sise' = 900; did you mean"),
        ({"arms": {"a": {"shares": {"facts": 1}}}}, r"recipe, arms\.a: key 'shares' has .*not facts"),
        ({"stage2": {"steps": 3}}, r"recipe, arms\.monolingual: key 'warmup_steps' is missing"),
        ({"finetuning": {"epochs": 0}}, r"recipe, tasks\.ner: key 'epochs' has 0"),
        ({"corpora": {"hold_out": 8, "max_char": {}}}, r"tiny\.yaml: unknown key 'corpora\.max_char'.*max_chars"),
        ({"languages": ["en"]}, "key 'languages"),
        (
            {"arms": {"corpora": {"shares": {"fact": 1}}}},
            "recipe, arms: an arm is named 'corpora', as a step's folder is",
        ),
    ],
)
def test_all_sections_are_checked_before_the_first_step(
    keys: dict[str, Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_experiment(recipe_of({**keys, "output": tmp_path / "out"}, **changes))
    assert not (tmp_path / "out").exists()
