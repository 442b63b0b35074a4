"""The model that a fine-tuning run trains: which weights it starts from, and which of them move."""

from __future__ import annotations

from typing import Any

from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.training.finetuning.adapters import LoraSettings, add_adapter, is_adapter, read_adapter
from kbioxlm.training.finetuning.encoders import check_length, freeze
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.finetuning.sets import Sets
from kbioxlm.training.finetuning.tasks.data import unknown_labels
from kbioxlm.training.finetuning.tasks.task import Task


def start(task: Task, recipe: FinetuneRecipe, sets: Sets) -> tuple[Any, PreTrainedTokenizerBase, tuple[str, ...]]:
    """Model, tokenizer, and the labels of the model in their order.

    A new head is drawn from torch's generator. With `lora`, the model is a `PeftModel`.

    Raises:
        InputError: nothing usable at `checkpoint`, a head that lacks a label of the training data, an adapter
            where an encoder is needed, or windows longer than the model.
    """
    if recipe.keep_head:
        if recipe.lora is not None and is_adapter(recipe.checkpoint):
            _check_settings(recipe.checkpoint, recipe.lora)
        model, tokenizer = task.load_model(recipe.checkpoint, merge=recipe.lora is None)
        labels = tuple(task.labels_of_model(model))
        for problem in unknown_labels(sets.train, labels):
            raise problem
    else:
        if is_adapter(recipe.checkpoint):
            raise InputError(
                recipe.checkpoint, "is an adapter, not an encoder",
                f"make a model of it first (train.py merge-adapter {recipe.checkpoint} OUTPUT), or set keep_head: true",
            )  # fmt: skip
        model, tokenizer = task.new_model(recipe.checkpoint, sets.labels)
        labels = sets.labels
    check_length("recipe", recipe.max_length, model)
    if recipe.lora is None:
        freeze(model, recipe.freeze_embeddings, recipe.freeze_layers)
    elif not isinstance(model, PeftModel):
        model = add_adapter(model, recipe.lora)
    return model, tokenizer, labels


def _check_settings(checkpoint: str, given: LoraSettings) -> None:
    """Refuse to go on with an adapter of another shape than the recipe says; dropout may differ."""
    known = LoraSettings.model_validate(read_adapter(checkpoint).recipe["lora"])
    for key in ("r", "alpha", "targets"):
        if getattr(given, key) != getattr(known, key):
            raise InputError(
                "recipe",
                f"lora differs from that of the adapter {checkpoint} in {key} "
                f"({getattr(given, key)}, not {getattr(known, key)})",
                "give it the same, or leave lora out to train the merged model",
            )


def base_of(recipe: FinetuneRecipe) -> str:
    """The checkpoint that the adapter of a run is for: where it goes on with an adapter, that one's base."""
    return read_adapter(recipe.checkpoint).base if is_adapter(recipe.checkpoint) else recipe.checkpoint


def parameters_of(model: Any) -> dict[str, int]:
    """How many parameters there are in all, and how many are not trained."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return {"all": sum(n for n, _ in counts), "frozen": sum(n for n, trained in counts if not trained)}
