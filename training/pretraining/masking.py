"""What is masked, and how: whole words, entities and relations (sections 3.1.2, 3.1.3 and A.1).

An example's pieces are grouped into *units*: an entity mention, a relation phrase, or a whole word. A unit is
masked as a whole. A draw depends only on the generator it is given, so the same seed gives the same masks.

A reduced head (A.1) has no row for some pieces. A unit that holds one of them is never chosen: it could not be
predicted whole, and hiding it would take context away and teach nothing. It stays as context, its pieces count in the
budget, and others are masked in its place. The authors' code labels such a piece `<unk>` instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

IGNORED = -100


class Kind(IntEnum):
    """What a piece belongs to."""

    SPECIAL = 0  # <s>, </s>, and pieces that stand for no character
    WORD = 1
    ENTITY = 2
    SWITCHED = 3  # an entity's name that was put there in the other language
    RELATION = 4


@dataclass(frozen=True)
class MaskingRule:
    """How much is masked, and what a masked piece becomes.

    Args:
        mask_id: input id of `<mask>`.
        random_ids: input ids that random replacements are drawn from, `(n,)`; the reduced vocabulary where
            there is one.
        predictable: whether a piece may be a label, `(vocabulary,)`; None if every piece may.
        rate: share of a monolingual example's pieces that is masked (A.1: 15%, as XLM-R).
        aligned_rate: the same for an aligned example, relation phrases not counted (3.1.2: 15%).
        max_entity_pieces: longest entity that is masked on monolingual text (A.1: 3).
    """

    mask_id: int
    random_ids: NDArray[np.int64]
    rate: float = 0.15
    aligned_rate: float = 0.15
    max_entity_pieces: int = 3
    predictable: NDArray[np.bool_] | None = None

    def may_be_masked(self, input_ids: NDArray[np.integer], firsts: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which units have labels alone that the head can predict, `(units,)`.

        Args:
            input_ids: `(pieces,)`.
            firsts: where each unit begins, ascending, `(units,)`; it ends where the next one begins.
        """
        if self.predictable is None or not len(firsts):
            return np.ones(len(firsts), dtype=bool)
        return np.logical_and.reduceat(self.predictable[input_ids], firsts)


@dataclass(frozen=True)
class Masked:
    """One example after masking; all arrays are `(sequence,)`."""

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]  # original id of masked word and entity pieces, IGNORED elsewhere
    relation_labels: NDArray[np.int64]  # original id of masked relation pieces, IGNORED elsewhere


def mask_example(
    input_ids: NDArray[np.integer],
    units: NDArray[np.integer],
    kinds: NDArray[np.integer],
    aligned: bool,
    rule: MaskingRule,
    rng: np.random.Generator,
) -> Masked:
    """Mask one example.

    Monolingual text: half of the budget goes to short entities, half to whole words (A.1, 1:1); what one half
    cannot spend the other does. Aligned text: the budget goes to code-switched entities first, then to the others
    (3.1.2), then to whole words, so that a sample with few entities is not wasted. Facts: one draw in two masks
    all relation phrases, with their names in sight (3.1.3); the other masks names in the other language, whose
    counterparts in the text are in sight then. Both at once would leave nothing to tell them from. Where no name is in
    the other language, as in facts told in the text's own, relations are masked in every draw.

    Args:
        input_ids: `(sequence,)`.
        units: unit number of each piece, `(sequence,)`; -1 for pieces that are never masked.
        kinds: `Kind` of each piece, `(sequence,)`.
        aligned: whether the example comes from the entity, fact or passage level.
    """
    ids = input_ids.astype(np.int64)
    units_of = _units(ids, units, kinds, rule)
    chosen, relations = _choose(units_of, aligned, rule, rng)
    return _hidden(ids, units_of, chosen, relations, rule, rng)


@dataclass(frozen=True)
class _Units:
    """The units of an example in reading order; all arrays are `(units,)`."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    kinds: NDArray[np.integer]
    allowed: NDArray[np.bool_]  # whether it may be masked


def _units(ids: NDArray[np.int64], units: NDArray[np.integer], kinds: NDArray[np.integer], rule: MaskingRule) -> _Units:
    """Runs of pieces with one unit number; those of number -1 are left out."""
    begins = np.ones(len(units), dtype=bool)
    np.not_equal(units[1:], units[:-1], out=begins[1:])
    first = np.flatnonzero(begins)
    lengths = np.diff(first, append=len(units))
    real = units[first] >= 0
    return _Units(first[real], lengths[real], kinds[first][real], rule.may_be_masked(ids, first)[real])


def _choose(
    units: _Units, aligned: bool, rule: MaskingRule, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the units that the piece task and the relation task mask."""
    rate = rule.aligned_rate if aligned else rule.rate
    budget = max(1, round(rate * int(units.lengths.sum()))) if len(units.starts) else 0
    order = rng.permutation(np.flatnonzero(units.allowed))
    kinds, lengths = units.kinds[order], units.lengths[order]
    is_switched, is_relation = kinds == Kind.SWITCHED, kinds == Kind.RELATION
    is_entity, is_word = (kinds == Kind.ENTITY) | is_switched, kinds == Kind.WORD
    none = order[:0]
    if is_relation.any():
        if not is_switched.any() or rng.random() < 0.5:
            return none, order[is_relation]
        return order[_spend(is_switched, lengths, budget)], none
    if aligned:
        ranks = np.flatnonzero(np.concatenate([is_switched, is_entity & ~is_switched, is_word])) % max(1, len(order))
        return order[ranks[_spend(np.ones(len(ranks), dtype=bool), lengths[ranks], budget)]], none
    short = is_entity & (lengths <= rule.max_entity_pieces)
    entities = _spend(short, lengths, budget // 2)
    left = budget - int(lengths[entities].sum())
    words = _spend(is_word, lengths, left)
    left -= int(lengths[words].sum())
    return order[entities | words | _spend(short & ~entities, lengths, left)], none


def _hidden(
    ids: NDArray[np.int64],
    units: _Units,
    chosen: NDArray[np.int64],
    relations: NDArray[np.int64],
    rule: MaskingRule,
    rng: np.random.Generator,
) -> Masked:
    """Whole units become `<mask>` (80%), random pieces (10%), or stay (10%)."""
    labels = np.full(len(ids), IGNORED, dtype=np.int64)
    relation_labels = labels.copy()
    masked = ids.copy()
    for group, target in ((chosen, labels), (relations, relation_labels)):
        if not len(group):
            continue
        lengths = units.lengths[group]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        pieces = np.repeat(units.starts[group], lengths) + within
        target[pieces] = ids[pieces]
        draws = np.repeat(rng.random(len(group)), lengths)
        masked[pieces[draws < 0.8]] = rule.mask_id
        replaced = pieces[(draws >= 0.8) & (draws < 0.9)]
        if len(replaced):
            masked[replaced] = rule.random_ids[rng.integers(len(rule.random_ids), size=len(replaced))]
    return Masked(masked, labels, relation_labels)


def _spend(candidates: NDArray[np.bool_], lengths: NDArray[np.int64], budget: int) -> NDArray[np.bool_]:
    """Candidates in order until `budget` pieces are reached; the last may exceed it, so that long ones get a turn."""
    spent = np.where(candidates, lengths, 0)
    return candidates & (np.cumsum(spent) - spent < budget)
