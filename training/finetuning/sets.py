"""The data of a fine-tuning run: its sets, and everything that makes them unusable."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.training.finetuning.few_shot import draw_shots
from kbioxlm.training.finetuning.overlap import Overlap, overlap_problems, overlaps
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.finetuning.tasks.data import TaskData, carve_dev, unknown_labels
from kbioxlm.training.finetuning.tasks.task import Task
from kbioxlm.training.runs import REPORT


@dataclass(frozen=True)
class Sets:
    """The data of one run.

    Attributes:
        labels: those of the whole training source, sorted; a dev set carved from it, or a sample, may lack some.
        earlier: what the checkpoint was fine-tuned on already, where its head is kept.
    """

    train: TaskData
    dev: TaskData
    tests: Mapping[str, TaskData]
    labels: tuple[str, ...]
    earlier: tuple[TaskData, ...] = ()

    @cached_property
    def overlaps(self) -> list[Overlap]:
        """What train shares with dev and tests, and dev with tests."""
        return overlaps({"train": self.train, **_numbered(self.earlier)}, self.dev, self.tests)


def load_sets(task: Task, recipe: FinetuneRecipe) -> Sets:
    """Read all sources of a run.

    Raises:
        InputError: a source that cannot be read, a training source that cannot be parted into train and dev, or
            has fewer documents than shots.
    """
    train = task.load_together(recipe.train, "train")
    dev = None if recipe.dev is None else task.load_together(recipe.dev, "validation")
    pool = None if recipe.carve_from is None else task.load(recipe.carve_from, "train")
    tests = {name: task.load(source, "test") for name, source in recipe.tests.items()}
    return make_sets(recipe, train, dev, tests, earlier_data(task, recipe), pool)


def make_sets(
    recipe: FinetuneRecipe,
    train: TaskData,
    dev: TaskData | None,
    tests: Mapping[str, TaskData],
    earlier: tuple[TaskData, ...] = (),
    pool: TaskData | None = None,
) -> Sets:
    """The sets of a run from what was read: dev is carved where it is None, from `pool` where there is one, then shots
    are drawn.

    The same documents are carved from the training data of a language in every run with one seed and share. So a run
    that goes on in another language, with that data as `pool`, has the dev set of the run before it.

    Raises:
        InputError: too few documents, or a pool whose ids cannot be compared with those of train.
    """
    labels = train.labels
    if dev is None and pool is not None:
        if pool.benchmark != train.benchmark:
            raise InputError(
                pool.source, f"is of another benchmark than {train.source}",
                "carve dev from a source of the same benchmark: parallel documents are known by their ids",
            )  # fmt: skip
        _, dev = carve_dev(pool, recipe.dev_share, recipe.seed)
        left = train.documents - dev.documents
        if not left:
            raise InputError(train.source, f"no document is left without those carved from {pool.source}", "set dev")
        train = train.of_documents(left, train.source)
    elif dev is None:
        train, dev = carve_dev(train, recipe.dev_share, recipe.seed)
    if recipe.shots is not None:
        train = draw_shots(train, recipe.shots, recipe.seed)
    return Sets(train, dev, tests, labels, earlier)


def problems(task: Task, sets: Sets, recipe: FinetuneRecipe) -> Iterator[InputError]:
    """Everything that makes `sets` unusable, in the order of train, dev, tests."""
    yield from task.label_problems(sets.train, sets.labels)
    yield from task.problems(sets.train)
    language, dev_language = sets.train.language, sets.dev.language
    if language and dev_language and language != dev_language and not recipe.keep_head:
        yield InputError(
            sets.dev.source, f"the dev set is in {dev_language}, training is in {language}",
            "choose the checkpoint on data in the language of training",
        )  # fmt: skip
    for data in (sets.dev, *sets.tests.values()):
        yield from task.problems(data)
        yield from unknown_labels(data, sets.labels)
    yield from overlap_problems(sets.overlaps, recipe.allow_shared_documents, recipe.allow_near_duplicates)


def _numbered(earlier: tuple[TaskData, ...]) -> dict[str, TaskData]:
    return {f"checkpoint's train {number}": data for number, data in enumerate(earlier, 1)}


def earlier_data(task: Task, recipe: FinetuneRecipe) -> tuple[TaskData, ...]:
    """What the runs that made the checkpoint were trained on, by the reports in their folders.

    Raises:
        InputError: data that is not there any more.
    """
    found: list[TaskData] = []
    checkpoint, keeps = recipe.checkpoint, recipe.keep_head and not recipe.allow_shared_documents
    while keeps and (Path(checkpoint) / REPORT).is_file():
        report = json.loads((Path(checkpoint) / REPORT).read_text(encoding="utf-8"))
        if "best_epoch" not in report:
            break  # not a fine-tuning run's
        try:
            made_by = parse_recipe(FinetuneRecipe, report["recipe"], Path(checkpoint) / REPORT)
            data = task.load_together(made_by.train, "train")
        except InputError as error:
            raise InputError(
                checkpoint, f"what it was trained on cannot be compared with dev and tests ({error})",
                "put the data there, or set allow_shared_documents: true",
            ) from error  # fmt: skip
        pool = None if made_by.carve_from is None else task.load(made_by.carve_from, "train")
        found.append(make_sets(made_by, data, None if made_by.dev is None else data, {}, pool=pool).train)
        checkpoint, keeps = made_by.checkpoint, made_by.keep_head
    return tuple(found)
