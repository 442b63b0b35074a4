"""Where the fields of separated lines stand, for blocks of lines: compiled, strict, and without an object a field.

A line is `a|b|c|`: columns separated by `|`, one more `|` at the end or not, nothing quoted. Eight bytes are searched
for separators at a time, and a field is looked up only in the lines that are kept, which is what makes this
several times as fast as a CSV reader.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.knowledge.line_blocks import LONGEST_LINE

SEPARATOR, NEWLINE, RETURN, SPACE = ord("|"), ord("\n"), ord("\r"), ord(" ")
LONG_FIELD = np.uint64(2**64 - 1)
Rows = NDArray[np.int64]


class Fields(NamedTuple):
    """The fields of one block of lines.

    Attributes:
        data: the block's bytes; uint8.
        marks: places in `data` of all separators and newlines; int32.
        first: of each line, the place in `marks` of its first mark, and one more; int32.
        good: whether the line has the right number of columns, is UTF-8 and not too long; bool. Fields of other
            lines must not be asked for.
        columns: how many a line should have.
    """

    data: NDArray[np.uint8]
    marks: NDArray[np.int32]
    first: NDArray[np.int32]
    good: NDArray[np.bool_]
    columns: int

    def line(self, number: int) -> bytes:
        """The bytes of a line (from 0) without its end."""
        first = self.first[number]
        return self.data[self.marks[first - 1] + 1 if first else 0 : self.marks[self.first[number + 1] - 1]].tobytes()

    def texts(self, column: int, rows: Rows) -> pa.StringArray:
        """The texts of a column in the lines `rows`."""
        starts = np.empty(rows.size, np.int32)
        offsets = np.empty(rows.size + 1, np.int32)
        _spans(*self._of(column, rows, starts, offsets))
        values = np.empty(offsets[-1], np.uint8)
        _copy(self.data, starts, offsets, values)
        return pa.StringArray.from_buffers(rows.size, pa.py_buffer(offsets), pa.py_buffer(values))

    def empty(self, column: int, rows: Rows) -> NDArray[np.bool_]:
        """Whether a column has no byte in the lines `rows`."""
        return _empty(*self._of(column, rows))

    def codes(self, column: int, rows: Rows) -> NDArray[np.uint64]:
        """Short texts of a column in the lines `rows` as numbers; see `code`."""
        return _codes(*self._of(column, rows))

    def untidy(self, column: int, rows: Rows) -> Rows:
        """Those of `rows` in which a column may hold white space other than single spaces between words.

        Rather too many than too few: also the punctuation that shares two UTF-8 bytes with a space of U+2000 on.
        """
        return rows[_untidy(*self._of(column, rows, BEFORE, AFTER))]

    def _of(self, column: int, rows: Rows, *others: NDArray[Any]) -> tuple[Any, ...]:
        return self.data, self.marks, self.first, rows, column, column == self.columns - 1, *others


def code(text: str) -> np.uint64:
    """An ASCII text of up to seven bytes as a number; longer texts share `LONG_FIELD`."""
    value = text.encode("ascii")
    assert len(value) < 8
    return np.uint64(int.from_bytes(value, "little") | len(value) << 56)


def fields_of(block: bytes, columns: int) -> Fields:
    """The places of the fields of all lines of `block`, which ends with a newline and should have `columns` columns."""
    data = np.frombuffer(block, np.uint8)
    words = np.frombuffer(block, np.uint64, len(block) // 8)
    marks = np.empty(data.size + 1, np.int32)
    count, lines = _marks(data, words, marks)
    marks = marks[:count]
    first = np.empty(lines + 1, np.int32)
    good = np.empty(lines, np.bool_)
    _lines(data, marks, columns, first, good)
    fields = Fields(data, marks, first, good, columns)
    if not _is_utf8(block):
        for number in range(lines):
            good[number] &= _is_utf8(fields.line(number))
    return fields


def _is_utf8(block: bytes) -> bool:
    offsets = np.array([0, len(block)], np.int32)
    try:
        pa.StringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(block)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _pairs() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two neighbouring bytes are untidy if their entries in these two tables share a bit."""
    before, after = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    before[:] = 1
    after[:SPACE] = 1
    pairs = {SPACE: (SPACE,), 0xC2: (0x85, 0xA0), 0xE1: (0x9A,), 0xE2: (0x80, 0x81), 0xE3: (0x80,)}
    for bit, (first, seconds) in enumerate(pairs.items(), start=1):
        before[first] |= 1 << bit
        after[list(seconds)] |= 1 << bit
    return before, after


