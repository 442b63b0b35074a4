"""What is put beside the paper's cells: models, data sets, and how they are fine-tuned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from kbioxlm.common.recipe import Recipe


class Model(Recipe):
    """A row of ours."""

    checkpoints: list[str] = Field(
        min_length=1, description="folders or Hub ids; several are one pretraining with several seeds"
    )
    row: str | None = Field(default=None, description="the paper's row that it stands beside; null: none does")
    everywhere: bool = Field(default=False, description="run it too where the paper has no such row")
    keys: dict[str, Any] = Field(default={}, description="fine-tuning keys of its own")


class DataSet(Recipe):
    """A column of the paper."""

    config: str = Field(description="configuration in `benchmarks`, without its language: ade for ade_en and ade_zh")
    has_dev: bool = Field(default=True, description="it has a validation split; otherwise dev is carved from train")
    keys: dict[str, Any] = Field(default={}, description="fine-tuning keys of its own, such as task")


class ReproduceRecipe(Recipe):
    """What `train.py reproduce` fills tables with. Keys: `finetuning`, over it a data set's, a model's, `few_shot`."""

    output: Path = Field(description="folder of all runs and tables")
    benchmarks: str = Field(description="folder of translated_benchmarks.py, or its id on the Hub")
    splits: Literal["cleaned", "published"] = Field(
        default="cleaned",
        description="the benchmarks' cleaned splits, or the published ones, on which the paper scored",
    )
    earlier: list[Path] = Field(
        default=[], description="folders of earlier runs, such as an experiment; an equal one there is not run again"
    )
    hint: str = Field(default="", description="what to do about a checkpoint that is missing")
    data_sets: dict[str, DataSet] = Field(description="by column of the paper")
    models: dict[str, Model] = Field(min_length=1)
    reference: str | None = Field(default=None, description="the model that all others are tested against")
    seeds: list[int] = Field(min_length=1, description="of fine-tuning; each checkpoint is fine-tuned with each")
    finetuning: dict[str, Any] = Field(default={}, description="keys of a fine-tuning recipe that all runs share")
    few_shot: dict[str, Any] = Field(default={}, description="keys of the runs that go on with a sample")

    @field_validator("models")
    @classmethod
    def _name_folders(cls, models: dict[str, Model]) -> dict[str, Model]:
        """Names of models become names of folders."""
        for name in models:
            if not re.fullmatch(r"\w[\w.+-]*", name):
                raise ValueError(f"names of letters, digits, '.', '_', '+' and '-', not {name!r}")
        return models

    @field_validator("reference")
    @classmethod
    def _refer_to_a_model(cls, reference: str | None, info: ValidationInfo) -> str | None:
        if reference is not None and reference not in info.data.get("models", {}):
            raise ValueError("one of the models")
        return reference

    @field_validator("seeds")
    @classmethod
    def _no_seed_twice(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("each seed once")
        return seeds
