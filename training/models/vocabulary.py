"""The reduced vocabulary: the pieces that the corpora hold most often, which alone a model learns to predict (A.1).

The paper cuts XLM-R's masked-language-model head from 250,002 rows to 37,030 by how its tokens are distributed over
CNKI and PubMed. Special pieces are no part of it: none is ever a label or a random replacement. What becomes of text
outside it is said in `masking`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator
from transformers import PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_json_lines, write_json, written_beside
from kbioxlm.common.recipe import Recipe
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.dataset_scripts.folder import CARD
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.models.checkpoints import check_checkpoint
from kbioxlm.training.models.tokenizer import load_tokenizer
from kbioxlm.training.models.vocabulary_report import (
    CURVE,
    PIECES,
    coverage,
    coverage_by_size,
    left_out,
    piece_counts,
    units_never_masked,
    vocabulary_card,
)
from kbioxlm.training.plots import coverage_curve
from kbioxlm.training.pretraining.encoded import EncodedLevel, encoded_level
from kbioxlm.training.pretraining.features import LEVELS
from kbioxlm.training.runs import REPORT, fingerprint, finished_report


class VocabularyRecipe(Recipe):
    """What `train.py vocabulary` counts."""

    output: Path = Field(description="folder of the vocabulary, for the key mlm_vocabulary of a pretraining recipe")
    corpora: Path = Field(description="folder written by aligned_corpora.py")
    tokenizer: str = Field(description="folder or Hub id of the model that will be trained, or of its tokenizer")
    size: PositiveInt = Field(default=37_030, description="pieces to keep, special ones not counted (A.1: 37,030)")
    levels: list[str] = Field(default=[], description="levels that are counted; by default all in the corpora")
    max_length: PositiveInt = Field(default=128, ge=8, description="pieces of a row that are counted; as in training")
    cache: Path | None = Field(default=None, description="folder of encoded texts; null: beside the corpora")
    workers: NonNegativeInt = Field(default=0, description="processes that encode; 0 for this one")

    @field_validator("levels")
    @classmethod
    def _known_levels(cls, levels: list[str]) -> list[str]:
        unknown = sorted(set(levels) - set(LEVELS))
        if unknown:
            raise ValueError(f"levels among {', '.join(LEVELS)}, not {', '.join(unknown)}")
        return [level for level in LEVELS if level in levels]


def make_vocabulary(recipe: VocabularyRecipe) -> dict[str, Any]:
    """Write the vocabulary of `recipe` with its coverage of the corpora: `pieces.jsonl`, report, curve and card.

    A run that was killed goes on where it was; the encoded texts serve training too, if its `max_length` is the same.

    Returns:
        the content of `report.json`.

    Raises:
        InputError: no corpora, no tokenizer, or fewer different pieces in the corpora than were asked for.
    """
    identity = {
        "recipe": recipe.model_dump(mode="json", exclude={"cache", "workers"}),
        "inputs": {"corpora": fingerprint(recipe.corpora), "tokenizer": fingerprint(recipe.tokenizer)},
    }
    finished = finished_report(recipe.output, identity)
    if finished is not None:
        return finished
    tokenizer = _tokenizer(recipe.tokenizer)
    levels = [
        encoded_level(recipe.corpora, name, tokenizer, recipe.max_length, recipe.cache, recipe.workers)
        for name in recipe.levels or _levels_with_rows(recipe.corpora)
    ]
    kept = frequent_pieces(levels, recipe.size, tokenizer)
    predictable = np.zeros(len(tokenizer), dtype=bool)
    predictable[kept] = True
    counts = piece_counts(levels, tokenizer)
    total = counts.total
    report = {
        "task": "vocabulary",
        **identity,
        "pieces": {"tokenizer": len(tokenizer), "in_corpora": int((total > 0).sum()), "kept": len(kept)},
        "coverage": coverage(levels, predictable, tokenizer),
        "coverage_by_size": coverage_by_size(counts, recipe.size),
        "units_never_masked": {level.name: units_never_masked(level, predictable) for level in levels},
        "left_out": left_out(tokenizer, counts, predictable),
    }
    with written_beside(recipe.output) as draft:
        draft.mkdir()
        with (draft / PIECES).open("w", encoding="utf-8") as stream:
            for piece, name in zip(kept.tolist(), tokenizer.convert_ids_to_tokens(kept.tolist()), strict=True):
                line = {"id": piece, "piece": name, "count": int(total[piece])}
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        title = "Pieces of the corpora that the most frequent ones cover"
        coverage_curve(counts.covered_shares(), recipe.size, draft / CURVE, title)
        write_json(draft / REPORT, report)
        (draft / CARD).write_text(vocabulary_card(report), encoding="utf-8")
    return report


def _levels_with_rows(corpora: Path) -> list[str]:
    """The levels in a corpora folder; `monolingual`, whose absence is then an error, where there are none."""
    found = [
        level
        for level in LEVELS
        if any(pq.read_metadata(file).num_rows for file in (corpora / level).glob("*.parquet"))
    ]
    return found or ["monolingual"]


def _tokenizer(source: str) -> PreTrainedTokenizerBase:
    if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
        return load_tokenizer(source)
    check_checkpoint(source)
    return load_tokenizer(source, KBioXLMConfig.from_pretrained(source))


def frequent_pieces(levels: Sequence[EncodedLevel], size: int, tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """The `size` most frequent pieces of the corpora, special ones left out, in order of their ids: `(size,)`.

    Raises:
        InputError: the corpora do not hold so many.
    """
    counts = piece_counts(levels, tokenizer)
    found = int((counts.total[counts.ranked] > 0).sum())
    if found < size:
        raise InputError(
            "recipe", f"a vocabulary of {size:,} pieces was asked for, the corpora hold {found:,} different ones",
            f"ask for at most {found}, or give more text",
        )  # fmt: skip
    return np.sort(counts.ranked[:size])


def read_vocabulary(path: Path, tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """Input ids of the pieces of a vocabulary, ascending: `(pieces,)`.

    Args:
        path: the folder that `make_vocabulary` wrote, or a file of lines like its `pieces.jsonl`.

    Raises:
        InputError: no such file, a malformed line, or a vocabulary of another tokenizer.
    """
    path = path / PIECES if path.is_dir() else path
    ids: set[int] = set()
    for line, record in read_json_lines(path, required=("id", "piece")):
        piece = record["id"]
        if type(piece) is not int or piece in ids:
            raise InputError(path, f"cannot use {shown(record)}", "give every piece its own input id", line=line)
        own = tokenizer.convert_ids_to_tokens(piece) if 0 <= piece < len(tokenizer) else None
        if own != record["piece"]:
            raise InputError(
                path, f"piece {piece} is {shown(record['piece'])}, that of the tokenizer is {shown(own)}",
                "make the vocabulary with the model's own tokenizer: train.py vocabulary", line=line,
            )  # fmt: skip
        ids.add(piece)
    if not ids:
        raise InputError(path, "no pieces", "make it with train.py vocabulary")
    return np.array(sorted(ids), dtype=np.int64)


def use_vocabulary(model: KBioXLMForPreTraining, path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Reduce the head of `model` to the pieces of a vocabulary; one that has just these rows is left as it is.

    Raises:
        InputError: as `read_vocabulary`; a head that was reduced to other pieces.
    """
    ids = torch.from_numpy(read_vocabulary(path, tokenizer))
    own = model.lm_head.token_ids
    if own is None:
        model.reduce_mlm_head(ids)
    elif not torch.equal(own, ids):
        raise InputError(
            path, f"holds {len(ids):,} pieces, and the checkpoint's head has {len(own):,} rows for other ones already",
            "leave mlm_vocabulary out, or give the vocabulary that the checkpoint was trained with",
        )  # fmt: skip
