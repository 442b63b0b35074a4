"""The compiled pass over a batch of texts: leftmost-longest valid names, and what each stands for."""

from __future__ import annotations

import numpy as np

from kbioxlm.dataset_scripts.matching.code_points import CODE, CODES, LOWER, UNSPACED, WORD
from kbioxlm.dataset_scripts.matching.compiled import Arrays, Number, compiled, inlined
from kbioxlm.dataset_scripts.matching.kernel import (
    CAPITALS,
    LEAF,
    PATTERN,
    SHORT,
    SPACE,
    add_character,
    end_of,
    first_probe,
    is_boundary,
    is_separator,
    look_up,
    may_have,
    next_probe,
)
from kbioxlm.dataset_scripts.matching.resolution import is_written_alike, origin, resolve_all


@compiled
def is_meant(names: Arrays, value: Number, batch: Arrays, first: Number, last: Number) -> bool:
    """Whether a short pattern found at `codes[first:last]` is written like one of its entries."""
    pattern = (value & PATTERN) - 1
    for entry in range(names.entry_offsets[pattern], names.entry_offsets[pattern + 1]):
        if is_written_alike(names, entry, batch, first, last):
            return True
    return False


@inlined
def compared(patterns: Arrays, pattern_offsets: Arrays, value: Number, text: Arrays, place: Number) -> Number:
    """Where the pattern ends if the text has it at `place`, else -1."""
    pattern = (value & PATTERN) - 1
    return end_of(patterns, pattern_offsets[pattern], pattern_offsets[pattern + 1], text, place)


@inlined
def may_begin(
    ending_filter: Arrays, deep_filter: Arrays, text: Arrays, place: Number, state: Number, limit: Number
) -> bool:
    """Whether a shortest prefix may be a name, or the next longer one a prefix: known without the large table."""
    if may_have(ending_filter, state):
        return True
    if is_separator(text[place]):
        return False
    place, state = next_probe(text, place, state, limit)
    return may_have(deep_filter, state)


@inlined
def longest_unchecked(
    slots: Arrays,
    deep_filter: Arrays,
    patterns: Arrays,
    pattern_offsets: Arrays,
    text: Arrays,
    places: Arrays,
    start: Number,
    place: Number,
    state: Number,
    limit: Number,
    begins_lower: bool,
) -> tuple[Number, Number]:
    """The end and the value of the longest name that begins at `start`, compared with the text once; -1 if none.

    -2 if `longest_checked` must say, because letter case matters, or because of prefixes that share a hash.
    """
    end: Number = -1
    found: Number = 0
    while True:
        value = np.int64(look_up(slots, state))
        if value == 0:
            break
        if value & PATTERN:
            stop = compared(patterns, pattern_offsets, value, text, start) if value & LEAF else place
            if stop >= 0 and is_boundary(text, stop) and origin(places, stop) >= 0:
                if not value & SHORT:
                    end, found = stop, value
                elif not value & CAPITALS or not begins_lower:
                    return -2, 0
        if value & LEAF or is_separator(text[place]):
            break
        place, state = next_probe(text, place, state, limit)
        if place > limit or not may_have(deep_filter, state):
            break
    if end >= 0 and not found & LEAF and compared(patterns, pattern_offsets, found, text, start) != end:
        return -2, 0
    return end, found


@compiled
def longest_checked(
    names: Arrays, batch: Arrays, start: Number, place: Number, state: Number, limit: Number
) -> tuple[Number, Number]:
    """As `longest_unchecked`, by comparing every name on the way with the text and with how it is written."""
    text = batch.folded
    end: Number = -1
    found: Number = 0
    while place <= limit:
        value = np.int64(look_up(names.slots, state))
        if value == 0:
            break
        if value & PATTERN:
            stop = compared(names.patterns, names.pattern_offsets, value, text, start)
            if stop >= 0 and is_boundary(text, stop):
                last = origin(batch.places, stop)
                if last >= 0 and (
                    not value & SHORT or is_meant(names, value, batch, origin(batch.places, start), last)
                ):
                    end, found = stop, value
        if value & LEAF or is_separator(text[place]):
            break
        place, state = next_probe(text, place, state, limit)
    return end, found


@compiled
def search(names: Arrays, batch: Arrays, found: Arrays, seed: Number, longest: Number, singles: bool) -> Number:
    """Fill `found` with the matches in the batch; returns how many they are.

    Args:
        longest: characters of the longest pattern.
        singles: whether a pattern is one character of an unspaced script.
    """
    codes, table = batch.codes, batch.table
    text, places = batch.folded, batch.places
    slots, first_filter = names.slots, names.first_filter
    ending_filter, deep_filter = names.ending_filter, names.deep_filter
    patterns, pattern_offsets = names.patterns, names.pattern_offsets
    taken_text, taken_start, taken_end, taken_pattern = found.text, found.start, found.end, found.concept
    length = len(text)
    count, number, place = 0, -1, 0
    while place < length:
        character = text[place]
        if character & CODE == SPACE:
            place += 1
            continue
        if is_separator(character):
            number += 1
            place += 1
            continue
        limit = place + longest
        end, value = -1, 0
        after, state = first_probe(text, place, seed, limit)
        if (
            may_have(first_filter, state)
            and is_boundary(text, place)
            and origin(places, place) >= 0
            and after <= limit
            and may_begin(ending_filter, deep_filter, text, after, state, limit)
        ):
            code = codes[origin(places, place)]
            lower = code < CODES and table[code] & LOWER != 0
            end, value = longest_unchecked(
                slots, deep_filter, patterns, pattern_offsets, text, places, place, after, state, limit, lower
            )
            if end == -2:
                end, value = longest_checked(names, batch, place, after, state, limit)
        if singles and end < 0 and character & UNSPACED and is_boundary(text, place) and origin(places, place) >= 0:
            alone = add_character(seed, character)
            if may_have(first_filter, alone):
                end, value = longest_checked(names, batch, place, place + 1, alone, place + 1)
        if end >= 0:
            taken_text[count] = number
            taken_start[count] = place
            taken_end[count] = end
            taken_pattern[count] = (value & PATTERN) - 1
            count += 1
            place = end
        elif character & WORD:
            place = after
            while text[place] & WORD:
                place += 1
        else:
            place += 1
    return resolve_all(names, batch, found, count)


@compiled
def pattern_named(names: Arrays, text: Arrays, start: Number, end: Number, seed: Number) -> Number:
    """The number of the pattern that `text[start:end]`, folded, is but for spaces around it; -1 if none."""
    while start < end and text[start] & CODE == SPACE:
        start += 1
    while start < end and text[end - 1] & CODE == SPACE:
        end -= 1
    if start == end:
        return -1
    place, state = first_probe(text, start, seed, end)
    while place <= end:
        value = np.int64(look_up(names.slots, state))
        if value & LEAF or (value and place == end):
            if value & PATTERN and compared(names.patterns, names.pattern_offsets, value, text, start) == end:
                return (value & PATTERN) - 1
            return -1
        if value == 0 or place == end:
            return -1
        place, state = next_probe(text, place, state, end)
    return -1


@compiled
def patterns_named(names: Arrays, text: Arrays, separators: Arrays, seed: Number, found: Arrays) -> None:
    """Fill `found` with `pattern_named` of each text between two of `separators`."""
    for number in range(len(found)):
        found[number] = pattern_named(names, text, separators[number] + 1, separators[number + 1], seed)
