"""The scores of the tasks: strict entity-level F1, as seqeval computes it, and F1 over labels of whole texts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from seqeval.metrics import classification_report
from seqeval.scheme import IOB2


def strict_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Micro-averaged entity-level scores; an entity counts as found if its first unit, last unit and label agree.

    Tags are read as strict IOB2: an `I-X` that continues nothing is no entity.

    Args:
        gold: IOB2 tags of the units, sentence by sentence.
        predicted: likewise.

    Returns:
        `f1`, `precision`, `recall` in 0 to 100; `n` sentences; `entities` in gold; `types`: the same per label.
    """
    result: dict[str, Any] = {"f1": 0.0, "precision": 0.0, "recall": 0.0, "n": len(gold), "entities": 0, "types": {}}
    if not any(tag.startswith("B-") for tags in (*gold, *predicted) for tag in tags):
        return result
    report = classification_report(
        [list(tags) for tags in gold], [list(tags) for tags in predicted],
        output_dict=True, mode="strict", scheme=IOB2, zero_division=0,
    )  # fmt: skip
    for name, row in report.items():
        figures = {
            "f1": round(100 * float(row["f1-score"]), 4),
            "precision": round(100 * float(row["precision"]), 4),
            "recall": round(100 * float(row["recall"]), 4),
            "entities": int(row["support"]),
        }
        if name == "micro avg":
            result.update(figures)
        elif name not in ("macro avg", "weighted avg"):
            result["types"][name] = figures
    return result


def label_f1(gold: Sequence[Collection[str]], predicted: Sequence[Collection[str]]) -> dict[str, Any]:
    """Micro-averaged scores over labels of whole texts: every pair of example and label is one decision.

    With TP the labels that are in gold and predicted of an example, summed over all examples, precision is TP over
    the predicted labels, recall TP over those in gold, and F1 = 2 TP / (predicted + gold); each is 0 where its
    denominator is. An example without a label, in gold or predicted, is legal and counts what is in the other.

    Args:
        gold: the labels of each example that count.
        predicted: likewise.

    Returns:
        `f1`, `precision`, `recall` in 0 to 100; `accuracy`, the share of examples whose labels are all right;
        `n` examples; `positives`, the labels in gold; `types`: f1, precision, recall and positives by label.
    """
    pairs = [(set(g), set(p)) for g, p in zip(gold, predicted, strict=True)]
    types = {}
    for label in sorted(set().union(*(g | p for g, p in pairs))):
        types[label] = _figures([(g & {label}, p & {label}) for g, p in pairs])
    right = sum(g == p for g, p in pairs)
    return {**_figures(pairs), "n": len(pairs), "accuracy": round(100 * right / max(1, len(pairs)), 4), "types": types}


def _figures(pairs: Sequence[tuple[set[str], set[str]]]) -> dict[str, Any]:
    right = sum(len(g & p) for g, p in pairs)
    positives, found = sum(len(g) for g, _ in pairs), sum(len(p) for _, p in pairs)
    return {
        "f1": round(200 * right / max(1, positives + found), 4),
        "precision": round(100 * right / max(1, found), 4),
        "recall": round(100 * right / max(1, positives), 4),
        "positives": positives,
    }
