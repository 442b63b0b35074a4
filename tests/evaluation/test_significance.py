"""Intervals and paired tests against brute force, exact enumeration and scipy."""

from __future__ import annotations

import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from kbioxlm.common.errors import InputError
from kbioxlm.training.evaluation.significance import (
    Counts,
    compare,
    confidence_interval,
    counts_of,
    counts_of_files,
)
from kbioxlm.training.finetuning.scores import label_f1, strict_f1


def row(document: str, gold: list[Any], predicted: list[Any]) -> dict[str, Any]:
    return {"id": document, "document": document, "gold": gold, "predicted": predicted}


def counts(right: list[int], total: list[int]) -> Counts:
    """One run."""
    return Counts(tuple(f"d{i:04}" for i in range(len(right))), np.array([right]), np.array([total]))


def random_counts(documents: int, runs: int, accuracy: float, seed: int) -> Counts:
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, 6, (1, documents)).repeat(runs, axis=0)
    right = generator.binomial(gold, accuracy)
    predicted = right + generator.integers(0, 3, (runs, documents))
    return Counts(tuple(f"d{i:04}" for i in range(documents)), right, gold + predicted)


def f1(counts: Counts, documents: list[int]) -> float:
    """The mean over runs of F1 on `documents`, without arrays."""
    values = []
    for right, total in zip(counts.right.tolist(), counts.total.tolist(), strict=True):
        found, all_ = sum(right[d] for d in documents), sum(total[d] for d in documents)
        values.append(200 * found / all_ if all_ else 0.0)
    return sum(values) / len(values)


@pytest.mark.parametrize("kind", ["entities", "binary", "labels"])
def test_f1_of_the_counts_is_that_of_the_task(kind: str) -> None:
    generator = random.Random(1)
    if kind == "entities":
        tags = ["O", "B-X", "I-X", "B-Y"]
        sides: list[list[list[Any]]] = [
            [[generator.choice(tags) for _ in range(6)] for _ in range(40)] for _ in range(2)
        ]
        expected = strict_f1(*sides)["f1"]

        def entities(sentence: list[str]) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            for place, tag in enumerate(sentence):
                if tag.startswith("B"):
                    found.append({"start": place, "end": place + 1, "label": tag[2:]})
                elif tag == "I-X" and found and found[-1]["end"] == place and found[-1]["label"] == "X":
                    found[-1]["end"] += 1
            return found

        sides = [[entities(sentence) for sentence in side] for side in sides]
    else:
        most = 1 if kind == "binary" else 3
        names = ["1"] if kind == "binary" else list("abcde")
        sides = [[generator.sample(names, generator.randint(0, most)) for _ in range(40)] for _ in range(2)]
        expected = label_f1(*sides)["f1"]
    # four rows a document: sums over documents are those over rows
    rows = [row(f"d{i // 4}", gold, predicted) for i, (gold, predicted) in enumerate(zip(*sides, strict=True))]
    found = counts_of([rows])
    assert len(found.documents) == 10
    assert 0 < expected < 100
    assert found.f1 == pytest.approx(expected, abs=1e-4)


def test_the_interval_is_that_of_a_loop_over_the_same_draws() -> None:
    data = random_counts(37, 3, 0.7, seed=2)
    draws = np.random.default_rng(11).integers(0, 37, (500, 37))
    slow = sorted(f1(data, list(draw)) for draw in draws)
    low, high = np.quantile(slow, [0.025, 0.975])
    interval = confidence_interval(data, 500, seed=11)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9)


def test_the_interval_is_scipys() -> None:
    data = random_counts(200, 1, 0.6, seed=3)

    def statistic(right: np.ndarray, total: np.ndarray, axis: int = -1) -> np.ndarray:
        return 200 * right.sum(axis=axis) / total.sum(axis=axis)

    theirs = scipy.stats.bootstrap(
        (data.right[0], data.total[0]), statistic, paired=True, vectorized=True, method="percentile",
        n_resamples=10_000, confidence_level=0.95, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    ours = confidence_interval(data, 10_000, 0.95, seed=1)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.25)
    assert theirs.high - theirs.low > 4


