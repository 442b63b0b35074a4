"""The labelled examples of one source, whatever the task; carving a dev set."""

from __future__ import annotations

import hashlib
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar

from kbioxlm.common.errors import InputError, shown


@dataclass(frozen=True)
class TaskData(ABC):
    """The examples of one source.

    Attributes:
        source: as it was asked for; named in errors and reports.
        benchmark: sources of the same benchmark have comparable document ids: the configurations of a folder
            that differ in their language alone, and the IOB files of one folder.
        examples: in the order of the source, at least one; each has `id`, `document`, `language` and `text`.
    """

    source: str
    benchmark: str
    examples: tuple[Any, ...]
    noun: ClassVar[str] = "example"

    @staticmethod
    @abstractmethod
    def labels_of(example: Any) -> Sequence[str]:
        """The labels that one example bears."""

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted({label for example in self.examples for label in self.labels_of(example)}))

    @cached_property
    def documents(self) -> frozenset[str]:
        """The ids of its documents."""
        return frozenset(example.document for example in self.examples)

    @property
    def language(self) -> str:
        """ISO 639-1, or empty where it is not known or there are several."""
        languages = {example.language for example in self.examples}
        return languages.pop() if len(languages) == 1 else ""

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of all examples."""
        digest = hashlib.sha256()
        for example in self.examples:
            digest.update(repr(example).encode())
        return digest.hexdigest()[:16]

    def of_documents(self, chosen: Collection[str], source: str) -> Self:
        """The examples of the `chosen` documents, in their order; `source` says how they were chosen."""
        kept = tuple(example for example in self.examples if example.document in chosen)
        return replace(self, source=source, examples=kept)


D = TypeVar("D", bound=TaskData)


def joined(parts: Sequence[D], source: str) -> D:
    """All examples of `parts`, which together are asked for as `source`.

    Raises:
        InputError: parts of different benchmarks, whose document ids cannot be compared.
    """
    first, *others = parts
    for other in others:
        if other.benchmark != first.benchmark:
            raise InputError(
                source, f"{other.source} is of another benchmark than {first.source}",
                "join configurations of one benchmark, which differ in their language alone",
            )  # fmt: skip
    return replace(first, source=source, examples=tuple(example for part in parts for example in part.examples))


def carve_dev(data: D, share: float, seed: int) -> tuple[D, D]:
    """Split `data` into train and dev by document: dev gets `share` of the documents, drawn with `seed`.

    Raises:
        InputError: there is one document only.
    """
    documents = sorted(data.documents)
    if len(documents) < 2:
        raise InputError(data.source, "one document cannot be parted into train and dev", "name a dev source")
    count = min(len(documents) - 1, max(1, math.floor(share * len(documents) + 0.5)))
    chosen = set(random.Random(seed).sample(documents, count))
    return (
        data.of_documents(data.documents - chosen, data.source),
        data.of_documents(chosen, f"{data.source} (share {share:g} of the documents, seed {seed})"),
    )


def unknown_labels(data: TaskData, known: Sequence[str]) -> Iterator[InputError]:
    """What is wrong with each label of `data` outside `known`; names the first example that bears it."""
    seen = set(known)
    for example in data.examples:
        for label in data.labels_of(example):
            if label not in seen:
                seen.add(label)
                yield InputError(
                    data.source,
                    f"{data.noun} {example.id} has label {shown(label)}, which the model does not know",
                    f"it knows {', '.join(known) or 'none'}; use data with these labels, or train with this one",
                )
