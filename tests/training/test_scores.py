from __future__ import annotations

import random

import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer

from kbioxlm.training.finetuning.scores import label_f1, strict_f1

GOLD = [["B-ADE", "I-ADE", "O", "B-Drug"], ["O", "B-Drug", "I-Drug", "O"], ["B-ADE", "B-ADE", "O"]]


def test_perfect() -> None:
    scores = strict_f1(GOLD, GOLD)
    assert (scores["f1"], scores["precision"], scores["recall"]) == (100, 100, 100)
    assert (scores["n"], scores["entities"]) == (3, 5)
    assert scores["types"]["ADE"] == {"f1": 100, "precision": 100, "recall": 100, "entities": 3}


@pytest.mark.parametrize(
    ("predicted", "precision", "recall"),
    [
        # a wrong border, a wrong label and a missed entity: 2 of 4 predicted are right, 2 of 5 found
        ([["B-ADE", "O", "O", "B-ADE"], ["O", "B-Drug", "I-Drug", "O"], ["B-ADE", "O", "O"]], 50, 40),
        # neighbours joined into one
        ([["O"] * 4, ["O"] * 4, ["B-ADE", "I-ADE", "O"]], 0, 0),
        # an I- that continues nothing is no entity, here and where the label changes
        ([["I-ADE", "I-ADE", "O", "B-Drug"], ["O", "B-Drug", "I-ADE", "O"], ["O"] * 3], 50, 20),
        # nothing predicted
        ([["O"] * 4, ["O"] * 4, ["O"] * 3], 0, 0),
    ],
)
def test_golden_cases(predicted: list[list[str]], precision: float, recall: float) -> None:
    scores = strict_f1(GOLD, predicted)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
    assert scores["precision"] == pytest.approx(precision, abs=1e-3)
    assert scores["recall"] == pytest.approx(recall, abs=1e-3)
    assert scores["f1"] == pytest.approx(f1, abs=1e-3)
    assert (scores["n"], scores["entities"]) == (3, 5)


def test_micro_average_over_types() -> None:
    predicted = [["B-ADE", "I-ADE", "O", "O"], ["O", "O", "O", "O"], ["B-ADE", "B-ADE", "O"]]
    scores = strict_f1(GOLD, predicted)
    assert scores["f1"] == pytest.approx(75)  # 3 of 3 predicted, 3 of 5 found
    assert scores["types"]["Drug"] == {"f1": 0, "precision": 0, "recall": 0, "entities": 2}


def test_no_entity_at_all() -> None:
    nothing = {"f1": 0.0, "precision": 0.0, "recall": 0.0, "n": 1, "entities": 0, "types": {}}
    assert strict_f1([["O", "O"]], [["O", "O"]]) == nothing
    assert strict_f1([["O", "O"]], [["O", "I-X"]]) == nothing


def test_labels_of_whole_texts_golden() -> None:
    gold = [["a"], ["a", "b"], [], ["c"], []]
    predicted = [["a"], ["b", "c"], ["a"], [], []]
    scores = label_f1(gold, predicted)  # right: a of the first, b of the second; 4 in gold, 4 predicted
    assert (scores["f1"], scores["precision"], scores["recall"]) == (50, 50, 50)
    assert (scores["n"], scores["positives"], scores["accuracy"]) == (5, 4, 40)
    assert scores["types"]["a"] == {"f1": 50, "precision": 50, "recall": 50, "positives": 2}
    assert scores["types"]["c"] == {"f1": 0, "precision": 0, "recall": 0, "positives": 1}


def test_no_label_at_all() -> None:
    nothing = {"f1": 0.0, "precision": 0.0, "recall": 0.0, "positives": 0, "n": 2, "accuracy": 100.0, "types": {}}
    assert label_f1([[], []], [[], []]) == nothing


@pytest.mark.parametrize("seed", range(5))
def test_document_scores_are_those_of_scikit_learn(seed: int) -> None:
    rng = random.Random(seed)
    names = [f"hallmark {i}" for i in range(10)]
    gold, predicted = ([rng.sample(names, rng.choice([0, 1, 1, 2, 3])) for _ in range(80)] for _ in range(2))
    scores = label_f1(gold, predicted)
    binarizer = MultiLabelBinarizer(classes=names)
    matrices = [binarizer.fit_transform(rows) for rows in (gold, predicted)]
    micro = precision_recall_fscore_support(*matrices, average="micro", zero_division=0)
    assert [scores[key] for key in ("precision", "recall", "f1")] == pytest.approx(
        [100 * x for x in micro[:3]], abs=1e-3
    )
    each = precision_recall_fscore_support(*matrices, average=None, zero_division=0)
    for i, name in enumerate(names):
        assert scores["types"][name]["f1"] == pytest.approx(100 * each[2][i], abs=1e-3)
        assert scores["types"][name]["positives"] == each[3][i]
    assert scores["accuracy"] == pytest.approx(100 * accuracy_score(*matrices), abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_relation_scores_are_those_of_scikit_learn(seed: int) -> None:
    """Binary F1 of the positive class (GAD), and micro-F1 of several relations beside the negative label."""
    rng = random.Random(seed)
    for labels in (["0", "1"], ["0", "activates", "inhibits"]):
        gold, predicted = (rng.choices(labels, k=60) for _ in range(2))
        counting = [[[] if label == "0" else [label] for label in row] for row in (gold, predicted)]
        expected = precision_recall_fscore_support(gold, predicted, labels=labels[1:], average="micro", zero_division=0)
        scores = label_f1(*counting)
        found = [scores[key] for key in ("precision", "recall", "f1")]
        assert found == pytest.approx([100 * x for x in expected[:3]], abs=1e-3)
        if len(labels) == 2:
            binary = precision_recall_fscore_support(gold, predicted, pos_label="1", average="binary")
            assert found == pytest.approx([100 * x for x in binary[:3]], abs=1e-3)
        assert scores["accuracy"] == pytest.approx(100 * accuracy_score(gold, predicted), abs=1e-3)
