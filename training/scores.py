"""The NER score: strict entity-level F1, as seqeval computes it."""

from __future__ import annotations

from collections.abc import Sequence
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
