"""The paper's cells: F1 by direction, shots, model and data set, read from the YAML files of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import Recipe, load_recipe

AVERAGE = "AVG"
REPRODUCIBLE = ("table4", "table5", "table6", "table7")
"""The tables whose data sets are the four translated benchmarks."""

_CODES = {"en": "EN", "zh": "CN"}  # as the paper abbreviates languages


class Direction(NamedTuple):
    """The language of the training data, then that of the test set; ISO 639-1."""

    train: str
    test: str

    def __str__(self) -> str:
        train, test = (_CODES.get(code, code.upper()) for code in self)
        return f"{train}-to-{test}"


class PaperGroup(Recipe):
    """The rows of a table that have one direction and one number of shots."""

    train: str
    test: str
    shots: int | None = Field(default=None, description="training samples in the test language; null: see docs")
    rows: dict[str, dict[str, float]] = Field(description="model, then data set or AVG: F1 in 0 to 100, as printed")

    @property
    def direction(self) -> Direction:
        """Its languages."""
        return Direction(self.train, self.test)


class PaperTable(Recipe):
    """One table of the paper."""

    title: str
    source: str = Field(description="paper and table")
    metric: str
    groups: list[PaperGroup]

    @property
    def data_sets(self) -> list[str]:
        """Its columns but for the average."""
        return [name for name in next(iter(self.groups[0].rows.values())) if name != AVERAGE]


def paper_table(name: str) -> PaperTable:
    """The cells of `table4`, `table5`, `table6`, `table7`, `table10` or `table11`.

    Raises:
        InputError: there is no such table here.
    """
    path = Path(__file__).with_name(f"{name}.yaml")
    if not path.is_file():
        known = ", ".join(sorted((file.stem for file in path.parent.glob("table*.yaml")), key=lambda n: int(n[5:])))
        raise InputError("command line", f"no cells of {name!r}", f"name one of {known}")
    return load_recipe(PaperTable, path)
