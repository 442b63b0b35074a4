"""Texts on their way from the readers to the rows: parts cut into blocks, and records that later parts revise."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.corpora.arrays import read_arrays, read_arrow, write_arrays, write_arrow
from kbioxlm.dataset_scripts.corpora.work import placed
from kbioxlm.dataset_scripts.readers.documents import Document, Part, Withdrawal

# a block ends with the document that reaches either
BLOCK_DOCUMENTS = 4096
BLOCK_CHARACTERS = 2_000_000
DOCUMENT = pa.schema([("id", pa.string()), ("language", pa.string()), ("text", pa.string())])
MANIFEST = "done.json"
_RECORDS = "records.npz"


@dataclass(frozen=True)
class PartManifest:
    """What reading a part gave.

    Attributes:
        languages: of each block, language → documents.
        sha256: of the file, "" where the part is none.
    """

    languages: list[dict[str, int]]
    sha256: str


def part_key(part: Part) -> str:
    """The name of a part's folder: another one when the part's file changes."""
    path = part_file(part)
    stamp = (path.stat().st_size, path.stat().st_mtime_ns) if path is not None and path.is_file() else ()
    return hashlib.blake2b(repr((part, stamp)).encode(), digest_size=10).hexdigest()


def part_file(part: Part) -> Path | None:
    """The file that `part` reads, if it is one."""
    path = getattr(part, "path", None)
    return Path(path) if isinstance(path, str | Path) else None


def read_part(part: Part, folder: Path) -> None:
    """Read `part` once, into `folder`: blocks of documents, hashes of their records, and at the end the manifest."""
    languages: list[dict[str, int]] = []
    records: list[NDArray[np.uint64]] = []
    withdrawn: list[bytes] = []
    for number, block in enumerate(_blocks(part.read(), withdrawn)):
        path = block_path(folder, number)
        if not path.is_file():
            columns = [[document[column] for document in block] for column in range(len(DOCUMENT))]
            write_arrow(path, pa.table(columns, schema=DOCUMENT))
        languages.append(dict(Counter(document.language for document in block)))
        records.append(_as_integers([_hash(document.record) for document in block]))
    offsets = np.cumsum([0, *map(len, records)])
    write_arrays(
        folder / _RECORDS,
        records=np.concatenate(records) if records else np.zeros(0, np.uint64),
        offsets=offsets,
        withdrawn=_as_integers(withdrawn),
    )
    with placed(folder / MANIFEST) as draft:
        draft.write_text(json.dumps(asdict(PartManifest(languages, _sha256(part_file(part))))), encoding="utf-8")


def read_manifest(folder: Path) -> PartManifest:
    """The manifest of a part that was read."""
    values: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return PartManifest(**values)


def block_path(folder: Path, number: int) -> Path:
    """The file of one block of a part."""
    return folder / f"{number:05d}.arrow"


def read_block(path: Path, removed: Path | None) -> pa.Table:
    """The documents of a block, without those that `removed` marks."""
    table = read_arrow(path)
    return table if removed is None else table.filter(pa.array(~read_arrays(removed)["removed"]))


def removed_documents(folders: Sequence[Path]) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """`(part, block, mask)` of each block with documents that a later part replaces or withdraws.

    Args:
        folders: of the parts, in their order.
    """
    parts = [read_arrays(folder / _RECORDS) for folder in folders]
    hashes = [np.concatenate([part["records"], part["withdrawn"]]) for part in parts]
    order = np.repeat(np.arange(len(parts)), list(map(len, hashes)))
    known, last = _last_parts(np.concatenate(hashes) if hashes else np.zeros(0, np.uint64), order)
    for number, part in enumerate(parts):
        named = part["records"] != 0
        removed = np.zeros(len(named), bool)
        removed[named] = last[np.searchsorted(known, part["records"][named])] > number
        for block, (start, stop) in enumerate(zip(part["offsets"], part["offsets"][1:], strict=False)):
            if removed[start:stop].any():
                yield number, block, removed[start:stop]


def write_removed(removed: Iterable[tuple[int, int, NDArray[np.bool_]]], folder: Path) -> None:
    """Write the masks of `removed_documents` to `folder`, named by their content, and a manifest of them."""
    names: dict[str, str] = {}
    for part, block, mask in removed:
        name = hashlib.blake2b(mask.tobytes(), digest_size=6).hexdigest()
        write_arrays(folder / f"{part:05d}-{block:05d}-{name}.npz", removed=mask)
        names[f"{part} {block}"] = f"{part:05d}-{block:05d}-{name}.npz"
    with placed(folder / MANIFEST) as draft:
        draft.write_text(json.dumps(names), encoding="utf-8")


def read_removed(folder: Path) -> dict[tuple[int, int], Path]:
    """`(part, block)` → the file of its mask, for the blocks that have one."""
    names: dict[str, str] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return {(int(key.split()[0]), int(key.split()[1])): folder / name for key, name in names.items()}


def removed_in(path: Path, languages: Counter[str], block: Path) -> int:
    """Take the documents that `path` marks out of `languages`, the counts of `block`; gives how many they are."""
    table = read_arrow(block).filter(pa.array(read_arrays(path)["removed"]))
    languages.subtract(table.column("language").to_pylist())
    return int(table.num_rows)


def _last_parts(hashes: NDArray[np.uint64], parts: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The records that occur, sorted, and the last part in which each does."""
    named = hashes != 0
    hashes, parts = hashes[named], parts[named]
    order = np.lexsort((parts, hashes))
    hashes, parts = hashes[order], parts[order]
    ends = np.append(hashes[1:] != hashes[:-1], True)[: len(hashes)]
    return hashes[ends], parts[ends]


def _blocks(documents: Iterator[Document | Withdrawal], withdrawn: list[bytes]) -> Iterator[list[Document]]:
    """Documents in blocks whose borders depend on nothing but the documents; withdrawals go to `withdrawn`."""
    block: list[Document] = []
    characters = 0
    for item in documents:
        if isinstance(item, Withdrawal):
            withdrawn.append(_hash(item.record))
            continue
        block.append(item)
        characters += len(item.text)
        if len(block) == BLOCK_DOCUMENTS or characters >= BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _hash(record: str) -> bytes:
    return hashlib.blake2b(record.encode(), digest_size=8).digest() if record else bytes(8)


def _as_integers(digests: Sequence[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(digests), "<u8")


def _sha256(path: Path | None) -> str:
    if path is None or not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
