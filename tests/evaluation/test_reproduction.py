"""`train.py reproduce`: cells and their runs, kill and resume, and the table that comes of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import load_recipe, parse_recipe
from kbioxlm.training.commands import app
from kbioxlm.training.evaluation.reproduction import reproduce
from kbioxlm.training.evaluation.reproduction.grid import rows_of, runs_of
from kbioxlm.training.evaluation.reproduction.paper import REPRODUCIBLE, PaperTable, paper_table
from kbioxlm.training.evaluation.reproduction.recipe import ReproduceRecipe
from kbioxlm.training.evaluation.reproduction.report import markdown
from kbioxlm.training.evaluation.reproduction.reproduce import Reproduction, recipe_of_scale
from kbioxlm.training.evaluation.reproduction.results import Results
from kbioxlm.training.experiments.recipe import ExperimentRecipe, Plan
from kbioxlm.training.finetuning.recipe import FinetuneRecipe

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("golden_table.md")
Found = dict[str, Any]


@pytest.fixture
def keys(base: Found, checkpoint: Path, small_benchmarks: Path, tmp_path: Path) -> Found:
    """A recipe with one model that is there, one that is not, and half of the paper's data sets."""
    return {
        "output": str(tmp_path / "out"),
        "benchmarks": str(small_benchmarks),
        "hint": "train it first",
        "models": {
            "tiny": {"checkpoints": [str(checkpoint)], "row": "KBioXLM"},
            "gone": {"checkpoints": ["runs/no/such"], "row": "XLM-R"},
        },
        "reference": "tiny",
        "seeds": [1],
        "data_sets": {
            "GAD": {"config": "gad", "keys": {"task": "relation"}},
            "HoC": {"config": "hoc", "has_dev": False, "keys": {"task": "document"}},
        },
        "finetuning": {**base, "epochs": 1},
    }


def made(keys: Found, table: str, *models: str) -> Reproduction:
    return Reproduction(table, parse_recipe(ReproduceRecipe, keys, "recipe"), models or None, "the command")


def cells_of(report: Found, model: str) -> dict[tuple[str, int | None, str], Found]:
    return {
        (group["direction"], group["shots"], cell["data_set"]): cell
        for group in report["groups"]
        for row in group["rows"]
        if row["model"] == model
        for cell in row["cells"]
    }


@pytest.mark.parametrize("table", REPRODUCIBLE)
@pytest.mark.parametrize("scale", ["small", "paper"])
def test_shipped_recipes_fill_every_table(table: str, scale: str) -> None:
    """Every row of a model has a run in every column; names of rows are the paper's; names of runs are their own."""
    recipe = load_recipe(ReproduceRecipe, recipe_of_scale(scale))
    known = {row for name in REPRODUCIBLE for group in paper_table(name).groups for row in group.rows}
    assert {model.row for model in recipe.models.values()} <= known
    groups = rows_of(recipe, paper_table(table))
    runs = runs_of(groups, list(recipe.models))
    assert len({run.recipe.output for run in runs}) == len(runs)
    for _, rows in groups:
        for row in rows:
            for cell in row.cells:
                assert bool(cell.runs) == (row.model in recipe.models)
                assert bool(cell.reason) == (not cell.runs)
    if scale == "small":
        assert all({row.model for row in rows} >= {"kbioxlm", "wo_all"} for _, rows in groups)
        assert all(run.recipe.freeze_embeddings for run in runs)


def test_arms_of_the_small_scale_are_those_of_the_ablation() -> None:
    recipe = load_recipe(ReproduceRecipe, recipe_of_scale("small"))
    ablation = yaml.safe_load((ROOT / "recipes" / "ablation.yaml").read_text(encoding="utf-8"))
    assert list(recipe.models) == list(ablation["arms"])
    seeds = ablation["pretraining_seeds"]
    for arm, model in recipe.models.items():
        names = [arm if i == 0 else f"{arm}-seed{seed}" for i, seed in enumerate(seeds)]
        assert model.checkpoints == [f"{ablation['output']}/{name}" for name in names]
    assert {key: value for key, value in ablation["finetuning"].items() if value != recipe.finetuning.get(key)} == {}


