"""A NER tagger at work: loading one, preparing data for it, predicting spans, scoring them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import PretrainedConfig, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from kbioxlm.common.errors import InputError
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.dataset_scripts.benchmarks.iob import Span
from kbioxlm.modeling_kbioxlm import KBioXLMForTokenClassification, KBioXLMModel
from kbioxlm.training.ner import NerData
from kbioxlm.training.scores import strict_f1
from kbioxlm.training.spans import (
    Pieces,
    Window,
    inexpressible,
    merge_windows,
    pieces_of,
    spans_of_pieces,
    unit_tags,
    windows_of,
)
from kbioxlm.training.tokenizer import load_tokenizer


@dataclass(frozen=True)
class Prepared:
    """NER data as a tagger takes it in."""

    data: NerData
    pieces: list[Pieces]
    windows: list[Window]
    gold: list[list[str]]
    inexpressible: int


def prepare(
    data: NerData, tokenizer: PreTrainedTokenizerBase, max_length: int, tag_ids: dict[str, int] | None = None
) -> Prepared:
    """Tokenise `data` and cut it into windows of at most `max_length` positions; with `tag_ids` they carry labels."""
    pieces = pieces_of(tokenizer, [sentence.text for sentence in data.sentences])
    windows = windows_of(data.sentences, pieces, tokenizer, max_length, tag_ids)
    gold = [unit_tags(sentence.entities, sentence.units) for sentence in data.sentences]
    return Prepared(data, pieces, windows, gold, inexpressible(data.sentences, pieces))


def load_tagger(
    checkpoint: str, tags: Sequence[str] | None = None, use_crf: bool = True
) -> tuple[KBioXLMForTokenClassification, PreTrainedTokenizerBase]:
    """A tagger and its tokenizer.

    Args:
        checkpoint: a folder, or an id on the Hub.
        tags: tags of a new head on the checkpoint's encoder; its parameters are drawn from torch's generator.
            None: the checkpoint is a tagger already.
        use_crf: whether a new head has a CRF.

    Raises:
        InputError: nothing there, no tokenizer, no encoder weights, or no trained head where one is needed.
    """
    check_checkpoint(checkpoint)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # what is missing is checked here
    try:
        if tags is None:
            model, info = KBioXLMForTokenClassification.from_pretrained(
                checkpoint, output_loading_info=True, dtype=torch.float32
            )
        else:
            ids = dict(enumerate(tags))
            head = {"id2label": ids, "label2id": {tag: i for i, tag in ids.items()}, "use_crf": use_crf}
            model = KBioXLMForTokenClassification(KBioXLMConfig.from_pretrained(checkpoint, **head))
            # The encoder alone: a head the checkpoint has may be for other tags.
            model.roberta, info = KBioXLMModel.from_pretrained(
                checkpoint, add_pooling_layer=False, output_loading_info=True, dtype=torch.float32
            )
        tokenizer = load_tokenizer(checkpoint, model.config)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(checkpoint, f"cannot be loaded ({error})", "name a checkpoint with its tokenizer") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    missing = sorted(info["missing_keys"])
    if missing:
        raise InputError(
            checkpoint, f"{len(missing)} weights are missing, such as {missing[0]}",
            "name a fine-tuned tagger" if tags is None else "name an XLM-R or KBioXLM checkpoint",
        )  # fmt: skip
    if len(tokenizer) > model.config.vocab_size:
        raise InputError(
            checkpoint, f"the tokenizer has {len(tokenizer)} pieces, the model {model.config.vocab_size}",
            "put the model's own tokenizer beside it",
        )  # fmt: skip
    return model, tokenizer


def check_checkpoint(checkpoint: str) -> None:
    """Refuse what is neither a folder nor an id on the Hub.

    Raises:
        InputError: no such folder, or a folder without config.json.
    """
    path = Path(checkpoint)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(checkpoint, "the folder has no config.json", "name the folder of a saved model")
    elif path.exists() or checkpoint.startswith((".", "/", "runs/")) or checkpoint.count("/") > 1:
        raise InputError(checkpoint, "no such checkpoint folder", "train it first, or check the path")


def longest_input(config: PretrainedConfig) -> int:
    """Positions of the longest input; those of RoBERTa-shaped models start behind the padding id."""
    return config.max_position_embeddings - config.pad_token_id - 1


def check_length(place: str, max_length: int, config: PretrainedConfig) -> None:
    """Refuse windows that are longer than the model.

    Raises:
        InputError: `max_length` exceeds the model's positions.
    """
    longest = longest_input(config)
    if max_length > longest:
        raise InputError(
            place, f"max_length {max_length} is longer than the model, which has {longest} positions",
            f"set max_length to at most {longest}; longer text is cut into overlapping windows",
        )  # fmt: skip


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """`rows` as one tensor (batch, longest), filled with `value`."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def predict(
    model: KBioXLMForTokenClassification, prepared: Prepared, batch_size: int = 64, bf16: bool = False
) -> list[tuple[Span, ...]]:
    """The spans that `model` finds in each sentence of `prepared`, in code points of its text.

    Windows of like length share a batch. `bf16` runs the encoder under bfloat16 autocast.
    """
    windows = prepared.windows
    order = sorted(range(len(windows)), key=lambda i: (len(windows[i].input_ids), i))
    tags: list[list[str]] = [[] for _ in windows]
    was_training = model.training
    model.eval()
    device = model.device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for first in tqdm(range(0, len(order), batch_size), desc="predicting", unit="batch", leave=False):
            chosen = order[first : first + batch_size]
            input_ids = pad([windows[i].input_ids for i in chosen], model.config.pad_token_id)  # (batch, sequence)
            attention = pad([[1] * len(windows[i].input_ids) for i in chosen], 0)
            labelled = pad([windows[i].labelled for i in chosen], 0).bool()
            logits = model(input_ids=input_ids.to(device), attention_mask=attention.to(device)).logits
            for i, path in zip(chosen, model.decode(logits.float(), labelled.to(device)), strict=True):
                tags[i] = [model.config.id2label[int(tag)] for tag in path]
    model.train(was_training)
    merged = merge_windows(windows, tags, prepared.pieces)
    return [spans_of_pieces(piece.offsets, row) for piece, row in zip(prepared.pieces, merged, strict=True)]


def score(
    model: KBioXLMForTokenClassification, prepared: Prepared, batch_size: int = 64, bf16: bool = False
) -> dict[str, Any]:
    """Strict F1 of `model` on `prepared` (see `scores.strict_f1`), and the number of inexpressible entities."""
    spans = predict(model, prepared, batch_size, bf16)
    predicted = [unit_tags(row, sentence.units) for row, sentence in zip(spans, prepared.data.sentences, strict=True)]
    return {**strict_f1(prepared.gold, predicted), "inexpressible": prepared.inexpressible}
