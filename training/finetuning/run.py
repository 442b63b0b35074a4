"""Fine-tuning an encoder for a task: the best epoch is chosen on dev data in the source language.

One engine serves every task. A task (`tasks.task.Task`: `NerTask`, `RelationTask`, `DocumentTask`) reads, checks,
prepares, batches and scores its kind of labels; everything else is here. The way of a run, which other programs
can walk themselves:

    task = task_of(recipe)
    sets = load_sets(task, recipe)                    # train, dev, tests (TaskData), and the labels of the source
    for problem in problems(task, sets, recipe): …    # InputErrors, all that there are
    model, tokenizer, labels = start(task, recipe, sets)
    prepared = task.prepare(sets.train, tokenizer, max_length, labels)
    task.evaluate(model, prepared, batch_size, bf16).figures["f1"]
"""

from __future__ import annotations

import json
import math
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import set_seed

from kbioxlm.common.files import write_json, written_beside
from kbioxlm.training.finetuning.adapters import save_adapter
from kbioxlm.training.finetuning.few_shot import shots_record
from kbioxlm.training.finetuning.overlap import overlap_report
from kbioxlm.training.finetuning.recipe import FinetuneRecipe, task_of
from kbioxlm.training.finetuning.sets import Sets, load_sets, problems
from kbioxlm.training.finetuning.task_model import base_of, parameters_of, start
from kbioxlm.training.finetuning.task_trainer import TaskTrainer, training_arguments
from kbioxlm.training.finetuning.tasks.task import Scored
from kbioxlm.training.models.checkpoints import check_checkpoint
from kbioxlm.training.plots import loss_curve
from kbioxlm.training.runs import (
    PREDICTIONS,
    REPORT,
    SHOTS,
    checkpoint_fingerprint,
    finished_report,
    refuse_to_replace,
    resume_point,
    work_folder,
)


def finetune(recipe: FinetuneRecipe) -> dict[str, Any]:
    """Fine-tune, keep the epoch that is best on dev, score the tests, save everything to `recipe.output`.

    A run that was killed goes on from its last epoch; a finished one with the same recipe and the same inputs
    is not run again.

    Returns:
        the content of `report.json`: `dev` and `tests` hold the figures of the task's `evaluate`.

    Raises:
        InputError: anything wrong with the recipe or its data, before training starts.
    """
    started = time.perf_counter()
    refuse_to_replace(recipe.checkpoint, recipe.output)
    check_checkpoint(recipe.checkpoint)
    task = task_of(recipe)
    sets = load_sets(task, recipe)
    identity = run_identity(recipe, sets)
    finished = finished_report(recipe.output, identity)
    if finished is not None:
        return finished
    for problem in problems(task, sets, recipe):
        raise problem

    set_seed(recipe.seed)
    model, tokenizer, labels = start(task, recipe, sets)
    train = task.prepare(sets.train, tokenizer, recipe.max_length, labels)
    dev = task.prepare(sets.dev, tokenizer, recipe.max_length)
    rows = train.rows
    work = work_folder(recipe.output)
    resumed = resume_point(work, identity)
    trainer = TaskTrainer(
        model=model,
        args=training_arguments(recipe, work, len(rows)),
        train_dataset=rows,
        data_collator=partial(task.collate, pad_token_id=tokenizer.pad_token_id),
        task=task,
        dev=dev,
        head_learning_rate=recipe.head_learning_rate,
    )
    trainer.train(resume_from_checkpoint=resumed)

    answers = {"dev": trainer.scored(dev)}
    for name, test in sets.tests.items():
        answers[f"tests.{name}"] = trainer.scored(task.prepare(test, tokenizer, recipe.max_length))
    best = trainer.state.best_model_checkpoint
    steps_an_epoch = math.ceil(len(rows) / recipe.batch_size)
    report = {
        "task": task.name,
        **identity,
        "seed": recipe.seed,
        "metric": task.metric,
        "counted": task.counted,
        "labels": list(labels),
        "train": {
            "source": sets.train.source, "n": len(sets.train.examples), "documents": len(sets.train.documents),
            **task.summary(train),
        },
        "overlap": overlap_report(sets.overlaps),
        "parameters": parameters_of(model),
        "best_epoch": int(best.rsplit("-", 1)[1]) // steps_an_epoch if best else recipe.epochs,
        "dev": {"source": sets.dev.source, **answers["dev"].figures},
        "tests": {
            name: {"source": test.source, **answers[f"tests.{name}"].figures} for name, test in sets.tests.items()
        },
        "seconds": round(time.perf_counter() - started, 1),
        "history": trainer.state.log_history,
    }  # fmt: skip
    with written_beside(recipe.output) as draft:
        if isinstance(model, PeftModel):
            report["adapter"] = save_adapter(model, draft, base_of(recipe))
        else:
            model.save_pretrained(draft)
        if recipe.shots is not None:
            write_json(draft / SHOTS, shots_record(sets.train, recipe.train, recipe.seed))
        tokenizer.save_pretrained(draft)
        loss_curve(trainer.state.log_history, draft / "loss.png", f"Fine-tuning on {sets.train.source}")
        for name, answer in answers.items():
            _write_predictions(draft / PREDICTIONS / f"{name.removeprefix('tests.')}.jsonl", answer)
        write_json(draft / REPORT, report)
    shutil.rmtree(work)
    return report


def run_identity(recipe: FinetuneRecipe, sets: Sets) -> dict[str, Any]:
    """What makes two runs the same: their recipes, and fingerprints of their checkpoint and their data."""
    return {
        "recipe": json.loads(recipe.model_dump_json()),
        "inputs": {
            "checkpoint": checkpoint_fingerprint(recipe.checkpoint),
            "train": sets.train.fingerprint, "dev": sets.dev.fingerprint,
            **{f"tests.{name}": test.fingerprint for name, test in sets.tests.items()},
        },
    }  # fmt: skip


def _write_predictions(path: Path, answer: Scored) -> None:
    path.parent.mkdir(exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in answer.predictions]
    path.write_text("".join(lines), encoding="utf-8")