def test_runs_of_the_ablation_are_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small scale asks for each of its fine-tunings word for word."""
    monkeypatch.setenv("KBIOXLM_REAL_DATA", "real")
    recipe = load_recipe(ReproduceRecipe, recipe_of_scale("small"))
    plan = Plan(load_recipe(ExperimentRecipe, ROOT / "recipes" / "ablation.yaml"))
    done = [task for runs in plan.arms.values() for run in runs for task in run.tasks.values()]
    asked = runs_of(rows_of(recipe, paper_table("table7")), list(recipe.models))
    sides = [
        sorted(one.model_dump_json(exclude={"output"}) for one in side)
        for side in ([one for task in done for one in task], [run.recipe for run in asked])
    ]
    assert sides[0] == sides[1]


def test_an_equal_earlier_run_is_taken_over(keys: Found, tmp_path: Path) -> None:
    keys["models"].pop("gone")
    keys["data_sets"] = {"GAD": keys["data_sets"]["GAD"]}
    first = made(keys, "table7").run()
    keys |= {"output": str(tmp_path / "again"), "earlier": [str(tmp_path / "out"), str(tmp_path / "nowhere")]}
    again = made(keys, "table7")
    assert again.plan()[-1] == "1 finished, 0 to run, 0 missing"
    report = again.run()
    cells = [cells_of(one, "tiny") for one in (first, report)]
    assert cells[0] == cells[1]
    assert not list((tmp_path / "again").glob("tiny-*"))
    keys["finetuning"] = {**keys["finetuning"], "warmup_ratio": 0.2}
    assert made(keys, "table7").plan()[-1] == "0 finished, 1 to run, 0 missing"


def test_zero_shot_and_monolingual_tables_share_their_runs(keys: Found) -> None:
    recipe = parse_recipe(ReproduceRecipe, keys, "recipe")
    names = {}
    for table in ("table4", "table5", "table6"):
        names[table] = [run.name for run in runs_of(rows_of(recipe, paper_table(table)), ["tiny"])]
    assert sorted(names["table4"]) == sorted(names["table6"])
    assert names["table4"] == ["tiny-gad-en-seed1", "tiny-hoc-en-seed1", "tiny-gad-zh-seed1", "tiny-hoc-zh-seed1"]
    assert names["table5"] == [
        "tiny-gad-en-seed1", "tiny-gad-en-seed1-zh10", "tiny-hoc-en-seed1", "tiny-hoc-en-seed1-zh10",
        "tiny-gad-en-seed1-zh100", "tiny-hoc-en-seed1-zh100",
    ]  # fmt: skip


def test_few_shot_runs_see_the_other_language_in_the_sample_alone(keys: Found, small_benchmarks: Path) -> None:
    recipe = parse_recipe(ReproduceRecipe, keys, "recipe")
    runs = {run.name: run for run in runs_of(rows_of(recipe, paper_table("table5")), ["tiny"])}
    further = runs["tiny-gad-en-seed1-zh10"].recipe
    assert further.checkpoint == str(runs["tiny-gad-en-seed1"].recipe.output)
    assert (further.keep_head, further.shots, further.seed) == (True, 10, 1)
    assert (further.train, further.dev) == (f"{small_benchmarks}:gad_zh", f"{small_benchmarks}:gad_en")
    assert runs["tiny-hoc-en-seed1-zh10"].recipe.carve_from == f"{small_benchmarks}:hoc_en"
    assert runs["tiny-hoc-en-seed1-zh10"].recipe.dev is None


def test_killed_and_run_again(keys: Found, tmp_path: Path) -> None:
    """The killed process leaves whole runs and a table of what there is; the next one goes on, and changes nothing."""
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(keys), encoding="utf-8")
    arguments = [sys.executable, "train.py", "reproduce", "table4", "--recipe", str(path)]
    first = tmp_path / "out" / "tiny-gad-en-seed1" / "report.json"
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 240
        while not (tmp_path / "out" / "table4.json").is_file() and time.monotonic() < deadline:
            assert process.poll() is None, "ended before it could be killed"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    before = json.loads((tmp_path / "out" / "table4.json").read_text(encoding="utf-8"))
    assert 0 < before["cells"]["run"] < 4
    kept = (first.stat().st_mtime_ns, first.read_bytes())

    plan = made(keys, "table4").plan()
    assert any(line == "finished tiny-gad-en-seed1" for line in plan)
    assert any(line.startswith("not run: runs/no/such: no such checkpoint folder; train it first") for line in plan)
    assert plan[-1].endswith("4 missing")

    report = made(keys, "table4").run()
    assert (first.stat().st_mtime_ns, first.read_bytes()) == kept
    assert report["cells"] == {"all": 8, "run": 4, "partly run": 0, "not run": 4}
    assert not list((tmp_path / "out").glob(".*"))
    uninterrupted = made(keys | {"output": str(tmp_path / "whole")}, "table4").run()
    again = made(keys, "table4").run()
    for one in (uninterrupted, again):
        for key, cell in cells_of(report, "tiny").items():
            other = cells_of(one, "tiny")[key]
            assert {k: v for k, v in cell.items() if k != "runs"} == {k: v for k, v in other.items() if k != "runs"}

    text = (tmp_path / "out" / "table4.md").read_text(encoding="utf-8")
    gad = cells_of(report, "tiny")["EN-to-CN", None, "GAD"]
    assert f"78.91 / {gad['f1']:.2f} |" in text
    assert "- not run: ChatGPT, ADE, BC5CDR, GAD, HoC: the recipe names no model for this row" in text
    assert "- not run: tiny (KBioXLM), ADE, BC5CDR: the recipe has no such data set" in text
    assert "- not run: gone (XLM-R), GAD, HoC: runs/no/such: no such checkpoint folder; train it first" in text
    assert (tmp_path / "out" / "table4.png").read_bytes().startswith(b"\x89PNG")

    # the command that stands beside a cell makes its run, or finds it made
    command = gad["runs"][0]["command"].split()
    assert command[:3] == ["python", "train.py", "finetune"]
    done = CliRunner().invoke(app, command[2:])
    assert done.exit_code == 0
    assert (first.stat().st_mtime_ns, first.read_bytes()) == kept
    assert load_recipe(FinetuneRecipe, command[3]).output == first.parent


def test_few_shot_table(keys: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both steps are made, samples are saved, and a table that is whole trains nothing."""
    keys["data_sets"].pop("GAD")
    report = made(keys, "table5").run()
    cells = cells_of(report, "tiny")
    for shots in (10, 100):
        cell = cells["EN-to-CN", shots, "HoC"]
        assert (cell["status"], cell["n"], cell["counted"]) == ("run", 24, "documents")
        folder = Path(keys["output"]) / cell["runs"][0]["name"]
        sample = json.loads((folder / "shots.json").read_text(encoding="utf-8"))
        assert (len(sample["documents"]), sample["seed"]) == (shots, 1)
        assert sample["source"].endswith("hoc_zh")
        fine_tuned = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        assert [row["sets"][0] for row in fine_tuned["overlap"]] == ["train"] * 2 + ["checkpoint's train 1"] * 2 + [
            "dev"
        ]
        assert sum(row["shared_documents"] for row in fine_tuned["overlap"]) == 0
    monkeypatch.setattr(reproduce, "finetune", lambda recipe: json.loads((recipe.output / "report.json").read_text()))
    assert made(keys, "table5").run() == report
    assert made(keys, "table5").plan()[-1].startswith("3 finished, 0 to run")


