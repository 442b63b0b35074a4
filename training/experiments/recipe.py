"""What an experiment's recipe says, and the recipes of all its steps that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import Recipe, parse_recipe
from kbioxlm.training.evaluation.run import Probes
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.models.tokenizer import TokenizerRecipe
from kbioxlm.training.pretraining.recipe import PretrainRecipe


class CorporaSection(Recipe):
    """What of aligned_corpora.py an experiment sets."""

    hold_out: PositiveInt = Field(description="concepts whose names are never paired, for the retrieval probe")
    max_chars: dict[str, PositiveInt] = Field(default={}, description="most characters of a segment by language")
    passages: NonNegativeInt = Field(default=30_000, description="passage examples")
    translation_facts: bool = Field(default=True, description="add every name beside its translation as facts")


class ExperimentRecipe(Recipe):
    """What `train.py experiment` does. The sections are recipes of the single commands, without their paths."""

    output: Path = Field(description="folder of everything the experiment writes")
    seed: int
    languages: tuple[str, str] = Field(description="language of the labels, then the language to transfer to")
    umls: Path = Field(description="folder with MRCONSO.RRF, MRREL.RRF and MRSTY.RRF")
    texts: list[Path] = Field(description="JSON-lines files of texts in both languages")
    pairs: Path = Field(description="JSON-lines file of article pairs")
    benchmarks: Path | None = Field(
        default=None, description="the authors' published benchmarks; their training texts join `texts` without labels"
    )
    corpora: CorporaSection
    tokenizer: dict[str, Any] = Field(description="keys of a tokenizer recipe")
    pretraining: dict[str, Any] = Field(description="keys of a pretraining recipe that stage 1 and all arms share")
    stage1: dict[str, Any] = Field(description="keys of stage 1: monolingual text, shared by all arms")
    stage2: dict[str, Any] = Field(description="keys of stage 2 that all arms share")
    arms: dict[str, dict[str, Any]] = Field(min_length=1, description="by arm, its own keys of stage 2")
    finetuning: dict[str, Any] = Field(description="keys of a fine-tuning recipe that all tasks share")
    pretraining_seeds: list[int] | None = Field(
        default=None, min_length=1, description="stage 2 of each arm is run once with each; null: `seed` + 1 alone"
    )
    finetuning_seeds: list[int] = Field(min_length=1, description="each stage 2 is fine-tuned once with each")
    tasks: dict[str, dict[str, Any]] = Field(description="by task: train, dev, tests and other fine-tuning keys")
    zero_shot: list[str] = Field(min_length=1, description="tests, as task/test, whose mean is the zero-shot F1")
    probes: Probes = Field(default=Probes(), description="what measures alignment beside F1")
    jobs: PositiveInt = Field(default=1, description="arms and seeds run side by side, each on its part of the cores")


_STEP_FOLDERS = frozenset({"benchmarks", "corpora", "knowledge_base", "stage1", "steps", "tokenizer"})


@dataclass(frozen=True)
class ArmRun:
    """Stage 2 of an arm with one seed, and what follows from it.

    Args:
        name: the folder of its checkpoint, and the beginning of its taggers' folders.
        pretraining: stage 2.
        tasks: fine-tuning by task, one recipe a seed.
    """

    arm: str
    name: str
    pretraining: PretrainRecipe
    tasks: dict[str, list[FinetuneRecipe]]


class Plan:
    """Every step's recipe, made and checked before the first step runs."""

    def __init__(self, recipe: ExperimentRecipe):
        out = recipe.output
        for arm in recipe.arms:
            if arm in _STEP_FOLDERS:
                raise InputError("recipe, arms", f"an arm is named {arm!r}, as a step's folder is", "rename the arm")
        self.knowledge_base = out / "knowledge_base"
        self.corpora = out / "corpora"
        self.benchmarks = out / "benchmarks"
        self.benchmark_texts = out / "benchmark_texts.jsonl"
        self.texts = [*recipe.texts, *([self.benchmark_texts] if recipe.benchmarks else [])]
        self.tokenizer = _section(
            TokenizerRecipe, "tokenizer", {"output": out / "tokenizer", "texts": self.texts, "seed": recipe.seed},
            recipe.tokenizer,
        )  # fmt: skip
        shared = {"corpora": self.corpora, "seed": recipe.seed}
        scratch = {"tokenizer": str(self.tokenizer.output), "output": out / "stage1"}
        self.stage1 = _section(PretrainRecipe, "stage1", shared, scratch, recipe.pretraining, recipe.stage1)
        seeds = recipe.pretraining_seeds or [recipe.seed + 1]
        self.arms = {
            arm: [self._run(recipe, arm, arm if i == 0 else f"{arm}-seed{seed}", seed) for i, seed in enumerate(seeds)]
            for arm in recipe.arms
        }
        firsts = [runs[0].pretraining for runs in self.arms.values()]
        if len({(first.steps, first.batch_size, first.batch_pieces) for first in firsts}) > 1:
            raise InputError("recipe", "arms differ in steps or batch", "give all arms the same, in `stage2`")
        self.probes = _section(Probes, "probes", self._placed(recipe.probes.model_dump()))
        known = [f"{task}/{test}" for task, keys in recipe.tasks.items() for test in keys.get("tests", {})]
        for name in recipe.zero_shot:
            if name not in known:
                raise InputError("recipe", f"zero_shot names {name!r}, which no task tests", f"use {', '.join(known)}")

    def _run(self, recipe: ExperimentRecipe, arm: str, name: str, seed: int) -> ArmRun:
        folder = recipe.output / name
        of_stage1 = ("shape", "mlm_vocab_size", "mlm_vocabulary")
        continued = {key: value for key, value in recipe.pretraining.items() if key not in of_stage1}
        pretraining = _section(
            PretrainRecipe, f"arms.{arm}",
            {"corpora": self.corpora, "checkpoint": str(self.stage1.output), "output": folder, "seed": seed},
            continued, recipe.stage2, recipe.arms[arm],
        )  # fmt: skip
        tasks = {
            task: [
                _section(
                    FinetuneRecipe, f"tasks.{task}",
                    {
                        "checkpoint": str(folder), "seed": seed,
                        "output": recipe.output / (f"{name}-{task}" if i == 0 else f"{name}-{task}-seed{seed}"),
                    },
                    recipe.finetuning, self._placed(keys),
                )
                for i, seed in enumerate(recipe.finetuning_seeds)
            ]
            for task, keys in recipe.tasks.items()
        }  # fmt: skip
        return ArmRun(arm, name, pretraining, tasks)

    def _placed(self, keys: dict[str, Any]) -> dict[str, Any]:
        """Sources that begin with `benchmarks:` live in the benchmarks folder that the experiment builds."""

        def placed(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: placed(item) for key, item in value.items()}
            if isinstance(value, tuple):
                return tuple(placed(item) for item in value)
            return (
                f"{self.benchmarks}{value[10:]}"
                if isinstance(value, str) and value.startswith("benchmarks:")
                else value
            )

        return placed(keys)


def _section(kind: type[Recipe], name: str, *layers: dict[str, Any]) -> Any:
    """A recipe from layers of keys, the later ones winning; errors name the section of the experiment's recipe."""
    return parse_recipe(kind, {key: value for layer in layers for key, value in layer.items()}, f"recipe, {name}")
