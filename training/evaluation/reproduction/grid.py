"""The cells of a table, and the fine-tuning runs that fill them.

A run is trained in one language and scored in all languages, so that the zero-shot and the monolingual tables share
their runs. The paper does not say how its few-shot models are trained. Here, a model that was fine-tuned on the whole
training set of the first language goes on, head and all, with a sample in the other; its epoch is chosen on the dev set
of the first language again, so that nothing in the other language is seen but the sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.training.evaluation.reproduction.paper import AVERAGE, Direction, PaperGroup, PaperTable
from kbioxlm.training.evaluation.reproduction.recipe import DataSet, Model, ReproduceRecipe
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.runs import REPORT

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Run:
    """One fine-tuning.

    Attributes:
        name: of its folder.
        after: the run whose model it goes on with.
    """

    name: str
    recipe: FinetuneRecipe
    after: Run | None = None


@dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Attributes:
        model: ours, or, where there is none, the paper's row.
        paper: F1 as printed, where there is any.
        test: the name, in the reports of `runs`, of the test set that is meant.
        runs: by checkpoint, then seed; none for a row that the recipe has no model for.
        reason: why it has none.
    """

    direction: Direction
    shots: int | None
    model: str
    data_set: str
    paper: float | None
    test: str
    runs: tuple[Run, ...]
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """The cells of one model, and the paper's average of them."""

    model: str
    paper_row: str | None
    cells: tuple[Cell, ...]
    paper_average: float | None


def rows_of(recipe: ReproduceRecipe, table: PaperTable) -> list[tuple[PaperGroup, list[Row]]]:
    """The rows of each group of `table`: the paper's in its order, each filled by the models that stand beside it;
    then models that stand alone.

    Raises:
        InputError: keys that no fine-tuning recipe takes.
    """
    return [(group, list(_rows(recipe, table, group))) for group in table.groups]


def runs_of(groups: list[tuple[PaperGroup, list[Row]]], models: list[str]) -> list[Run]:
    """The runs of `models`, each once: the first of every cell, then the second, so that tables fill evenly. Those that
    others go on with come before them.
    """
    cells = [cell for _, rows in groups for row in rows for cell in row.cells if cell.model in models]
    ordered: dict[str, Run] = {}
    for place in range(max((len(cell.runs) for cell in cells), default=0)):
        for cell in cells:
            run = cell.runs[place] if place < len(cell.runs) else None
            for one in (run.after if run else None, run):
                if one is not None:
                    ordered.setdefault(one.name, one)
    return list(ordered.values())


def _rows(recipe: ReproduceRecipe, table: PaperTable, group: PaperGroup) -> Iterator[Row]:
    for paper_row, figures in group.rows.items():
        ours = [name for name, model in recipe.models.items() if model.row == paper_row]
        for name in ours or (None,):
            yield _row(recipe, table, group, name, paper_row, figures)
    for name, model in recipe.models.items():
        if model.row not in group.rows and (model.everywhere or model.row is None):
            yield _row(recipe, table, group, name, None, {})


def _row(
    recipe: ReproduceRecipe, table: PaperTable, group: PaperGroup, name: str | None, paper_row: str | None,
    figures: dict[str, float],
) -> Row:  # fmt: skip
    cells = []
    for column in table.data_sets:
        data_set = recipe.data_sets.get(column)
        runs: tuple[Run, ...] = ()
        reason = ""
        if name is None:
            reason = "the recipe names no model for this row"
        elif data_set is None:
            reason = "the recipe has no such data set"
        else:
            runs = tuple(_runs(recipe, name, recipe.models[name], data_set, group))
        shown = name or paper_row or ""
        cells.append(
            Cell(group.direction, group.shots, shown, column, figures.get(column), group.test, runs, reason)
        )  # fmt: skip
    return Row(name or paper_row or "", paper_row, tuple(cells), figures.get(AVERAGE))


def _runs(recipe: ReproduceRecipe, name: str, model: Model, data_set: DataSet, group: PaperGroup) -> Iterator[Run]:
    for number, checkpoint in enumerate(model.checkpoints, 1):
        for seed in recipe.seeds:
            stem = f"{name}-{data_set.config}-{group.train}"
            stem += (f"-checkpoint{number}" if len(model.checkpoints) > 1 else "") + f"-seed{seed}"
            first = Run(stem, _whole(recipe, stem, model, checkpoint, data_set, group.train, seed))
            yield first if group.shots is None else _further(recipe, first, model, data_set, group, seed)


def _whole(
    recipe: ReproduceRecipe, name: str, model: Model, checkpoint: str, data_set: DataSet, language: str, seed: int
) -> FinetuneRecipe:  # fmt: skip
    """Trained on all there is in `language`, scored in every language."""
    train = _source(recipe, data_set, language)
    own: dict[str, Any] = {
        "checkpoint": checkpoint, "train": train, "dev": train if data_set.has_dev else None,
        "tests": {code: _source(recipe, data_set, code) for code in LANGUAGES}, "output": recipe.output / name,
        "seed": seed,
    }  # fmt: skip
    return _where_it_was_run(_parsed(own, name, recipe.finetuning, data_set.keys, model.keys), recipe.earlier)


def _where_it_was_run(recipe: FinetuneRecipe, folders: list[Path]) -> FinetuneRecipe:
    """The recipe, with the output of an equal run that stands in one of `folders`, if there is one."""
    wanted = json.loads(recipe.model_dump_json(exclude={"output"}))
    for report in (path for folder in folders for path in sorted(folder.glob(f"*/{REPORT}"))):
        if _recipe_of(report, report.stat().st_mtime_ns) == wanted:
            return recipe.model_copy(update={"output": report.parent})
    return recipe


@lru_cache(maxsize=4096)
def _recipe_of(report: Path, _: int) -> dict[str, Any]:
    """What was run, but for its output; the time of the last change keeps the memory right."""
    recipe: dict[str, Any] = json.loads(report.read_text(encoding="utf-8")).get("recipe", {})
    return {key: value for key, value in recipe.items() if key != "output"}


def _further(
    recipe: ReproduceRecipe, first: Run, model: Model, data_set: DataSet, group: PaperGroup, seed: int
) -> Run:  # fmt: skip
    """Goes on with a sample in the language of the test set."""
    name = f"{first.name}-{group.test}{group.shots}"
    dev = {"dev" if data_set.has_dev else "carve_from": _source(recipe, data_set, group.train)}
    test = _source(recipe, data_set, group.test)
    own: dict[str, Any] = {
        "checkpoint": str(first.recipe.output), "keep_head": True, "train": test, "shots": group.shots,
        "tests": {group.test: test}, "output": recipe.output / name, "seed": seed, **dev,
    }  # fmt: skip
    continued = {key: value for key, value in model.keys.items() if key != "convert_pickle"}
    return Run(name, _parsed(own, name, recipe.finetuning, data_set.keys, continued, recipe.few_shot), first)


def _source(recipe: ReproduceRecipe, data_set: DataSet, language: str) -> str:
    return f"{recipe.benchmarks}:{data_set.config}_{language}" + ("_original" if recipe.splits == "published" else "")


def _parsed(own: dict[str, Any], name: str, *layers: dict[str, Any]) -> FinetuneRecipe:
    given = {key: value for layer in layers for key, value in layer.items()}
    taken = sorted(given.keys() & own.keys())
    if taken:
        raise InputError(f"recipe, {name}", f"sets {', '.join(taken)}", "leave them out: the table says what these are")
    return parse_recipe(FinetuneRecipe, given | own, f"recipe, {name}")
