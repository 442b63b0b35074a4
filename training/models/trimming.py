"""A checkpoint without the pieces that its languages do not use: same model, smaller embedding.

XLM-R's embedding has a row for each of 250,002 pieces of a hundred languages, 192 of its 278 million parameters. What
is kept so that nothing changes for the text of some languages is said in `trimmed_model`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_json_lines, write_json, written_beside
from kbioxlm.common.recipe import Recipe
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.dataset_scripts.folder import markdown_table
from kbioxlm.modeling_kbioxlm import KBioXLMForSequenceClassification, KBioXLMForTokenClassification
from kbioxlm.training.finetuning.classifier import load_classifier
from kbioxlm.training.finetuning.tagger import load_tagger
from kbioxlm.training.models.checkpoints import check_checkpoint
from kbioxlm.training.models.starting_points import model_of_checkpoint
from kbioxlm.training.models.tokenizer import load_tokenizer
from kbioxlm.training.models.trimmed_model import Trimmable, kept_pieces, trim_model, trimmed_backend
from kbioxlm.training.runs import REPORT, fingerprint, finished_report, refuse_to_replace

BATCH = 512
PARITY_TEXTS = 64  # of each language


class TrimRecipe(Recipe):
    """What `train.py trim-vocabulary` keeps."""

    output: Path = Field(description="folder of the trimmed model and its tokenizer")
    checkpoint: str = Field(
        description="folder or Hub id of an XLM-R or KBioXLM, fine-tuned ones too, with its tokenizer"
    )
    texts: list[Path] = Field(
        min_length=1, description="JSON-lines files of `text` and `lang` in all languages that the model is to keep"
    )
    min_count: PositiveInt = Field(default=1, description="a piece is kept that the texts hold so many times")
    measured_share: float = Field(
        default=0.05, gt=0, lt=1, description="share of the texts left out of the count, to measure what is covered"
    )
    max_length: PositiveInt = Field(default=128, description="pieces of a text on which hidden states are compared")


@dataclass(frozen=True)
class _Counts:
    """Pieces of texts by language; `measured`: texts left out of `pieces`."""

    pieces: dict[str, NDArray[np.int64]]
    measured: dict[str, list[str]]


def trim_vocabulary(recipe: TrimRecipe) -> dict[str, Any]:
    """Write the trimmed checkpoint of `recipe` with a card, and compare it with the whole one.

    Returns:
        the content of `report.json`.

    Raises:
        InputError: unusable texts, or a checkpoint or tokenizer that is not of XLM-R's kind.
    """
    refuse_to_replace(recipe.checkpoint, recipe.output)
    check_checkpoint(recipe.checkpoint)
    identity = {
        "recipe": json.loads(recipe.model_dump_json()),
        "inputs": {str(path): fingerprint(path) for path in (Path(recipe.checkpoint), *recipe.texts)},
    }
    finished = finished_report(recipe.output, identity)
    if finished is not None:
        return finished
    model, tokenizer = _loaded(recipe.checkpoint)
    counts = _count(recipe, tokenizer)
    kept = kept_pieces(tokenizer, np.sum(list(counts.pieces.values()), axis=0), recipe.min_count)
    trimmed_tokenizer = trimmed_backend(tokenizer, kept)
    before = model.num_parameters()
    reference = _hidden_states(model, tokenizer, counts.measured, kept, recipe.max_length)
    trim_model(model, kept)
    report = {
        "task": "vocabulary trimming",
        **identity,
        "pieces": {"before": len(tokenizer), "after": len(kept)},
        "parameters": {"before": before, "after": model.num_parameters()},
        "coverage": {
            language: _coverage(tokenizer, texts, counts.pieces[language], kept)
            for language, texts in sorted(counts.measured.items())
        },
        "parity": _parity(model, trimmed_tokenizer, reference, kept),
    }
    with written_beside(recipe.output) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        trimmed_tokenizer.save(str(draft / "tokenizer.json"))
        write_json(draft / REPORT, report)
        (draft / "README.md").write_text(_card(recipe, report), encoding="utf-8")
    return report


def _loaded(checkpoint: str) -> tuple[Trimmable, PreTrainedTokenizerBase]:
    """A tagger or classifier that was fine-tuned, else a model for pretraining, and its tokenizer."""
    config = KBioXLMConfig.from_pretrained(checkpoint)
    kind = next(iter(config.architectures or []), None)
    if kind == KBioXLMForTokenClassification.__name__:
        return load_tagger(checkpoint)
    if kind == KBioXLMForSequenceClassification.__name__:
        return load_classifier(checkpoint, multi_label=config.problem_type == "multi_label_classification")
    return model_of_checkpoint(checkpoint), load_tokenizer(checkpoint, config)


def _count(recipe: TrimRecipe, tokenizer: PreTrainedTokenizerBase) -> _Counts:
    pieces: dict[str, NDArray[np.int64]] = {}
    measured: dict[str, list[str]] = {}
    for batch in _batches(tqdm(_texts(recipe.texts), desc="counting pieces", unit=" texts")):
        for language in sorted({language for language, _ in batch}):
            texts = [text for code, text in batch if code == language]
            left_out = [text for text in texts if _is_measured(text, recipe.measured_share)]
            measured.setdefault(language, []).extend(left_out)
            counted = [text for text in texts if not _is_measured(text, recipe.measured_share)]
            counts = pieces.setdefault(language, np.zeros(len(tokenizer), dtype=np.int64))
            for ids in _encode(tokenizer, counted):
                counts += np.bincount(ids, minlength=len(tokenizer))
    if not pieces:
        raise InputError(", ".join(map(str, recipe.texts)), "no text in any object", "give texts that are not blank")
    return _Counts(pieces, measured)


def _texts(paths: list[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        for line, record in read_json_lines(path, required=("text", "lang")):
            if not isinstance(record["text"], str) or not isinstance(record["lang"], str):
                raise InputError(path, f"not two strings: {shown(record)}", "give `text` and `lang`", line=line)
            if record["text"].strip():
                yield record["lang"], record["text"]


def _batches(texts: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch = []
    for text in texts:
        batch.append(text)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _is_measured(text: str, share: float) -> bool:
    """Decided by the text itself, so that a repeated text is never on both sides."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) < share * 2**32


