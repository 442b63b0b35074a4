"""The compiled scanner of SQL rows: `(1,'a\\'b',NULL),(2,…);` → columns.

Compiled, because the category links of the English Wikipedia are some 200 million rows in 28 GB of SQL.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

UNWANTED, INTEGER, TEXT = 0, 1, 2
MORE, ENDED, BROKEN = 0, 1, 2

_OPEN, _CLOSE, _COMMA, _SEMICOLON, _QUOTE, _BACKSLASH, _MINUS = (ord(character) for character in "(),;'\\-")
_ZERO, _NINE, _N, _UNDERSCORE = (ord(character) for character in "09N_")


class ScannedRows(NamedTuple):
    """What the scanner found.

    Attributes:
        rows: number of whole rows.
        position: where the next row begins, or the byte at fault.
        state: `MORE` (the data breaks off before the end of the statement), `ENDED` (at its semicolon) or `BROKEN`.
        integers: (integer columns, rows)
        missing: whether a value is NULL; (wanted columns, rows)
        text: bytes of each text column, one value behind the other; (text columns, bytes)
        offsets: where each text begins; (text columns, rows + 1)
    """

    rows: int
    position: int
    state: int
    integers: NDArray[np.int64]
    missing: NDArray[np.bool_]
    text: NDArray[np.uint8]
    offsets: NDArray[np.int64]


def scan_rows(data: bytes | bytearray, start: int, kinds: tuple[int, ...]) -> ScannedRows:
    """Read as many whole rows of a VALUES list as `data[start:]` has.

    Args:
        kinds: of each column of the table in turn, `UNWANTED`, `INTEGER` or `TEXT`.
    """
    size = len(data) - start
    most = size // (2 * len(kinds) + 1) + 1  # a row has a digit or two quotes a column, commas and brackets
    wanted = [kind for kind in kinds if kind != UNWANTED]
    integers = np.empty((wanted.count(INTEGER), most), np.int64)
    missing = np.empty((len(wanted), most), np.bool_)
    text = np.empty((wanted.count(TEXT), size), np.uint8)
    offsets = np.zeros((wanted.count(TEXT), most + 1), np.int64)
    rows, position, state = _scan(
        np.frombuffer(data, np.uint8), start, np.array(kinds, np.int8), integers, missing, text, offsets
    )
    return ScannedRows(
        rows, position, state, integers[:, :rows], missing[:, :rows], text, offsets[:, : rows + 1]
    )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def _unescaped(code: int) -> int:
    """The byte that a backslash and `code` stand for, as MySQL reads string literals."""
    if code == 48:  # 0
        return 0
    if code == 110:  # n
        return 10
    if code == 114:  # r
        return 13
    if code == 116:  # t
        return 9
    if code == 98:  # b
        return 8
    if code == 90:  # Z
        return 26
    return code


@numba.njit(cache=True, nogil=True)
def _scan(data, start, kinds, integers, missing, text, offsets):
    """Fill the columns; returns (rows, position, state). A row that is not whole leaves no trace."""
    size = data.shape[0]
    columns = kinds.shape[0]
    row = 0
    position = start
    while True:
        begin = position
        while position < size and (data[position] <= 32 or data[position] == _COMMA):
            position += 1
        if position == size:
            return row, begin, MORE
        if data[position] == _SEMICOLON:
            return row, position + 1, ENDED
        if data[position] != _OPEN:
            return row, position, BROKEN
        position += 1
        wanted = 0
        integer = 0
        string = 0
        for column in range(columns):
            kind = kinds[column]
            if position == size:
                return row, begin, MORE
            null = False
            number = 0
            filled = offsets[string, row] if kind == TEXT else 0
            if data[position] == _UNDERSCORE:  # the mark _binary before a string
                while position < size and data[position] != _QUOTE:
                    if data[position] == _COMMA or data[position] == _CLOSE:
                        return row, position, BROKEN
                    position += 1
                if position == size:
                    return row, begin, MORE
            if data[position] == _QUOTE:
                if kind == INTEGER:
                    return row, position, BROKEN
                position += 1
                while True:
                    if position >= size:
                        return row, begin, MORE
                    code = data[position]
                    if code == _BACKSLASH:
                        if position + 1 >= size:
                            return row, begin, MORE
                        code = _unescaped(data[position + 1])
                        position += 2
                    elif code == _QUOTE:
                        if position + 1 >= size:
                            return row, begin, MORE
                        if data[position + 1] != _QUOTE:
                            position += 1
                            break
                        position += 2
                    else:
                        position += 1
                    if kind == TEXT:
                        text[string, filled] = code
                        filled += 1
            else:
                first = position
                negative = data[position] == _MINUS
                if negative:
                    position += 1
                whole = position < size and _ZERO <= data[position] <= _NINE
                while position < size and data[position] != _COMMA and data[position] != _CLOSE:
                    code = data[position]
                    if code in (_QUOTE, _OPEN, _SEMICOLON):
                        return row, position, BROKEN
                    if _ZERO <= code <= _NINE:
                        number = number * 10 + (code - _ZERO)
                    else:
                        whole = False
                    position += 1
                if position >= size:
                    return row, begin, MORE
                null = data[first] == _N and position - first == 4
                if position == first or (kind == INTEGER and not whole and not null) or (kind == TEXT and not null):
                    return row, first, BROKEN
                if negative:
                    number = -number
            if position >= size:
                return row, begin, MORE
            if data[position] != (_CLOSE if column == columns - 1 else _COMMA):
                return row, position, BROKEN
            position += 1
            if kind != UNWANTED:
                missing[wanted, row] = null
                wanted += 1
            if kind == INTEGER:
                integers[integer, row] = number
                integer += 1
            elif kind == TEXT:
                offsets[string, row + 1] = filled
                string += 1
        row += 1