def test_a_run_whose_data_are_bad_does_not_stop_the_others(keys: Found) -> None:
    keys["data_sets"]["GAD"]["keys"]["negative_label"] = "none"
    report = made(keys, "table4", "tiny").run()
    cells = cells_of(report, "tiny")
    assert cells["EN-to-CN", None, "HoC"]["status"] == "run"
    assert cells["EN-to-CN", None, "GAD"]["status"] == "not run"
    assert "no text has the negative label 'none'" in cells["EN-to-CN", None, "GAD"]["reason"]
    assert cells_of(report, "gone")["EN-to-CN", None, "GAD"]["reason"] == "not run yet"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table9"], "command line: table 'table9'; name one of table4, table5, table6, table7"),
        (["table4", "--scale", "huge"], "no recipe for --scale 'huge'; name one of paper, small"),
        (["table4", "--models", "bert"], "no model 'bert' in the recipe; name one of wo_all"),
        (["table4", "seeds=[1, 1]"], "key 'seeds' has .*each seed once"),
        (["table4", "reference=x"], "key 'reference' has .*one of the models"),
        (["table4", "finetuning.train=x"], r"sets train; leave them out"),
        (["table4", "finetuning.epochz=1"], "unknown key 'epochz' = 1; did you mean 'epochs'"),
        (["table4", "models.a/b={checkpoints: [c]}"], "key 'models' has .*names of letters"),
    ],
)
def test_bad_input(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["reproduce", *arguments, "--dry-run"])
    assert isinstance(result.exception, InputError), result.output
    with pytest.raises(InputError, match=message):
        raise result.exception


