"""From corpus rows to pieces grouped into maskable units; tokens are made here and nowhere earlier."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import jieba
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.corpora.rows import BACK_TRANSLATION
from kbioxlm.dataset_scripts.corpora.rows import LEVELS as BUILT_LEVELS
from kbioxlm.training.pretraining.masking import IGNORED, Kind

LEVELS = (*BUILT_LEVELS, BACK_TRANSLATION)
PASSAGE_RELATIONS = ("positive", "random", "context")  # class ids of equation 3
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]+|[^\W\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]")


@dataclass(frozen=True)
class Encoded:
    """One corpus row as pieces; all arrays are `(sequence,)`.

    Args:
        input_ids: pieces.
        units: unit each piece belongs to, -1 where it is never masked.
        kinds: `masking.Kind` of each piece.
        passage_label: class of equation 3, IGNORED off the passage level.
    """

    input_ids: NDArray[np.int64]
    units: NDArray[np.int64]
    kinds: NDArray[np.int64]
    passage_label: int


def level_files(corpora: Path, level: str) -> list[Path]:
    """The Parquet files of one level.

    Raises:
        InputError: the folder has no such level, or the level has no rows.
    """
    files = sorted((corpora / level).glob("*.parquet"))
    if not files:
        raise InputError(
            corpora, f"has no level {level!r}", f"build it with aligned_corpora.py; the levels are {', '.join(LEVELS)}"
        )
    if not any(pq.read_metadata(file).num_rows for file in files):
        raise InputError(corpora / level, "has no rows", "give aligned_corpora.py text that its names occur in")
    return files


def load_level(corpora: Path, level: str) -> datasets.Dataset:
    """The rows of one level of a corpora folder, memory-mapped; errors as `level_files`."""
    files = [str(file) for file in level_files(corpora, level)]
    return datasets.load_dataset("parquet", data_files=files, split="train")


def encode_rows(rows: Sequence[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Encoded]:
    """Rows of any level as pieces and units; what exceeds `max_length` pieces is cut from the longer side."""
    space = tokenizer.convert_tokens_to_ids("▁")
    encoded: dict[int, Encoded] = {}
    for paired in (False, True):
        chosen = [i for i, row in enumerate(rows) if (row["text_pair"] is not None) == paired]
        if not chosen:
            continue
        batch = tokenizer(
            [rows[i]["text"] for i in chosen],
            [rows[i]["text_pair"] for i in chosen] if paired else None,
            truncation="longest_first",
            max_length=max_length,
            return_offsets_mapping=True,
            return_attention_mask=False,
        )
        for place, i in enumerate(chosen):
            encoded[i] = _encode(
                rows[i], batch["input_ids"][place], batch["offset_mapping"][place], batch.sequence_ids(place), space
            )
    return [encoded[i] for i in range(len(rows))]


def _encode(
    row: dict[str, Any],
    input_ids: list[int],
    offsets: list[tuple[int, int]],
    side_of: list[int | None],
    space: int,
) -> Encoded:
    sides, kind_of = _units_of_characters(row["text"], row["text_pair"], row["entities"], row["relations"])
    units = [
        # a metaspace on its own spells no character, whatever its offsets say
        -1 if side is None or piece == space or end <= start else max(sides[side][start:end])
        for piece, side, (start, end) in zip(input_ids, side_of, offsets, strict=True)
    ]
    for place in range(1, len(units) - 1):
        if input_ids[place] == space and units[place - 1] == units[place + 1]:
            units[place] = units[place - 1]  # inside a name: a unit is one run of pieces
    relation = row["passage_relation"]
    return Encoded(
        input_ids=np.array(input_ids),
        units=np.array(units),
        kinds=np.array([kind_of[unit] for unit in units]),
        passage_label=IGNORED if relation is None else PASSAGE_RELATIONS.index(relation),
    )


def _units_of_characters(
    text: str, text_pair: str | None, entities: list[dict], relations: list[dict]
) -> tuple[tuple[list[int], list[int]], list[int]]:
    """The unit of every character of both texts, and the kind of every unit (the last entry is for unit -1).

    Entities and relations are numbered after words, so that the highest unit in a piece is the one that counts.
    """
    sides: tuple[list[int], list[int]] = ([-1] * len(text), [-1] * len(text_pair or ""))
    kinds: list[int] = []
    for side, string in enumerate((text, text_pair or "")):
        for start, end in word_spans(string):
            sides[side][start:end] = [len(kinds)] * (end - start)
            kinds.append(Kind.WORD)
    spans = [(e["in_pair"], e["start"], e["end"], Kind.SWITCHED if e["replaced"] else Kind.ENTITY) for e in entities]
    spans += [(True, r["start"], r["end"], Kind.RELATION) for r in relations]
    for in_pair, start, end, kind in spans:
        sides[in_pair][start:end] = [len(kinds)] * (end - start)
        kinds.append(kind)
    return sides, [*kinds, Kind.SPECIAL]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Whole words of mixed text: runs of letters and digits, single punctuation marks, jieba's words of Han runs.

    In scripts with spaces these are the words that whitespace sets apart once every punctuation mark stands for itself;
    the authors' code does the same by putting spaces around marks first. The parts of "non-small-cell", "IL-6" and
    "1.5" are therefore masked apart: as one word, a compound would cost the budget of several and be hardly ever
    guessed. Where a compound is a name of the knowledge base, its mention is one unit whatever words it is made of;
    such names begin and end where words of this kind do.

    Returns:
        start and end of each word in code points, in reading order; only whitespace is in none.
    """
    spans: list[tuple[int, int]] = []
    for match in _WORD.finditer(text):
        if not _is_han(match[0][0]):
            spans.append(match.span())
            continue
        start = match.start()
        for word in _segmenter().cut(match[0]):
            spans.append((start, start + len(word)))
            start += len(word)
    return spans


def _is_han(character: str) -> bool:
    return "\u3040" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff"


@cache
def _segmenter() -> jieba.Tokenizer:
    jieba.setLogLevel("WARNING")
    return jieba.Tokenizer()
