"""Units of rows: what a worker makes at once. A unit is a block of texts, the passages, or the translation facts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.corpora.arrays import ipc_writer, read_arrays, read_arrow, write_arrays
from kbioxlm.dataset_scripts.corpora.entity_level import code_switched
from kbioxlm.dataset_scripts.corpora.rows import ROW, Row, to_table
from kbioxlm.dataset_scripts.corpora.segments import Segment
from kbioxlm.dataset_scripts.corpora.tools import Tools
from kbioxlm.dataset_scripts.corpora.work import placed

BATCH = 10_000
_INDEX = "index.npz"
Digests = list[bytes]


class UnitWriter:
    """Writes the rows of one unit, and beside them what the selection needs to know.

    The index has for each level with rows `LEVEL_digest` (uint64, of what the row is made from), `LEVEL_language`
    (uint8, place in the settings' languages) and `LEVEL_tokens` (uint32, of both texts), each (rows,), and any
    array that is written along.
    """

    def __init__(self, folder: Path, tools: Tools):
        folder.mkdir()
        self._folder = folder
        self._counter = tools.counter
        self._places = {language: place for place, language in enumerate(tools.settings.languages)}
        self._writers: dict[str, pa.ipc.RecordBatchFileWriter] = {}
        self._index: dict[str, list[NDArray[Any]]] = {}

    def write(self, level: str, rows: Sequence[Row], digests: Digests, **arrays: NDArray[Any]) -> None:
        """Append `rows` to `level`, and the named arrays to its index."""
        if not rows:
            return
        if level not in self._writers:
            self._writers[level] = ipc_writer(self._folder / f"{level}.arrow", ROW)
        self._writers[level].write_table(to_table(rows))
        tokens = np.array(self._counter.count([row.text for row in rows]), np.uint32)
        paired = [number for number, row in enumerate(rows) if row.text_pair is not None]
        tokens[paired] += np.array(self._counter.count([rows[number].text_pair or "" for number in paired]), np.uint32)
        language = np.array([self._places[row.language] for row in rows], np.uint8)
        digest = np.frombuffer(b"".join(digests), "<u8")
        for name, array in {"digest": digest, "language": language, "tokens": tokens, **arrays}.items():
            self._index.setdefault(f"{level}_{name}", []).append(array)

    def close(self, **arrays: NDArray[Any]) -> None:
        """Finish the files; `arrays` are of the unit as a whole."""
        for writer in self._writers.values():
            writer.close()
        index = {name: np.concatenate(parts) for name, parts in self._index.items()}
        write_arrays(self._folder / _INDEX, **index, **arrays)


def read_index(folder: Path) -> dict[str, NDArray[Any]]:
    """The index of a unit."""
    return read_arrays(folder / _INDEX)


def read_rows(folder: Path, level: str) -> pa.Table:
    """The rows of a unit in `level`, with the schema `ROW`."""
    return read_arrow(folder / f"{level}.arrow")


def write_block(documents: pa.Table, folder: Path, tools: Tools) -> None:
    """Make the rows of a block of texts: monolingual, entity and fact.

    Of segments with the same text in the block only the first is used; `repeated` in the index counts the others.
    """
    segments, digests, repeated = _segments(documents, tools)
    with placed(folder) as draft:
        writer = UnitWriter(draft, tools)
        rows = [Row(part.id, "monolingual", part.language, part.text, entities=part.entities()) for part in segments]
        writer.write("monolingual", rows, digests)
        _write_switched(writer, segments, digests, tools)
        facts = [
            (number, row)
            for number, segment in enumerate(segments)
            if len(segment.matches) > 1 and (row := tools.teller.with_facts(segment, tools.settings.seed)) is not None
        ]
        numbers = [number for number, _ in facts]
        digests_of = [digests[number] for number in numbers]
        writer.write("fact", [row for _, row in facts], digests_of, segment=np.array(numbers, np.uint32))
        writer.close(repeated=np.array(repeated))


def _segments(documents: pa.Table, tools: Tools) -> tuple[list[Segment], Digests, int]:
    seen: dict[bytes, None] = {}
    pieces = []
    repeated = 0
    for piece in tools.segmenter.pieces(*(documents.column(name).to_pylist() for name in ("id", "language", "text"))):
        digest = hashlib.blake2b(piece.text.encode(), digest_size=8).digest()
        if digest in seen:
            repeated += 1
        else:
            seen[digest] = None
            pieces.append(piece)
    return tools.segmenter.matched(pieces), list(seen), repeated


def _write_switched(writer: UnitWriter, segments: Sequence[Segment], digests: Digests, tools: Tools) -> None:
    seed = tools.settings.seed
    numbers, rows, targets, amounts, keys = [], [], [], [], []
    for number, segment in enumerate(segments):
        if segment.matches and (row := code_switched(segment, tools.translations, seed)) is not None:
            replaced = [entity.language for entity in row.entities if entity.replaced]
            numbers.append(number)
            rows.append(row)
            targets.append(tools.settings.languages.index(replaced[0]))
            amounts.append(len(replaced))
            keys.append(hashlib.blake2b(f"{seed} {row.id}".encode(), digest_size=8).digest())
    writer.write(
        "entity",
        rows,
        [digests[number] for number in numbers],
        segment=np.array(numbers, np.uint32),
        target=np.array(targets, np.uint8),
        replaced=np.array(amounts, np.uint16),
        key=np.frombuffer(b"".join(keys), ">u8"),
    )


def write_level(level: str, rows: Iterable[Row], folder: Path, tools: Tools) -> None:
    """Make a unit of rows of one level that come from no text: passages, translation facts."""
    with placed(folder) as draft:
        writer = UnitWriter(draft, tools)
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH)):
            digests = [hashlib.blake2b(row.id.encode(), digest_size=8).digest() for row in batch]
            writer.write(level, batch, digests)
        writer.close()
