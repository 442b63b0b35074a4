"""From a table of names to the index of names."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.knowledge.name_table import NameTable
from kbioxlm.dataset_scripts.matching.arrays import Names
from kbioxlm.dataset_scripts.matching.batches import take_groups
from kbioxlm.dataset_scripts.matching.code_points import (
    MARK,
    SEPARATOR,
    CodePoints,
    character_kinds,
    code_points,
    unchanging,
)
from kbioxlm.dataset_scripts.matching.drafts import (
    COLLISION,
    COUNT_BYTES,
    COUNT_FORM_BYTES,
    COUNT_FORMS,
    COUNT_LONGEST,
    COUNT_PATTERNS,
    COUNT_SINGLES,
    COUNTS,
    Draft,
)
from kbioxlm.dataset_scripts.matching.folding import fold_group, write_alike
from kbioxlm.dataset_scripts.matching.insertion import (
    Limits,
    Rows,
    add_rows,
    group_rows,
    mark_short,
    readd_patterns,
)
from kbioxlm.dataset_scripts.matching.kernel import LONGEST_EXPANSION, decode_names
from kbioxlm.dataset_scripts.matching.names_index import NamesIndex
from kbioxlm.dataset_scripts.matching.rules import MatchingRules

ROWS_AT_ONCE = 100_000
FIRST_SEED = 0x243F6A8885A308D3


class CollisionError(Exception):
    """Two patterns have prefixes of one hash."""


class _Builder:
    """Adds names to a draft that grows as it must."""

    def __init__(self, rules: MatchingRules, tables: CodePoints, lengths: NDArray[np.int64], seed: int):
        self.rules = rules
        self.tables = tables
        self.seed = np.uint64(seed)
        scratch = (int(lengths.max(initial=0)) + 1) * LONGEST_EXPANSION + 4
        self._texts = np.zeros(scratch, np.uint32), np.zeros(scratch, np.uint32)
        for text in self._texts:
            text[0] = SEPARATOR
        self._room = scratch * 8
        self.draft = self._empty(*_room(len(lengths), int(lengths.sum()) + self._room))

    def _empty(self, slots: int, patterns: int, characters: int, forms: int) -> Draft:
        return Draft(
            _powers(slots),
            _powers(max(slots // 128, 1 << 13)),
            _powers(max(slots // 128, 1 << 13)),
            _powers(max(slots // 16, 1 << 16)),
            np.empty(characters, np.uint8),
            np.zeros(patterns + 1, np.int64),
            np.zeros(patterns, np.bool_),
            np.empty(forms * 8 + self._room, np.uint8),
            np.zeros(forms + 1, np.int64),
            np.zeros(forms, np.bool_),
            character_kinds(),
            np.zeros(COUNTS, np.int64),
        )

    def add(self, names: pa.LargeStringArray, stops: int, limits: tuple[int, int]) -> tuple[NDArray[np.int32], ...]:
        """Pattern and written form of each of `names`, -1 where there is none."""
        patterns, forms = np.full(len(names), -1, np.int32), np.full(len(names), -1, np.int32)
        limit = Limits(*limits, self.rules.case_letters, stops)
        for start in range(0, len(names), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            rows = _rows(names.slice(start, ROWS_AT_ONCE), patterns[part], forms[part], self.tables)
            row = 0
            while row < len(rows.pattern):
                row = add_rows(self.draft, rows, limit, self.seed, row, *self._texts)
                if row == COLLISION:
                    raise CollisionError
                if row < len(rows.pattern):
                    self._grow()
        return patterns, forms

    def _grow(self) -> None:
        old, counts = self.draft, self.draft.counts
        self.draft = self._empty(
            max(len(old.slots) * 2, 4 * self._room),
            len(old.pattern_short) * 2,
            len(old.patterns) * 2,
            len(old.written_upper) * 2,
        )
        if readd_patterns(self.draft, old, counts[COUNT_PATTERNS], self.seed, *self._texts) == COLLISION:
            raise CollisionError
        forms, size = counts[COUNT_FORMS], counts[COUNT_FORM_BYTES]
        self.draft.counts[[COUNT_FORMS, COUNT_FORM_BYTES]] = forms, size
        self.draft.written[:size] = old.written[:size]
        self.draft.written_offsets[: forms + 1] = old.written_offsets[: forms + 1]
        self.draft.written_upper[:forms] = old.written_upper[:forms]


def build_index(table: NameTable, rules: MatchingRules) -> NamesIndex:
    """The index of all names of `table` that `rules` let pass."""
    tables = code_points()
    seed = FIRST_SEED
    while True:
        try:
            return _built(table, rules, tables, seed)
        except CollisionError:
            seed += 2


def _built(table: NameTable, rules: MatchingRules, tables: CodePoints, seed: int) -> NamesIndex:
    stops, covers = pa.array(rules.stops, pa.large_string()), pa.array(rules.covers, pa.large_string())
    lengths = np.concatenate([np.diff(_offsets(names)) for names in (table.names, stops, covers)])
    builder = _Builder(rules, tables, lengths, seed)
    builder.add(stops, 0, (0, 0))
    counts = builder.draft.counts
    stop_patterns = int(counts[COUNT_PATTERNS])
    patterns, forms = builder.add(table.names, stop_patterns, (rules.minimal_spaced, rules.minimal_unspaced))
    named = int(builder.draft.counts[COUNT_PATTERNS])
    builder.add(covers, 0, (0, 0))
    draft, counts = builder.draft, builder.draft.counts
    silent = np.zeros(counts[COUNT_PATTERNS], np.bool_)
    silent[:stop_patterns] = True
    silent[named:] = True
    entry_offsets = np.zeros(len(silent) + 1, np.int32)
    order = np.empty(np.count_nonzero(patterns >= 0), np.int32)
    group_rows(patterns, entry_offsets, order)
    capitals = np.ones(len(silent), np.bool_)
    capitals[patterns[forms >= 0][~draft.written_upper[forms[forms >= 0]]]] = False
    mark_short(draft.slots, silent, capitals)
    names = Names(
        draft.slots,
        draft.first_filter,
        draft.ending_filter,
        draft.deep_filter,
        draft.patterns[: counts[COUNT_BYTES]],
        draft.pattern_offsets[: len(silent) + 1],
        entry_offsets,
        table.concept[order],
        table.language[order],
        table.preferred[order],
        forms[order],
        draft.written[: counts[COUNT_FORM_BYTES]],
        draft.written_offsets[: counts[COUNT_FORMS] + 1],
        draft.written_upper[: counts[COUNT_FORMS]],
    )
    for array in names:
        unchanging(array)
    concept_offsets = _offsets(table.concepts)
    return NamesIndex(
        names,
        tables,
        table.languages,
        _bytes(table.concepts),
        concept_offsets - concept_offsets[0],
        seed,
        int(counts[COUNT_LONGEST]),
        bool(counts[COUNT_SINGLES]),
    )


def _room(names: int, characters: int) -> tuple[int, int, int, int]:
    """Slots, patterns, bytes of patterns and written forms to begin with."""
    return max(names * 3 // 2, 1024), names + 2, characters, names // 8 + 2


def _powers(size: int) -> NDArray[np.uint64]:
    return np.zeros(1 << (size - 1).bit_length(), np.uint64)


def _offsets(names: pa.LargeStringArray) -> NDArray[np.int64]:
    if not len(names):
        return np.zeros(1, np.int64)
    return np.frombuffer(names.buffers()[1], np.int64)[names.offset : names.offset + len(names) + 1]


def _bytes(names: pa.LargeStringArray) -> NDArray[np.uint8]:
    offsets, data = _offsets(names), names.buffers()[2]
    if data is None or offsets[0] == offsets[-1]:
        return np.zeros(0, np.uint8)
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]


def _rows(names: pa.LargeStringArray, pattern: NDArray[np.int32], form: NDArray[np.int32], tables: CodePoints) -> Rows:
    utf8, offsets = _bytes(names), _offsets(names)
    codes, begins = np.empty(len(utf8), np.uint32), np.zeros(len(names) + 1, np.int64)
    has_marks = decode_names(utf8, offsets[1:] - offsets[0], tables.folded, codes, begins[1:])
    codes = codes[: begins[-1]]
    expansions, written, first_group = tables.expansions, tables.written_expansions, len(tables.expansions.offsets) - 1
    if has_marks:
        marks = np.flatnonzero(tables.folded[codes] == MARK)
        groups = take_groups(utf8.tobytes().decode(), codes, marks, begins)
        expansions = expansions.and_also(map(fold_group, groups))
        written = written.and_also(map(write_alike, groups))
    return Rows(codes, begins, pattern, form, tables.folded, *expansions, tables.written, *written, first_group)
