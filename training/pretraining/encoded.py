"""The rows of a level as pieces, made once and memory-mapped: an epoch only draws masks.

Tokenizing and segmenting a row takes a hundred times as long as masking it. So each level is encoded into a folder
beside the corpora, named after everything its content follows from: the level's files, the tokenizer, `max_length`
and the code that segments. Runs with equal inputs share it, stage 2 with stage 1 and one arm with another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.training.pretraining.encoding import ABOUT, BEGINS, encode_level, encoding_key
from kbioxlm.training.pretraining.features import level_files
from kbioxlm.training.pretraining.masking import Kind


@dataclass(frozen=True)
class EncodedLevel:
    """One level; arrays are memory-mapped.

    Attributes:
        name: the level.
        pieces: input ids of all rows end to end, `(pieces,)`.
        marks: `Kind` of each piece, and in the highest bit whether a unit begins, `(pieces,)`.
        ends: where each row ends in `pieces`, `(rows,)`.
        passage_labels: class of equation 3, IGNORED off the passage level, `(rows,)`.
        rows_of: by language, the numbers of its rows, `(rows,)`.
        mean_length: by language, pieces in a row, special ones counted.
        piece_counts: by language, how often each piece of the vocabulary occurs, `(vocabulary,)`.
        units: how many maskable units of each `Kind` there are.
    """

    name: str
    pieces: NDArray[np.integer]
    marks: NDArray[np.uint8]
    ends: NDArray[np.int64]
    passage_labels: NDArray[np.int8]
    rows_of: Mapping[str, NDArray[np.int64]]
    mean_length: Mapping[str, float]
    piece_counts: Mapping[str, NDArray[np.int64]]
    units: Mapping[Kind, int]

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pieces of each of `rows`."""
        return self.ends[rows] - self.starts(rows)

    @staticmethod
    def read_marks(marks: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The `Kind` of each piece, and whether a unit begins there."""
        return marks & ~np.uint8(BEGINS), marks >= BEGINS

    def starts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where each of `rows` begins in `pieces`."""
        return np.where(rows > 0, self.ends[rows - 1], 0)


def encoded_level(
    corpora: Path,
    level: str,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    cache: Path | None = None,
    workers: int = 0,
) -> EncodedLevel:
    """One level of a corpora folder as pieces; made if it is not there yet, and waited for if another makes it.

    Memory does not grow with the corpus. An encoding that was killed goes on where it was.

    Args:
        max_length: pieces in a row; longer ones are cut.
        cache: folder that holds encoded levels; beside the corpora by default.
        workers: processes that encode; 0 for this one.

    Raises:
        InputError: the folder has no such level, the level has no rows, or the cache cannot be written.
    """
    files = level_files(corpora, level)
    key = encoding_key(files, tokenizer, max_length)
    corpora = corpora.resolve()
    folder = (cache or corpora.with_name(f".{corpora.name}.pieces")) / f"{level}-{key}"
    if not (folder / ABOUT).is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_suffix(".lock"))
            with lock:
                if not (folder / ABOUT).is_file():
                    encode_level(files, level, tokenizer, max_length, folder, workers)
        except PermissionError as error:
            raise InputError(
                folder.parent, "cannot be written, and encoded texts are kept there",
                "name a folder for them with the key `cache`",
            ) from error  # fmt: skip
    return _opened(folder, level)


def _opened(folder: Path, level: str) -> EncodedLevel:
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))

    def mapped(name: str, kind: Any) -> Any:
        return np.memmap(folder / name, dtype=kind, mode="r")

    rows, bounds = mapped("rows", np.int64), np.cumsum([0, *(entry["rows"] for entry in about["languages"])])
    languages = [entry["language"] for entry in about["languages"]]
    piece_counts = np.fromfile(folder / "piece_counts", dtype=np.int64).reshape(len(languages), -1)
    return EncodedLevel(
        name=level,
        pieces=mapped("pieces", about["piece_type"]),
        marks=mapped("marks", np.uint8),
        ends=mapped("ends", np.int64),
        passage_labels=mapped("passage_labels", np.int8),
        rows_of={language: rows[bounds[i] : bounds[i + 1]] for i, language in enumerate(languages)},
        mean_length={entry["language"]: entry["pieces"] / entry["rows"] for entry in about["languages"]},
        piece_counts=dict(zip(languages, piece_counts, strict=True)),
        units={Kind[name.upper()]: count for name, count in about["units"].items()},
    )
