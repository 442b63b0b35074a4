"""Encoders of any shape: loading one, the one inside a model, its positions, parts that are kept as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, BertConfig, PretrainedConfig, PreTrainedModel

from kbioxlm.common.errors import InputError
from kbioxlm.modeling_kbioxlm import KBioXLMModel
from kbioxlm.training.finetuning.encoder_tagger import EncoderTagger, EncoderTaggerConfig, without_pooler

_XLM_ROBERTA_SHAPED = ("kbioxlm", "xlm-roberta")


def is_xlm_roberta_shaped(checkpoint: str) -> bool:
    """Whether our own classes hold the encoder of a checkpoint: KBioXLM, XLM-R, InfoXLM and their like."""
    return model_type(checkpoint) in _XLM_ROBERTA_SHAPED


def model_type(checkpoint: str) -> str:
    """What kind of model its config.json names; checkpoints from before there was such a name are BERT's."""
    return PretrainedConfig.get_config_dict(checkpoint)[0].get("model_type") or BertConfig.model_type


def load_encoder(checkpoint: str, weights: dict[str, Any], pooler: bool = False) -> tuple[PreTrainedModel, set[str]]:
    """The encoder of a checkpoint, whatever head it has, in float32.

    Args:
        weights: arguments of `from_pretrained` that say which files may be read, see `checkpoints.weight_files`.
        pooler: keep the layer above the first piece that BERT has.

    Returns:
        the encoder, and the names of its weights that the checkpoint lacks, but for those of a pooler.
    """
    options: dict[str, Any] = {"output_loading_info": True, "dtype": torch.float32, **weights}
    kind = model_type(checkpoint)
    if kind in _XLM_ROBERTA_SHAPED:
        encoder, info = KBioXLMModel.from_pretrained(checkpoint, add_pooling_layer=False, **options)
    elif kind == EncoderTaggerConfig.model_type:
        tagger, info = EncoderTagger.from_pretrained(checkpoint, **options)
        encoder = tagger.encoder
    else:
        config = (BertConfig if kind == BertConfig.model_type else AutoConfig).from_pretrained(checkpoint)
        without = {} if pooler else without_pooler(config)
        encoder, info = AutoModel.from_pretrained(checkpoint, config=config, **without, **options)
    return encoder, {name for name in info["missing_keys"] if "pooler" not in name.split(".")}


def encoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """The encoder of a model with a head, or the model itself where it is one."""
    return getattr(model, model.base_model_prefix, model)


def longest_input(model: PreTrainedModel) -> int:
    """Positions of the longest input; those of RoBERTa-shaped models start behind the padding id."""
    encoder = encoder_of(model)
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    if not isinstance(table, nn.Embedding):  # positions that are no table: relative or rotated ones
        return encoder.config.max_position_embeddings
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def check_length(place: str, max_length: int, model: PreTrainedModel) -> None:
    """Refuse windows that are longer than the model.

    Raises:
        InputError: `max_length` exceeds the model's positions.
    """
    longest = longest_input(model)
    if max_length > longest:
        raise InputError(
            place, f"max_length {max_length} is longer than the model, which has {longest} positions",
            f"set max_length to at most {longest}; longer text is cut into overlapping windows",
        )  # fmt: skip


def freeze(model: PreTrainedModel, embeddings: bool, layers: int) -> int:
    """Take the encoder's embeddings, or its lowest layers, or both of them out of training.

    Kept as pretraining left them, they go on to represent languages alike that the labels are not in (Wu and
    Dredze, 2019, freeze the lowest layers of mBERT and find that zero-shot transfer gains).

    Args:
        embeddings: all of them, with their positions and norm.
        layers: how many, from below.

    Returns:
        the number of parameters that are frozen.

    Raises:
        InputError: the encoder has fewer layers, or none that can be told apart.
    """
    encoder = encoder_of(model)
    frozen = [getattr(encoder, "embeddings", encoder.get_input_embeddings())] if embeddings else []
    frozen += _layers(encoder, layers)
    parameters = [parameter for module in frozen for parameter in module.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in parameters)


def _layers(encoder: PreTrainedModel, count: int) -> Sequence[nn.Module]:
    """The `count` lowest layers."""
    if count == 0:
        return []
    depth = encoder.config.num_hidden_layers
    stacks = [part for part in encoder.modules() if isinstance(part, nn.ModuleList) and len(part) == depth]
    if count > depth or not stacks:
        found = f"freeze_layers is {count}, the encoder has {depth if stacks else 'no'} layers"
        raise InputError("recipe", found + ("" if stacks else " of its own (it shares one)"), "freeze fewer")
    return list(stacks[0])[:count]
