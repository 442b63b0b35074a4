"""Cutting pieces out of a tokenizer and a model: which must stay, and what their new numbers are.

A text is *covered* if all pieces it was cut into before are kept; it is then cut into the same pieces as before, since
the best path of a Unigram model stays the best among fewer. Two kinds of pieces are kept for that to hold: every
single character of a kept piece (or the tokenizer would weigh `<unk>` against it) and a piece of the lowest score
(which the score of `<unk>` is made from).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.modeling_lm_head_kbioxlm import KBioXLMLMHead

Trimmable = Any  # KBioXLMForPreTraining, KBioXLMForTokenClassification or KBioXLMForSequenceClassification


def kept_pieces(tokenizer: PreTrainedTokenizerBase, counts: NDArray[np.int64], min_count: int) -> NDArray[np.int64]:
    """Ids of the pieces to keep, `(kept,)`, in increasing order.

    Args:
        counts: how often the texts hold each piece, `(vocabulary,)`.

    Raises:
        InputError: a tokenizer that is not Unigram.
    """
    vocabulary = _model_of(tokenizer.backend_tokenizer)["vocab"]
    keep = np.zeros(len(tokenizer), dtype=bool)
    keep[: len(counts)] = counts >= min_count
    keep[[*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder]] = True
    ids = {piece: number for number, (piece, _) in enumerate(vocabulary)}
    for number in np.flatnonzero(keep):
        if number < len(vocabulary) and number not in tokenizer.all_special_ids:
            for character in vocabulary[number][0]:
                if character in ids:
                    keep[ids[character]] = True
    keep[min(range(len(vocabulary)), key=lambda number: vocabulary[number][1])] = True
    return np.flatnonzero(keep)


def trimmed_backend(tokenizer: PreTrainedTokenizerBase, kept: NDArray[np.int64]) -> Tokenizer:
    """The tokenizer with the pieces `kept` alone, numbered in their order."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    new = {int(old): number for number, old in enumerate(kept)}
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = [vocabulary[old] for old in kept if old < len(vocabulary)]
    content["model"]["unk_id"] = new[content["model"]["unk_id"]]
    content["added_tokens"] = [
        {**token, "id": new[token["id"]]} for token in content["added_tokens"] if token["id"] in new
    ]
    for token in (content.get("post_processor") or {}).get("special_tokens", {}).values():
        token["ids"] = [new[old] for old in token["ids"]]
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False))


@torch.no_grad()
def trim_model(model: Trimmable, kept: NDArray[np.int64]) -> None:
    """Keep the rows `kept` of the embedding, and those of a masked-language-model head that stand for them."""
    ids = torch.from_numpy(kept)
    config, old = model.config, model.get_input_embeddings()
    config.pad_token_id, config.bos_token_id, config.eos_token_id = (
        int(np.searchsorted(kept, token)) for token in (config.pad_token_id, config.bos_token_id, config.eos_token_id)
    )
    config.vocab_size = len(kept)
    embeddings = nn.Embedding(len(kept), old.embedding_dim, padding_idx=config.pad_token_id).to(old.weight)
    embeddings.weight.copy_(old.weight[ids])
    if isinstance(model, KBioXLMForPreTraining):
        _trim_head(model, ids, embeddings)
    else:
        config.mlm_vocab_size = None
    model.set_input_embeddings(embeddings)
    model.eval()


def _trim_head(model: KBioXLMForPreTraining, ids: torch.Tensor, embeddings: nn.Embedding) -> None:
    config, head = model.config, model.lm_head
    tied = head.token_ids is None and head.decoder.weight is model.get_input_embeddings().weight
    rows = head.rows(ids)  # of the head, -100 where a reduced one has none
    present = rows >= 0
    config.mlm_vocab_size = None if head.token_ids is None else int(present.sum())
    new = KBioXLMLMHead(config).to(head.bias)
    if new.transforms:
        new.dense, new.layer_norm = head.dense, head.layer_norm
    new.decoder.weight.copy_(head.decoder.weight[rows[present]])
    new.bias.copy_(head.bias[rows[present]])
    new.decoder.bias = new.bias
    if new.token_ids is not None:
        new.token_ids = present.nonzero().squeeze(1)
    model.lm_head = new
    if tied:
        new.decoder.weight = embeddings.weight


def _model_of(backend: Tokenizer) -> dict[str, Any]:
    model = json.loads(backend.to_str())["model"]
    if model["type"] != "Unigram" or model.get("byte_fallback"):
        raise InputError(
            "checkpoint",
            f"its tokenizer is {model['type']}",
            "only Unigram tokenizers, such as XLM-R's, can be trimmed",
        )
    return model