BEFORE, AFTER = _pairs()
LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
ONES = np.uint64(0x0101010101010101)
SEPARATORS = np.uint64(SEPARATOR) * ONES
NEWLINES = np.uint64(NEWLINE) * ONES


@numba.njit(nogil=True, cache=True)
def _marks(data, words, marks):
    """Write the places of separators and newlines to `marks`; give their number, and that of the newlines.

    A byte of `hits` has its highest bit set where the byte of the word is one of the two (Hacker's Delight,
    section 6-1); the lowest set bit tells which byte comes first.
    """
    count = 0
    lines = 0
    for index in range(words.size):
        word = words[index]
        bars = word ^ SEPARATORS
        ends = word ^ NEWLINES
        hits = ~(((bars & LOW_BITS) + LOW_BITS) | bars | LOW_BITS)
        newlines = ~(((ends & LOW_BITS) + LOW_BITS) | ends | LOW_BITS)
        lines += (newlines >> np.uint64(7)) * ONES >> np.uint64(56)
        hits |= newlines
        while hits:
            below = (hits & (~hits + np.uint64(1))) - np.uint64(1)
            marks[count] = 8 * index - 1 + np.int64(((below & ONES) * ONES) >> np.uint64(56))
            count += 1
            hits &= hits - np.uint64(1)
    for place in range(8 * words.size, data.size):
        byte = data[place]
        if byte in (SEPARATOR, NEWLINE):
            marks[count] = place
            count += 1
            lines += byte == NEWLINE
    return count, np.int64(lines)


@numba.njit(nogil=True, cache=True)
def _lines(data, marks, columns, first, good):
    line = 0
    begin = 0
    first[0] = 0
    for last in range(marks.size):
        newline = marks[last]
        if data[newline] != NEWLINE:
            continue
        end = newline
        while end > begin and data[end - 1] == RETURN:
            end -= 1
        separators = last - first[line]
        closed = separators == columns and marks[last - 1] == end - 1
        good[line] = (closed or separators == columns - 1) and newline - begin <= LONGEST_LINE
        begin = newline + 1
        line += 1
        first[line] = last + 1


@numba.njit(nogil=True, cache=True)
def _span(data, marks, mark, is_last):
    """Where the field before `mark` begins and ends; that of the last column may end with the line."""
    start = marks[mark - 1] + 1 if mark else 0
    end = marks[mark]
    if is_last and data[end] == NEWLINE:
        while end > start and data[end - 1] == RETURN:
            end -= 1
    return start, end


@numba.njit(nogil=True, cache=True)
def _spans(data, marks, first, rows, column, is_last, starts, offsets):
    """Where the fields start, and where they would if they stood one after the other."""
    total = 0
    for index in range(rows.size):
        start, end = _span(data, marks, first[rows[index]] + column, is_last)
        starts[index] = start
        offsets[index] = total
        total += end - start
    offsets[rows.size] = total


@numba.njit(nogil=True, cache=True)
def _empty(data, marks, first, rows, column, is_last):
    empty = np.empty(rows.size, np.bool_)
    for index in range(rows.size):
        start, end = _span(data, marks, first[rows[index]] + column, is_last)
        empty[index] = start == end
    return empty


@numba.njit(nogil=True, cache=True)
def _codes(data, marks, first, rows, column, is_last):
    codes = np.empty(rows.size, np.uint64)
    for index in range(rows.size):
        start, end = _span(data, marks, first[rows[index]] + column, is_last)
        value = np.uint64(end - start) << np.uint64(56)
        if end - start > 7:
            value = LONG_FIELD
        else:
            for place in range(end - start):
                value |= np.uint64(data[start + place]) << np.uint64(8 * place)
        codes[index] = value
    return codes


@numba.njit(nogil=True, cache=True)
def _copy(data, starts, offsets, values):
    for index in range(starts.size):
        shift = starts[index] - offsets[index]
        for place in range(offsets[index], offsets[index + 1]):
            values[place] = data[place + shift]


@numba.njit(nogil=True, cache=True)
def _untidy(data, marks, first, rows, column, is_last, before, after):
    found = np.empty(rows.size, np.bool_)
    for index in range(rows.size):
        start, end = _span(data, marks, first[rows[index]] + column, is_last)
        last = np.uint8(SPACE)
        shared = np.uint8(0)
        for place in range(start, end):
            byte = data[place]
            shared |= before[last] & after[byte]
            last = byte
        found[index] = shared != 0 or last == SPACE
    return found
