"""Choosing among the rows of all units: repeated segments, balance, mixture. Works on the indexes of units alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kbioxlm.common.files import write_json
from kbioxlm.dataset_scripts.corpora.arrays import map_array, read_arrays, write_array, write_arrays
from kbioxlm.dataset_scripts.corpora.balance import balanced
from kbioxlm.dataset_scripts.corpora.mixture import equal_shares, mixing_keys
from kbioxlm.dataset_scripts.corpora.rows import LEVELS
from kbioxlm.dataset_scripts.corpora.units import read_index, read_rows
from kbioxlm.dataset_scripts.corpora.work import placed

_SUMMARY = "selection.json"
_TYPES = {
    "digest": np.uint64, "language": np.uint8, "tokens": np.uint32,
    "segment": np.uint32, "target": np.uint8, "replaced": np.uint16, "key": np.uint64,
}  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """What was selected, in figures.

    Attributes:
        repeated_segments: segments left out because the same text came before.
        rows: level → rows kept.
        tokens: level → language of the text → tokens of the kept rows.
        replaced_into: language → entities replaced into it, before the balance.
        mixed_rows: level → rows of the mixture.
        mixed_tokens: level → language of the text → tokens in the mixture.
    """

    repeated_segments: int
    rows: dict[str, int]
    tokens: dict[str, dict[str, int]]
    replaced_into: dict[str, int]
    mixed_rows: dict[str, int]
    mixed_tokens: dict[str, dict[str, int]]


def select(units: Sequence[Path], folder: Path, languages: Sequence[str], seed: int, mixed: bool) -> None:
    """Decide on every row of `units`, which are in the order of their rows, and write the selection `folder`."""
    indexes = [read_index(unit) for unit in units]
    starts = {level: _starts(indexes, level) for level in LEVELS}
    kept = {"monolingual": _first_occurrences(_column(indexes, "monolingual_digest"))}
    for level in LEVELS[1:]:
        kept[level] = _with_segment(indexes, level, starts, kept["monolingual"])
    candidates = np.flatnonzero(kept["entity"])
    target, replaced, key = (_column(indexes, f"entity_{name}")[candidates] for name in ("target", "replaced", "key"))
    kept["entity"][candidates] = balanced(target, replaced, key)
    tokens = {level: _column(indexes, f"{level}_tokens")[kept[level]] for level in LEVELS}
    spoken = {level: _column(indexes, f"{level}_language")[kept[level]] for level in LEVELS}
    keys = {
        level: mixing_keys(_column(indexes, f"{level}_digest")[kept[level]], number, seed)
        for number, level in enumerate(LEVELS)
    }
    chosen = equal_shares(tokens, keys) if mixed else {level: np.zeros(len(tokens[level]), bool) for level in LEVELS}
    selection = Selection(
        repeated_segments=sum(int(index.get("repeated", 0)) for index in indexes) + int((~kept["monolingual"]).sum()),
        rows={level: int(kept[level].sum()) for level in LEVELS},
        tokens={level: _by_language(spoken[level], tokens[level], languages) for level in LEVELS},
        replaced_into=_by_language(target, replaced, languages),
        mixed_rows={level: int(chosen[level].sum()) for level in LEVELS},
        mixed_tokens={
            level: _by_language(spoken[level][chosen[level]], tokens[level][chosen[level]], languages)
            for level in LEVELS
        },
    )
    with placed(folder) as draft:
        draft.mkdir()
        for level in LEVELS:
            before = np.concatenate([[0], np.cumsum(kept[level])])
            write_array(draft / f"{level}.kept.npy", kept[level])
            write_array(draft / f"{level}.mixed.npy", chosen[level])
            write_arrays(draft / f"{level}.npz", starts=starts[level], kept_starts=before[starts[level]])
        write_json(draft / _SUMMARY, asdict(selection))


def read_selection(folder: Path) -> Selection:
    """The figures of a selection folder."""
    return Selection(**json.loads((folder / _SUMMARY).read_text(encoding="utf-8")))


class KeptRows:
    """The kept rows of one level, in order, over all units.

    Args:
        folder: of the selection.
        units: as they were selected from.
    """

    def __init__(self, folder: Path, level: str, units: Sequence[Path]):
        self._kept = map_array(folder / f"{level}.kept.npy")
        borders = read_arrays(folder / f"{level}.npz")
        self._starts, self._kept_starts = borders["starts"], borders["kept_starts"]
        self._level = level
        self._units = units

    def tables(self, start: int, stop: int) -> Iterator[pa.Table]:
        """The kept rows from `start` to `stop`, unit by unit."""
        unit = int(np.searchsorted(self._kept_starts, start, side="right")) - 1
        while unit < len(self._units) and self._kept_starts[unit] < stop:
            if self._kept_starts[unit + 1] > self._kept_starts[unit]:
                mask = self._kept[self._starts[unit] : self._starts[unit + 1]]
                table = read_rows(self._units[unit], self._level).filter(pa.array(mask))
                first = max(0, start - int(self._kept_starts[unit]))
                yield table.slice(first, stop - int(self._kept_starts[unit]) - first)
            unit += 1


def _starts(indexes: Sequence[Mapping[str, Any]], level: str) -> NDArray[np.int64]:
    return np.cumsum([0, *(len(index.get(f"{level}_digest", ())) for index in indexes)])


def _column(indexes: Sequence[Mapping[str, NDArray[Any]]], name: str) -> NDArray[Any]:
    parts = [index[name] for index in indexes if name in index]
    return np.concatenate([np.zeros(0, _TYPES[name.partition("_")[2]]), *parts])


def _first_occurrences(values: NDArray[Any]) -> NDArray[np.bool_]:
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first


def _with_segment(
    indexes: Sequence[Mapping[str, Any]], level: str, starts: Mapping[str, NDArray[np.int64]], kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which rows of `level` are kept because the segment they were made from is; rows made from none all are."""
    masks = [np.zeros(0, bool)]
    for unit, index in enumerate(indexes):
        if f"{level}_segment" in index:
            masks.append(kept[starts["monolingual"][unit] + index[f"{level}_segment"]])
        else:
            masks.append(np.ones(starts[level][unit + 1] - starts[level][unit], bool))
    return np.concatenate(masks)


def _by_language(spoken: NDArray[Any], amounts: NDArray[Any], languages: Sequence[str]) -> dict[str, int]:
    totals = np.bincount(spoken, weights=amounts, minlength=len(languages))  # float64: exact below 2**53
    present = np.bincount(spoken, minlength=len(languages))
    return {language: int(totals[place]) for place, language in enumerate(languages) if present[place]}
