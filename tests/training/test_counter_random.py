"""Random numbers by counter: uniform, independent of each other, and permutations that are ones."""

from __future__ import annotations

import numpy as np
import pytest

from kbioxlm.training.pretraining.counter_random import permuted, random_bits, uniform


def test_numbers_are_uniform_and_uncorrelated() -> None:
    numbers = uniform(13, np.arange(400)[:, None], np.arange(100))
    assert numbers.shape == (400, 100)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    histogram = np.histogram(numbers, bins=20, range=(0, 1))[0]
    expected = numbers.size / 20
    assert ((histogram - expected) ** 2 / expected).sum() < 44  # chi-square of 19 degrees of freedom, p = 0.001
    for one, other in (
        (numbers[:-1], numbers[1:]),
        (numbers[:, :-1], numbers[:, 1:]),
        (numbers, uniform(14, np.arange(400)[:, None], np.arange(100))),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02


def test_a_number_depends_on_its_counters_alone() -> None:
    table = random_bits(5, np.arange(9)[:, None], np.arange(4))
    assert table[7, 2] == random_bits(5, 7, 2)
    assert len(np.unique(table)) == 36
    assert random_bits(5, 7, 2) != random_bits(5, 2, 7)
    assert random_bits(-1) == random_bits(-1)  # negative seeds are seeds


@pytest.mark.parametrize("size", [1, 2, 3, 11, 16, 17, 1000, 4097])
def test_a_permutation_is_one(size: int) -> None:
    places = np.arange(size)
    sent = permuted(places, size, 3, 0)
    assert sorted(sent.tolist()) == list(range(size))
    np.testing.assert_array_equal(permuted(places[::-1], size, 3, 0), sent[::-1])
    if size > 10:
        assert not np.array_equal(sent, permuted(places, size, 3, 1))


def test_a_key_for_each_place() -> None:
    both = permuted(np.array([4, 4, 5]), 30, 1, np.array([0, 1, 0]))
    assert both[0] == permuted(np.array([4]), 30, 1, 0)[0]
    assert both[1] == permuted(np.array([4]), 30, 1, 1)[0]
    assert both[2] == permuted(np.array([5]), 30, 1, 0)[0]


def test_a_permutation_scatters() -> None:
    sent = permuted(np.arange(5000), 1_000_000_000, 9)
    assert len(set(sent.tolist())) == 5000
    assert sent.mean() == pytest.approx(5e8, rel=0.03)
    assert abs(np.corrcoef(sent[:-1], sent[1:])[0, 1]) < 0.05