def test_the_interval_of_all_possible_draws() -> None:
    """Four documents can be drawn in 256 ways; the percentiles over all of them are what sampling tends to."""
    data = counts([3, 1, 0, 2], [6, 8, 4, 5])
    every = [f1(data, list(draw)) for draw in itertools.product(range(4), repeat=4)]
    interval = confidence_interval(data, 200_000, 0.8, seed=0)
    low, high = np.quantile(every, [0.1, 0.9])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.7)


def test_known_intervals() -> None:
    always = confidence_interval(counts([2, 1, 5], [4, 2, 10]))
    assert (always.low, always.high) == (100, 100)
    never = confidence_interval(counts([0, 0], [4, 2]))
    assert (never.low, never.high) == (0, 0)
    nothing = confidence_interval(counts([0, 0], [0, 0]))
    assert (nothing.low, nothing.high) == (0, 0)
    # of n equal decisions, each right with frequency p, F1 is the frequency: a binomial proportion
    n, p = 1000, 0.3
    binomial = confidence_interval(counts([1] * 300 + [0] * 700, [2] * n), 20_000)
    exact = [100 * scipy.stats.binom.ppf(q, n, p) / n for q in (0.025, 0.975)]
    assert (binomial.low, binomial.high) == pytest.approx(exact, abs=0.15)


def test_a_wider_level_is_wider_and_a_seed_decides() -> None:
    data = random_counts(50, 2, 0.5, seed=4)
    narrow, wide = confidence_interval(data, level=0.5), confidence_interval(data, level=0.99)
    assert wide.low < narrow.low < data.f1 < narrow.high < wide.high
    assert confidence_interval(data, 300, seed=5) == confidence_interval(data, 300, seed=5)
    assert confidence_interval(data, 300, seed=5) != confidence_interval(data, 300, seed=6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = random_counts(30, 2, 0.5, seed=1), random_counts(30, 2, 0.6, seed=1)
    whole = confidence_interval(first, 401), compare(first, second, 401)
    monkeypatch.setattr("kbioxlm.training.evaluation.significance._BLOCK", 30 * 7)
    again = confidence_interval(first, 401), compare(first, second, 401)
    assert whole[0] == again[0]
    assert whole[1].interval == again[1].interval


def test_randomisation_tends_to_all_swaps() -> None:
    first, second = random_counts(9, 2, 0.75, seed=7), random_counts(9, 2, 0.5, seed=8)
    observed = first.f1 - second.f1
    hits = 0
    for swaps in itertools.product((0, 1), repeat=9):
        sides = []
        for one, other in ((first, second), (second, first)):
            right = np.where(swaps, other.right, one.right)
            total = np.where(swaps, other.total, one.total)
            sides.append(f1(Counts(first.documents, right, total), list(range(9))))
        hits += abs(sides[0] - sides[1]) >= abs(observed) - 1e-9
    exact = hits / 2**9
    assert 0.01 < exact < 0.6
    assert compare(first, second, 100_000).randomisation_p == pytest.approx(exact, abs=0.01)


def test_the_paired_bootstrap_is_that_of_a_loop() -> None:
    first, second = random_counts(25, 2, 0.7, seed=9), random_counts(25, 2, 0.6, seed=10)
    draws = np.random.default_rng(3).integers(0, 25, (400, 25))
    observed = f1(first, list(range(25))) - f1(second, list(range(25)))
    differences = [f1(first, list(draw)) - f1(second, list(draw)) for draw in draws]
    found = compare(first, second, 400, seed=3)
    low, high = np.quantile(differences, [0.025, 0.975])
    assert found.difference == pytest.approx(observed)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=1e-9)
    p = (1 + sum(abs(value - observed) >= abs(observed) for value in differences)) / 401
    assert found.bootstrap_p == pytest.approx(p)


