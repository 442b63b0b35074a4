"""The index of all names: kept in a folder of .npy files, and opened without reading it into memory."""

from __future__ import annotations

import json
import unicodedata
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import written_beside
from kbioxlm.dataset_scripts.matching.arrays import Names
from kbioxlm.dataset_scripts.matching.code_points import CodePoints, Expansions

VERSION = 1
HEADER = "index.json"
_REMEDY = "build the index again"


@dataclass(frozen=True)
class NamesIndex:
    """All names of a knowledge base, ready for the search.

    Attributes:
        names: the patterns and their entries.
        tables: the folding of code points.
        languages: ISO 639-1 codes, in the order in which names are looked for.
        concept_ids: ids of the concepts in UTF-8, one after another; uint8.
        concept_offsets: where they begin and end; int64.
        seed: of the hash.
        longest: characters of the longest pattern.
        singles: whether a pattern is one character of an unspaced script.
    """

    names: Names
    tables: CodePoints
    languages: tuple[str, ...]
    concept_ids: NDArray[np.uint8]
    concept_offsets: NDArray[np.int64]
    seed: int
    longest: int
    singles: bool

    def concept(self, place: int) -> str:
        """The id of a concept."""
        first, last = self.concept_offsets[place : place + 2]
        return self.concept_ids[first:last].tobytes().decode()

    def save(self, folder: str | Path) -> None:
        """Write the folder; an index that is there is replaced.

        Raises:
            InputError: there is something else.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / HEADER).is_file():
            raise InputError(folder, "is there, and is not an index of names", "give a folder that does not exist yet")
        with written_beside(folder) as draft:
            draft.mkdir(parents=True)
            checksums = {}
            for name, array in _arrays(self).items():
                np.save(draft / f"{name}.npy", array, allow_pickle=False)
                checksums[name] = zlib.crc32(array.data)
            header = {
                "version": VERSION,
                "unicode": unicodedata.unidata_version,
                "languages": [*self.languages],
                "seed": self.seed,
                "longest": self.longest,
                "singles": self.singles,
                "checksums": checksums,
            }
            (draft / HEADER).write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def open(cls, folder: str | Path) -> NamesIndex:
        """The index of a folder, memory-mapped: processes that open it share it.

        Raises:
            InputError: not an index, one of another version, or a damaged one.
        """
        folder = Path(folder)
        header = _header(folder)
        try:
            arrays = {name: _array(folder, name, checksum) for name, checksum in header["checksums"].items()}
            names = Names(**{name: arrays[name] for name in Names._fields})
            tables = CodePoints(
                arrays["folded"],
                Expansions(arrays["expansion_offsets"], arrays["expansions"]),
                arrays["written_folded"],
                Expansions(arrays["written_expansion_offsets"], arrays["written_expansions"]),
            )
            return cls(
                names,
                tables,
                tuple(header["languages"]),
                arrays["concept_ids"],
                arrays["concept_offsets"],
                header["seed"],
                header["longest"],
                header["singles"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(folder / HEADER, f"incomplete ({error})", _REMEDY) from error


def _arrays(index: NamesIndex) -> dict[str, NDArray[Any]]:
    tables = index.tables
    return {
        **index.names._asdict(),
        "folded": tables.folded,
        "expansion_offsets": tables.expansions.offsets,
        "expansions": tables.expansions.characters,
        "written_folded": tables.written,
        "written_expansion_offsets": tables.written_expansions.offsets,
        "written_expansions": tables.written_expansions.characters,
        "concept_ids": index.concept_ids,
        "concept_offsets": index.concept_offsets,
    }


def _header(folder: Path) -> dict[str, Any]:
    path = folder / HEADER
    if not path.is_file():
        raise InputError(folder, f"no {HEADER} in it", "give a folder that was written as an index of names")
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(path, f"not JSON ({error})", _REMEDY) from error
    if not isinstance(header, dict):
        raise InputError(path, f"not a JSON object: {shown(header)}", _REMEDY)
    for key, expected in (("version", VERSION), ("unicode", unicodedata.unidata_version)):
        if header.get(key) != expected:
            raise InputError(path, f"{key} {shown(header.get(key))}, and this program has {expected!r}", _REMEDY)
    return header


def _array(folder: Path, name: str, checksum: int) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(path, f"missing or damaged ({error})", _REMEDY) from error
    if zlib.crc32(array.data) != checksum:
        raise InputError(path, "damaged: its checksum is another", _REMEDY)
    return array
