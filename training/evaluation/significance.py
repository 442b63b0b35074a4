"""How far F1 can be trusted: bootstrap confidence intervals, and paired tests between two models.

Everything is computed from what `tasks.task.Scored.predictions` holds, which is the same for every task: with TP the
items that are in gold and predicted, F1 = 2 TP / (|gold| + |predicted|), summed over a test set. That covers strict
entity-level micro-F1, the F1 of a positive class, and micro-F1 over any number of labels.

Documents are what is drawn: the sentences of an abstract resemble each other, and drawing them singly would make
intervals too narrow. The runs of one model with several seeds are drawn together, and what is looked at is the mean
of their F1: an interval says how much it depends on the documents of the test set, the standard deviation over seeds
how much on the seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import read_json_lines

RESAMPLES = 10_000
LEVEL = 0.95
_BLOCK = 1 << 20  # drawn documents at a time
_TIE = 1e-9  # below any difference of F1 that counts can make


@dataclass(frozen=True)
class Counts:
    """What F1 is made of, by run and document.

    Attributes:
        documents: ids, sorted.
        right: (runs, documents), int64: items that are in gold and predicted.
        total: (runs, documents), int64: items in gold, plus items predicted.
    """

    documents: tuple[str, ...]
    right: NDArray[np.int64]
    total: NDArray[np.int64]

    @property
    def f1(self) -> float:
        """The mean over runs of F1, in 0 to 100."""
        return float(_mean_f1(self.right.sum(axis=1), self.total.sum(axis=1)))


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in points of F1 (0 to 100)."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two models on the same documents.

    Attributes:
        difference: F1 of the first minus F1 of the second, in points.
        interval: percentile interval of the difference.
        bootstrap_p: two-sided p-value of the paired bootstrap.
        randomisation_p: two-sided p-value of approximate randomisation.
    """

    difference: float
    interval: Interval
    bootstrap_p: float
    randomisation_p: float


def counts_of(runs: Sequence[Sequence[Mapping[str, Any]]], place: str = "predictions") -> Counts:
    """The counts of runs on one test set.

    Args:
        runs: the predictions of each run, as `Scored.predictions` or a file of them holds.
        place: named in errors.

    Raises:
        InputError: no run, no document, or runs on different documents.
    """
    if not runs or not all(runs):
        raise InputError(place, "hold no example", "score a test set first")
    by_run = [_by_document(rows) for rows in runs]
    documents = tuple(sorted(by_run[0]))
    for counts in by_run[1:]:
        other = sorted(set(documents) ^ set(counts))
        if other:
            raise InputError(
                place, f"differ in {len(other)} documents, such as {other[0]!r}", "compare runs on one test set"
            )
    table = np.array([[counts[document] for document in documents] for counts in by_run], dtype=np.int64)
    return Counts(documents, table[:, :, 0], table[:, :, 1])


def counts_of_files(paths: Sequence[str | Path]) -> Counts:
    """The counts of runs from their `predictions/TEST.jsonl`.

    Raises:
        InputError: a file that cannot be read, or as `counts_of`.
    """
    keys = ("document", "gold", "predicted")
    return counts_of([[row for _, row in read_json_lines(path, keys)] for path in paths], ", ".join(map(str, paths)))


def confidence_interval(counts: Counts, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0) -> Interval:
    """The percentile bootstrap interval of F1 (Efron and Tibshirani, 1993, chapter 13).

    As many documents as there are, are drawn with replacement, `resamples` times; the interval holds the middle
    `level` of the F1s that they give.
    """
    drawn = [_mean_f1(*sums) for sums in _resampled(counts, resamples, seed)]
    return _percentiles(np.concatenate(drawn), level)


