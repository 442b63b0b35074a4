"""Entity markers: words such as `@GENE$` that stand for an entity, each one piece of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import AddedToken
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError, shown


def marker_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The pieces that were added to a tokenizer, beyond those that every text has."""
    own = {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
    own |= {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.mask_token_id}
    return set(tokenizer.get_added_vocab().values()) - own


def add_markers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, markers: Sequence[str]) -> None:
    """Make each of `markers` one piece, in the tokenizer and in the model's embeddings.

    A piece that is new starts as the mean of those that the marker was made of before: it means what the model
    read in it, and no random number is drawn. Both are saved and loaded like any others.

    Raises:
        InputError: a marker that is no word, or is named twice.
    """
    for marker in markers:
        if not marker or marker.split() != [marker] or markers.count(marker) > 1:
            raise InputError(
                "recipe", f"entity_markers holds {shown(marker)}, empty, with a space in it or named twice",
                "name each word that stands for an entity once",
            )  # fmt: skip
    known = tokenizer.get_vocab()
    made_of = {
        marker: tokenizer(marker, add_special_tokens=False)["input_ids"] for marker in markers if marker not in known
    }
    tokenizer.add_tokens(
        [AddedToken(marker, normalized=False, special=True) for marker in markers], special_tokens=True
    )
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        for marker, pieces in made_of.items():
            weight[tokenizer.convert_tokens_to_ids(marker)] = weight[pieces].mean(dim=0)
