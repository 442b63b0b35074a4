"""Checkpoints that are published as pickles, as ones of ours: safetensors, our code beside them.

Three layouts are read, all perhaps behind `model.`, none with any code of the pickle:

- A masked language model in XLM-R's shape (XLM-R, InfoXLM): encoder `roberta.*`, head `lm_head.*`. Both are kept.
- An encoder alone, with `roberta.` in front or without. Its head begins as `starting_points.begin_head` says.
- That of the paper's authors: an XLM-R token classifier whose "labels" are the reduced vocabulary. A linear head
  `classifier.*` stands straight on the last hidden states, perhaps beside a linear passage head `cls_classifier.*`
  with four outputs. Which piece a row of the head stands for is in none of their files: the rows are in the order of
  the input ids, and each began as a copy of its piece's embedding, which it still resembles most. That is how
  `recovered_token_ids` finds them, and it refuses to guess where it is not clear.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch.nn import functional as F

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file, write_json, written_beside
from kbioxlm.common.recipe import Recipe
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.models.starting_points import begin_head
from kbioxlm.training.models.tokenizer import load_tokenizer
from kbioxlm.training.runs import REPORT, fingerprint, finished_report, refuse_to_replace

PICKLE = "pytorch_model.bin"
Weights = dict[str, torch.Tensor]
SHAPE = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    *("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id"),
)
EMBEDDING = "roberta.embeddings.word_embeddings.weight"
DECODER = "lm_head.decoder.weight"  # in XLM-R the embedding itself
HEAD = {
    *("lm_head.bias", "lm_head.dense.weight", "lm_head.dense.bias"),
    *("lm_head.layer_norm.weight", "lm_head.layer_norm.bias", DECODER),
}
CHUNK = 1024  # rows of the head compared with the embedding at once


class ConvertRecipe(Recipe):
    """What `train.py convert` reads."""

    output: Path = Field(description="folder of the converted model")
    checkpoint: Path = Field(description=f"folder of an XLM-R-shaped model: {PICKLE} and config.json")
    tokenizer: str | None = Field(default=None, description="folder or Hub id; by default that of the checkpoint")
    token_ids: Path | None = Field(
        default=None,
        description="JSON list of the input ids of a reduced head; by default they are recovered from the weights",
    )


@dataclass(frozen=True)
class _Parts:
    """What of a checkpoint is kept, by the names that it has in ours.

    Attributes:
        layout: which of the three it was.
        head: empty for an encoder alone.
        token_ids: what the rows of a reduced head stand for, `(rows,)`.
    """

    layout: str
    encoder: Weights
    head: Weights
    token_ids: torch.Tensor | None = None


def convert(recipe: ConvertRecipe) -> dict[str, Any]:
    """Write a published pickle as a KBioXLM folder: safetensors, a reduced head kept, our code beside it.

    Returns:
        the content of `report.json`.

    Raises:
        InputError: files that are missing, or weights in none of the layouts.
    """
    refuse_to_replace(str(recipe.checkpoint), recipe.output)
    path = require_file(recipe.checkpoint / PICKLE)
    identity = {
        "recipe": json.loads(recipe.model_dump_json()),
        "inputs": {"checkpoint": fingerprint(recipe.checkpoint)},
    }
    finished = finished_report(recipe.output, identity)
    if finished is not None:
        return finished
    weights = read_weights(path)
    parts = _parts(weights, recipe.token_ids, path)
    config = _config(recipe.checkpoint, parts)
    tokenizer = load_tokenizer(recipe.tokenizer or recipe.checkpoint, config)
    model = KBioXLMForPreTraining(config)
    if not parts.head:
        begin_head(model)
    _load(model, {**parts.encoder, **parts.head}, path)
    if parts.token_ids is not None:
        model.lm_head.token_ids = parts.token_ids
    report = {
        "task": "conversion",
        **identity,
        "layout": parts.layout,
        "tensors": len(parts.encoder) + len(parts.head),
        "parameters": model.num_parameters(),
        "head_rows": len(model.lm_head.bias),
        "token_ids": None if parts.token_ids is None else "given" if recipe.token_ids else "recovered",
        "left_out": sorted(
            name for name in weights if name not in parts.encoder and not name.startswith(("lm_head.", "classifier."))
        ),
    }
    with written_beside(recipe.output) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        write_json(draft / REPORT, report)
    return report


def read_weights(path: Path) -> Weights:
    """The tensors of a pickle by name, the encoder's behind `roberta.`. No code of the pickle is run.

    Poolers and buffers that every model makes itself are left out.

    Raises:
        InputError: not a pickle of tensors, or without an encoder of XLM-R's shape.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            path, f"not a pickle of tensors alone ({error})", "fetch it again from where it was published"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in content.values()):
        raise InputError(path, "holds more than tensors by name", "give the model's own state, not a training state")
    weights = {str(name).removeprefix("model."): tensor for name, tensor in content.items()}
    if "embeddings.word_embeddings.weight" in weights:
        weights = {f"roberta.{name}": tensor for name, tensor in weights.items()}
    if EMBEDDING not in weights:
        raise InputError(
            path, f"no {EMBEDDING!r} among its {len(weights)} tensors", "give a checkpoint of XLM-R's shape"
        )
    return {
        name: tensor
        for name, tensor in weights.items()
        if not name.startswith("roberta.pooler.") and not name.endswith((".position_ids", ".token_type_ids"))
    }


