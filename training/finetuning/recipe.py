"""What a fine-tuning recipe says."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from kbioxlm.common.recipe import Recipe
from kbioxlm.training.finetuning.adapters import LoraSettings
from kbioxlm.training.finetuning.tasks.registry import TaskName, make_task
from kbioxlm.training.finetuning.tasks.task import Task


class FinetuneRecipe(Recipe):
    """What `train.py finetune` does. Sources are `folder:config[:split]`; for NER, IOB files too."""

    task: TaskName = Field(
        default="ner", description="entities; one label of a text; any number of labels of a document"
    )
    checkpoint: str = Field(description="folder or Hub id of any encoder, with its tokenizer")
    keep_head: bool = Field(
        default=False, description="go on with the head of a fine-tuned checkpoint; dev may be in its language then"
    )
    train: str = Field(description="source; its train split unless it names another; several are joined with ' + '")
    shots: PositiveInt | None = Field(default=None, description="train on so many of its documents, drawn by seed")
    dev: str | None = Field(default=None, description="source, its validation split; null: carved from train")
    carve_from: str | None = Field(
        default=None,
        description="source, its train split, that dev is carved from instead; train loses the same documents",
    )
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
    lora: LoraSettings | None = Field(default=None, description="train an adapter; null: all weights")
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
    allow_shared_documents: bool = Field(
        default=False, description="let dev and tests share document ids with train, and tests with dev"
    )
    allow_near_duplicates: bool = Field(
        default=False, description="let their documents say nearly the same; what there is stands in the report"
    )

    @field_validator("tests")
    @classmethod
    def _name_files(cls, tests: dict[str, str]) -> dict[str, str]:
        """Names of tests become names of files, beside that of dev."""
        for name in tests:
            if name == "dev" or not re.fullmatch(r"\w[\w.-]*", name):
                raise ValueError(f"names of letters, digits, '.', '_' and '-' other than 'dev', not {name!r}")
        return tests

    @field_validator("carve_from")
    @classmethod
    def _carve_or_read(cls, carve_from: str | None, info: ValidationInfo) -> str | None:
        if carve_from is not None and info.data.get("dev") is not None:
            raise ValueError("no dev beside it, or dev alone")
        return carve_from

    @field_validator("lora")
    @classmethod
    def _freeze_nothing_else(cls, lora: LoraSettings | None, info: ValidationInfo) -> LoraSettings | None:
        if lora is not None and (info.data.get("freeze_embeddings") or info.data.get("freeze_layers")):
            raise ValueError(
                "no freeze_embeddings or freeze_layers beside it: with lora the whole encoder stays as it is"
            )
        return lora


def task_of(recipe: FinetuneRecipe) -> Task:
    """The task that `recipe` names, with its settings."""
    return make_task(
        recipe.task,
        use_crf=recipe.use_crf,
        negative_label=recipe.negative_label,
        entity_markers=tuple(recipe.entity_markers),
        convert_pickle=recipe.convert_pickle,
    )
