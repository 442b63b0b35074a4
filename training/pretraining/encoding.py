"""Making the files of an encoded level: every row tokenized and segmented once, row group by row group."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from os import SEEK_END
from pathlib import Path
from typing import Any

import jieba
import numpy as np
import pyarrow.parquet as pq
import tokenizers
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from kbioxlm.common.files import write_json
from kbioxlm.training.pretraining import features
from kbioxlm.training.pretraining.features import encode_rows
from kbioxlm.training.pretraining.masking import Kind
from kbioxlm.training.runs import fingerprint

ABOUT = "about.json"  # the last file: the folder is complete
BEGINS = 0x80  # this bit of a mark says that a unit begins here; the others are its Kind
_PROGRESS = "progress.json"
_ROWS_AT_ONCE = 500
_ROWS_COUNTED = 1 << 16
_COLUMN_FILES = ("pieces", "marks", "ends", "passage_labels", "languages")
_COLUMNS = ["language", "text", "text_pair", "entities", "relations", "passage_relation"]


def encoding_key(files: list[Path], tokenizer: PreTrainedTokenizerBase, max_length: int) -> str:
    """A name for everything that the content of the files follows from."""
    layout = json.loads(tokenizer.backend_tokenizer.to_str())
    made_from = {
        "files": [fingerprint(file) for file in files],
        "tokenizer": {**layout, "truncation": None, "padding": None},  # how it was called last
        "max_length": max_length,
        "code": [fingerprint(str(features.__file__)), tokenizers.__version__, jieba.__version__],
        "format": 2,
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Chunk:
    """Some rows as arrays, the columns of the folder's files."""

    pieces: NDArray[np.integer]
    marks: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    passage_labels: NDArray[np.int8]
    languages: list[str]


class _Encoder:
    """Encodes a row group; made once a process."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int):
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._kind = _piece_type(len(tokenizer))

    def __call__(self, file: Path, group: int) -> _Chunk:
        pieces, marks, lengths, passages, languages = [], [], [], [], []
        for batch in pq.ParquetFile(file).iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=_COLUMNS):
            rows = batch.to_pylist()
            languages += [row["language"] for row in rows]
            for encoded in encode_rows(rows, self._tokenizer, self._max_length):
                begins = np.diff(encoded.units, prepend=-2) != 0
                pieces.append(encoded.input_ids.astype(self._kind))
                marks.append(encoded.kinds.astype(np.uint8) | np.where(begins, BEGINS, 0).astype(np.uint8))
                lengths.append(len(encoded.input_ids))
                passages.append(encoded.passage_label)
        return _Chunk(
            np.concatenate(pieces), np.concatenate(marks), np.array(lengths), np.array(passages, np.int8), languages
        )


_encoder: _Encoder | None = None  # of a worker process


def _start_worker(tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    global _encoder
    _encoder = _Encoder(tokenizer, max_length)


def _encode_in_worker(file: Path, group: int) -> _Chunk:
    assert _encoder is not None
    return _encoder(file, group)


def encode_level(
    files: list[Path], level: str, tokenizer: PreTrainedTokenizerBase, max_length: int, folder: Path, workers: int
) -> None:
    """Append row group after row group to the folder's files; after each, note how far they are whole."""
    groups = [(file, group) for file in files for group in range(pq.read_metadata(file).num_row_groups)]
    note = folder / _PROGRESS
    done: dict[str, Any] = {"groups": 0, "pieces": 0, "languages": [], "bytes": {}}
    if note.is_file():
        done = json.loads(note.read_text(encoding="utf-8"))
    left = groups[done["groups"] :]
    rows = [pq.read_metadata(file).row_group(group).num_rows for file, group in left]
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=sum(rows), desc=f"encoding {level}", unit="row"))
        streams = {}
        for name in _COLUMN_FILES:
            (folder / name).touch()
            streams[name] = stack.enter_context((folder / name).open("r+b"))
            streams[name].truncate(done["bytes"].get(name, 0))
            streams[name].seek(0, SEEK_END)
        for chunk in stack.enter_context(_chunks(left, tokenizer, max_length, workers)):
            done["languages"] += [name for name in dict.fromkeys(chunk.languages) if name not in done["languages"]]
            codes = np.array([done["languages"].index(name) for name in chunk.languages], dtype=np.uint8)
            ends = np.cumsum(chunk.lengths) + done["pieces"]
            columns = (chunk.pieces, chunk.marks, ends, chunk.passage_labels, codes)
            for stream, column in zip(streams.values(), columns, strict=True):
                stream.write(column.data)
                stream.flush()
            done["groups"] += 1
            done["pieces"] = int(ends[-1])
            done["bytes"] = {name: stream.tell() for name, stream in streams.items()}
            write_json(note, done)
            bar.update(len(chunk.lengths))
    _finish(folder, level, done["languages"], len(tokenizer))