def _parts(weights: Weights, token_ids: Path | None, path: Path) -> _Parts:
    encoder = {name: weight for name, weight in weights.items() if name.startswith("roberta.")}
    if "classifier.weight" in weights and "classifier.bias" in weights:
        rows = weights["classifier.weight"]
        if token_ids is None:
            ids = recovered_token_ids(rows, weights[EMBEDDING])
        else:
            ids = _given_token_ids(token_ids, len(rows))
        head = {"lm_head.decoder.weight": rows, "lm_head.bias": weights["classifier.bias"]}
        return _Parts("the authors'", encoder, head, ids)
    if token_ids is not None:
        raise InputError(path, "has no reduced head, `classifier.*`", "leave token_ids out")
    head = {name: weight for name, weight in weights.items() if name in HEAD}
    if not head:
        return _Parts("encoder", encoder, {})
    missing = sorted(HEAD - set(head) - {DECODER})
    if missing:
        raise InputError(path, f"no {missing[0]!r} beside {min(head)!r}", "fetch it again")
    decoder = head.pop(DECODER, weights[EMBEDDING])
    if not torch.equal(decoder, weights[EMBEDDING]):
        raise InputError(
            path, f"{DECODER} is not the embedding, as in XLM-R's shape", "give a checkpoint whose decoder is tied"
        )
    return _Parts("masked language model", encoder, head)


def recovered_token_ids(head: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    """The input id of each row of the head, `(rows,)`: the piece whose embedding it resembles most (cosine).

    The first four rows and the last are `<s>`, `<pad>`, `</s>`, `<unk>` and `<mask>`, which their code always adds.

    Args:
        head: (rows, hidden).
        embedding: (vocabulary, hidden).

    Raises:
        InputError: the ids found do not increase from row to row, as they do in the authors' order.
    """
    pieces = F.normalize(embedding.float(), dim=1)
    closest = [(F.normalize(rows.float(), dim=1) @ pieces.T).argmax(dim=1) for rows in head[4:-1].split(CHUNK)]
    ids = torch.cat([torch.arange(4), *closest, torch.tensor([len(embedding) - 1])])
    falls = (ids[1:] <= ids[:-1]).nonzero().flatten()
    if len(falls):
        row = int(falls[0])
        raise InputError(
            "classifier.weight",
            f"rows {row} and {row + 1} resemble pieces {int(ids[row])} and {int(ids[row + 1])}, which are not in order "
            f"({len(falls)} such places)",
            "give the input ids of its rows as `token_ids`",
        )
    return ids


def _given_token_ids(path: Path, rows: int) -> torch.Tensor:
    try:
        ids = json.loads(require_file(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(path, f"not JSON ({error})", "write a list of input ids") from error
    if not isinstance(ids, list) or not all(type(one) is int for one in ids) or len(set(ids)) != rows:
        raise InputError(path, f"cannot use {shown(ids)}", f"write a list of {rows} different input ids, one a row")
    return torch.tensor(sorted(ids))


def _config(folder: Path, parts: _Parts) -> KBioXLMConfig:
    """The shape in `folder`'s config.json; its labels, which may be pieces, and its model type are left behind."""
    path = require_file(folder / "config.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(path, f"not JSON ({error})", "fetch it again") from error
    missing = [key for key in SHAPE if key not in content]
    if missing:
        raise InputError(path, f"no {missing[0]!r}", "put the config.json of this checkpoint beside it")
    vocabulary = len(parts.encoder[EMBEDDING])
    if content["vocab_size"] != vocabulary:
        raise InputError(
            path, f"vocab_size is {content['vocab_size']}, the embedding has {vocabulary} rows",
            "put the config.json of this checkpoint beside it",
        )  # fmt: skip
    return KBioXLMConfig(
        **{key: content[key] for key in SHAPE},
        mlm_vocab_size=None if parts.token_ids is None else len(parts.token_ids),
        mlm_head_transform=parts.token_ids is None,
    )


def _load(model: KBioXLMForPreTraining, weights: Weights, path: Path) -> None:
    """Put every weight in its place: none may be missing, left over, or of another shape."""
    own = model.state_dict()
    unknown = sorted(set(weights) - set(own))
    if unknown:
        raise InputError(path, f"unknown tensor {unknown[0]!r}", "give an XLM-R-shaped checkpoint")
    for name, tensor in weights.items():
        if own[name].shape != tensor.shape:
            raise InputError(
                path, f"{name} has shape {tuple(tensor.shape)}, config.json asks for {tuple(own[name].shape)}",
                "put the config.json of this checkpoint beside it",
            )  # fmt: skip
    expected = {name for name in own if name.startswith("roberta.")}
    missing = sorted(expected - set(weights))
    if missing:
        raise InputError(path, f"{len(missing)} tensors are missing, {missing[0]!r} among them", "fetch it again")
    model.load_state_dict(weights, strict=False)
