"""Splits to train and score on: no document, and no text, on two sides in any language.

The published splits cannot be used as they are: ADE's validation set is a test set, GAD repeats sentences, and many of
its sentences come again with another gene or disease masked. What is done, for each benchmark:

1. A document has one place in all languages. In several splits, it stays in test before validation before train.
2. Where there is no validation set, a tenth of train's documents becomes one: those whose ids have the lowest hashes.
3. A text that comes again in its own split is kept once.
4. Near-duplicates on two sides stay on one: in test before validation before train.

A document that goes, goes in all languages, so that parallel documents stay parallel.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kbioxlm.dataset_scripts.benchmarks.near_duplicates import near_duplicates, normalized
from kbioxlm.dataset_scripts.benchmarks.published import VALIDATION_IS_TEST, Split

# Stricter than what counts as a near-duplicate elsewhere: for a document too many in train there is little to lose.
THRESHOLD = 0.6
VALIDATION_SHARE = 0.1
PLACES = ("test", "validation", "train")  # a document in several of them stays in the first


class Reason(StrEnum):
    """Why a document is not where it was published."""

    CARVED = "part of the validation set, carved from train"
    VALIDATION_IS_TEST = "the published validation set is the test set, where they stay"
    ELSEWHERE = "in another split too"
    REPEATED = "repeats a text of its split"
    NEAR_DUPLICATE = "near-duplicate of a text of another split"


@dataclass(frozen=True)
class Change:
    """What became of a document.

    Attributes:
        benchmark, document: which one.
        published: the split it was published in.
        place: the split it is in now; None if it is not in the cleaned splits, or stays in another split alone.
        reason: why.
        other: the document, or the split, that it had to make way for.
        language: in which it is a repetition or a near-duplicate.
        similarity: the Jaccard index of near-duplicates.
    """

    benchmark: str
    document: str
    published: str
    place: str | None
    reason: Reason
    other: str | None = None
    language: str | None = None
    similarity: float | None = None


@dataclass
class _Document:
    """A document in all its languages; `place` is the split that it goes to, or None."""

    id: str
    published: str
    place: str | None
    texts: dict[str, str]


def clean_splits(published: Sequence[Split]) -> tuple[list[Split], list[Change]]:
    """The cleaned form of the splits `published`, and what became of each document that is not where it was."""
    splits: list[Split] = []
    changes: list[Change] = []
    for benchmark in dict.fromkeys(split.benchmark for split in published):
        own = [split for split in published if split.benchmark == benchmark]
        if benchmark in VALIDATION_IS_TEST:
            left_out = [row.document for split in own if split.name == "validation" for row in split.rows]
            own = [split for split in own if split.name != "validation"]
            changes += [
                Change(benchmark, document, "validation", None, Reason.VALIDATION_IS_TEST, other="test")
                for document in dict.fromkeys(left_out)
            ]
        documents, elsewhere = _documents(benchmark, own)
        changes += elsewhere
        if not any(document.place == "validation" for document in documents):
            _carve_validation(benchmark, documents)
        dropped = _drop_repeats(benchmark, documents) + _drop_near_duplicates(benchmark, documents)
        changes += [
            Change(benchmark, document.id, document.published, document.place, Reason.CARVED)
            for document in documents
            if document.place not in (None, document.published)
        ]
        changes += dropped
        splits += _splits_of(documents, own)
    return splits, changes


def _documents(benchmark: str, splits: Sequence[Split]) -> tuple[list[_Document], list[Change]]:
    """Every document with its one place, and the splits that it leaves."""
    documents: dict[str, _Document] = {}
    left: dict[tuple[str, str], Change] = {}
    for split in sorted(splits, key=lambda split: PLACES.index(split.name)):
        for key, text in split.document_texts().items():
            document = documents.setdefault(key, _Document(key, split.name, split.name, {}))
            if document.published == split.name:
                document.texts[split.language] = text
            else:
                left[key, split.name] = Change(
                    benchmark, key, split.name, None, Reason.ELSEWHERE, other=document.published
                )
    return list(documents.values()), list(left.values())


def _carve_validation(benchmark: str, documents: Sequence[_Document]) -> None:
    train = [document for document in documents if document.place == "train"]
    count = min(len(train) - 1, max(1, math.floor(VALIDATION_SHARE * len(train) + 0.5)))
    train.sort(key=lambda document: hashlib.sha256(f"{benchmark}/{document.id}".encode()).digest())
    for document in train[: max(0, count)]:
        document.place = "validation"


def _drop_repeats(benchmark: str, documents: Sequence[_Document]) -> list[Change]:
    """Of the documents of one place that have the same text in some language, keep the first."""
    changes = []
    first: dict[tuple[str | None, str, str], str] = {}
    for document in documents:
        keys = [(document.place, language, normalized(text)) for language, text in document.texts.items()]
        repeated = next((key for key in keys if key in first), None)
        if repeated is None:
            first.update(dict.fromkeys(keys, document.id))
            continue
        document.place = None
        changes.append(
            Change(benchmark, document.id, document.published, None, Reason.REPEATED, first[repeated], repeated[1])
        )
    return changes


def _drop_near_duplicates(benchmark: str, documents: Sequence[_Document]) -> list[Change]:
    """Of near-duplicates in two places, keep the one in the place that comes first."""
    changes = []
    for number, place in enumerate(PLACES[1:], 1):
        for language in dict.fromkeys(language for document in documents for language in document.texts):
            stay = [d for d in documents if d.place in PLACES[:number] and language in d.texts]
            weak = [d for d in documents if d.place == place and language in d.texts]
            pairs = near_duplicates([d.texts[language] for d in weak], [d.texts[language] for d in stay], THRESHOLD)
            nearest: dict[int, tuple[float, int]] = {}
            for index, other, similarity in pairs:
                if index not in nearest or similarity > nearest[index][0]:
                    nearest[index] = similarity, other
            for index, (similarity, other) in sorted(nearest.items()):
                weak[index].place = None
                changes.append(
                    Change(
                        benchmark, weak[index].id, weak[index].published, None, Reason.NEAR_DUPLICATE,
                        stay[other].id, language, similarity,
                    )
                )  # fmt: skip
    return changes


def _splits_of(documents: Sequence[_Document], published: Sequence[Split]) -> list[Split]:
    """The rows of `published` by the places of their documents; language by language, train first."""
    homes = {document.id: (document.published, document.place) for document in documents}
    splits = []
    for language in dict.fromkeys(split.language for split in published):
        own = {split.name: split for split in published if split.language == language}
        for place in reversed(PLACES):
            rows: list[Any] = []
            files = []
            for name, split in own.items():
                moved = [row for row in split.rows if homes[row.document] == (name, place)]
                rows += moved
                files += [split.file] if moved else []
            if rows:
                splits.append(Split(own[name].benchmark, language, place, files[0], rows))
    return splits
