"""Compiled adding of names: folded, measured by the rules, and put among the patterns of a draft."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.matching.code_points import (
    ABSORBED,
    ALPHA,
    CODE,
    COUNTED,
    LOWER,
    SEPARATOR,
    UNSPACED,
    UPPER,
    WORD,
)
from kbioxlm.dataset_scripts.matching.compiled import Arrays, Number, compiled
from kbioxlm.dataset_scripts.matching.drafts import (
    COLLISION,
    COUNT_BYTES,
    COUNT_FORM_BYTES,
    COUNT_FORMS,
    COUNT_PATTERNS,
    COUNT_SLOTS,
    add_pattern,
    encoded,
    unpacked,
)
from kbioxlm.dataset_scripts.matching.kernel import (
    CAPITALS,
    LONGEST_EXPANSION,
    PATTERN,
    SHORT,
    SPACE,
    expansion,
)

UNUSED = -1


class Rows(NamedTuple):
    """Names to add: name k is `codes[offsets[k]:offsets[k + 1]]`, its folding in the tables as in `code_points`.

    Attributes:
        pattern: gets the pattern of each name, or UNUSED; int32.
        form: gets the written form of each name whose letter case matters; int32.
    """

    codes: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    pattern: NDArray[np.int32]
    form: NDArray[np.int32]
    table: NDArray[np.uint32]
    expansion_offsets: NDArray[np.int32]
    characters: NDArray[np.uint32]
    written_table: NDArray[np.uint32]
    written_offsets: NDArray[np.int32]
    written_characters: NDArray[np.uint32]
    first_group: int


class Limits(NamedTuple):
    """The lengths of `MatchingRules`, and how many of the first patterns are stop names."""

    minimal_spaced: int
    minimal_unspaced: int
    case_letters: int
    stops: int


@compiled
def folded_into(text: Arrays, rows: Arrays, row: Number, table: Arrays, offsets: Arrays, characters: Arrays) -> Number:
    """Write a name, folded by the table given and without spaces around it, between separators; returns its end."""
    end = 1
    for place in range(rows.offsets[row], rows.offsets[row + 1]):
        code = rows.codes[place]
        if code == ABSORBED:
            continue
        number = expansion(code, table, rows.first_group)
        if number < 0:
            if end > 1 or table[code] & CODE != SPACE:
                text[end] = table[code]
                end += 1
            continue
        for source in range(offsets[number], offsets[number + 1]):
            if end > 1 or characters[source] & CODE != SPACE:
                text[end] = characters[source]
                end += 1
    while end > 1 and text[end - 1] & CODE == SPACE:
        end -= 1
    text[end] = SEPARATOR
    return end


@compiled
def measured(text: Arrays, end: Number) -> tuple[Number, Number, Number, bool]:
    """Letters, spaced word characters, letters and digits, and whether there are characters of unspaced scripts."""
    letters, spaced, counted, unspaced = 0, 0, 0, False
    for character in text[1:end]:
        letters += character & ALPHA != 0
        spaced += character & WORD != 0
        counted += character & COUNTED != 0
        unspaced |= character & UNSPACED != 0
    return letters, spaced, counted, unspaced


@compiled
def has_room(draft: Arrays, characters: Number) -> bool:
    """Whether a draft surely takes one more name of at most so many characters."""
    counts = draft.counts
    return (
        (counts[COUNT_SLOTS] + characters) * 4 <= len(draft.slots) * 3
        and counts[COUNT_PATTERNS] + 2 <= len(draft.pattern_short)
        and counts[COUNT_BYTES] + 4 * characters <= len(draft.patterns)
        and counts[COUNT_FORM_BYTES] + 4 * characters <= len(draft.written)
        and counts[COUNT_FORMS] + 2 <= len(draft.written_upper)
    )


@compiled
def add_rows(
    draft: Arrays, rows: Arrays, limits: Arrays, seed: Number, begin: Number, text: Arrays, other: Arrays
) -> Number:
    """Add names from row `begin` on; returns the row to go on with, or COLLISION.

    It stops early where the arrays of the draft may become too small.
    """
    counts = draft.counts
    for row in range(begin, len(rows.pattern)):
        room = (rows.offsets[row + 1] - rows.offsets[row]) * LONGEST_EXPANSION + 2
        if not has_room(draft, room):
            return row
        rows.pattern[row] = UNUSED
        end = folded_into(text, rows, row, rows.table, rows.expansion_offsets, rows.characters)
        letters, spaced, counted, unspaced = measured(text, end)
        if unspaced:
            if counted < limits.minimal_unspaced:
                continue
        elif letters < min(limits.minimal_spaced, 1) or spaced < limits.minimal_spaced:
            continue
        if end == 1:
            continue
        short = letters <= limits.case_letters and not unspaced
        pattern = add_pattern(draft, text, end, short, seed, other)
        if pattern < 0:
            return pattern
        if short:
            upper = add_form(draft, rows, row, text)
            if pattern < limits.stops and not upper:
                continue
            rows.form[row] = counts[COUNT_FORMS] - 1
        elif pattern < limits.stops:
            continue
        rows.pattern[row] = pattern
    return len(rows.pattern)


@compiled
def add_form(draft: Arrays, rows: Arrays, row: Number, text: Arrays) -> bool:
    """Store how a name is written; returns whether in capitals. Overwrites `text`."""
    counts = draft.counts
    end = folded_into(text, rows, row, rows.written_table, rows.written_offsets, rows.written_characters)
    place = counts[COUNT_FORM_BYTES]
    upper, lower = False, False
    for character in text[1:end]:
        place = encoded(character & CODE, draft.written, place)
        upper |= character & UPPER != 0
        lower |= character & LOWER != 0
    counts[COUNT_FORM_BYTES] = place
    draft.written_upper[counts[COUNT_FORMS]] = upper and not lower
    counts[COUNT_FORMS] += 1
    draft.written_offsets[counts[COUNT_FORMS]] = place
    return upper and not lower


@compiled
def readd_patterns(draft: Arrays, old: Arrays, count: Number, seed: Number, text: Arrays, other: Arrays) -> Number:
    """Add the first `count` patterns of another draft to this empty one, whose arrays are large enough."""
    for pattern in range(count):
        end = unpacked(old, pattern, text)
        if add_pattern(draft, text, end, old.pattern_short[pattern], seed, other) != pattern:
            return COLLISION
    return count


@compiled
def mark_short(slots: Arrays, silent: Arrays, capitals: Arrays) -> None:
    """Letter case does not decide whether a silent pattern counts; tell those that are met in capitals only."""
    for slot in range(len(slots)):
        entry = slots[slot]
        if entry & np.uint64(SHORT):
            pattern = np.int64(entry & np.uint64(PATTERN)) - 1
            if silent[pattern]:
                slots[slot] = entry ^ np.uint64(SHORT)
            elif capitals[pattern]:
                slots[slot] = entry | np.uint64(CAPITALS)


@compiled
def group_rows(pattern: Arrays, offsets: Arrays, order: Arrays) -> None:
    """Counting sort of rows by pattern: `order[offsets[p]:offsets[p + 1]]` are the rows of pattern p."""
    for number in pattern:
        if number >= 0:
            offsets[number + 1] += 1
    for number in range(len(offsets) - 1):
        offsets[number + 1] += offsets[number]
    for row in range(len(pattern)):
        number = pattern[row]
        if number >= 0:
            order[offsets[number]] = row
            offsets[number] += 1
    for number in range(len(offsets) - 1, 0, -1):
        offsets[number] = offsets[number - 1]
    offsets[0] = 0
