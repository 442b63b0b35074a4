"""Masks of a whole batch: the same rule as for one example, whatever else is in the batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from kbioxlm.training.pretraining.batch_masking import Batch, MaskedBatch, mask_batch
from kbioxlm.training.pretraining.masking import IGNORED, Kind, MaskingRule, mask_example

MASK = 1
RULE = MaskingRule(mask_id=MASK, random_ids=np.arange(900, 1000), rate=0.2, aligned_rate=0.25, max_entity_pieces=2)

# kind and pieces of each unit
MONOLINGUAL = [(Kind.WORD, 1), (Kind.ENTITY, 2), (Kind.WORD, 2), (Kind.ENTITY, 3), (Kind.WORD, 1), (Kind.ENTITY, 1),
               (Kind.WORD, 3), (Kind.WORD, 1)]  # fmt: skip
ENTITY = [(Kind.WORD, 1), (Kind.SWITCHED, 2), (Kind.WORD, 2), (Kind.ENTITY, 3), (Kind.WORD, 1), (Kind.SWITCHED, 1)]
FACT = [(Kind.WORD, 2), (Kind.ENTITY, 2), (Kind.SWITCHED, 2), (Kind.RELATION, 3), (Kind.SWITCHED, 1), (Kind.ENTITY, 1)]
OWN_FACT = [(Kind.WORD, 2), (Kind.ENTITY, 2), (Kind.RELATION, 2), (Kind.WORD, 1), (Kind.RELATION, 1)]
EMPTY: list[tuple[Kind, int]] = []
SHAPES = [(MONOLINGUAL, False), (ENTITY, True), (FACT, True), (OWN_FACT, True), (EMPTY, False),
          ([(Kind.WORD, 4)], True)]  # fmt: skip


def laid_out(units: list[tuple[Kind, int]]) -> tuple[NDArray, NDArray, NDArray]:
    """Input ids, unit numbers and kinds of one example between special pieces."""
    numbers, kinds = [-1], [Kind.SPECIAL]
    for number, (kind, size) in enumerate(units):
        numbers += [number] * size
        kinds += [kind] * size
    numbers, kinds = [*numbers, -1], [*kinds, Kind.SPECIAL]
    return np.arange(len(numbers)) + 10, np.array(numbers), np.array(kinds)


def batch_of(shapes: list[tuple[list[tuple[Kind, int]], bool]], places: list[int]) -> Batch:
    ids, units, kinds = zip(*(laid_out(units) for units, _ in shapes), strict=True)
    return Batch(
        np.concatenate(ids),
        np.concatenate(kinds),
        np.concatenate([np.diff(one, prepend=-2) != 0 for one in units]),
        np.array([len(one) for one in ids]),
        np.array([aligned for _, aligned in shapes]),
        np.array(places),
    )


def parts(masked: MaskedBatch, batch: Batch) -> list[tuple[NDArray, ...]]:
    """The arrays of each example."""
    cuts = np.cumsum(batch.lengths)[:-1]
    columns = (np.split(array, cuts) for array in (masked.input_ids, masked.labels, masked.relation_labels))
    return list(zip(*columns, strict=True))


def test_an_example_has_its_masks_in_any_batch() -> None:
    together = batch_of(SHAPES * 3, list(range(100, 118)))
    whole = parts(mask_batch(together, RULE, 13), together)
    for number in (0, 1, 2, 7, 13):
        alone = batch_of([(SHAPES * 3)[number]], [100 + number])
        for one, other in zip(parts(mask_batch(alone, RULE, 13), alone)[0], whole[number], strict=True):
            np.testing.assert_array_equal(one, other)
    assert any(
        not np.array_equal(one, other)
        for one, other in zip(whole[0], parts(mask_batch(together, RULE, 14), together)[0], strict=True)
    )


SOME = np.ones(1000, dtype=bool)
SOME[[12, 17]] = False  # the second piece of each example's text, and the seventh


@pytest.mark.parametrize(("units", "aligned"), SHAPES)
@pytest.mark.parametrize("rule", [RULE, replace(RULE, predictable=SOME)], ids=["whole", "reduced"])
def test_which_units_are_masked_is_as_for_one_example(
    units: list[tuple[Kind, int]], aligned: bool, rule: MaskingRule
) -> None:
    """The same sets of units, each as often, over many draws of both."""
    draws = 4000
    batch = batch_of([(units, aligned)] * draws, list(range(draws)))
    masked = parts(mask_batch(batch, rule, 3), batch)
    ids, numbers, kinds = laid_out(units)
    rng = np.random.default_rng(0)

    def chosen(labels: NDArray, relations: NDArray) -> tuple[int, ...]:
        return tuple(np.unique(numbers[(labels != IGNORED) | (relations != IGNORED)]).tolist())

    found = Counter(chosen(labels, relations) for _, labels, relations in masked)
    reference: Counter[tuple[int, ...]] = Counter()
    for _ in range(draws):
        one = mask_example(ids, numbers, kinds, aligned, rule, rng)
        reference[chosen(one.labels, one.relation_labels)] += 1
    frequent = {key for key, count in (found + reference).items() if count > 200}
    assert frequent
    for key in frequent:
        assert found[key] == pytest.approx(reference[key], abs=5 * np.sqrt(reference[key] + 1)), key
    assert all(abs(found[key] - reference[key]) < 80 for key in found | reference if key not in frequent)
    outside = set() if rule.predictable is None else set(numbers[~rule.predictable[ids]].tolist())
    assert not outside & {unit for key in found | reference for unit in key}


def test_a_unit_is_masked_whole_and_one_form_in_ten_is_kept_or_random() -> None:
    draws = 6000
    batch = batch_of([(ENTITY, True)] * draws, list(range(draws)))
    ids, numbers, _ = laid_out(ENTITY)
    forms: Counter[str] = Counter()
    for masked_ids, labels, _ in parts(mask_batch(batch, RULE, 5), batch):
        assert (labels[labels != IGNORED] == ids[labels != IGNORED]).all()
        np.testing.assert_array_equal(masked_ids[labels == IGNORED], ids[labels == IGNORED])
        for unit in np.unique(numbers[labels != IGNORED]):
            assert (labels[numbers == unit] != IGNORED).all()
            now = masked_ids[numbers == unit]
            if (now == MASK).all():
                forms["mask"] += 1
            elif (now == ids[numbers == unit]).all():
                forms["kept"] += 1
            else:
                assert ((now >= 900) & (now < 1000)).all()
                forms["random"] += 1
    total = sum(forms.values())
    assert forms["mask"] / total == pytest.approx(0.8, abs=0.02)
    assert forms["random"] / total == pytest.approx(0.1, abs=0.015)
    assert forms["kept"] / total == pytest.approx(0.1, abs=0.015)


def test_random_pieces_are_spread_over_the_vocabulary() -> None:
    batch = batch_of([(MONOLINGUAL, False)] * 8000, list(range(8000)))
    masked = mask_batch(batch, RULE, 5).input_ids
    drawn = masked[masked >= 900]
    counts = np.bincount(drawn - 900, minlength=100)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 149  # chi-square of 99 degrees, p = 0.001