def test_equal_models_and_plainly_better_ones() -> None:
    data = random_counts(60, 1, 0.6, seed=1)
    same = compare(data, data, 500)
    assert (same.difference, same.bootstrap_p, same.randomisation_p) == (0, 1, 1)
    better = Counts(data.documents, data.right + 1, data.total + 1)
    found = compare(better, data, 2000)
    assert found.difference > 0
    assert found.interval.low > 0
    assert found.randomisation_p == pytest.approx(1 / 2001)
    assert found.bootstrap_p < 0.01
    back = compare(data, better, 2000)
    assert back.difference == -found.difference
    assert back.randomisation_p == found.randomisation_p


def test_p_values_of_equal_models_are_uniform() -> None:
    """Two models that are equally good: about 5% of test sets give p < 0.05."""
    small = {"bootstrap_p": 0, "randomisation_p": 0}
    for seed in range(200):
        generator = np.random.default_rng(seed)
        gold = generator.integers(1, 4, (1, 80))
        one, other = (Counts(tuple(map(str, range(80))), generator.binomial(gold, 0.6), 2 * gold) for _ in range(2))
        found = compare(one, other, 300, seed=seed)
        for name in small:
            small[name] += getattr(found, name) < 0.05
    assert all(2 <= count <= 22 for count in small.values()), small  # 10 expected; 22 is four deviations away


def test_documents_are_drawn_whole() -> None:
    """Twenty equal sentences of ten documents are ten draws, not two hundred."""
    generator = np.random.default_rng(0)
    right = generator.integers(0, 2, 10)
    rows = [row(f"d{d}", ["x"], ["x"] if right[d] else []) for d in range(10) for _ in range(20)]
    alone = [row(f"d{d}", ["x"], ["x"] if right[d] else []) for d in range(10)]
    together = confidence_interval(counts_of([rows]))
    assert together == confidence_interval(counts_of([alone]))
    assert together.high - together.low > 30


@pytest.mark.parametrize("runs", [1, 3])
def test_ten_thousand_resamples_take_less_than_a_second(runs: int) -> None:
    data = random_counts(500, runs, 0.7, seed=1)
    other = random_counts(500, runs, 0.7, seed=2)
    spent = []
    for work in (lambda: confidence_interval(data), lambda: compare(data, other)):
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            work()
            best = min(best, time.process_time() - started)
        spent.append(best)
    assert spent[0] < 1
    assert spent[1] < 2


def test_files_of_predictions(tmp_path: Path) -> None:
    for seed, label in enumerate(("a", "b")):
        lines = [row("x", ["a"], [label]), row("y", ["a", "b"], [label]), row("z", [], [])]
        (tmp_path / f"{seed}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = counts_of_files([tmp_path / "0.jsonl", tmp_path / "1.jsonl"])
    assert found.documents == ("x", "y", "z")
    assert found.right.tolist() == [[1, 1, 0], [0, 1, 0]]
    assert found.total.tolist() == [[2, 3, 0], [2, 3, 0]]
    assert found.f1 == pytest.approx((200 * 2 / 5 + 200 * 1 / 5) / 2)


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    rows = [row("x", ["a"], ["a"]), row("y", ["a"], [])]
    with pytest.raises(InputError, match="p: differ in 2 documents, such as 'y'; compare runs on one test set"):
        counts_of([rows, [row("x", ["a"], ["a"]), row("z", ["a"], [])]], "p")
    empty: list[Any] = [[], [[]]]
    for nothing in empty:
        with pytest.raises(InputError, match="hold no example"):
            counts_of(nothing)
    one = counts_of([rows])
    with pytest.raises(InputError, match="1 runs on 2 documents against 2 on 2; compare as many runs"):
        compare(one, counts_of([rows, rows]))
    with pytest.raises(InputError, match="1 runs on 2 documents against 1 on 1, and not the same ones"):
        compare(one, counts_of([rows[:1]]))
    (tmp_path / "bad.jsonl").write_text('{"gold": [], "predicted": []}\n')
    with pytest.raises(InputError, match=r"bad\.jsonl:1: no 'document'"):
        counts_of_files([tmp_path / "bad.jsonl"])
