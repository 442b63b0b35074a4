from __future__ import annotations

import pytest

from kbioxlm.training.scores import strict_f1

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
