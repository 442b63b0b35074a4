"""The runs of an experiment's arms: stage 2, fine-tuning and probes of each, one after another or side by side."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from kbioxlm.common.files import write_json
from kbioxlm.common.memory import keep_freed_memory
from kbioxlm.training.evaluation.run import run_probes
from kbioxlm.training.experiments.recipe import ArmRun, ExperimentRecipe, Plan
from kbioxlm.training.finetuning.run import finetune
from kbioxlm.training.pretraining.run import pretrain
from kbioxlm.training.runs import fingerprint


@dataclass(frozen=True)
class ArmFigures:
    """What one run of an arm gave.

    Args:
        seconds: by step.
        reports: by task, the fine-tuning report of each seed.
        probes: as `evaluation.run_probes` returns them.
    """

    seconds: dict[str, float]
    reports: dict[str, list[dict[str, Any]]]
    probes: dict[str, Any]


def run_side_by_side(recipe: ExperimentRecipe, runs: Sequence[ArmRun]) -> list[ArmFigures]:
    """Run what is missing of `runs`, `recipe.jobs` at a time, and give the figures of all in their order.

    Side by side, each run writes its progress to `logs/NAME.log` in the experiment's folder. The figures depend on
    the number of threads in their last digits, as all sums in floating point do.

    Raises:
        InputError: as the single steps; the other runs are kept as far as they got.
    """
    if recipe.jobs == 1:
        return [run_arm(recipe, run) for run in runs]
    threads = max(1, (os.cpu_count() or 1) // recipe.jobs)
    with ProcessPoolExecutor(recipe.jobs, get_context("spawn"), initializer=_start, initargs=(threads,)) as pool:
        futures = {pool.submit(_run_logged, recipe, run): place for place, run in enumerate(runs)}
        try:
            found = {}
            for future in tqdm(as_completed(futures), total=len(futures), desc="arms and seeds", unit="run"):
                found[futures[future]] = future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [found[place] for place in range(len(runs))]


def _start(threads: int) -> None:
    """Prepare a process of the pool."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """If the experiment is killed, its processes end too: run again, it must not meet them in the same folders."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_logged(recipe: ExperimentRecipe, run: ArmRun) -> ArmFigures:
    log = recipe.output / "logs" / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), sys.stderr.fileno())
        return run_arm(recipe, run)


def run_arm(recipe: ExperimentRecipe, run: ArmRun) -> ArmFigures:
    """Stage 2 of an arm, its fine-tuning on every task, its probes."""
    say(f"{run.name}: pretraining")
    seconds = {f"pretraining {run.name}": pretrain(run.pretraining)["seconds"]}
    reports: dict[str, list[dict[str, Any]]] = {}
    for task, recipes in run.tasks.items():
        say(f"{run.name}: fine-tuning on {task}")
        reports[task] = [finetune(task_recipe) for task_recipe in recipes]
        seconds[f"fine-tuning {run.name} {task}"] = sum(report["seconds"] for report in reports[task])
    return ArmFigures(seconds, reports, _probes(recipe, run, seconds))


def _probes(recipe: ExperimentRecipe, run: ArmRun, seconds: dict[str, float]) -> dict[str, Any]:
    """The probes of one run, made where they are missing or their inputs changed."""
    plan = Plan(recipe)
    checkpoint, found = run.pretraining.output, recipe.output / f"{run.name}-probes.json"

    def probe() -> None:
        figures = run_probes(checkpoint, plan.probes, plan.knowledge_base, plan.corpora, recipe.languages, recipe.seed)
        write_json(found, figures)

    inputs = {
        "probes": json.loads(plan.probes.model_dump_json()),
        "seed": recipe.seed,
        **{path.name: fingerprint(path) for path in (checkpoint, plan.knowledge_base, plan.corpora, plan.benchmarks)},
    }
    seconds |= once(recipe.output, f"probes {run.name}", inputs, [found], probe)
    return json.loads(found.read_text(encoding="utf-8"))


def once(
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
        say(name)
        started = time.perf_counter()
        build()
        made = {"inputs": inputs, "seconds": round(time.perf_counter() - started, 1)}
        write_json(note, made)
    return {name: made["seconds"]}


def say(what: str) -> None:
    """Tell what begins, on standard error."""
    print(f"== {what}", file=sys.stderr, flush=True)
