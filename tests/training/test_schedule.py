"""The plan of a run: exact shares, equal languages, whole rounds, little padding, one seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from kbioxlm.training.schedule import Pool, plan_batches


def pool(rows: dict[str, int], share: float, seed: int = 0) -> Pool:
    """`rows[language]` rows of 1 to 400 pieces."""
    languages = np.concatenate([np.full(count, language) for language, count in rows.items()])
    return Pool(np.random.default_rng(seed).integers(1, 400, len(languages)), languages, share)


@pytest.fixture
def pools() -> list[Pool]:
    return [pool({"en": 90, "zh": 30}, 0.5), pool({"en": 7, "zh": 50}, 0.2, 1), pool({"zh": 11}, 0.3, 2)]


def test_shares_are_exact_and_languages_equal(pools: list[Pool]) -> None:
    plan = plan_batches(pools, steps=50, batch_size=8, seed=1)
    assert plan.shape == (400, 2)
    assert Counter(plan[:, 0].tolist()) == {0: 200, 1: 80, 2: 120}
    for number, languages in ((0, {"en": 100, "zh": 100}), (1, {"en": 40, "zh": 40}), (2, {"zh": 120})):
        rows = plan[plan[:, 0] == number, 1]
        assert Counter(pools[number].languages[rows].tolist()) == languages


def test_every_round_covers_all_rows(pools: list[Pool]) -> None:
    plan = plan_batches(pools, steps=50, batch_size=8, seed=1)
    for number, one in enumerate(pools):
        rows = plan[plan[:, 0] == number, 1]
        for language in np.unique(one.languages):
            candidates = np.flatnonzero(one.languages == language)
            seen = Counter(rows[one.languages[rows] == language].tolist())
            times = [seen[row] for row in candidates.tolist()]
            assert max(times) - min(times) <= 1
            assert sum(times) == sum(seen.values())


@pytest.mark.parametrize(("steps", "batch_size"), [(1, 1), (3, 5), (7, 1), (200, 3)])
def test_any_size_adds_up(pools: list[Pool], steps: int, batch_size: int) -> None:
    plan = plan_batches(pools, steps, batch_size, seed=4)
    assert len(plan) == steps * batch_size
    for number, one in enumerate(pools):
        part = plan[plan[:, 0] == number, 1]
        assert abs(len(part) - one.share * len(plan)) <= 1
        assert ((part >= 0) & (part < len(one.lengths))).all()


def spread(plan: NDArray[np.int64], pools: list[Pool], batch_size: int) -> float:
    """Padding as a share of all pieces."""
    lengths = np.array([pools[number].lengths[row] for number, row in plan]).reshape(-1, batch_size)
    padded = lengths.max(axis=1).sum() * batch_size
    return float((padded - lengths.sum()) / padded)


def test_batches_hold_examples_of_similar_length_in_random_order() -> None:
    pools = [pool({"en": 3000, "zh": 3000}, 1.0)]
    plan = plan_batches(pools, steps=128, batch_size=16, seed=3)
    unsorted = np.random.default_rng(0).permutation(plan)
    assert spread(plan, pools, 16) < 0.05
    assert spread(unsorted, pools, 16) > 0.3
    means = pools[0].lengths[plan[:, 1]].reshape(-1, 16).mean(axis=1)
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.3  # not from short to long


def test_the_seed_alone_decides(pools: list[Pool]) -> None:
    first = plan_batches(pools, 20, 4, seed=5)
    np.random.seed(99)
    np.testing.assert_array_equal(first, plan_batches(pools, 20, 4, seed=5))
    assert not np.array_equal(first, plan_batches(pools, 20, 4, seed=6))


def test_a_level_with_a_tiny_share_may_get_nothing() -> None:
    plan = plan_batches([pool({"en": 5}, 1.0), pool({"en": 5, "zh": 5}, 1e-6)], steps=2, batch_size=4, seed=0)
    assert set(plan[:, 0].tolist()) == {0}
