"""A model made ready to give away: weights in half precision, and a card that says what it is worth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import Field, PositiveInt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file, write_json, written_beside
from kbioxlm.common.recipe import Recipe, parse_recipe
from kbioxlm.dataset_scripts.folder import CARD
from kbioxlm.dataset_scripts.hub import push_model, require_repository
from kbioxlm.training.finetuning.recipe import FinetuneRecipe, task_of
from kbioxlm.training.finetuning.tasks.registry import TaskName
from kbioxlm.training.models.cards import card_of
from kbioxlm.training.models.starting_points import model_of_checkpoint
from kbioxlm.training.models.tokenizer import load_tokenizer
from kbioxlm.training.pretraining.model_card import model_card
from kbioxlm.training.pretraining.recipe import CardSection
from kbioxlm.training.runs import REPORT, finished_report, refuse_to_replace
from kbioxlm.training.tables import experiment_table

MEGABYTE = 1e6


class PackageRecipe(Recipe):
    """What `train.py package` does."""

    output: Path = Field(description="folder to give away")
    checkpoint: Path = Field(description="folder that `pretrain`, `experiment` or `finetune` wrote")
    experiment: Path | None = Field(
        default=None, description="pretrained: the experiment's folder whose figures the card shows; null: losses alone"
    )
    most_megabytes: PositiveInt = Field(default=60, description="of the weights; more is an error")
    push_to_hub: str | None = Field(default=None, description="owner/name: upload the folder there")
    hub_private: bool = Field(default=True, description="whether a repository that is made there is private")
    card: CardSection = Field(description="what nobody can work out from the run: licence, data, limits")


def package(recipe: PackageRecipe) -> dict[str, Any]:
    """Write model, tokenizer, code, curves and card to `recipe.output`.

    Weights are float16 on disk and float32 when they are loaded: halves the download, and computes as before.

    Returns:
        `megabytes` of the weights, and `rounding`, by how much at most a weight changed.

    Raises:
        InputError: a checkpoint that no run wrote, an output that is something else, weights beyond float16 or
            larger than allowed, an experiment without a report.
    """
    report = _report(
        recipe.checkpoint, ("pretraining", *get_args(TaskName)), "the folder of a trained model, such as an arm"
    )
    refuse_to_replace(str(recipe.checkpoint), recipe.output)
    finished_report(recipe.output, {})  # what is no run of ours is not replaced
    if recipe.push_to_hub is not None:
        require_repository(recipe.push_to_hub, "recipe, push_to_hub")
    figures = "" if recipe.experiment is None else _figures(recipe.experiment, recipe.checkpoint)
    model, tokenizer = _load(recipe.checkpoint, report)
    rounding = _halve(model, recipe.checkpoint)
    report = _without_places(report, recipe.output.name)
    with written_beside(recipe.output) as draft:
        _save(model, tokenizer, draft)
        megabytes = (draft / "model.safetensors").stat().st_size / MEGABYTE
        if megabytes > recipe.most_megabytes:
            raise InputError(
                recipe.checkpoint, f"its weights take {megabytes:.1f} MB in half precision",
                f"raise most_megabytes, which is {recipe.most_megabytes}, or trim its vocabulary",
            )  # fmt: skip
        if (recipe.checkpoint / "loss.png").is_file():
            shutil.copy(recipe.checkpoint / "loss.png", draft)
        write_json(draft / REPORT, report)
        if report["task"] == "pretraining":
            card = model_card(report, recipe.card, recipe.push_to_hub, f"{_PRECISION}\n\n{figures}")
        else:
            card = card_of(report, recipe.output.name, recipe.card, recipe.push_to_hub, _PRECISION)
        (draft / CARD).write_text(card, encoding="utf-8")
    if recipe.push_to_hub is not None:
        message = f"{recipe.output.name}, {megabytes:.1f} MB"
        push_model(recipe.output, recipe.push_to_hub, recipe.hub_private, message)
    return {"megabytes": round(megabytes, 1), "rounding": rounding}


_GIVEN = ("pretraining", *get_args(TaskName))  # tasks of the runs whose models are given away
_PRECISION = "The weights are stored in float16 and load as float32."


def _load(checkpoint: Path, report: dict[str, Any]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if report["task"] == "pretraining":
        model = model_of_checkpoint(str(checkpoint))
        return model, load_tokenizer(str(checkpoint), model.config)
    made_by = parse_recipe(FinetuneRecipe, report["recipe"], checkpoint / REPORT)
    return task_of(made_by).load_model(str(checkpoint))


def _without_places(report: dict[str, Any], name: str) -> dict[str, Any]:
    """`report`, as far as it says something to those who do not have the folders of this machine."""
    recipe = {**report["recipe"], "output": name}
    for key in ("checkpoint", "corpora", "tokenizer", "cache"):
        if recipe.get(key):
            recipe[key] = Path(recipe[key]).name
    return {**report, "recipe": recipe}


def _report(folder: Path, tasks: tuple[str, ...], meant: str) -> dict[str, Any]:
    path = require_file(folder / REPORT)
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = report.get("task")
    except (ValueError, AttributeError) as error:
        raise InputError(path, f"is no report of a run ({error})", f"name {meant}") from error
    if found not in tasks:
        raise InputError(path, f"is the report of {shown(found)}, not of {', '.join(tasks)}", f"name {meant}")
    return report


def _figures(folder: Path, checkpoint: Path) -> str:
    """The section of the card with an experiment's table, and which of its columns this model is in."""
    report = _report(folder, ("experiment",), "the folder of an experiment")
    arms = [arm for arm in report["arms"] if checkpoint.name == arm or checkpoint.name.startswith(f"{arm}-seed")]
    if checkpoint.resolve().parent != folder.resolve() or not arms:
        raise InputError(folder, f"{checkpoint} is no arm of it", f"name one of {', '.join(report['arms'])}")
    arm = max(arms, key=len)
    seeds = ", ".join(map(str, report["pretraining_seeds"]))
    return f"""## Metrics

Means over all seeds; this model is one of those in the column *{arm}* (seeds of stage 2: {seeds}). Labels are in
{report["recipe"]["languages"][0]} alone; the zero-shot rows test in {report["recipe"]["languages"][1]}.

{experiment_table(report).rstrip()}

`{report["command"]}`, commit {report["commit"]}.
"""


@torch.no_grad()
def _halve(model: PreTrainedModel, checkpoint: Path) -> float:
    """Round all weights to float16.

    Returns:
        by how much at most.

    Raises:
        InputError: a weight that float16 cannot hold.
    """
    worst = 0.0
    for name, weights in _floating(model):
        halved = weights.half()
        if not bool(halved.isfinite().all()):
            raise InputError(checkpoint, f"{name} holds weights beyond 65,504, the end of float16", "train it anew")
        worst = max(worst, float((halved.float() - weights).abs().max()))
        weights.copy_(halved)
    return worst


def _floating(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    return ((name, tensor) for name, tensor in model.state_dict().items() if tensor.is_floating_point())


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, draft: Path) -> None:
    """The model in float16, with a configuration that loads it in float32."""
    model.half().save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    path = draft / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
