"""What finished runs say about cells: figures over seeds, confidence intervals, paired tests, averages."""

from __future__ import annotations

import json
import shlex
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kbioxlm.training.evaluation.reproduction.grid import Cell, Row, Run
from kbioxlm.training.evaluation.reproduction.paper import PaperGroup
from kbioxlm.training.evaluation.significance import Counts, compare, confidence_interval, counts_of_files
from kbioxlm.training.runs import PREDICTIONS, REPORT, checkpoint_fingerprint


def finished(run: Run) -> dict[str, Any] | None:
    """The report of a run that stands in its folder, with this recipe and on the checkpoint as it is now."""
    path = run.recipe.output / REPORT
    if not path.is_file():
        return None
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    same = report.get("recipe") == json.loads(run.recipe.model_dump_json())
    if not same or report["inputs"]["checkpoint"] != checkpoint_fingerprint(run.recipe.checkpoint):
        return None
    return report


def recipe_file(run: Run) -> Path:
    """Where the recipe of a run is written, for `train.py finetune`."""
    return run.recipe.output.parent / "recipes" / f"{run.name}.yaml"


def command_of(run: Run) -> str:
    """What makes this run alone; those that it goes on with must be there."""
    return f"python train.py finetune {shlex.quote(str(recipe_file(run)))}"


class Results:
    """The reports of runs, as they come in, and what follows from them.

    Attributes:
        reports: by run, those that are finished.
        failed: by run, why it could not be run.
    """

    def __init__(self) -> None:
        self.reports: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}
        self._computed: dict[Any, Any] = {}

    def table(self, groups: list[tuple[PaperGroup, list[Row]]], reference: str | None) -> list[dict[str, Any]]:
        """Groups with their rows and cells, ready for JSON."""
        return [
            {
                "direction": str(group.direction), "train": group.train, "test": group.test, "shots": group.shots,
                "rows": [self._row(row) for row in rows],
                "comparisons": [] if reference is None else self._comparisons(rows, reference),
            }
            for group, rows in groups
        ]  # fmt: skip

    def _row(self, row: Row) -> dict[str, Any]:
        cells = [self._cell(cell) for cell in row.cells]
        ours = [cell["f1"] for cell in cells if cell["status"] == "run"]
        return {
            "model": row.model,
            "paper_row": row.paper_row,
            "average": {
                "paper": row.paper_average,
                "f1": round(statistics.fmean(ours), 2) if len(ours) == len(cells) else None,
            },
            "cells": cells,
        }

    def _cell(self, cell: Cell) -> dict[str, Any]:
        done = [run for run in cell.runs if run.name in self.reports]
        found: dict[str, Any] = {
            "data_set": cell.data_set, "paper": cell.paper, "status": "not run", "reason": cell.reason, "f1": None,
            "spread": None, "interval": None, "n": None, "counted": None,
            "runs": [
                {
                    "name": run.name, "checkpoint": run.recipe.checkpoint, "seed": run.recipe.seed,
                    "f1": self.reports[run.name]["tests"][cell.test]["f1"] if run in done else None,
                    "command": command_of(run),
                }
                for run in cell.runs
            ],
        }  # fmt: skip
        if len(done) < len(cell.runs):
            reasons = [self.failed[run.name] for run in cell.runs if run.name in self.failed]
            found["reason"] = reasons[0] if reasons else "not run yet"
        if done:
            figures = [self.reports[run.name]["tests"][cell.test] for run in done]
            values = [figure["f1"] for figure in figures]
            found |= {
                "status": "run" if len(done) == len(cell.runs) else "partly run",
                "f1": round(statistics.fmean(values), 2),
                "spread": round(statistics.stdev(values), 2) if len(values) > 1 else None,
                "interval": self._interval(done, cell.test),
                "n": figures[0]["n"],
                "counted": self.reports[done[0].name]["counted"],
            }
        return found

    def _interval(self, runs: list[Run], test: str) -> list[float]:
        key = (test, *(run.name for run in runs))
        if key not in self._computed:
            interval = confidence_interval(self._counts(runs, test))
            self._computed[key] = [round(interval.low, 2), round(interval.high, 2)]
        return self._computed[key]

    def _counts(self, runs: list[Run], test: str) -> Counts:
        return counts_of_files([run.recipe.output / PREDICTIONS / f"{test}.jsonl" for run in runs])

    def _comparisons(self, rows: list[Row], reference: str) -> list[dict[str, Any]]:
        """The reference against every other model, where all runs of both are there and as many."""
        found = []
        against = {cell.data_set: cell for row in rows if row.model == reference for cell in row.cells}
        for cell in (cell for row in rows if row.model != reference for cell in row.cells):
            one, other = (list(c.runs) for c in (against[cell.data_set], cell))
            everything = all(run.name in self.reports for run in (*one, *other))
            if not one or len(one) != len(other) or not everything:
                continue
            key = (cell.test, *(run.name for run in one), "against", *(run.name for run in other))
            if key not in self._computed:
                self._computed[key] = asdict(compare(self._counts(one, cell.test), self._counts(other, cell.test)))
            result = self._computed[key]
            found.append({"reference": reference, "model": cell.model, "data_set": cell.data_set, **result})
        return found
