"""Masks cover whole units within a budget; what becomes of them follows 80/10/10."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from kbioxlm.training.pretraining.masking import IGNORED, Kind, Masked, MaskingRule, mask_example

MASK = 999
RANDOM = np.arange(700, 720)
RULE = MaskingRule(mask_id=MASK, random_ids=RANDOM)
Arrays = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
Groups = Sequence[tuple[Kind, int]]


def example(groups: Groups) -> Arrays:
    """Ids, units and kinds of an example with `<s>`, the groups (kind, pieces) in order, and `</s>`."""
    units, kinds = [-1], [Kind.SPECIAL]
    for number, (kind, pieces) in enumerate(groups):
        units += [number] * pieces
        kinds += [kind] * pieces
    units.append(-1)
    kinds.append(Kind.SPECIAL)
    ids = np.arange(len(units)) + 10
    return ids, np.array(units), np.array(kinds, dtype=np.int64)


def mask(groups: Groups, seed: int, aligned: bool, rule: MaskingRule = RULE) -> Masked:
    return mask_example(*example(groups), aligned, rule, np.random.default_rng(seed))


def chosen(groups: Groups, masked: Masked) -> tuple[list[int], list[int]]:
    """Units masked for the entity loss and for the relation loss; each must be masked as a whole."""
    _, units, _ = example(groups)
    found = []
    for labels in (masked.labels, masked.relation_labels):
        on = set(units[labels != IGNORED].tolist())
        for unit in on:
            assert (labels[units == unit] != IGNORED).all()
        found.append(sorted(on))
    return found[0], found[1]


MIXED: Groups = [
    (kind, pieces)
    for repeat in range(8)
    for kind, pieces in [
        (Kind.WORD, 1 + repeat % 4), (Kind.ENTITY, 1 + repeat % 5), (Kind.WORD, 2), (Kind.SWITCHED, 1 + repeat % 3),
        (Kind.WORD, 1),
    ]
]  # fmt: skip
FACTS: Groups = [
    (Kind.WORD, 2), (Kind.ENTITY, 2), (Kind.WORD, 3), (Kind.SWITCHED, 4), (Kind.RELATION, 3), (Kind.SWITCHED, 1),
    (Kind.WORD, 1), (Kind.SWITCHED, 2), (Kind.RELATION, 1), (Kind.SWITCHED, 2),
]  # fmt: skip


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("groups", [MIXED, FACTS], ids=["mixed", "facts"])
def test_units_are_whole_labels_original_and_specials_untouched(groups: Groups, aligned: bool) -> None:
    ids, units, _ = example(groups)
    for seed in range(200):
        masked = mask(groups, seed, aligned)
        entity_units, relation_units = chosen(groups, masked)
        assert not set(entity_units) & set(relation_units)
        assert -1 not in entity_units + relation_units
        for labels in (masked.labels, masked.relation_labels):
            on = labels != IGNORED
            np.testing.assert_array_equal(labels[on], ids[on])
        anywhere = (masked.labels != IGNORED) | (masked.relation_labels != IGNORED)
        np.testing.assert_array_equal(masked.input_ids[~anywhere], ids[~anywhere])
        assert (masked.input_ids[units == -1] == ids[units == -1]).all()
        assert masked.input_ids.dtype == masked.labels.dtype == masked.relation_labels.dtype == np.int64


def test_the_input_is_left_alone() -> None:
    ids, units, kinds = example(MIXED)
    before = ids.copy()
    mask_example(ids, units, kinds, True, RULE, np.random.default_rng(0))
    np.testing.assert_array_equal(ids, before)


@pytest.mark.parametrize("aligned", [False, True])
def test_the_budget_is_the_rate(aligned: bool) -> None:
    total = sum(pieces for _, pieces in MIXED)
    shares = [(mask(MIXED, seed, aligned).labels != IGNORED).sum() / total for seed in range(400)]
    assert np.mean(shares) == pytest.approx(0.15, abs=0.03)
    longest = max(pieces for _, pieces in MIXED)
    assert max(shares) * total <= round(0.15 * total) + 2 * longest


def test_monolingual_and_aligned_rates_are_separate() -> None:
    rule = MaskingRule(mask_id=MASK, random_ids=RANDOM, rate=0.1, aligned_rate=0.4)
    total = sum(pieces for _, pieces in MIXED)
    means = [
        np.mean([(mask(MIXED, seed, aligned, rule).labels != IGNORED).sum() / total for seed in range(200)])
        for aligned in (False, True)
    ]
    assert means == [pytest.approx(0.1, abs=0.04), pytest.approx(0.4, abs=0.04)]


def test_monolingual_text_halves_the_budget_between_short_entities_and_words() -> None:
    groups = [(Kind.WORD, 1), (Kind.ENTITY, 1), (Kind.WORD, 1), (Kind.ENTITY, 5)] * 20
    counts: Counter[Kind] = Counter()
    for seed in range(200):
        entity_units, relation_units = chosen(groups, mask(groups, seed, False))
        assert not relation_units
        assert all(groups[unit][1] <= RULE.max_entity_pieces for unit in entity_units)
        counts.update(groups[unit][0] for unit in entity_units)
    assert counts[Kind.ENTITY] == counts[Kind.WORD]


def test_words_and_entities_are_masked_one_to_one_in_pieces_too() -> None:
    groups = [(Kind.WORD, 1), (Kind.ENTITY, 2), (Kind.WORD, 3), (Kind.ENTITY, 3), (Kind.WORD, 2), (Kind.ENTITY, 1)] * 20
    pieces: Counter[Kind] = Counter()
    for seed in range(400):
        for unit in chosen(groups, mask(groups, seed, False))[0]:
            pieces[groups[unit][0]] += groups[unit][1]
    assert pieces[Kind.ENTITY] / pieces[Kind.WORD] == pytest.approx(1, abs=0.06)


def test_what_one_half_cannot_spend_the_other_does() -> None:
    for groups in ([(Kind.WORD, 1)] * 100, [(Kind.ENTITY, 1)] * 100, [(Kind.ENTITY, 1)] * 2 + [(Kind.WORD, 1)] * 98):
        for seed in range(20):
            assert (mask(groups, seed, False).labels != IGNORED).sum() == 15


def test_long_entities_are_masked_where_the_rule_lets_them() -> None:
    groups = [(Kind.WORD, 1)] * 10 + [(Kind.ENTITY, 5)] * 4
    rule = MaskingRule(mask_id=MASK, random_ids=RANDOM, max_entity_pieces=5)
    assert any(unit >= 10 for seed in range(20) for unit in chosen(groups, mask(groups, seed, False, rule))[0])
    assert not any(unit >= 10 for seed in range(20) for unit in chosen(groups, mask(groups, seed, False))[0])


def test_aligned_text_spends_on_switched_entities_then_entities_then_words() -> None:
    rank = {Kind.SWITCHED: 0, Kind.ENTITY: 1, Kind.WORD: 2}
    groups = [(Kind.WORD, 1)] * 30 + [(Kind.ENTITY, 1)] * 3 + [(Kind.SWITCHED, 1)] * 2  # a budget of 5
    for seed in range(30):
        units, _ = chosen(groups, mask(groups, seed, True))
        assert Counter(groups[unit][0] for unit in units) == {Kind.SWITCHED: 2, Kind.ENTITY: 3}
    for seed in range(100):
        kinds = sorted(rank[MIXED[unit][0]] for unit in chosen(MIXED, mask(MIXED, seed, True))[0])
        switched = sum(kind == Kind.SWITCHED for kind, _ in MIXED)
        assert kinds.count(0) == switched or set(kinds) == {0}
    only_words = [(Kind.WORD, 1)] * 40
    assert (mask(only_words, 0, True).labels != IGNORED).sum() == 6


def test_facts_hide_all_relations_or_some_foreign_names_but_never_both() -> None:
    relations = [unit for unit, (kind, _) in enumerate(FACTS) if kind == Kind.RELATION]
    drawn: Counter[str] = Counter()
    for seed in range(400):
        entity_units, relation_units = chosen(FACTS, mask(FACTS, seed, True))
        assert relation_units in ([], relations)
        assert bool(entity_units) != bool(relation_units)
        assert all(FACTS[unit][0] == Kind.SWITCHED for unit in entity_units)
        drawn["relations" if relation_units else "names"] += 1
    assert 160 < drawn["relations"] < 240


def test_facts_without_a_foreign_name_always_hide_their_relations() -> None:
    own: Groups = [(kind if kind != Kind.SWITCHED else Kind.ENTITY, pieces) for kind, pieces in FACTS]
    relations = [unit for unit, (kind, _) in enumerate(own) if kind == Kind.RELATION]
    assert all(chosen(own, mask(own, seed, True)) == ([], relations) for seed in range(50))


def reduced(groups: Groups, *outside: int) -> MaskingRule:
    """A rule whose vocabulary lacks the last piece of each of the units `outside`."""
    ids, units, _ = example(groups)
    predictable = np.ones(1000, dtype=bool)
    predictable[[ids[units == unit][-1] for unit in outside]] = False
    return replace(RULE, predictable=predictable)


@pytest.mark.parametrize("aligned", [False, True])
def test_a_unit_with_a_piece_outside_the_vocabulary_stays_in_sight_and_another_is_masked(aligned: bool) -> None:
    outside = [unit for unit in range(len(MIXED)) if unit % 3 == 0]
    rule = reduced(MIXED, *outside)
    ids, units, _ = example(MIXED)
    labelled = []
    for seed in range(300):
        masked = mask(MIXED, seed, aligned, rule)
        assert not set(outside) & set(chosen(MIXED, masked)[0])
        there = np.isin(units, outside)
        np.testing.assert_array_equal(masked.input_ids[there], ids[there])
        labelled.append((masked.labels != IGNORED).sum())
    whole = [(mask(MIXED, seed, aligned).labels != IGNORED).sum() for seed in range(300)]
    assert np.mean(labelled) == pytest.approx(np.mean(whole), abs=0.7)  # the budget is that of the whole example


def test_facts_hide_what_the_vocabulary_has_of_them() -> None:
    relations = [unit for unit, (kind, _) in enumerate(FACTS) if kind == Kind.RELATION]
    names = [unit for unit, (kind, _) in enumerate(FACTS) if kind == Kind.SWITCHED]
    some = reduced(FACTS, relations[0])
    assert {tuple(chosen(FACTS, mask(FACTS, seed, True, some))[1]) for seed in range(50)} == {(), (relations[1],)}
    no_names = reduced(FACTS, *names)
    assert all(chosen(FACTS, mask(FACTS, seed, True, no_names)) == ([], relations) for seed in range(50))
    neither = reduced(FACTS, *relations, *names)  # then it is text like any other
    for seed in range(50):
        units, hidden = chosen(FACTS, mask(FACTS, seed, True, neither))
        assert not hidden
        assert FACTS[units[0]][0] in (Kind.ENTITY, Kind.WORD)
    nothing = reduced(FACTS, *range(len(FACTS)))
    assert chosen(FACTS, mask(FACTS, 0, True, nothing)) == ([], [])


def test_eighty_ten_ten_by_unit_and_random_pieces_from_the_list() -> None:
    groups = [(Kind.WORD, 2)] * 60
    ids, units, _ = example(groups)
    fates: Counter[str] = Counter()
    random_pieces: Counter[int] = Counter()
    for seed in range(400):
        masked = mask(groups, seed, False)
        for unit in chosen(groups, masked)[0]:
            piece = masked.input_ids[units == unit]
            if (piece == MASK).all():
                fates["mask"] += 1
            elif (piece == ids[units == unit]).all():
                fates["same"] += 1
            else:
                fates["random"] += 1
                assert np.isin(piece, RANDOM).all()
                random_pieces.update(piece.tolist())
    total = sum(fates.values())
    assert total > 3000
    assert fates["mask"] / total == pytest.approx(0.8, abs=0.03)
    assert fates["same"] / total == pytest.approx(0.1, abs=0.02)
    assert fates["random"] / total == pytest.approx(0.1, abs=0.02)
    assert set(random_pieces) == set(RANDOM.tolist())


def test_relations_share_the_eighty_ten_ten() -> None:
    fates: Counter[bool] = Counter()
    for seed in range(600):
        masked = mask(FACTS, seed, True)
        on = masked.relation_labels != IGNORED
        fates.update((masked.input_ids[on] == MASK).tolist())
    assert fates[True] / sum(fates.values()) == pytest.approx(0.8, abs=0.04)


def test_the_generator_alone_decides() -> None:
    for groups in (MIXED, FACTS):
        first, again, other = (mask(groups, seed, True) for seed in (3, 3, 4))
        for name in ("input_ids", "labels", "relation_labels"):
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(first.input_ids, other.input_ids) or not np.array_equal(first.labels, other.labels)


@pytest.mark.parametrize("aligned", [False, True])
def test_nothing_to_mask_and_a_single_unit(aligned: bool) -> None:
    empty = mask([], 0, aligned)
    assert empty.input_ids.tolist() == [10, 11]
    assert (empty.labels == IGNORED).all()
    nothing = np.zeros(0, dtype=np.int64)
    assert mask_example(nothing, nothing, nothing, aligned, RULE, np.random.default_rng(0)).input_ids.shape == (0,)
    for kind in (Kind.WORD, Kind.ENTITY, Kind.SWITCHED):
        assert chosen([(kind, 2)], mask([(kind, 2)], 0, aligned))[0] == [0]


def test_adjacent_units_of_one_kind_stay_apart() -> None:
    groups = [(Kind.WORD, 1)] * 3
    assert all(len(chosen(groups, mask(groups, seed, False))[0]) == 1 for seed in range(20))
