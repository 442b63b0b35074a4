"""Fine-tuning an encoder for a task: the best epoch is chosen on dev data in the language of training.

One engine serves every task. A task (`tasks.task.Task`: `NerTask`, `RelationTask`, `DocumentTask`) reads, checks,
prepares, batches and scores its kind of labels; everything else is here. The way of a run, which other programs
can walk themselves:

    task = task_of(recipe)
    sets = load_sets(task, recipe)            # train, dev, tests (TaskData), and the labels of the training source
    for problem in problems(task, sets): …    # InputErrors, all that there are
    model, tokenizer = task.new_model(checkpoint, sets.labels)
    prepared = task.prepare(sets.train, tokenizer, max_length, sets.labels)
    task.evaluate(model, prepared, batch_size, bf16).figures["f1"]

A sample of the training data is `sets.train.of_documents(ids, description)`; the labels stay those of the whole source.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from transformers import set_seed

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import write_json, written_beside
from kbioxlm.common.recipe import Recipe
from kbioxlm.training.checkpoints import check_checkpoint
from kbioxlm.training.encoders import check_length, freeze
from kbioxlm.training.plots import loss_curve
from kbioxlm.training.runs import REPORT, fingerprint, finished_report, refuse_to_replace, resume_point, work_folder
from kbioxlm.training.task_trainer import TaskTrainer, training_arguments
from kbioxlm.training.tasks.data import TaskData, carve_dev, shared_documents, unknown_labels
from kbioxlm.training.tasks.registry import TaskName, make_task
from kbioxlm.training.tasks.task import Scored, Task

PREDICTIONS = "predictions"
"""Folder of `dev.jsonl` and `TEST.jsonl` beside a fine-tuned model; `tasks.task.Scored` says what they hold."""


class FinetuneRecipe(Recipe):
    """What `train.py finetune` does. Sources are `folder:config[:split]`; for NER, IOB files too."""

    task: TaskName = Field(
        default="ner", description="entities; one label of a text; any number of labels of a document"
    )
    checkpoint: str = Field(description="folder or Hub id of any encoder, with its tokenizer")
    train: str = Field(description="source; its train split unless it names another")
    dev: str | None = Field(default=None, description="source, its validation split; null: carved from train")
    dev_share: float = Field(default=0.1, gt=0, lt=1, description="share of train's documents in a carved dev set")
    tests: dict[str, str] = Field(default={}, description="name: source; its test split unless it names another")
    output: Path = Field(description="folder of the fine-tuned model")
    epochs: PositiveInt = 10
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 5e-5
    head_learning_rate: PositiveFloat = Field(default=1e-3, description="of everything above the encoder")
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: NonNegativeFloat = 0.01
    max_length: PositiveInt = Field(default=256, ge=8, description="positions in a window; longer text is windowed")
    freeze_embeddings: bool = Field(default=False, description="keep the embeddings as they are")
    freeze_layers: NonNegativeInt = Field(default=0, description="lowest layers that are kept as they are")
    seed: int = 13
    bf16: bool | None = Field(default=None, description="bfloat16 autocast; null: where the machine is fast at it")
    use_crf: bool = Field(default=True, description="ner: score whole tag sequences")
    negative_label: str | None = Field(
        default="0", description="relation: the label that means none, left out of F1; null: every label counts"
    )
    entity_markers: list[str] = Field(
        default=[], description="relation, document: words that stand for entities, such as @GENE$; a piece each"
    )
    convert_pickle: bool = Field(
        default=False, description="where a checkpoint has no safetensors, read its pickle, without its code"
    )
    allow_shared_documents: bool = Field(default=False, description="let tests share document ids with train or dev")

    @field_validator("tests")
    @classmethod
    def _name_files(cls, tests: dict[str, str]) -> dict[str, str]:
        """Names of tests become names of files, beside that of dev."""
        for name in tests:
            if name == "dev" or not re.fullmatch(r"\w[\w.-]*", name):
                raise ValueError(f"names of letters, digits, '.', '_' and '-' other than 'dev', not {name!r}")
        return tests


@dataclass(frozen=True)
class Sets:
    """The data of one run.

    Attributes:
        labels: those of the whole training source, sorted; a dev set carved from it, or a sample, may lack some.
    """

    train: TaskData
    dev: TaskData
    tests: Mapping[str, TaskData]
    labels: tuple[str, ...]


def task_of(recipe: FinetuneRecipe) -> Task:
    """The task that `recipe` names, with its settings."""
    return make_task(
        recipe.task,
        use_crf=recipe.use_crf,
        negative_label=recipe.negative_label,
        entity_markers=tuple(recipe.entity_markers),
        convert_pickle=recipe.convert_pickle,
    )


def load_sets(task: Task, recipe: FinetuneRecipe) -> Sets:
    """Read all sources of a run.

    Raises:
        InputError: a source that cannot be read, or a training source that cannot be parted into train and dev.
    """
    train = task.load(recipe.train, "train")
    labels = train.labels
    if recipe.dev is None:
        train, dev = carve_dev(train, recipe.dev_share, recipe.seed)
    else:
        dev = task.load(recipe.dev, "validation")
    return Sets(train, dev, {name: task.load(source, "test") for name, source in recipe.tests.items()}, labels)


def problems(task: Task, sets: Sets, allow_shared_documents: bool = False) -> Iterator[InputError]:
    """Everything that makes `sets` unusable, in the order of train, dev, tests."""
    yield from task.label_problems(sets.train, sets.labels)
    yield from task.problems(sets.train)
    language, dev_language = sets.train.language, sets.dev.language
    if language and dev_language and language != dev_language:
        yield InputError(
            sets.dev.source, f"the dev set is in {dev_language}, training is in {language}",
            "choose the checkpoint on data in the language of training",
        )  # fmt: skip
    for data in (sets.dev, *sets.tests.values()):
        yield from task.problems(data)
        yield from unknown_labels(data, sets.labels)
    if not allow_shared_documents:
        yield from shared_documents(sets.train, sets.dev, list(sets.tests.values()))


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
    for problem in problems(task, sets, recipe.allow_shared_documents):
        raise problem
    identity = {
        "recipe": json.loads(recipe.model_dump_json()),
        "inputs": {
            "checkpoint": fingerprint(recipe.checkpoint),
            "train": sets.train.fingerprint, "dev": sets.dev.fingerprint,
            **{f"tests.{name}": test.fingerprint for name, test in sets.tests.items()},
        },
    }  # fmt: skip
    finished = finished_report(recipe.output, identity)
    if finished is not None:
        return finished

    set_seed(recipe.seed)
    model, tokenizer = task.new_model(recipe.checkpoint, sets.labels)
    check_length("recipe", recipe.max_length, model)
    frozen = freeze(model, recipe.freeze_embeddings, recipe.freeze_layers)
    train = task.prepare(sets.train, tokenizer, recipe.max_length, sets.labels)
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
        "labels": list(sets.labels),
        "train": {
            "source": sets.train.source, "n": len(sets.train.examples), "documents": len(sets.train.documents),
            **task.summary(train),
        },
        "parameters": {"all": model.num_parameters(), "frozen": frozen},
        "best_epoch": int(best.rsplit("-", 1)[1]) // steps_an_epoch if best else recipe.epochs,
        "dev": {"source": sets.dev.source, **answers["dev"].figures},
        "tests": {
            name: {"source": test.source, **answers[f"tests.{name}"].figures} for name, test in sets.tests.items()
        },
        "seconds": round(time.perf_counter() - started, 1),
        "history": trainer.state.log_history,
    }  # fmt: skip
    with written_beside(recipe.output) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        loss_curve(trainer.state.log_history, draft / "loss.png", f"Fine-tuning on {sets.train.source}")
        for name, answer in answers.items():
            _write_predictions(draft / PREDICTIONS / f"{name.removeprefix('tests.')}.jsonl", answer)
        write_json(draft / REPORT, report)
    shutil.rmtree(work)
    return report


def _write_predictions(path: Path, answer: Scored) -> None:
    path.parent.mkdir(exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in answer.predictions]
    path.write_text("".join(lines), encoding="utf-8")
