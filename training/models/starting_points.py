"""The model that a pretraining run starts from: a new one of some shape, an XLM-R checkpoint, or an earlier run."""

from __future__ import annotations

import math
import sys
from typing import Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from transformers import PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import Recipe
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining, KBioXLMLMHead


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
    """An XLM-R, anything of its shape, or a KBioXLM checkpoint; safetensors only.

    An encoder without any LM head gets the one of `begin_head`, and a line on standard error says so.

    Raises:
        InputError: neither of them is there, or its weights do not fill the shape of its configuration.
    """
    try:
        loaded: Any = KBioXLMForPreTraining.from_pretrained(checkpoint, use_safetensors=True, output_loading_info=True)
    except (OSError, ValueError) as error:
        raise InputError(
            checkpoint, f"cannot be loaded ({error})",
            "name an XLM-R or KBioXLM checkpoint; one that is a pickle goes through train.py convert first",
        ) from error  # fmt: skip
    except RuntimeError as error:  # tensors of another shape than the configuration says
        raise InputError(
            checkpoint, f"its weights and its config.json are of different shapes ({error})",
            "restore the config.json that was saved with the weights",
        ) from error  # fmt: skip
    model, loading = loaded
    missing = set(loading["missing_keys"])
    head = {f"lm_head.{name}" for name, _ in model.lm_head.named_parameters()} - {"lm_head.decoder.bias"}
    is_encoder = head - {"lm_head.decoder.weight"} <= missing and not any(key.startswith("roberta.") for key in missing)
    if is_encoder and model.lm_head.token_ids is None:
        print(f"{checkpoint}: no masked-language-model head; it begins as the embedding", file=sys.stderr)
        begin_head(model)
        return model
    absent = sorted(key for key in missing if key.startswith(("roberta.", "lm_head.")))
    if absent:
        raise InputError(
            checkpoint, f"{len(absent)} weights are missing, {absent[0]!r} among them",
            "name a checkpoint that train.py pretrain or convert wrote, or an XLM-R with its LM head",
        )  # fmt: skip
    return model


@torch.no_grad()
def begin_head(model: KBioXLMForPreTraining) -> None:
    """Give an encoder that has no LM head one to begin with: the embedding alone, straight on the hidden states.

    That is where the authors' reduced head begins as well (their `scale_model.py`), and nothing in it is random. The
    rows are those of the embedding itself until the head is reduced.
    """
    model.config.mlm_head_transform = False
    model.config.mlm_vocab_size = None
    model.lm_head = KBioXLMLMHead(model.config).to(model.get_input_embeddings().weight)
    model.lm_head.decoder.bias = model.lm_head.bias
    model.lm_head.decoder.weight = model.get_input_embeddings().weight


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
