"""Texts as arrays of code points, many at a time, and their folding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.matching.arrays import Batch
from kbioxlm.dataset_scripts.matching.code_points import (
    ABSORBED,
    EXPANDED,
    FIRST_GROUP,
    MARK,
    SEPARATOR,
    CodePoints,
)
from kbioxlm.dataset_scripts.matching.folding import fold_group, write_alike
from kbioxlm.dataset_scripts.matching.kernel import LONGEST_EXPANSION, expand, fold_codes


def code_points_of(text: str) -> NDArray[np.uint32]:
    """The code points of `text`, lone surrogates among them."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8).astype(np.uint32)
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) == 2 * len(text):  # Python encodes it many times faster than UTF-32
        return np.frombuffer(units, "<u2").astype(np.uint32)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)


def take_groups(
    joined: str, codes: NDArray[np.uint32], marks: NDArray[np.int64], starts: NDArray[np.int64]
) -> list[str]:
    """Put a number in the place of every character that has combining marks, in `codes` itself.

    Args:
        joined: texts in one string.
        codes: its code points.
        marks: where the combining marks are.
        starts: where texts begin: a mark there has no character before it.

    Returns:
        The groups, none twice, in the order of their numbers.
    """
    absorbed = np.setdiff1d(marks, starts)
    bases = np.setdiff1d(np.union1d(np.intersect1d(marks, starts), absorbed - 1), absorbed)
    codes[absorbed] = ABSORBED
    after = np.append(np.searchsorted(absorbed, bases), len(absorbed))
    numbers: dict[str, int] = {}
    found = np.empty(len(bases), np.uint32)
    for place, base in enumerate(bases.tolist()):
        end = base + 1 + int(after[place + 1] - after[place])
        found[place] = numbers.setdefault(joined[base:end], len(numbers))
    codes[bases] = found + FIRST_GROUP
    return [*numbers]


def folded_batch(texts: Sequence[str], languages: NDArray[np.uint8], tables: CodePoints) -> Batch:
    """`texts` folded for the search."""
    joined = "\0".join(["", *texts, ""])
    codes = code_points_of(joined)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    separators = np.concatenate([[0], np.cumsum(lengths + 1)])
    codes[separators] = SEPARATOR
    folded = np.empty(len(codes), np.uint32)
    places = np.empty(0, np.int32)
    expansions, written, first_group = tables.expansions, tables.written_expansions, len(tables.expansions.offsets) - 1
    several, has_marks = fold_codes(codes, tables.folded, folded)
    if has_marks:
        marks = np.flatnonzero(folded == MARK)
        groups = take_groups(joined, codes, marks, separators + 1)
        expansions = expansions.and_also(map(fold_group, groups))
        written = written.and_also(map(write_alike, groups))
        in_groups = np.flatnonzero(codes >= FIRST_GROUP)
        several += len(in_groups) + len(marks)
        folded[in_groups] = EXPANDED | (codes[in_groups] - FIRST_GROUP + first_group)
    if several:
        most = len(folded) + several * LONGEST_EXPANSION
        whole, places = np.empty(most, np.uint32), np.empty(most, np.int32)
        length = expand(folded, *expansions, whole, places)
        folded, places = whole[:length], places[:length]
    return Batch(codes, folded, places, separators + 1, languages, tables.written, *written, first_group)
