"""The leakage guard: documents that a dev or test set has in common with what a model learns from.

A test set that shares documents with training, or with the dev set on which the checkpoint is chosen, measures memory.
Parallel documents have one id in every language, so that ids are compared across languages, within a benchmark. Texts
are compared within a language, across benchmarks: the n-grams of two languages have nothing in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.benchmarks.near_duplicates import THRESHOLD, near_duplicates
from kbioxlm.training.finetuning.tasks.data import TaskData


@dataclass(frozen=True)
class Overlap:
    """What two sets of a run have in common.

    Attributes:
        names: of the sets, such as `train` and `tests.zh`.
        first: the set that is learnt from, or on which the checkpoint is chosen.
        second: the set that should hold nothing of it.
        ids_compared: whether the two are of one benchmark, so that equal ids mean equal documents.
        documents: the ids that both have, sorted.
        near_duplicates: `(id in first, id in second)` of other documents whose texts are nearly the same, sorted by
            the order of both sets.
    """

    names: tuple[str, str]
    first: TaskData
    second: TaskData
    ids_compared: bool
    documents: tuple[str, ...]
    near_duplicates: tuple[tuple[str, str], ...]


def overlaps(learnt: Mapping[str, TaskData], dev: TaskData, tests: Mapping[str, TaskData]) -> list[Overlap]:
    """Every set of `learnt` against dev and tests, and dev against tests."""
    scored = {f"tests.{name}": data for name, data in tests.items()}
    pairs = [(first, second) for first in learnt.items() for second in ({"dev": dev} | scored).items()]
    pairs += [(("dev", dev), second) for second in scored.items()]
    return [_overlap((name, other), first, second) for (name, first), (other, second) in pairs]


def _overlap(names: tuple[str, str], first: TaskData, second: TaskData) -> Overlap:
    comparable = first.benchmark == second.benchmark
    shared = sorted(first.documents & second.documents) if comparable else []
    alike = (
        (one, other)
        for language in sorted(_languages(first) & _languages(second))
        for one, other in _alike(_texts(first, language), _texts(second, language))
        if not comparable or one != other
    )
    return Overlap(names, first, second, comparable, tuple(shared), tuple(alike))


def _alike(first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    ids, others = list(first), list(second)
    for i, j, _ in near_duplicates(list(first.values()), list(second.values())):
        yield ids[i], others[j]


def _languages(data: TaskData) -> set[str]:
    return {example.language for example in data.examples}


def _texts(data: TaskData, language: str) -> dict[str, str]:
    """The text of each document in `language`, from all its examples; those without a character are left out.

    Sentences are not compared singly: abstracts share headings and phrases without sharing what they report.
    """
    texts: dict[str, list[str]] = {}
    for example in data.examples:
        if example.language == language and example.text.strip():
            texts.setdefault(example.document, []).append(example.text)
    return {document: " ".join(parts) for document, parts in texts.items()}


def overlap_problems(
    found: Sequence[Overlap], allow_shared_documents: bool = False, allow_near_duplicates: bool = False
) -> Iterator[InputError]:
    """What of `found` makes scores worthless."""
    for one in found:
        if one.documents and not allow_shared_documents:
            yield InputError(
                one.second.source,
                f"shares {len(one.documents)} document ids with {one.first.source}, such as {shown(one.documents[0])}",
                "use other splits, or set allow_shared_documents: true if the ids mean different documents",
            )
        if one.near_duplicates and not allow_near_duplicates:
            document, other = one.near_duplicates[0]
            yield InputError(
                one.second.source,
                f"{_seconds(one)} documents say nearly the same as one of {one.first.source}, such as {shown(other)} "
                f"and {shown(document)}",
                "use other splits, or set allow_near_duplicates: true to score them all the same",
            )


def overlap_report(found: Sequence[Overlap]) -> list[dict[str, Any]]:
    """The check as reports record it, the same whether or not what it found was allowed."""
    return [
        {
            "sets": list(one.names),
            "shared_documents": len(one.documents) if one.ids_compared else None,
            "near_duplicates": _seconds(one),
            "threshold": THRESHOLD,
        }
        for one in found
    ]


def _seconds(one: Overlap) -> int:
    """How many documents of the second set are near-duplicates of one of the first."""
    return len({other for _, other in one.near_duplicates})
