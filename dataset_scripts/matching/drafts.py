"""An index while patterns are added: the table of their prefixes, and what is stored of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.matching.code_points import (
    CODE,
    SEPARATOR,
    UNSPACED,
)
from kbioxlm.dataset_scripts.matching.compiled import Arrays, Number, compiled, inlined
from kbioxlm.dataset_scripts.matching.kernel import (
    LEAF,
    PATTERN,
    SHORT,
    USED,
    decoded,
    finished,
    first_probe,
    next_probe,
    set_bit,
)

COLLISION = -2

_HALF = np.uint64(32)
_ONE = np.uint64(1)


# places in the array of counts
COUNT_PATTERNS, COUNT_SLOTS, COUNT_BYTES, COUNT_FORMS, COUNT_FORM_BYTES, COUNT_LONGEST, COUNT_SINGLES = range(7)
COUNTS = 7


class Draft(NamedTuple):
    """An index while names are added; arrays larger than what is in them. See `search.Names`."""

    slots: NDArray[np.uint64]
    first_filter: NDArray[np.uint64]
    ending_filter: NDArray[np.uint64]
    deep_filter: NDArray[np.uint64]
    patterns: NDArray[np.uint8]
    pattern_offsets: NDArray[np.int64]
    pattern_short: NDArray[np.bool_]
    written: NDArray[np.uint8]
    written_offsets: NDArray[np.int64]
    written_upper: NDArray[np.bool_]
    kinds: NDArray[np.uint32]
    counts: NDArray[np.int64]


@inlined
def slot_of(slots: Arrays, state: Number) -> Number:
    """The slot that a prefix has, or would get."""
    key = finished(state)
    mask = np.uint64(len(slots) - 1)
    slot = key & mask
    while slots[slot] != 0 and slots[slot] >> _HALF != key >> _HALF:
        slot = (slot + _ONE) & mask
    return slot


@inlined
def put(draft: Arrays, slot: Number, state: Number, value: Number, first: bool) -> None:
    """Fill a slot, empty or not, by its prefix and what that is."""
    key = finished(state) >> _HALF
    draft.slots[slot] = key << _HALF | np.uint64(USED) | value
    set_bit(draft.first_filter if first else draft.deep_filter, key)


@compiled
def value_of(draft: Arrays, pattern: Number) -> Number:
    """The number of a pattern and whether its letter case matters, as they are put in a slot."""
    return np.uint64(pattern + 1) | np.uint64(SHORT if draft.pattern_short[pattern] else 0)


@compiled
def unpacked(draft: Arrays, pattern: Number, text: Arrays) -> Number:
    """Write a pattern into `text`, between separators; returns its end."""
    place, end = draft.pattern_offsets[pattern], draft.pattern_offsets[pattern + 1]
    length = 1
    while place < end:
        code, place = decoded(draft.patterns, place)
        text[length] = draft.kinds[code]
        length += 1
    text[length] = SEPARATOR
    return length


@inlined
def encoded(code: Number, utf8: Arrays, place: Number) -> Number:
    """Write a code point in UTF-8; returns the place behind it."""
    if code < 0x80:
        utf8[place] = code
        return place + 1
    if code < 0x800:
        utf8[place] = 0xC0 | code >> 6
    else:
        if code < 0x10000:
            utf8[place] = 0xE0 | code >> 12
        else:
            utf8[place] = 0xF0 | code >> 18
            place += 1
            utf8[place] = 0x80 | (code >> 12 & 0x3F)
        place += 1
        utf8[place] = 0x80 | (code >> 6 & 0x3F)
    utf8[place + 1] = 0x80 | (code & 0x3F)
    return place + 2


@compiled
def appended(draft: Arrays, text: Arrays, end: Number, short: bool) -> Number:
    """Store a new pattern; returns its number."""
    counts = draft.counts
    number = counts[COUNT_PATTERNS]
    place = counts[COUNT_BYTES]
    for source in range(1, end):
        place = encoded(text[source] & CODE, draft.patterns, place)
    draft.pattern_short[number] = short
    draft.pattern_offsets[number + 1] = place
    counts[COUNT_BYTES] = place
    counts[COUNT_PATTERNS] += 1
    counts[COUNT_LONGEST] = max(counts[COUNT_LONGEST], end - 1)
    if end == 2 and text[1] & UNSPACED:
        counts[COUNT_SINGLES] = 1
    return number


@compiled
def add_pattern(draft: Arrays, text: Arrays, end: Number, short: bool, seed: Number, other_text: Arrays) -> Number:
    """The number of the pattern `text[1:end]` (folded, between separators), which is added if it is new.

    Returns COLLISION if its prefixes cannot be told from another pattern's under this seed.
    """
    slots = draft.slots
    first = True
    place, state = first_probe(text, 1, seed, end)
    if place == end:
        set_bit(draft.ending_filter, finished(state) >> _HALF)
    while True:
        slot = slot_of(slots, state)
        entry = slots[slot]
        if entry == 0:
            number = appended(draft, text, end, short)
            put(draft, slot, state, value_of(draft, number) | np.uint64(LEAF), first)
            draft.counts[COUNT_SLOTS] += 1
            if first and place < end:
                place, state = next_probe(text, place, state, end)
                set_bit(draft.deep_filter, finished(state) >> _HALF)
            return number
        there = np.int64(entry & np.uint64(PATTERN)) - 1
        if entry & np.uint64(LEAF):
            other_end = unpacked(draft, there, other_text)
            return parted(draft, text, end, short, there, other_text, other_end, place, state, first)
        if place == end:
            if there < 0:
                number = appended(draft, text, end, short)
                put(draft, slot, state, value_of(draft, number), first)
                return number
            other_end = unpacked(draft, there, other_text)
            return there if alike(text, end, other_text, other_end) == end == other_end else COLLISION
        place, state = next_probe(text, place, state, end)
        first = False


@compiled
def alike(text: Arrays, end: Number, other: Arrays, other_end: Number) -> Number:
    """Where two texts part."""
    place = 1
    while place < end and place < other_end and text[place] == other[place]:
        place += 1
    return place


@compiled
def parted(
    draft: Arrays,
    text: Arrays,
    end: Number,
    short: bool,
    there: Number,
    other: Arrays,
    other_end: Number,
    place: Number,
    state: Number,
    first: bool,
) -> Number:
    """Add a pattern whose prefix up to `place` was that of one other pattern alone: lengthen both until they part."""
    slots = draft.slots
    common = alike(text, end, other, other_end)
    if common == end == other_end:
        return there
    if common < place:
        return COLLISION
    number = appended(draft, text, end, short)
    while True:
        ends_here = there if place == other_end else number if place == end else -1
        value = value_of(draft, ends_here) if ends_here >= 0 else np.uint64(0)
        put(draft, slot_of(slots, state), state, value, first)
        first = False
        next_place, next_state = place, state
        if place < end:
            next_place, next_state = next_probe(text, place, state, end)
        other_place, other_state = place, state
        if place < other_end:
            other_place, other_state = next_probe(other, place, state, other_end)
        together = next_place == other_place and next_place <= common
        if place < end:
            if slots[slot_of(slots, next_state)] != 0:
                return COLLISION
            if not together:
                put(draft, slot_of(slots, next_state), next_state, value_of(draft, number) | np.uint64(LEAF), False)
            draft.counts[COUNT_SLOTS] += 1
        if together:
            place, state = next_place, next_state
            continue
        if place < other_end:
            if slots[slot_of(slots, other_state)] != 0:
                return COLLISION
            put(draft, slot_of(slots, other_state), other_state, value_of(draft, there) | np.uint64(LEAF), False)
            draft.counts[COUNT_SLOTS] += 1
        return number