@contextmanager
def _chunks(
    groups: list[tuple[Path, int]], tokenizer: PreTrainedTokenizerBase, max_length: int, workers: int
) -> Iterator[Iterator[_Chunk]]:
    """The chunks of row groups, in order; a few of them are ahead."""
    if workers < 2 or len(groups) < 2:
        encoder = _Encoder(tokenizer, max_length)
        yield (encoder(*group) for group in groups)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (tokenizer, max_length)) as pool:
        ahead = deque(pool.submit(_encode_in_worker, *group) for group in groups[: 2 * workers])

        def in_order() -> Iterator[_Chunk]:
            for group in [*groups[2 * workers :], *([None] * len(ahead))]:
                yield ahead.popleft().result()
                if group is not None:
                    ahead.append(pool.submit(_encode_in_worker, *group))

        try:
            yield in_order()
        finally:
            pool.shutdown(cancel_futures=True)


def _finish(folder: Path, level: str, languages: list[str], vocabulary: int) -> None:
    """Group the rows by language and count, then write what says that the folder is complete."""
    piece_type = _piece_type(vocabulary)
    codes = np.fromfile(folder / "languages", dtype=np.uint8)
    lengths = np.diff(np.fromfile(folder / "ends", dtype=np.int64), prepend=0).astype(np.int64)
    parts = []
    with (folder / "rows").open("wb") as stream:
        for language in sorted(languages):
            rows = np.flatnonzero(codes == languages.index(language))
            stream.write(rows.data)
            parts.append({"language": language, "rows": len(rows), "pieces": int(lengths[rows].sum())})
    pieces = np.memmap(folder / "pieces", dtype=piece_type, mode="r")
    marks = np.memmap(folder / "marks", dtype=np.uint8, mode="r")
    piece_counts, units = np.zeros((len(languages), vocabulary), np.int64), np.zeros(len(Kind), np.int64)
    bounds = np.append(0, np.cumsum(lengths))
    for first in range(0, len(codes), _ROWS_COUNTED):
        block = slice(first, first + _ROWS_COUNTED)
        part = slice(bounds[first], bounds[min(first + _ROWS_COUNTED, len(codes))])
        language_of = np.repeat(codes[block], lengths[block])
        for code in range(len(languages)):
            piece_counts[code] += np.bincount(pieces[part][language_of == code], minlength=vocabulary)
        units += np.bincount(marks[part][marks[part] >= BEGINS] - BEGINS, minlength=len(Kind))
    with (folder / "piece_counts").open("wb") as stream:
        stream.write(piece_counts[np.argsort(languages)].data)
    about = {
        "level": level,
        "rows": len(lengths),
        "pieces": len(pieces),
        "piece_type": np.dtype(piece_type).name,
        "languages": parts,
        "units": {kind.name.lower(): int(units[kind]) for kind in Kind if kind is not Kind.SPECIAL},
    }
    write_json(folder / ABOUT, about)
    (folder / _PROGRESS).unlink()


def _piece_type(vocabulary: int) -> type[np.integer]:
    return np.uint16 if vocabulary <= 1 << 16 else np.uint32
