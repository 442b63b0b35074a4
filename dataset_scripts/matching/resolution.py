"""What the names found stand for, and how they are written."""

from __future__ import annotations

import numpy as np

from kbioxlm.dataset_scripts.matching.code_points import ABSORBED, CODE, LOWER, UPPER
from kbioxlm.dataset_scripts.matching.compiled import Arrays, Number, compiled, inlined
from kbioxlm.dataset_scripts.matching.kernel import decoded, expansion


@inlined
def origin(places: Arrays, place: Number) -> Number:
    """The place in the original of a folded character, -1 inside an expansion."""
    return np.int64(places[place]) if len(places) else place


@compiled
def is_written_alike(names: Arrays, entry: Number, batch: Arrays, first: Number, last: Number) -> bool:
    """For short names: an acronym is met only as it is written, and a word never by an acronym."""
    form = names.entry_written[entry]
    place, end = names.written_offsets[form], names.written_offsets[form + 1]
    must_equal = names.written_upper[form]
    upper, lower = False, False
    for code in batch.codes[first:last]:
        if code == ABSORBED:
            continue
        number = expansion(code, batch.table, batch.first_group)
        count = 1 if number < 0 else batch.offsets[number + 1] - batch.offsets[number]
        for step in range(count):
            character = batch.table[code] if number < 0 else batch.characters[batch.offsets[number] + step]
            upper |= character & UPPER != 0
            lower |= character & LOWER != 0
            if must_equal:
                if place >= end:
                    return False
                wanted, place = decoded(names.written, place)
                if character & CODE != wanted:
                    return False
    return place == end if must_equal else not (upper and not lower)


@compiled
def resolved(
    names: Arrays, pattern: Number, batch: Arrays, language: Number, first: Number, last: Number
) -> tuple[Number, Number]:
    """What a pattern stands for in a text of `language`, by the entries of the first language that has it.

    Returns the concept (-1: nothing) and its language, to which 256 is added if several concepts remain.
    """
    begin, end = names.entry_offsets[pattern], names.entry_offsets[pattern + 1]
    best: Number = -1
    for entry in range(begin, end):
        if names.entry_written[entry] >= 0 and not is_written_alike(names, entry, batch, first, last):
            continue
        candidate = np.int64(names.entry_language[entry])
        if candidate == language:
            best = candidate
            break
        if best < 0 or candidate < best:
            best = candidate
    if best < 0:
        return -1, 0
    concept: Number = -1
    preferred: Number = -1
    met: Number = -1
    concepts, preferring = 0, 0
    for entry in range(begin, end):
        if names.entry_language[entry] != best:
            continue
        if names.entry_written[entry] >= 0 and not is_written_alike(names, entry, batch, first, last):
            continue
        this = np.int64(names.entry_concept[entry])
        if this != met:
            concepts += 1
            concept = this if concept < 0 else concept
        met = this
        if names.entry_preferred[entry] and this != preferred:
            preferring += 1
            preferred = this
    if concepts > 1 and preferring == 1:
        return preferred, best
    return concept, best + (256 if concepts > 1 else 0)


@compiled
def resolve_all(names: Arrays, batch: Arrays, found: Arrays, count: Number) -> Number:
    """Turn `count` spans of folded characters with the numbers of their patterns into matches.

    Returns how many are left. Apart from the search, because the look-ups of one match need not wait for another's.
    """
    entry_offsets, entry_concept = names.entry_offsets, names.entry_concept
    entry_language, entry_written = names.entry_language, names.entry_written
    places, begins, languages = batch.places, batch.begins, batch.languages
    kept = 0
    for match in range(count):
        text, pattern = found.text[match], np.int64(found.concept[match])
        first, last = origin(places, found.start[match]), origin(places, found.end[match])
        entry = entry_offsets[pattern]
        if entry_offsets[pattern + 1] - entry == 1 and entry_written[entry] < 0:
            concept, language = np.int64(entry_concept[entry]), np.int64(entry_language[entry])
        else:
            language = np.int64(languages[text])
            concept, language = resolved(names, pattern, batch, language, first, last)
        if concept >= 0:
            found.text[kept] = text
            found.start[kept] = first - begins[text]
            found.end[kept] = last - begins[text]
            found.concept[kept] = concept
            found.language[kept] = language & 255
            found.ambiguous[kept] = language >= 256
            kept += 1
    return kept
