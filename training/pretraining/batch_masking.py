"""The masks of a whole batch at once: the rule of `masking`, over examples laid end to end.

A draw is a function of the seed, the example's place in the run and the unit's place in the example alone
(`counter_random`), so it is the same whatever else is in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kbioxlm.training.pretraining.counter_random import random_bits, uniform
from kbioxlm.training.pretraining.masking import IGNORED, Kind, MaskingRule

_ORDER, _FORM, _TASK, _PIECE = range(4)  # what a number is drawn for


@dataclass(frozen=True)
class Batch:
    """Examples laid end to end.

    Args:
        input_ids: `(pieces,)`.
        kinds: `Kind` of each piece, `(pieces,)`; SPECIAL where it is never masked.
        starts: whether a piece begins a unit, `(pieces,)`.
        lengths: pieces of each example, `(examples,)`.
        aligned: whether an example comes from the entity, fact or passage level, `(examples,)`.
        places: place of each example in the run, `(examples,)`.
    """

    input_ids: NDArray[np.integer]
    kinds: NDArray[np.integer]
    starts: NDArray[np.bool_]
    lengths: NDArray[np.integer]
    aligned: NDArray[np.bool_]
    places: NDArray[np.integer]


@dataclass(frozen=True)
class MaskedBatch:
    """The same examples after masking; all arrays are `(pieces,)`."""

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]  # original id of masked word and entity pieces, IGNORED elsewhere
    relation_labels: NDArray[np.int64]  # original id of masked relation pieces, IGNORED elsewhere


def mask_batch(batch: Batch, rule: MaskingRule, seed: int) -> MaskedBatch:
    """Mask every example of a batch as `masking.mask_example` says."""
    ids = batch.input_ids.astype(np.int64)
    units = _units(batch, rule)
    chosen, relations = _choose(batch, units, rule, seed)
    form = uniform(seed, units.place, units.number, _FORM)  # one draw a unit: it is masked as a whole
    size = len(ids)
    labels = np.where(_spread(chosen, units, size), ids, IGNORED)
    relation_labels = np.where(_spread(relations, units, size), ids, IGNORED)
    masked = np.where(_spread((chosen | relations) & (form < 0.8), units, size), rule.mask_id, ids)
    replaced = np.flatnonzero(_spread((chosen | relations) & (form >= 0.8) & (form < 0.9), units, size))
    example_of = np.repeat(np.arange(len(batch.lengths)), batch.lengths)[replaced]
    within = replaced - (np.cumsum(batch.lengths) - batch.lengths)[example_of]
    drawn = random_bits(seed, batch.places[example_of], within, _PIECE) % np.uint64(len(rule.random_ids))
    masked[replaced] = rule.random_ids[drawn.astype(np.int64)]
    return MaskedBatch(masked, labels, relation_labels)


@dataclass(frozen=True)
class _Units:
    """The maskable units of a batch in reading order; all arrays are `(units,)`."""

    first: NDArray[np.int64]  # first piece
    lengths: NDArray[np.int64]
    kinds: NDArray[np.integer]
    example: NDArray[np.int64]  # in ascending order
    place: NDArray[np.integer]
    number: NDArray[np.int64]  # in its example
    allowed: NDArray[np.bool_]  # whether it may be masked


def _units(batch: Batch, rule: MaskingRule) -> _Units:
    bounds = np.cumsum(batch.lengths)
    begins = batch.starts.copy()
    begins[bounds[:-1]] = True
    begins[:1] = True
    first = np.flatnonzero(begins)
    lengths = np.diff(first, append=len(begins))
    maskable = batch.kinds[first] != Kind.SPECIAL
    allowed = rule.may_be_masked(batch.input_ids, first)[maskable]
    first, lengths = first[maskable], lengths[maskable]
    example = np.searchsorted(bounds, first, side="right")
    counts = np.bincount(example, minlength=len(bounds))
    number = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    return _Units(first, lengths, batch.kinds[first], example, batch.places[example], number, allowed)


def _choose(batch: Batch, units: _Units, rule: MaskingRule, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which units the piece task and the relation task mask, `(units,)` each."""
    examples = len(batch.lengths)
    maskable = _total(units, np.ones(len(units.first), dtype=bool), examples)
    rate = np.where(batch.aligned, rule.aligned_rate, rule.rate)
    budget = np.where(maskable > 0, np.maximum(1, np.rint(rate * maskable)), 0).astype(np.int64)  # (examples,)
    is_word, is_entity, is_switched, is_relation = (
        units.allowed & (units.kinds == kind) for kind in (Kind.WORD, Kind.ENTITY, Kind.SWITCHED, Kind.RELATION)
    )
    is_entity |= is_switched

    tells_relations = _total(units, is_relation, examples) > 0  # (examples,)
    has_switched = _total(units, is_switched, examples) > 0
    masks_relations = tells_relations & (~has_switched | (uniform(seed, batch.places, _TASK) < 0.5))
    names_only = tells_relations & ~masks_relations
    aligned = batch.aligned & ~tells_relations
    monolingual = ~batch.aligned & ~tells_relations

    order = np.lexsort((uniform(seed, units.place, units.number, _ORDER), units.example))
    spend = _Spending(units, order, examples)
    chosen = spend(is_switched & names_only[units.example], budget)
    # aligned: switched entities first, then the others, then words
    left = budget
    for group in (is_switched, is_entity & ~is_switched, is_word):
        taken = spend(group & aligned[units.example], left)
        left = left - _total(units, taken, examples)
        chosen |= taken
    # monolingual: half for short entities, the rest for words, and what words cannot spend for entities again
    short = is_entity & (units.lengths <= rule.max_entity_pieces) & monolingual[units.example]
    entities = spend(short, budget // 2)
    left = budget - _total(units, entities, examples)
    words = spend(is_word & monolingual[units.example], left)
    left = left - _total(units, words, examples)
    return chosen | entities | words | spend(short & ~entities, left), is_relation & masks_relations[units.example]


class _Spending:
    """Takes units of each example, in random order, until a number of pieces is reached."""

    def __init__(self, units: _Units, order: NDArray[np.int64], examples: int):
        self._units = units
        self._order = order
        self._first = np.searchsorted(units.example[order], np.arange(examples))  # (examples,), in `order`

    def __call__(self, candidates: NDArray[np.bool_], budget: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Candidates `(units,)` until `budget` `(examples,)`; the last may exceed it, so that long ones get a turn."""
        lengths = np.where(candidates, self._units.lengths, 0)[self._order]
        before = np.append(0, np.cumsum(lengths))
        example = self._units.example[self._order]
        spent = before[:-1] - before[self._first][example]
        taken = np.empty(len(candidates), dtype=bool)
        taken[self._order] = candidates[self._order] & (spent < budget[example])
        return taken


def _total(units: _Units, chosen: NDArray[np.bool_], examples: int) -> NDArray[np.int64]:
    """Pieces of the chosen units of each example, `(examples,)`."""
    return np.bincount(units.example[chosen], units.lengths[chosen], examples).astype(np.int64)


def _spread(chosen: NDArray[np.bool_], units: _Units, size: int) -> NDArray[np.bool_]:
    """Which pieces belong to a chosen unit, `(size,)`."""
    change = np.zeros(size + 1, dtype=np.int8)
    change[units.first[chosen]] += 1
    change[units.first[chosen] + units.lengths[chosen]] -= 1
    return np.cumsum(change[:-1], dtype=np.int8) > 0
