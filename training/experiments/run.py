"""A whole experiment: data, one shared stage 1, several arms with equal steps, fine-tuning, scores, probes, report.

Every step has one output on disk and is skipped when that output stands with the same inputs, so a killed
experiment is run again with the same command and goes on.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

from kbioxlm.common.files import write_json, written_beside
from kbioxlm.dataset_scripts.benchmarks.card import VERSION
from kbioxlm.dataset_scripts.benchmarks.clean import clean_splits
from kbioxlm.dataset_scripts.benchmarks.folder import write_benchmarks
from kbioxlm.dataset_scripts.benchmarks.published import read_published, training_texts
from kbioxlm.dataset_scripts.corpora.build import CorporaSettings, build_corpora
from kbioxlm.dataset_scripts.knowledge.build import BuildSettings, build_from_umls
from kbioxlm.training.experiments.arm_runs import ArmFigures, once, run_side_by_side, say
from kbioxlm.training.experiments.recipe import ExperimentRecipe, Plan
from kbioxlm.training.models.tokenizer import train_tokenizer
from kbioxlm.training.plots import f1_bars
from kbioxlm.training.pretraining.run import pretrain
from kbioxlm.training.runs import REPORT, code_commit, fingerprint
from kbioxlm.training.tables import experiment_table


def run_experiment(recipe: ExperimentRecipe, command: str = "") -> dict[str, Any]:
    """Run what is missing of the experiment and write its report, table and plots.

    Args:
        command: how it was started, for the report.

    Returns:
        the content of `report.json`.

    Raises:
        InputError: anything wrong with the recipe or its inputs; all recipes are checked before the first step.
    """
    commit = code_commit()
    plan = Plan(recipe)
    spent = _prepare_data(recipe, plan)
    say("stage 1: pretraining")
    spent["pretraining stage 1"] = pretrain(plan.stage1)["seconds"]
    runs = [run for of_arm in plan.arms.values() for run in of_arm]
    found = dict(zip([run.name for run in runs], run_side_by_side(recipe, runs), strict=True))
    arms = {arm: _arm_report(recipe, [found[run.name] for run in of_arm]) for arm, of_arm in plan.arms.items()}
    for run in runs:
        spent |= found[run.name].seconds
    report = {
        "task": "experiment",
        "command": command,
        "commit": commit,
        "recipe": json.loads(recipe.model_dump_json()),
        "seed": recipe.seed,
        "pretraining_seeds": [run.pretraining.seed for run in next(iter(plan.arms.values()))],
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
            cleaned, changes = clean_splits(published)
            write_benchmarks([*cleaned, *published], plan.benchmarks, changes)
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in training_texts(cleaned)]
            with written_beside(plan.benchmark_texts) as draft:
                draft.write_text("".join(lines), encoding="utf-8")

        built = [plan.benchmarks, plan.benchmark_texts]
        spent |= once(out, "benchmarks", {"source": fingerprint(source), "version": VERSION}, built, benchmarks)
    spent |= once(
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
    spent |= once(
        out, "corpora", inputs, [plan.corpora],
        lambda: build_corpora(plan.knowledge_base, plan.texts, plan.corpora, settings, recipe.pairs),
    )  # fmt: skip
    spent |= once(
        out, "tokenizer", {"recipe": plan.tokenizer.model_dump_json(), "texts": texts}, [plan.tokenizer.output],
        lambda: train_tokenizer(plan.tokenizer),
    )  # fmt: skip
    return spent


def _arm_report(recipe: ExperimentRecipe, found: list[ArmFigures]) -> dict[str, Any]:
    """The scores and probes of one arm over all seeds."""
    scores: dict[str, Any] = {}
    for task in recipe.tasks:
        runs = [report for figures in found for report in figures.reports[task]]
        for test in ("dev", *runs[0]["tests"]):
            cells = [run["dev"] if test == "dev" else run["tests"][test] for run in runs]
            scores[f"{task}/{test}"] = {
                **_spread([cell["f1"] for cell in cells]),
                "n": cells[0]["n"],
                "counted": runs[0]["counted"],
            }
            if recipe.tasks[task].get("task") == "relation":  # its F1 is high where all is called related
                scores[f"{task}/{test}"]["accuracy"] = _spread([cell["accuracy"] for cell in cells])
    by_seed = zip(*(scores[name]["by_seed"] for name in recipe.zero_shot), strict=True)
    summary = _spread([round(statistics.fmean(values), 4) for values in by_seed])
    return {
        "zero_shot_f1": summary["f1"],
        "n": sum(scores[name]["n"] for name in recipe.zero_shot),
        "spread": summary["spread"],
        "scores": scores,
        "probes": [figures.probes for figures in found],
    }


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (null for a single run) and the single values."""
    return {
        "f1": round(statistics.fmean(values), 2),
        "spread": round(statistics.stdev(values), 2) if len(values) > 1 else None,
        "by_seed": values,
    }
