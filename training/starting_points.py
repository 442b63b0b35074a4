"""The model that a pretraining run starts from: a new one of some shape, an XLM-R checkpoint, or an earlier run."""

from __future__ import annotations

import math
from collections.abc import Mapping

import datasets
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from tqdm import tqdm
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import Recipe
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining


class ModelShape(Recipe):
    """The shape of a model that is trained from scratch; everything else is as in XLM-R."""

    hidden_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    intermediate_size: PositiveInt
    max_position_embeddings: PositiveInt = 514
    hidden_dropout_prob: float = Field(default=0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(default=0.1, ge=0, lt=1)
    initializer_range: PositiveFloat = Field(default=0.02, description="standard deviation of the initial weights")


def model_of_shape(shape: ModelShape, tokenizer: PreTrainedTokenizerBase) -> KBioXLMForPreTraining:
    """A new model, drawn from torch's generator, with a row of embeddings for each piece of `tokenizer`."""
    config = KBioXLMConfig(
        **shape.model_dump(),
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = KBioXLMForPreTraining(config)
    _start_positions_as_waves(model.roberta.embeddings.position_embeddings, config)
    return model


def model_of_checkpoint(checkpoint: str) -> KBioXLMForPreTraining:
    """An XLM-R with its LM head, or a KBioXLM checkpoint; safetensors only.

    Raises:
        InputError: neither of them is there.
    """
    try:
        if PretrainedConfig.get_config_dict(checkpoint)[0].get("model_type") == "kbioxlm":
            return KBioXLMForPreTraining.from_pretrained(checkpoint)
        return KBioXLMForPreTraining.from_xlm_roberta(checkpoint)
    except (OSError, ValueError) as error:
        raise InputError(checkpoint, f"cannot be loaded ({error})", "name an XLM-R or KBioXLM checkpoint") from error


def _start_positions_as_waves(positions: torch.nn.Embedding, config: KBioXLMConfig) -> None:
    """Start the learnt positions of a model from scratch as sinusoids of the initial weights' size.

    Attention to a neighbour is then one direction for all positions; from random vectors every pair of positions
    has to learn it alone, which short runs do not reach.
    """
    half = config.hidden_size // 2
    place = torch.arange(positions.num_embeddings, dtype=torch.float32)[:, None]  # (positions, 1)
    angle = place * torch.exp(-math.log(10_000.0) * torch.arange(half) / half)  # (positions, hidden / 2)
    waves = torch.cat([angle.sin(), angle.cos()], dim=1) * config.initializer_range * math.sqrt(2)
    with torch.no_grad():
        positions.weight.copy_(waves)
        positions.weight[config.pad_token_id] = 0


def frequent_pieces(
    levels: Mapping[str, datasets.Dataset], size: int, tokenizer: PreTrainedTokenizerBase, batch_size: int = 1000
) -> NDArray[np.int64]:
    """The `size` most frequent pieces of the corpora, special ones left out, in order of their ids: `(size,)`."""
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    for level, rows in levels.items():
        for first in tqdm(range(0, len(rows), batch_size), desc=f"counting pieces of {level}", unit="batch"):
            batch = rows[first : first + batch_size]
            texts = batch["text"] + [text for text in batch["text_pair"] if text is not None]
            for ids in tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]:
                counts += np.bincount(ids, minlength=len(tokenizer))
    counts[tokenizer.all_special_ids] = -1
    return np.sort(np.argsort(-counts, kind="stable")[:size])
