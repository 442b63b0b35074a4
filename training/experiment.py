"""A whole experiment: data, one shared stage 1, several arms with equal steps, fine-tuning, scores, probes, report.

Every step has one output on disk and is skipped when that output stands with the same inputs, so a killed
experiment is run again with the same command and goes on.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kbioxlm.common.files import write_json, written_beside
from kbioxlm.dataset_scripts.benchmarks.folder import write_benchmarks
from kbioxlm.dataset_scripts.benchmarks.published import read_published, training_texts
from kbioxlm.dataset_scripts.corpora.build import CorporaSettings, build_corpora
from kbioxlm.dataset_scripts.knowledge.build import BuildSettings, build_from_umls
from kbioxlm.training.evaluation import run_probes
from kbioxlm.training.experiment_recipe import ExperimentRecipe, Plan
from kbioxlm.training.finetuning import finetune
from kbioxlm.training.plots import f1_bars
from kbioxlm.training.pretraining import pretrain
from kbioxlm.training.runs import REPORT, fingerprint
from kbioxlm.training.tables import experiment_table
from kbioxlm.training.tokenizer import train_tokenizer


def run_experiment(recipe: ExperimentRecipe, command: str = "") -> dict[str, Any]:
    """Run what is missing of the experiment and write its report, table and plots.

    Args:
        command: how it was started, for the report.

    Returns:
        the content of `report.json`.

    Raises:
        InputError: anything wrong with the recipe or its inputs; all recipes are checked before the first step.
    """
    commit = _commit()
    plan = Plan(recipe)
    spent = _prepare_data(recipe, plan)
    _say("stage 1: pretraining")
    spent["pretraining stage 1"] = pretrain(plan.stage1)["seconds"]
    arms: dict[str, Any] = {}
    for arm, arm_recipe in plan.arms.items():
        _say(f"arm {arm}: pretraining")
        spent[f"pretraining {arm}"] = pretrain(arm_recipe)["seconds"]
        reports: dict[str, list[dict[str, Any]]] = {}
        for task, recipes in plan.tasks[arm].items():
            _say(f"arm {arm}: fine-tuning on {task}")
            reports[task] = [finetune(task_recipe) for task_recipe in recipes]
            spent[f"fine-tuning {arm} {task}"] = sum(report["seconds"] for report in reports[task])
        arms[arm] = _arm_report(recipe, reports)
        arms[arm]["probes"] = _probes(recipe, plan, arm, spent)
    report = {
        "task": "experiment",
        "command": command,
        "commit": commit,
        "recipe": json.loads(recipe.model_dump_json()),
        "seed": recipe.seed,
        "finetuning_seeds": recipe.finetuning_seeds,
        "seconds": round(sum(spent.values()), 1),
        "step_seconds": spent,
        "arms": arms,
    }
    table = experiment_table(report)
    f1_bars(
        {arm: {name: s["f1"] for name, s in values["scores"].items()} for arm, values in arms.items()},
        recipe.output / "f1.png", "F1",
    )  # fmt: skip
    with written_beside(recipe.output / "table.md") as draft:
        draft.write_text(table, encoding="utf-8")
    write_json(recipe.output / REPORT, report)
    return report


def _prepare_data(recipe: ExperimentRecipe, plan: Plan) -> dict[str, float]:
    """Benchmarks, knowledge base, corpora and tokenizer, each where it is missing or its inputs changed.

    Returns:
        seconds by step.
    """
    out = recipe.output
    spent: dict[str, float] = {}
    if recipe.benchmarks is not None:
        source = recipe.benchmarks

        def benchmarks() -> None:
            published = read_published(source)
            write_benchmarks(published, plan.benchmarks)
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in training_texts(published)]
            with written_beside(plan.benchmark_texts) as draft:
                draft.write_text("".join(lines), encoding="utf-8")

        built = [plan.benchmarks, plan.benchmark_texts]
        spent |= _once(out, "benchmarks", {"source": fingerprint(source)}, built, benchmarks)
    spent |= _once(
        out, "knowledge base", {"umls": fingerprint(recipe.umls), "languages": recipe.languages}, [plan.knowledge_base],
        lambda: build_from_umls(recipe.umls, plan.knowledge_base, settings=BuildSettings(recipe.languages)),
    )  # fmt: skip
    settings = CorporaSettings(languages=recipe.languages, seed=recipe.seed, **recipe.corpora.model_dump())
    texts = [fingerprint(path) for path in plan.texts]
    inputs = {
        "knowledge_base": fingerprint(plan.knowledge_base),
        "texts": texts,
        "pairs": fingerprint(recipe.pairs),
        "settings": json.loads(recipe.corpora.model_dump_json()),
        "seed": recipe.seed,
    }
    spent |= _once(
        out, "corpora", inputs, [plan.corpora],
        lambda: build_corpora(plan.knowledge_base, plan.texts, plan.corpora, settings, recipe.pairs),
    )  # fmt: skip
    spent |= _once(
        out, "tokenizer", {"recipe": plan.tokenizer.model_dump_json(), "texts": texts}, [plan.tokenizer.output],
        lambda: train_tokenizer(plan.tokenizer),
    )  # fmt: skip
    return spent


def _probes(recipe: ExperimentRecipe, plan: Plan, arm: str, spent: dict[str, float]) -> dict[str, Any]:
    """The probes of one arm, run where they are missing or their inputs changed."""
    checkpoint, found = plan.arms[arm].output, recipe.output / f"{arm}-probes.json"

    def run() -> None:
        figures = run_probes(checkpoint, plan.probes, plan.knowledge_base, plan.corpora, recipe.languages, recipe.seed)
        write_json(found, figures)

    inputs = {
        "probes": json.loads(plan.probes.model_dump_json()),
        "seed": recipe.seed,
        **{path.name: fingerprint(path) for path in (checkpoint, plan.knowledge_base, plan.corpora, plan.benchmarks)},
    }
    spent |= _once(recipe.output, f"probes {arm}", inputs, [found], run)
    return json.loads(found.read_text(encoding="utf-8"))


def _once(
    out: Path, name: str, inputs: dict[str, Any], outputs: list[Path], build: Callable[[], object]
) -> dict[str, float]:
    """Run `build` unless its outputs stand and were made from the same inputs.

    Returns:
        the step's name and the seconds it took, now or when it was run.
    """
    note = out / "steps" / f"{name.replace(' ', '_')}.json"
    inputs = json.loads(json.dumps(inputs))
    made = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    if made.get("inputs") != inputs or not all(path.exists() for path in outputs):
        _say(name)
        started = time.perf_counter()
        build()
        made = {"inputs": inputs, "seconds": round(time.perf_counter() - started, 1)}
        write_json(note, made)
    return {name: made["seconds"]}


def _arm_report(recipe: ExperimentRecipe, reports: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The scores of one arm over the fine-tuning seeds."""
    scores: dict[str, Any] = {}
    for task, runs in reports.items():
        for test in ("dev", *runs[0]["tests"]):
            cells = [run["dev"] if test == "dev" else run["tests"][test] for run in runs]
            scores[f"{task}/{test}"] = {
                **_spread([cell["f1"] for cell in cells]),
                "n": cells[0]["n"],
                "counted": runs[0]["counted"],
            }
    by_seed = zip(*(scores[name]["by_seed"] for name in recipe.zero_shot), strict=True)
    summary = _spread([round(statistics.fmean(values), 4) for values in by_seed])
    return {
        "zero_shot_f1": summary["f1"],
        "n": sum(scores[name]["n"] for name in recipe.zero_shot),
        "spread": summary["spread"],
        "scores": scores,
    }


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (null for a single run) and the single values."""
    return {
        "f1": round(statistics.fmean(values), 2),
        "spread": round(statistics.stdev(values), 2) if len(values) > 1 else None,
        "by_seed": values,
    }


def _commit() -> str | None:
    """The commit of the code that runs, marked where the tree differs from it; None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _say(what: str) -> None:
    print(f"== {what}", file=sys.stderr, flush=True)
