"""Compiled search for names in text: a hash table of name prefixes, walked once over the text, leftmost-longest.

A prefix is probed for where a name may end or a word ends: behind every character but inside words, behind a space
that a word follows, and behind the first of several characters of an unspaced script. A slot of the table is 64 bits:
32 of the prefix's hash, then what it is. A prefix that only one name has ends the way: the rest is compared with the
name. Every name is compared with the text before it counts as found, so a hash that two prefixes share costs time
and never a match.
"""

from __future__ import annotations

import numpy as np

from kbioxlm.dataset_scripts.matching.code_points import (
    CODE,
    CODES,
    DIGIT,
    EXPANDED,
    FIRST_GROUP,
    MARK,
    POINT,
    SEPARATOR,
    UNSPACED,
    WORD,
)
from kbioxlm.dataset_scripts.matching.compiled import Arrays, Number, compiled, inlined

LEAF = 1 << 31  # only one name begins like this
SHORT = 1 << 30  # the letter case of the name matters, and decides whether it counts
USED = 1 << 29
CAPITALS = 1 << 28  # of a short name: it is met in capitals only
LONGEST_EXPANSION = 18  # NFKC makes no more characters of one
PATTERN = (1 << 28) - 1  # number of the name, from 1; 0 where none ends here

SPACE = np.uint32(ord(" "))
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
_SIX = np.uint64(6)
_SIXTY_THREE = np.uint64(63)
_LOW = np.uint64(0xFFFFFFFF)


@inlined
def add_character(state: Number, character: Number) -> Number:
    """The rolling hash of a prefix with one character more."""
    return (state ^ np.uint64(character)) * _PRIME


@inlined
def finished(state: Number) -> Number:
    """A rolling hash with its bits well mixed."""
    state = (state ^ (state >> _HALF)) * _MIX
    return state ^ (state >> _HALF)


@inlined
def next_probe(text: Arrays, place: Number, state: Number, limit: Number) -> tuple[Number, Number]:
    """From one place where a prefix is probed for to the next one, with its rolling hash."""
    character = text[place]
    state = add_character(state, character)
    place += 1
    if character & WORD or (character & CODE == SPACE):
        while text[place] & WORD and place <= limit:
            state = add_character(state, text[place])
            place += 1
    return place, state


@inlined
def is_separator(character: Number) -> bool:
    """Whether a text ends here."""
    return character & CODE == np.uint32(SEPARATOR)


@inlined
def first_probe(text: Arrays, place: Number, seed: Number, limit: Number) -> tuple[Number, Number]:
    """From where a name may begin to the first place where its prefix is probed for, with the rolling hash."""
    character = text[place]
    place, state = next_probe(text, place, seed, limit)
    if character & UNSPACED and not is_separator(text[place]):
        place, state = next_probe(text, place, state, limit)
    return place, state


@inlined
def look_up(slots: Arrays, state: Number) -> Number:
    """What the prefix with this rolling hash is; 0 if no name begins like it."""
    key = finished(state)
    mask = np.uint64(len(slots) - 1)
    slot = key & mask
    while True:
        entry = slots[slot]
        if entry == 0:
            return np.uint32(0)
        if entry >> _HALF == key >> _HALF:
            return np.uint32(entry & _LOW)
        slot = (slot + _ONE) & mask


@inlined
def may_have(bits: Arrays, state: Number) -> bool:
    """Whether the prefix may be in the table: a filter that fits into the processor's cache."""
    return has_bit(bits, finished(state) >> _HALF)


@inlined
def has_bit(bits: Arrays, key: Number) -> bool:
    """Whether the bit of the upper half of a hash is set."""
    word = bits[(key >> _SIX) & np.uint64(len(bits) - 1)]
    return (word >> (key & _SIXTY_THREE)) & _ONE != 0


