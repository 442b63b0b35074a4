"""Filling a table of the paper with our own runs: what is missing is run, what is finished is kept.

Every run is a fine-tuning of its own folder, which goes on from its last epoch when it was killed. The table is written
anew after each run, so that it says at any time what there is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import write_json, written_beside
from kbioxlm.training.evaluation.reproduction.grid import Run, rows_of, runs_of
from kbioxlm.training.evaluation.reproduction.paper import REPRODUCIBLE, paper_table
from kbioxlm.training.evaluation.reproduction.recipe import ReproduceRecipe
from kbioxlm.training.evaluation.reproduction.report import markdown, plot
from kbioxlm.training.evaluation.reproduction.results import Results, finished, recipe_file
from kbioxlm.training.finetuning.run import finetune
from kbioxlm.training.models.checkpoints import check_checkpoint
from kbioxlm.training.runs import code_commit


def recipe_of_scale(scale: str) -> Path:
    """The shipped recipe called `small` or `paper`.

    Raises:
        InputError: there is none of this name.
    """
    folder = Path(__file__).parents[3] / "recipes" / "reproduce"
    if not (folder / f"{scale}.yaml").is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise InputError("command line", f"no recipe for --scale {scale!r}", f"name one of {known}, or give --recipe")
    return folder / f"{scale}.yaml"


class Reproduction:
    """One table and the runs that fill it.

    Args:
        table: `table4`, `table5`, `table6` or `table7`.
        models: those whose missing runs are made; None: all of the recipe. Finished runs of others are shown too.
        command: how it was started, for the report.

    Raises:
        InputError: another table, a model that the recipe does not name, or keys that do not fit.
    """

    def __init__(
        self, table: str, recipe: ReproduceRecipe, models: Sequence[str] | None = None, command: str = ""
    ) -> None:
        if table not in REPRODUCIBLE:
            raise InputError("command line", f"table {table!r}", f"name one of {', '.join(REPRODUCIBLE)}")
        for name in models or []:
            if name not in recipe.models:
                known = ", ".join(recipe.models)
                raise InputError("command line", f"no model {name!r} in the recipe", f"name one of {known}")
        self.table = table
        self.recipe = recipe
        self.command = command
        self.paper = paper_table(table)
        self.groups = rows_of(recipe, self.paper)
        self.runs = runs_of(self.groups, list(models or recipe.models))
        self._results = Results()
        for run in runs_of(self.groups, list(recipe.models)):
            report = finished(run)
            if report is not None:
                self._results.reports[run.name] = report

    def plan(self) -> list[str]:
        """What `run` would do with each run, one a line, and then how many there are of each kind."""
        self._note_missing()
        lines = [f"{self._state(run):<9}{run.name}" for run in self.runs]
        lines += [f"not run: {reason}" for reason in dict.fromkeys(self._results.failed.values())]
        counts = Counter(self._state(run) for run in self.runs)
        return [*lines, ", ".join(f"{counts[state]} {state}" for state in ("finished", "to run", "missing"))]

    def _state(self, run: Run) -> str:
        if run.name in self._results.reports:
            return "finished"
        return "missing" if run.name in self._results.failed else "to run"

    def run(self) -> dict[str, Any]:
        """Make what is missing, and write `TABLE.md`, `TABLE.json` and `TABLE.png` to the recipe's output.

        A run whose input cannot be used is left out, and the table says why; the others are made.

        Returns:
            the content of `TABLE.json`.
        """
        self._note_missing()
        for run in self.runs:
            if run.name not in self._results.failed:
                with written_beside(recipe_file(run)) as draft:
                    draft.write_text(yaml.safe_dump(json.loads(run.recipe.model_dump_json()), sort_keys=False))
        for run in tqdm([run for run in self.runs if run.name not in self._results.failed], self.table, unit="run"):
            if run.after is not None and run.after.name in self._results.failed:
                self._fail(run, self._results.failed[run.after.name])
                continue
            known = self._results.reports.pop(run.name, None)
            try:
                report = self._results.reports[run.name] = finetune(run.recipe)
            except InputError as error:
                self._fail(run, str(error))
                continue
            if report != known:
                self._write()
        return self._write()

    def _note_missing(self) -> None:
        """Set aside the runs whose checkpoints are not there."""
        for run in self.runs:
            first = run.after or run
            try:
                check_checkpoint(first.recipe.checkpoint)
            except InputError as error:
                hint = self.recipe.hint or error.remedy
                self._results.reports.pop(run.name, None)
                self._results.failed[run.name] = f"{error.place}: {error.found}; {hint}"

    def _fail(self, run: Run, reason: str) -> None:
        tqdm.write(f"not run: {run.name}: {reason}")
        self._results.failed[run.name] = reason

    def _write(self) -> dict[str, Any]:
        groups = self._results.table(self.groups, self.recipe.reference)
        cells = [cell for group in groups for row in group["rows"] for cell in row["cells"] if cell["runs"]]
        states = Counter(cell["status"] for cell in cells)
        report = {
            "table": self.table,
            "title": self.paper.title,
            "source": self.paper.source,
            "metric": self.paper.metric,
            "command": self.command,
            "commit": code_commit(),
            "recipe": json.loads(self.recipe.model_dump_json()),
            "cells": {"all": len(cells), **{state: states[state] for state in ("run", "partly run", "not run")}},
            "groups": groups,
        }
        out = self.recipe.output
        write_json(out / f"{self.table}.json", report)
        with written_beside(out / f"{self.table}.md") as draft:
            draft.write_text(markdown(report), encoding="utf-8")
        plot(report, out / f"{self.table}.png")
        return report
