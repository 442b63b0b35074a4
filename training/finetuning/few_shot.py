"""Few-shot samples: a given number of documents, drawn so that they hold every label in its proportion.

A shot is one training *sample* as Table 2 of the paper counts them ("10 training samples and 100 training samples",
section 5.3.1): an abstract of BC5CDR or HoC, a sentence of ADE or GAD; that is, a document of the source. How the
paper drew them it does not say, and its code for it is not published.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, TypeVar

from kbioxlm.common.errors import InputError
from kbioxlm.training.finetuning.tasks.data import TaskData

D = TypeVar("D", bound=TaskData)

_UNLABELLED = ""  # documents without a label are a stratum of their own


def too_many_shots(data: TaskData, shots: int) -> InputError | None:
    """What is wrong with drawing `shots` documents of `data`, if anything."""
    if shots <= len(data.documents):
        return None
    return InputError(
        data.source, f"{shots} shots of {len(data.documents)} documents", f"set shots to at most {len(data.documents)}"
    )


def draw_shots(data: D, shots: int, seed: int) -> D:
    """`shots` documents of `data`, with all their examples.

    Documents are taken one after another, in an order that depends on the seed and the documents alone, so that the
    10 of a seed are among its 100. While a label has not been seen, the rarest of these is next; then the label
    that is furthest behind its share of all documents. Of the documents that bear it, one is taken whose labels
    together are furthest behind, the first of them in the shuffled order.

    Raises:
        InputError: more shots than documents.
    """
    problem = too_many_shots(data, shots)
    if problem is not None:
        raise problem
    chosen = _order(_labels_by_document(data), shots, seed)
    return data.of_documents(set(chosen), f"{data.source} ({shots} shots, seed {seed})")


def shots_record(data: TaskData, source: str, seed: int) -> dict[str, Any]:
    """What is kept of a sample: where it is from, its document ids, sorted, and how many of them bear each label.

    Args:
        data: what `draw_shots` returned.
        source: what it was drawn from.
    """
    by_document = _labels_by_document(data)
    counts = Counter(label for labels in by_document.values() for label in labels if label != _UNLABELLED)
    return {
        "source": source,
        "shots": len(by_document),
        "seed": seed,
        "labels": dict(sorted(counts.items())),
        "documents": sorted(by_document),
    }


def _labels_by_document(data: TaskData) -> dict[str, frozenset[str]]:
    labels: dict[str, set[str]] = {}
    for example in data.examples:
        labels.setdefault(example.document, set()).update(data.labels_of(example))
    return {document: frozenset(found or {_UNLABELLED}) for document, found in labels.items()}


def _order(by_document: dict[str, frozenset[str]], count: int, seed: int) -> list[str]:
    """The first `count` documents in the order of `draw_shots`."""
    shuffled = sorted(by_document)
    random.Random(seed).shuffle(shuffled)
    waiting: dict[frozenset[str], list[str]] = {}  # by the labels they bear
    for document in reversed(shuffled):  # the next one is taken from the end
        waiting.setdefault(by_document[document], []).append(document)
    bearing = Counter(label for labels in by_document.values() for label in labels)
    shares = {label: number / len(shuffled) for label, number in bearing.items()}
    place = {document: number for number, document in enumerate(shuffled)}
    taken: Counter[str] = Counter()
    chosen: list[str] = []

    def behind(label: str) -> float:
        return shares[label] * (len(chosen) + 1) - taken[label]

    def urgency(label: str) -> tuple[bool, float, str]:
        return (True, -behind(label), label) if taken[label] else (False, shares[label], label)

    while len(chosen) < count:
        label = min({label for labels in waiting for label in labels}, key=urgency)
        # of a document's other labels, those that are behind speak for it, those that are ahead against it
        labels = min(
            (labels for labels in waiting if label in labels),
            key=lambda labels: (-round(sum(map(behind, sorted(labels))), 9), place[waiting[labels][-1]]),
        )
        chosen.append(waiting[labels].pop())
        taken.update(labels)
        if not waiting[labels]:
            del waiting[labels]
    return chosen
