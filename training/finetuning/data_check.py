"""What is wrong with the data of a fine-tuning run, all of it at once: `train.py check-data`.

Errors are what `train.py finetune` refuses, which stops at the first. Warnings are what it takes, and what makes scores
doubtful or training weak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from kbioxlm.common.errors import InputError, shown
from kbioxlm.training.finetuning.few_shot import too_many_shots
from kbioxlm.training.finetuning.overlap import overlap_problems
from kbioxlm.training.finetuning.recipe import FinetuneRecipe, task_of
from kbioxlm.training.finetuning.sets import Sets, earlier_data, make_sets, problems
from kbioxlm.training.finetuning.tasks.data import TaskData
from kbioxlm.training.finetuning.tasks.task import Task
from kbioxlm.training.models.checkpoints import check_checkpoint

FEW_EXAMPLES = 10
"""Labels with fewer training examples are warned of."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or doubtful."""

    severity: Literal["error", "warning"]
    problem: InputError

    def __str__(self) -> str:
        return f"{self.severity}: {self.problem}"


def check_data(recipe: FinetuneRecipe) -> list[Finding]:
    """Everything that is wrong with the checkpoint's folder and the sources of `recipe`, then what is doubtful.

    Rows that cannot be used are left out of what is checked after them. No weights are read and nothing is trained.
    """
    errors: list[InputError] = []
    try:
        check_checkpoint(recipe.checkpoint)
    except InputError as error:
        errors.append(error)
    try:
        task = task_of(recipe)
    except InputError as error:
        return [Finding("error", one) for one in (*errors, error)]
    sets = _sets(task, recipe, errors)
    warnings: list[InputError] = []
    if sets is not None:
        errors += problems(task, sets, recipe)
        warnings += _doubts(sets, recipe)
    unique = {str(error): error for error in errors}  # a source may be train and test at once
    return [Finding("error", one) for one in unique.values()] + [Finding("warning", one) for one in warnings]


def _sets(task: Task, recipe: FinetuneRecipe, errors: list[InputError]) -> Sets | None:
    """The sets of a run as far as they can be read; None where there is no training data, or no dev set."""

    def read(source: str, split: str, load: Callable[..., TaskData] = task.load_together) -> TaskData | None:
        try:
            return load(source, split, errors.append)
        except InputError as error:
            errors.append(error)
            return None

    train = read(recipe.train, "train")
    dev = None if recipe.dev is None else read(recipe.dev, "validation")
    pool = None if recipe.carve_from is None else read(recipe.carve_from, "train", task.load)
    read_tests = {name: read(source, "test", task.load) for name, source in recipe.tests.items()}
    tests = {name: data for name, data in read_tests.items() if data is not None}
    if train is None or (recipe.dev is not None and dev is None) or (recipe.carve_from is not None and pool is None):
        for data in (train, dev, *tests.values()):
            errors += task.problems(data) if data is not None else ()
        return None
    try:
        sets = make_sets(recipe.model_copy(update={"shots": None}), train, dev, tests, pool=pool)
        too_many = None if recipe.shots is None else too_many_shots(sets.train, recipe.shots)
        if too_many is not None:
            errors.append(too_many)
        elif recipe.shots is not None:
            sets = make_sets(recipe, train, dev, tests, pool=pool)
    except InputError as error:
        errors += [error, *task.problems(train)]
        return None
    try:
        return Sets(sets.train, sets.dev, tests, sets.labels, earlier_data(task, recipe))
    except InputError as error:
        errors.append(error)
        return sets


def _doubts(sets: Sets, recipe: FinetuneRecipe) -> Iterator[InputError]:
    """What a run would take without a word."""
    if not recipe.tests:
        yield InputError("recipe", "no tests", "name test sets, or score the model later with train.py evaluate")
    for label, count in sorted(_examples_by_label(sets.train, sets.labels).items()):
        if count < FEW_EXAMPLES:
            yield InputError(
                sets.train.source, f"label {shown(label)} has {count} training {sets.train.noun}s",
                f"{FEW_EXAMPLES} or more are likelier to teach it",
            )  # fmt: skip
    for data in (sets.dev, *sets.tests.values()):
        missing = [label for label in sets.labels if label not in data.labels]
        if missing:
            yield InputError(data.source, f"no {data.noun} has {', '.join(missing)}", "F1 says nothing about it then")
    for data in (sets.train, sets.dev, *sets.tests.values()):
        yield from _repeats(data)
    if recipe.dev is not None and not (sets.train.language and sets.dev.language):
        yield InputError(
            sets.dev.source, f"whether it is in the language of {sets.train.source} is not known",
            "see to it yourself, or give both as folder:config",
        )  # fmt: skip
    for problem in overlap_problems(sets.overlaps):  # those that are not allowed are errors already
        allowed = recipe.allow_shared_documents if "document ids" in problem.found else recipe.allow_near_duplicates
        if allowed:
            yield InputError(problem.place, f"{problem.found} (allowed by the recipe)", "scores profit from it")


def _examples_by_label(data: TaskData, labels: tuple[str, ...]) -> dict[str, int]:
    counts = Counter(label for example in data.examples for label in set(data.labels_of(example)))
    return {label: counts[label] for label in labels}


def _repeats(data: TaskData) -> Iterator[InputError]:
    """Texts that occur more than once; those with different labels contradict each other."""
    by_text: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for example in data.examples:
        by_text.setdefault((example.language, example.text), []).append(tuple(sorted(data.labels_of(example))))
    repeated = {text: labels for (_, text), labels in by_text.items() if len(labels) > 1}
    if repeated:
        at_odds = sum(len(set(labels)) > 1 for labels in repeated.values())
        yield InputError(
            data.source,
            f"{len(repeated)} texts occur more than once, {at_odds} of them with different labels, such as "
            f"{shown(next(iter(repeated)))}",
            "take the repeats out, unless they are meant",
        )
