"""What is masked, and how: whole words, entities and relations (sections 3.1.2, 3.1.3 and A.1).

An example's pieces are grouped into *units*: an entity mention, a relation phrase, or a whole word. A unit is
masked as a whole. A draw depends only on the generator it is given, so the same seed gives the same masks.
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
        rate: share of a monolingual example's pieces that is masked (A.1: 15%, as XLM-R).
        aligned_rate: the same for an aligned example, relation phrases not counted (3.1.2: 15%).
        max_entity_pieces: longest entity that is masked on monolingual text (A.1: 3).
    """

    mask_id: int
    random_ids: NDArray[np.int64]
    rate: float = 0.15
    aligned_rate: float = 0.15
    max_entity_pieces: int = 3


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
    counterparts in the text are in sight then. Both at once would leave nothing to tell them from.

    Args:
        input_ids: `(sequence,)`.
        units: unit number of each piece, `(sequence,)`; -1 for pieces that are never masked.
        kinds: `Kind` of each piece, `(sequence,)`.
        aligned: whether the example comes from the entity, fact or passage level.
    """
    ids = input_ids.astype(np.int64)
    starts, lengths, unit_kinds = _units(units, kinds)
    rate = rule.aligned_rate if aligned else rule.rate
    budget = max(1, round(rate * int(lengths.sum()))) if len(starts) else 0
    order = rng.permutation(len(starts))
    words = order[unit_kinds[order] == Kind.WORD]
    entities = order[(unit_kinds[order] == Kind.ENTITY) | (unit_kinds[order] == Kind.SWITCHED)]
    relations = order[unit_kinds[order] == Kind.RELATION]
    if len(relations) and rng.random() < 0.5:
        chosen = order[:0]
    elif len(relations):
        relations, switched = relations[:0], entities[unit_kinds[entities] == Kind.SWITCHED]
        chosen = _spend(switched, lengths, budget)
    elif aligned:
        switched_first = entities[np.argsort(unit_kinds[entities] != Kind.SWITCHED, kind="stable")]
        chosen = _spend(np.concatenate([switched_first, words]), lengths, budget)
    else:
        short = entities[lengths[entities] <= rule.max_entity_pieces]
        masked_entities = _spend(short, lengths, budget // 2)
        left = budget - int(lengths[masked_entities].sum())
        masked_words = _spend(words, lengths, left)
        left -= int(lengths[masked_words].sum())
        more = (
            _spend(np.setdiff1d(short, masked_entities, assume_unique=True), lengths, left) if left > 0 else short[:0]
        )
        chosen = np.concatenate([masked_entities, masked_words, more])
    labels = np.full(len(ids), IGNORED, dtype=np.int64)
    relation_labels = labels.copy()
    masked = ids.copy()
    for group, target in ((chosen, labels), (relations, relation_labels)):
        for unit in group:
            span = slice(starts[unit], starts[unit] + lengths[unit])
            target[span] = ids[span]
            draw = rng.random()
            if draw < 0.8:
                masked[span] = rule.mask_id
            elif draw < 0.9:
                masked[span] = rng.choice(rule.random_ids, lengths[unit])
    return Masked(masked, labels, relation_labels)


def _units(units: NDArray[np.integer], kinds: NDArray[np.integer]) -> tuple[NDArray, NDArray, NDArray]:
    """First piece, number of pieces and kind of each unit, in reading order; pieces of unit -1 are left out."""
    if not len(units):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    first = np.flatnonzero(np.diff(units, prepend=units[0] - 1))
    lengths = np.diff(first, append=len(units))
    real = units[first] >= 0
    return first[real], lengths[real], kinds[first][real]


def _spend(candidates: NDArray, lengths: NDArray, budget: int) -> NDArray:
    """Candidates in order until `budget` pieces are reached; the last may exceed it, so that long ones get a turn."""
    if budget <= 0:
        return candidates[:0]
    before = np.cumsum(lengths[candidates]) - lengths[candidates]
    return candidates[before < budget]