def _encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"] if texts else []


def _coverage(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], counted: NDArray[np.int64], kept: NDArray[np.int64]
) -> dict[str, Any]:
    """What of `texts`, which were not counted, is covered."""
    is_kept = np.zeros(len(tokenizer), dtype=bool)
    is_kept[kept] = True
    covered = pieces = lost = 0
    for first in range(0, len(texts), BATCH):
        for ids in _encode(tokenizer, texts[first : first + BATCH]):
            missing = int((~is_kept[ids]).sum())
            covered += missing == 0
            pieces += len(ids)
            lost += missing
    return {
        "texts": len(texts),
        "covered_texts": covered,
        "pieces": pieces,
        "lost_pieces": lost,
        "counted_pieces": int(counted.sum()),
    }


@torch.no_grad()
def _hidden_states(
    model: Trimmable,
    tokenizer: PreTrainedTokenizerBase,
    measured: Mapping[str, list[str]],
    kept: NDArray[np.int64],
    max_length: int,
) -> list[tuple[str, list[int], torch.Tensor]]:
    """Some covered texts of each language with their pieces and hidden states (pieces, hidden)."""
    model.eval()
    states = []
    allowed = set(kept.tolist())
    for language in sorted(measured):
        covered = [
            (text, ids)
            for text, ids in zip(measured[language], _encode(tokenizer, measured[language]), strict=True)
            if allowed.issuperset(ids)
        ]
        for text, ids in covered[:PARITY_TEXTS]:
            states.append((text, ids, model.roberta(torch.tensor([ids[:max_length]])).last_hidden_state[0]))
    return states


@torch.no_grad()
def _parity(
    model: Trimmable,
    tokenizer: Tokenizer,
    reference: list[tuple[str, list[int], torch.Tensor]],
    kept: NDArray[np.int64],
) -> dict[str, Any]:
    """How the trimmed model differs on covered texts: pieces, and the largest difference of a hidden state."""
    same, largest = 0, 0.0
    for text, ids, expected in reference:
        found = tokenizer.encode(text).ids
        if kept[found].tolist() == ids:
            same += 1
            hidden = model.roberta(torch.tensor([found[: len(expected)]])).last_hidden_state[0]
            largest = max(largest, float((hidden - expected).abs().max()))
    return {"texts": len(reference), "same_pieces": same, "largest_difference": largest}


def _card(recipe: TrimRecipe, report: dict[str, Any]) -> str:
    pieces, parameters, parity = report["pieces"], report["parameters"], report["parity"]
    rows = [
        (
            language, figures["texts"], f"{100 * figures['covered_texts'] / max(1, figures['texts']):.2f}%",
            f"{100 * figures['lost_pieces'] / max(1, figures['pieces']):.4f}%",
        )
        for language, figures in report["coverage"].items()
    ]  # fmt: skip
    languages = "\n".join(f"- {language}" for language in report["coverage"])
    return f"""---
language:
{languages}
library_name: transformers
tags:
- biomedical
- trimmed vocabulary
---

# {Path(recipe.checkpoint).name}, vocabulary trimmed

{pieces["after"]:,} of {pieces["before"]:,} pieces are kept, {parameters["after"]:,} of {parameters["before"]:,}
parameters. A piece is kept if the counted texts hold it at least {recipe.min_count} times, or if it is a character of
such a piece.

On text whose pieces are all kept nothing changes: of {parity["texts"]} such texts {parity["same_pieces"]} are cut into
the same pieces, and no hidden state differs by more than {parity["largest_difference"]:.1e}. Other text is cut into
shorter pieces, or into `<unk>` where a character was lost; other languages are not to be expected to work. Measured on
texts that were not counted:

{markdown_table(("language", "texts", "covered", "pieces lost"), rows)}
"""
