"""The plan of a run: shares of pieces, equal languages, whole rounds, even batches, one seed, no state."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from kbioxlm.training.pretraining.schedule import Plan, Stratum, example_shares, mean_length


@pytest.fixture
def strata() -> list[Stratum]:
    """Running text in two languages, and names, which are ten times as short."""
    return [
        Stratum(np.arange(90), 0, 100.0, 0.25),
        Stratum(np.arange(90, 120), 0, 80.0, 0.25),
        Stratum(np.arange(57), 1, 10.0, 0.5),
    ]


def whole(plan: Plan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Levels and rows of all steps."""
    levels, rows = zip(*(plan.step(step) for step in range(plan.steps)), strict=True)
    return np.concatenate(levels), np.concatenate(rows)


def test_shares_count_pieces_not_examples(strata: list[Stratum]) -> None:
    levels, rows = whole(Plan(strata, steps=400, batch_size=8, seed=1))
    pieces = np.where(levels == 1, 10.0, np.where(rows < 90, 100.0, 80.0))
    for share, chosen in (
        (0.25, (levels == 0) & (rows < 90)),
        (0.25, (levels == 0) & (rows >= 90)),
        (0.5, levels == 1),
    ):
        assert pieces[chosen].sum() / pieces.sum() == pytest.approx(share, abs=0.002)
    assert (levels == 1).mean() == pytest.approx(0.9, abs=0.002)  # most examples are names, half of the pieces
    assert mean_length(strata) == pytest.approx(pieces.mean(), rel=0.01)
    assert example_shares(strata).sum() == pytest.approx(1)


def test_every_batch_holds_the_mixture(strata: list[Stratum]) -> None:
    plan = Plan(strata, steps=50, batch_size=64, seed=1)
    expected = example_shares(strata) * 64
    for step in range(plan.steps):
        levels, rows = plan.step(step)
        assert len(levels) == len(rows) == 64
        found = [((levels == 0) & (rows < 90)).sum(), ((levels == 0) & (rows >= 90)).sum(), (levels == 1).sum()]
        assert np.abs(np.array(found) - expected).max() < 2


def test_every_round_covers_all_rows_in_another_order(strata: list[Stratum]) -> None:
    levels, rows = whole(Plan(strata, steps=200, batch_size=16, seed=1))
    names = rows[levels == 1]
    assert len(names) > 3 * 57
    first, second = names[:57], names[57:114]
    assert sorted(first) == sorted(second) == list(range(57))
    assert list(first) != list(second)
    assert abs(np.corrcoef(first, np.arange(57))[0, 1]) < 0.4


@pytest.mark.parametrize(("steps", "batch_size"), [(1, 1), (3, 5), (7, 1), (200, 3)])
def test_any_size_adds_up(strata: list[Stratum], steps: int, batch_size: int) -> None:
    plan = Plan(strata, steps, batch_size, seed=4)
    levels, rows = whole(plan)
    assert len(levels) == steps * batch_size
    assert plan.examples() == {0: int((levels == 0).sum()), 1: int((levels == 1).sum())}
    for stratum, share in zip(strata, example_shares(strata), strict=True):
        count = int(((levels == stratum.level) & np.isin(rows, stratum.rows)).sum())
        assert abs(count - share * len(levels)) < 1.5


def test_a_step_is_the_same_whenever_it_is_asked_for(strata: list[Stratum]) -> None:
    plan = Plan(strata, steps=3000, batch_size=8, seed=5)
    forward = [plan.step(step) for step in (0, 1, 1500, 2999)]
    np.random.seed(99)
    for step, (levels, rows) in reversed(list(zip((0, 1, 1500, 2999), forward, strict=True))):
        again = Plan(strata, steps=3000, batch_size=8, seed=5).step(step)
        for one in (plan.step(step), again):
            np.testing.assert_array_equal(one[0], levels)
            np.testing.assert_array_equal(one[1], rows)


def test_the_seed_decides(strata: list[Stratum]) -> None:
    first, second = (whole(Plan(strata, 20, 8, seed))[1] for seed in (5, 6))
    assert not np.array_equal(first, second)


def test_a_stratum_with_a_tiny_share_may_get_nothing(strata: list[Stratum]) -> None:
    plan = Plan([strata[0], Stratum(np.arange(5), 1, 10.0, 1e-6)], steps=2, batch_size=4, seed=0)
    assert plan.examples() == {0: 8, 1: 0}
    assert Counter(whole(plan)[0].tolist()) == {0: 8}


def test_many_strata_of_awkward_shares() -> None:
    rng = np.random.default_rng(0)
    strata = [Stratum(np.arange(7), i, 1.0, float(share)) for i, share in enumerate(rng.dirichlet(np.ones(9) / 3))]
    plan = Plan(strata, steps=300, batch_size=4, seed=0)
    counts = np.stack([np.bincount(plan.step(step)[0], minlength=9) for step in range(300)])
    assert (counts.sum(axis=1) == 4).all()
    due = np.arange(1, 301)[:, None] * 4 * example_shares(strata)
    assert np.abs(np.cumsum(counts, axis=0) - due).max() < 2