def test_a_dry_run_writes_nothing(keys: Found, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(keys), encoding="utf-8")
    result = CliRunner().invoke(app, ["reproduce", "table7", "--recipe", str(path), "--models", "tiny", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "to run   tiny-gad-en-seed1", "to run   tiny-hoc-en-seed1", "0 finished, 2 to run, 0 missing",
    ]  # fmt: skip
    assert not (tmp_path / "out").exists()


def predicted(folder: Path, right: int, wrong: int) -> None:
    """Predictions of 20 documents with one label each: `right`, then `wrong`, then none."""
    answers = [["a"]] * right + [["b"]] * wrong + [[]] * (20 - right - wrong)
    rows = [{"id": f"{i}", "document": f"{i}", "gold": ["a"], "predicted": got} for i, got in enumerate(answers)]
    (folder / "predictions").mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "predictions" / "zh.jsonl").write_text(lines, encoding="utf-8")


def test_the_table_as_markdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of cell: over two seeds, in part, not run, no model, no figure of the paper's; tests against ours."""
    monkeypatch.chdir(tmp_path)
    recipe = ReproduceRecipe.model_validate(
        {
            "output": "out", "benchmarks": "data", "seeds": [1, 2], "reference": "ours",
            "models": {
                "ours": {"checkpoints": ["c/ours"], "row": "KBioXLM"},
                "XLM-R": {"checkpoints": ["c/x"], "row": "XLM-R"},
                "extra": {"checkpoints": ["c/e"]},
            },
            "data_sets": {
                "GAD": {"config": "gad", "keys": {"task": "relation"}},
                "HoC": {"config": "hoc", "keys": {"task": "document"}},
            },
        }
    )  # fmt: skip
    paper = PaperTable.model_validate(
        {
            "title": "A title", "source": "a paper, Table 4", "metric": "F1",
            "groups": [{"train": "en", "test": "zh", "rows": {
                "ChatGPT": {"GAD": 48.3, "HoC": 35.1, "AVG": 41.7},
                "XLM-R": {"GAD": 68.79, "HoC": 37.58, "AVG": 53.19},
                "KBioXLM": {"GAD": 78.91, "HoC": 78.83, "AVG": 78.87},
            }}],
        }
    )  # fmt: skip
    groups = rows_of(recipe, paper)
    results = Results()
    right = {"ours-gad-en-seed1": 15, "ours-gad-en-seed2": 13, "ours-hoc-en-seed1": 16, "ours-hoc-en-seed2": 16,
             "XLM-R-gad-en-seed1": 6, "XLM-R-gad-en-seed2": 8, "XLM-R-hoc-en-seed1": 5}  # fmt: skip
    for name, count in right.items():
        predicted(tmp_path / "out" / name, count, 2)
        f1 = round(200 * count / (20 + count + 2), 4)
        results.reports[name] = {"tests": {"zh": {"f1": f1, "n": 20}}, "counted": "documents"}
    results.failed["XLM-R-hoc-en-seed2"] = "c/x: is damaged; fetch it again"
    found = results.table(groups, "ours")
    report = {
        "table": "table4", "title": paper.title, "source": paper.source, "metric": paper.metric, "command": "command",
        "commit": None, "cells": {"all": 6, "run": 3, "partly run": 1, "not run": 2}, "groups": found,
    }  # fmt: skip
    ours = found[0]["rows"][2]["cells"][0]
    assert (ours["f1"], ours["spread"]) == (77.68, 4.81)
    assert ours["interval"][0] < 77.68 < ours["interval"][1]
    (comparison,) = found[0]["comparisons"]
    assert (comparison["model"], comparison["data_set"]) == ("XLM-R", "GAD")
    assert comparison["bootstrap_p"] < 0.01
    assert markdown(report) == GOLDEN.read_text(encoding="utf-8")
