"""Tables of an experiment: arms as columns, N and spread beside every figure."""

from __future__ import annotations

from typing import Any

from kbioxlm.training.tables import experiment_table


def arm(f1: float, spread: float | None, probes: dict[str, Any]) -> dict[str, Any]:
    score = {"f1": f1, "spread": spread, "by_seed": [f1], "n": 1234, "counted": "sentences"}
    return {"zero_shot_f1": f1, "spread": spread, "n": 1234, "scores": {"ade/zh": score}, "probes": [probes]}


def report(arms: dict[str, Any], seeds: list[int]) -> dict[str, Any]:
    return {"arms": arms, "seed": 13, "pretraining_seeds": [14], "finetuning_seeds": seeds, "seconds": 1234.5}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_scores_with_their_spread_and_number() -> None:
    table = experiment_table(report({"plain": arm(5.5, 0.25, {}), "rich": arm(61, 1, {})}, [1, 2]))
    lines = table.splitlines()
    assert cells(lines[0]) == ["F1", "plain", "rich", "N"]
    assert cells(lines[2]) == ["ade/zh", "5.50 ± 0.25", "61.00 ± 1.00", "1,234 sentences"]
    assert cells(lines[3])[0] == "**zero-shot, mean**"
    assert cells(lines[3])[1:3] == ["**5.50 ± 0.25**", "**61.00 ± 1.00**"]
    assert len({len(line) for line in lines[:4]}) == 1  # aligned
    assert "fine-tuning seeds 1, 2 (± is the sample standard deviation" in table
    assert "alignment" not in table


def test_accuracy_stands_below_f1_where_there_is_one() -> None:
    one = arm(66.5, None, {})
    one["scores"]["ade/zh"] |= {"accuracy": {"f1": 50.25, "spread": 2.0, "by_seed": [50.25]}}
    lines = experiment_table(report({"plain": one}, [7])).splitlines()
    assert cells(lines[2])[:2] == ["ade/zh", "66.50"]
    assert cells(lines[3]) == ["ade/zh, accuracy", "50.25 ± 2.00", "1,234 sentences"]


def test_a_single_seed_has_no_spread() -> None:
    table = experiment_table(report({"plain": arm(5.5, None, {})}, [7]))
    assert "5.50" in table
    assert "5.50 ±" not in table
    assert "fine-tuning seeds 7 (no spread)" in table


def test_probes_with_their_controls_and_chance() -> None:
    centred = {"value": 20.0}
    probes = {
        "name_retrieval": {"value": 12.346, "n": 4000, "chance": 0.02, "centred": centred},
        "masked_names": {"value": 3.0, "names": 1.5, "shuffled": 0.5, "n": 4000, "chance": 0.01},
        "sentence_retrieval/ade": {"value": 50.0, "n": 300, "chance": 0.33, "centred": centred},
    }
    lines = experiment_table(report({"plain": arm(5.5, None, probes)}, [7])).splitlines()
    rows = {row[0]: row[1:] for row in map(cells, lines) if len(row) == 4}
    assert rows["alignment (%)"] == ["plain", "N", "chance"]
    assert rows["held-out names retrieved, P@1"] == ["12.35", "4,000", "0.02"]
    assert rows["held-out names, P@1, centred"] == ["20.00", "4,000", "0.02"]
    assert rows["held-out names, masked pieces predicted"] == ["3.00", "4,000", "0.01"]
    assert rows["held-out names, the same, shuffled"] == ["0.50", "4,000", "–"]
    assert rows["held-out names, predicted whole"] == ["1.50", "4,000", "–"]
    assert rows["parallel texts of ade retrieved, P@1"] == ["50.00", "300", "0.33"]


def test_probes_of_several_runs_are_averaged() -> None:
    runs = [
        {"masked_names": {"value": value, "names": 1.0, "shuffled": 0.5, "n": 10, "chance": 0.01}}
        for value in (2.0, 4.0)
    ]
    table = experiment_table(report({"plain": {**arm(5.5, None, {}), "probes": runs}}, [7]))
    assert "3.00 ± 1.41" in table  # the sample standard deviation of 2 and 4
    assert "1.00 ± 0.00" in table
