"""The folding of every code point as arrays, so that compiled code folds as `folding` does.

A folded character is a number: its code point in the lower 21 bits, what kind of character it is above them.
Characters that become several, and groups with combining marks, are expansions: they are flagged, and the lower bits
tell where in the list of expansions their folded characters are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.matching.folding import UNSPACED_BLOCKS, fold_group, write_alike

Array = TypeVar("Array", bound=NDArray[Any])

CODES = 0x110000
SEPARATOR = CODES  # between texts; no character folds to it
ABSORBED = CODES + 1  # a combining mark that has been folded with the character before it
FIRST_GROUP = CODES + 2  # and higher: groups of characters, numbered as they are met

_PLANES = ((0, 0x40000), (0xE0000, 0xE1000))  # the others have no characters of their own

CODE = np.uint32((1 << 21) - 1)
WORD = np.uint32(1 << 21)  # letter, mark or digit of a script with spaces
UNSPACED = np.uint32(1 << 22)
DIGIT = np.uint32(1 << 23)
POINT = np.uint32(1 << 24)  # full stop or comma, which may be inside a number
ALPHA = np.uint32(1 << 25)
COUNTED = np.uint32(1 << 26)  # letter or digit, for the length of unspaced names
UPPER = np.uint32(1 << 27)
LOWER = np.uint32(1 << 28)  # lower or title case
MARK = np.uint32(1 << 30)
EXPANDED = np.uint32(1 << 31)


class Expansions(NamedTuple):
    """What becomes several characters: expansion k is `characters[offsets[k]:offsets[k + 1]]`.

    Attributes:
        offsets: int32.
        characters: uint32, with their kinds.
    """

    offsets: NDArray[np.int32]
    characters: NDArray[np.uint32]

    def and_also(self, texts: Iterable[str]) -> Expansions:
        """With `texts` behind them."""
        added = [characters(text) for text in texts]
        ends = self.offsets[-1] + np.cumsum([len(codes) for codes in added], dtype=np.int32)
        offsets, joined = (
            np.concatenate([self.offsets, ends]).astype(np.int32),
            np.concatenate([self.characters, *added]),
        )
        return Expansions(unchanging(offsets), unchanging(joined))


def unchanging(array: Array) -> Array:
    """`array`, made read-only as memory-mapped ones are, so that kernels are compiled once for both."""
    array.flags.writeable = False
    return array


class CodePoints(NamedTuple):
    """The folding of every code point.

    Attributes:
        folded: of each code point (and the separator), its folded character; uint32.
        expansions: of those that become several.
        written: of each code point, itself folded in all but letter case; uint32.
        written_expansions: of those that become several; numbered as `expansions`.
    """

    folded: NDArray[np.uint32]
    expansions: Expansions
    written: NDArray[np.uint32]
    written_expansions: Expansions


def characters(text: str) -> NDArray[np.uint32]:
    """The characters of a folded `text` with their kinds."""
    codes = np.fromiter(map(ord, text), np.uint32, len(text))
    return codes | _kinds([*text])


@cache
def character_kinds() -> NDArray[np.uint32]:
    """Of each code point (and the separator), itself with its kind."""
    codes = _codes()
    table = np.arange(CODES + 1, dtype=np.uint32)
    table[codes] |= _kinds([*map(chr, codes.tolist())])
    return unchanging(table)


def _codes() -> NDArray[np.uint32]:
    return np.concatenate([np.arange(first, last, dtype=np.uint32) for first, last in _PLANES])


@cache
def code_points() -> CodePoints:
    """The tables, made from `folding` and this Python's Unicode version (half a second)."""
    codes, kinds = _codes(), character_kinds()
    originals = [*map(chr, codes.tolist())]
    marks = np.fromiter(map(unicodedata.combining, originals), np.uint8, len(codes)) > 0
    forms = [_each(originals, fold_group), _each(originals, write_alike)]
    lengths = np.array([[*map(len, texts)] for texts in forms])
    several = (lengths != 1).any(axis=0) & ~marks
    tables: list[tuple[NDArray[np.uint32], Expansions]] = []
    for texts in forms:
        table = kinds.copy()
        single = np.fromiter((ord(text[0]) for text in texts), np.uint32, len(codes))
        table[codes] = kinds[single]
        table[codes[several]] = EXPANDED | np.arange(several.sum(), dtype=np.uint32)
        table[codes[marks]] = MARK
        added = [texts[place] for place in np.flatnonzero(several)]
        tables.append((unchanging(table), Expansions(np.zeros(1, np.int32), np.zeros(0, np.uint32)).and_also(added)))
    return CodePoints(*tables[0], *tables[1])


def _each(texts: list[str], form: Callable[[str], str]) -> list[str]:
    """`form` of each single character: of all at once, kept apart by a character that nothing joins."""
    nul = texts.index("\0")
    apart = form("\0".join([*texts[:nul], *texts[nul + 1 :]])).split("\0")
    return [*apart[:nul], "\0", *apart[nul:]]


def _kinds(originals: list[str]) -> NDArray[np.uint32]:
    codes = np.fromiter(map(ord, originals), np.uint32, len(originals))
    categories = np.array([*map(unicodedata.category, originals)])
    general = categories.astype("U1")
    unspaced = np.zeros(len(originals), bool)
    for first, last in UNSPACED_BLOCKS:
        unspaced |= (first <= codes) & (codes <= last)
    kinds = np.zeros(len(originals), np.uint32)
    for kind, those in (
        (WORD, np.isin(general, ("L", "M", "N")) & ~unspaced),
        (UNSPACED, unspaced),
        (DIGIT, np.fromiter(map(str.isdigit, originals), bool, len(originals))),
        (POINT, (codes == ord(".")) | (codes == ord(","))),
        (ALPHA, general == "L"),
        (COUNTED, (general == "L") | (general == "N")),
        (UPPER, np.fromiter(map(str.isupper, originals), bool, len(originals))),
        (LOWER, np.fromiter(map(str.islower, originals), bool, len(originals)) | (categories == "Lt")),
    ):
        kinds[those] |= kind
    return kinds
