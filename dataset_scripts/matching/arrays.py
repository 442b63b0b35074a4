"""The arrays that the search works on and fills."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Names(NamedTuple):
    """The names of an index. Those that fold alike are one pattern, of one or more entries.

    Attributes:
        slots: hash table of prefixes; uint64, a power of two of them.
        first_filter: bits of the shortest prefixes of the patterns; uint64, a power of two of them.
        ending_filter: bits of those that are whole patterns; likewise.
        deep_filter: bits of the longer prefixes; likewise.
        patterns: folded patterns in UTF-8; uint8.
        pattern_offsets: pattern k is `patterns[pattern_offsets[k]:pattern_offsets[k + 1]]`; int64.
        entry_offsets: pattern k has the entries `entry_offsets[k]:entry_offsets[k + 1]`; int32.
        entry_concept: int32, rising within a pattern.
        entry_language: uint8.
        entry_preferred: bool.
        entry_written: for patterns whose letter case matters, how the entry is written; int32.
        written: written forms in UTF-8; uint8.
        written_offsets: form k is `written[written_offsets[k]:written_offsets[k + 1]]`; int64.
        written_upper: whether it is in capitals; bool.
    """

    slots: NDArray[np.uint64]
    first_filter: NDArray[np.uint64]
    ending_filter: NDArray[np.uint64]
    deep_filter: NDArray[np.uint64]
    patterns: NDArray[np.uint8]
    pattern_offsets: NDArray[np.int64]
    entry_offsets: NDArray[np.int32]
    entry_concept: NDArray[np.int32]
    entry_language: NDArray[np.uint8]
    entry_preferred: NDArray[np.bool_]
    entry_written: NDArray[np.int32]
    written: NDArray[np.uint8]
    written_offsets: NDArray[np.int64]
    written_upper: NDArray[np.bool_]


class Batch(NamedTuple):
    """Texts with a separator before, between and after them.

    Attributes:
        codes: original code points, and numbers of groups with combining marks; uint32.
        folded: folded characters with their kinds; uint32.
        places: of each folded character, the place in `codes` where it begins, -1 inside an expansion; int32, empty
            if all stayed in place.
        begins: of each text, the place in `codes` where it begins; int64.
        languages: of each text, the place of its language, 255 if it is not one of the index; uint8.
        table, offsets, characters, first_group: the folding that keeps letter case (`code_points`).
    """

    codes: NDArray[np.uint32]
    folded: NDArray[np.uint32]
    places: NDArray[np.int32]
    begins: NDArray[np.int64]
    languages: NDArray[np.uint8]
    table: NDArray[np.uint32]
    offsets: NDArray[np.int32]
    characters: NDArray[np.uint32]
    first_group: int


class Found(NamedTuple):
    """Matches, in order.

    Attributes:
        text: which text; int32.
        start: offset in code points of that text; int32.
        end: int32.
        concept: place of the concept; int32.
        language: place of the language that the name is in; uint8.
        ambiguous: bool.
    """

    text: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    concept: NDArray[np.int32]
    language: NDArray[np.uint8]
    ambiguous: NDArray[np.bool_]

    @classmethod
    def of_size(cls, size: int) -> Found:
        """Room for `size` matches."""
        text, start, end, concept = (np.empty(size, np.int32) for _ in range(4))
        return cls(text, start, end, concept, np.empty(size, np.uint8), np.empty(size, np.bool_))

    def first(self, count: int) -> Found:
        """The first `count` matches."""
        return Found(
            self.text[:count],
            self.start[:count],
            self.end[:count],
            self.concept[:count],
            self.language[:count],
            self.ambiguous[:count],
        )