def compare(
    first: Counts, second: Counts, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Comparison:
    """Two paired tests of whether two models differ in F1 on the same documents.

    *Paired bootstrap*: documents are drawn for both models alike. If the models were equal, the differences would
    scatter around 0 as they scatter around the observed one (Berg-Kirkpatrick et al., 2012); the p-value is the share
    of draws whose distance from the observed difference is at least that difference, in either direction.

    *Approximate randomisation* (Noreen, 1989; Yeh, 2000): if the models were equal, the answers to a document could
    be swapped between them. They are, for each document with probability 1/2; the p-value is the share of draws in
    which the difference is at least the observed one, in either direction.

    Both count the observed data as one of the draws, so that no p-value is 0. Runs are paired in their order.

    Raises:
        InputError: other documents, or another number of runs, in `second`.
    """
    if first.documents != second.documents or len(first.right) != len(second.right):
        raise InputError(
            "comparison",
            f"{len(first.right)} runs on {len(first.documents)} documents against {len(second.right)} on "
            f"{len(second.documents)}" + ("" if first.documents == second.documents else ", and not the same ones"),
            "compare as many runs of both models, on one test set",
        )
    observed = first.f1 - second.f1
    both = Counts(
        first.documents, np.concatenate([first.right, second.right]), np.concatenate([first.total, second.total])
    )
    half = len(first.right)

    def differences(sums: Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> NDArray[np.float64]:
        return np.concatenate(
            [_mean_f1(r[:, :half], t[:, :half]) - _mean_f1(r[:, half:], t[:, half:]) for r, t in sums]
        )

    drawn = differences(_resampled(both, resamples, seed))
    swapped = differences(_swapped(both, half, resamples, seed))
    return Comparison(
        observed,
        _percentiles(drawn, level),
        _share(np.abs(drawn - observed) >= abs(observed) - _TIE),
        _share(np.abs(swapped) >= abs(observed) - _TIE),
    )


def _by_document(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """`(right, total)` of each document."""
    counts: dict[str, tuple[int, int]] = {}
    for row in rows:
        gold, predicted = ({json.dumps(item, sort_keys=True) for item in row[key]} for key in ("gold", "predicted"))
        right, total = counts.get(row["document"], (0, 0))
        counts[row["document"]] = (right + len(gold & predicted), total + len(gold) + len(predicted))
    return counts


def _mean_f1(right: NDArray[Any], total: NDArray[Any]) -> NDArray[np.float64]:
    """(…, runs) sums over documents to (…,) F1 in 0 to 100; 0 where there is nothing in gold nor predicted."""
    return np.mean(200 * right / np.maximum(total, 1), axis=-1)


def _resampled(counts: Counts, resamples: int, seed: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """`right` and `total` of drawn documents, (draws, runs) each, in blocks of draws."""
    size = len(counts.documents)

    def weights(generator: np.random.Generator, draws: int) -> NDArray[Any]:
        places = generator.integers(0, size, (draws, size)) + size * np.arange(draws)[:, None]
        return np.bincount(places.ravel(), minlength=draws * size).reshape(draws, size)

    for weight in _blocks(weights, size, resamples, seed):
        yield weight @ counts.right.T, weight @ counts.total.T


def _swapped(
    both: Counts, half: int, resamples: int, seed: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The same of all documents, those of the first `half` of the runs swapped at random with those of the others."""
    size = len(both.documents)

    def weights(generator: np.random.Generator, draws: int) -> NDArray[Any]:
        return generator.integers(0, 2, (draws, size), dtype=np.int8)

    def sums(table: NDArray[np.int64], swaps: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = swaps @ (table[half:] - table[:half]).T  # (draws, half)
        return np.concatenate([table[:half].sum(axis=1) + moved, table[half:].sum(axis=1) - moved], axis=1)

    for swaps in _blocks(weights, size, resamples, seed):
        yield sums(both.right, swaps), sums(both.total, swaps)


def _blocks(
    weights: Callable[[np.random.Generator, int], NDArray[Any]], size: int, resamples: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Draws of weights (draws, documents), float64 for the matrix product, at most `_BLOCK` of them in memory."""
    generator = np.random.default_rng(seed)
    step = max(1, _BLOCK // size)
    for first in range(0, resamples, step):
        yield weights(generator, min(step, resamples - first)).astype(np.float64)


def _percentiles(values: NDArray[np.float64], level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _share(hits: NDArray[np.bool_]) -> float:
    return float((hits.sum() + 1) / (len(hits) + 1))
