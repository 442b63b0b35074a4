"""The encoder inside a fine-tuned model: its parameters, and those of them that are kept as they are."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from kbioxlm.common.errors import InputError


def encoder_of(model: PreTrainedModel) -> nn.Module:
    """The encoder of a model with a head."""
    return getattr(model, model.base_model_prefix)


def layers_of(encoder: nn.Module) -> nn.ModuleList:
    """The layers of an encoder, the lowest first."""
    count = encoder.config.num_hidden_layers
    return next(module for module in encoder.modules() if isinstance(module, nn.ModuleList) and len(module) == count)


def freeze(encoder: nn.Module, embeddings: bool, layers: int) -> int:
    """Take the embeddings, or the lowest layers, or both of them out of training.

    Kept as pretraining left them, they go on to represent languages alike that the labels are not in (Wu and
    Dredze, 2019: the lowest layers of mBERT frozen raise zero-shot scores in most of their tasks).

    Args:
        embeddings: all of them, with their positions and norm.
        layers: how many, from below.

    Returns:
        the number of parameters that are frozen.

    Raises:
        InputError: the encoder has fewer layers.
    """
    stack = layers_of(encoder)
    if layers > len(stack):
        raise InputError("recipe", f"freeze_layers is {layers}, the encoder has {len(stack)} layers", "freeze fewer")
    frozen = [encoder.embeddings] if embeddings else []
    frozen += stack[:layers]
    parameters = [parameter for module in frozen for parameter in module.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in parameters)