@inlined
def set_bit(bits: Arrays, key: Number) -> None:
    """Set the bit of the upper half of a hash."""
    bits[(key >> _SIX) & np.uint64(len(bits) - 1)] |= _ONE << (key & _SIXTY_THREE)


@inlined
def is_boundary(text: Arrays, place: Number) -> bool:
    """As `folding.is_boundary`; texts have separators around them."""
    before, after = text[place - 1], text[place]
    if before & after & WORD:
        return False
    if after & POINT and before & DIGIT:
        return not text[place + 1] & DIGIT
    if before & POINT and after & DIGIT:
        return not text[place - 2] & DIGIT
    return True


@inlined
def decoded(utf8: Arrays, place: Number) -> tuple[Number, Number]:
    """The code point at `utf8[place]`, and the place behind it."""
    byte = np.uint32(utf8[place])
    if byte < 0x80:
        return byte, place + 1
    second = np.uint32(utf8[place + 1] & 0x3F)
    if byte < 0xE0:
        return np.uint32((byte & 0x1F) << 6 | second), place + 2
    third = np.uint32(utf8[place + 2] & 0x3F)
    if byte < 0xF0:
        return np.uint32((byte & 0x0F) << 12 | second << 6 | third), place + 3
    return np.uint32((byte & 0x07) << 18 | second << 12 | third << 6 | np.uint32(utf8[place + 3] & 0x3F)), place + 4


@inlined
def end_of(name: Arrays, first: Number, last: Number, text: Arrays, place: Number) -> Number:
    """Where the name `name[first:last]` (UTF-8) ends if the folded text has it at `place`, else -1."""
    while first < last:
        code, first = decoded(name, first)
        if text[place] & CODE != code:
            return -1
        place += 1
    return place


@compiled
def fold_codes(codes: Arrays, table: Arrays, folded: Arrays) -> tuple[Number, bool]:
    """Fold code points one to one; returns how many become several, and whether there are combining marks."""
    several: Number = 0
    union = np.uint32(0)
    for place in range(len(codes)):
        character = table[codes[place]]
        folded[place] = character
        several += np.int64(character >> np.uint32(31))
        union |= character
    return several, union & MARK != 0


@inlined
def expansion(code: Number, table: Arrays, first_group: Number) -> Number:
    """The number of the expansion of a code point, -1 if it stays one character."""
    if code < CODES:
        character = table[code]
        return np.int64(character & ~EXPANDED) if character & EXPANDED else -1
    return np.int64(code) - FIRST_GROUP + first_group if code >= FIRST_GROUP else -1


@compiled
def expand(folded: Arrays, offsets: Arrays, characters: Arrays, expanded: Arrays, places: Arrays) -> Number:
    """Put expansions in their places, and leave out combining marks, which are in the expansion before them.

    Returns the length, at most LONGEST_EXPANSION characters for each expansion.
    `places` gets, for each folded character, the place in `folded` where it begins, -1 inside an expansion.
    """
    length = 0
    for place in range(len(folded)):
        character = folded[place]
        if not character & (EXPANDED | MARK):
            expanded[length] = character
            places[length] = place
            length += 1
        elif character & EXPANDED:
            number = np.int64(character & ~EXPANDED)
            for source in range(offsets[number], offsets[number + 1]):
                expanded[length] = characters[source]
                places[length] = place if source == offsets[number] else -1
                length += 1
    return length


@compiled
def decode_names(utf8: Arrays, ends: Arrays, table: Arrays, codes: Arrays, code_ends: Arrays) -> bool:
    """Decode names that follow one another; tells whether there are combining marks among their characters.

    Args:
        ends: where each name ends in `utf8`.
        codes: gets the code points.
        code_ends: gets where each name ends in `codes`.
    """
    place, count, union = 0, 0, np.uint32(0)
    for name in range(len(ends)):
        while place < ends[name]:
            code, place = decoded(utf8, place)
            codes[count] = code
            union |= table[code]
            count += 1
        code_ends[name] = count
    return union & MARK != 0
