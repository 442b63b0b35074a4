"""Translations of all rows, read, mended and checked: what is offered of each row, and how risky it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kbioxlm.dataset_scripts.benchmarks.translation.checks import MISSING, text_defects
from kbioxlm.dataset_scripts.benchmarks.translation.defects import Defect, risk
from kbioxlm.dataset_scripts.benchmarks.translation.names import KnownNames, Mention
from kbioxlm.dataset_scripts.benchmarks.translation.outliers import label_outliers, length_outliers
from kbioxlm.dataset_scripts.benchmarks.translation.readings import Reading, read
from kbioxlm.dataset_scripts.benchmarks.translation.repair import NOTHING_KNOWN, Knowledge, named_otherwise, repaired
from kbioxlm.dataset_scripts.benchmarks.translation.sources import Row


@dataclass(frozen=True)
class Answered:
    """A row and what the translator made of it.

    Attributes:
        source: its marked text.
        answer: the marked answer to all its pieces.
        whole: whether every piece was answered.
    """

    row: Row
    source: str
    answer: str
    whole: bool


@dataclass(frozen=True)
class Examined:
    """A row with its translation as it is offered, and all that was found in it."""

    row: Row
    source: str
    reading: Reading
    defects: tuple[Defect, ...]

    @property
    def risk(self) -> float:
        """See `defects.risk`."""
        return risk(self.defects)

    def with_defects(self, defects: Sequence[Defect]) -> Examined:
        """The same with more defects."""
        return replace(self, defects=(*self.defects, *defects))


def examine(answered: Sequence[Answered], source: str, target: str, names: KnownNames | None) -> list[Examined]:
    """Read, mend and check the answers, each by itself and beside all others."""
    rows = [one.row for one in answered]
    readings = [read(one.answer, one.row.labels, target) for one in answered]
    texts = [reading.projection.text for reading in readings]
    mentions: list[list[Mention]] = names.mentions(texts, target) if names is not None else [[] for _ in rows]
    concepts = _concepts_of_entities(rows, names)
    readings = [
        repaired(reading, row, Knowledge(own, found) if names is not None else NOTHING_KNOWN)
        for reading, row, own, found in zip(readings, rows, concepts, mentions, strict=True)
    ]
    otherwise = _named_otherwise(readings, rows, concepts, names)
    lengths = length_outliers([(len(row.text), len(text)) for row, text in zip(rows, texts, strict=True)])
    labels = label_outliers(rows, readings)
    examined = []
    for place, (one, reading) in enumerate(zip(answered, readings, strict=True)):
        defects = [] if one.whole else [MISSING]
        if texts[place].strip():
            known = [(found.start, found.end) for found in mentions[place] if found.language == target]
            defects += reading.defects
            defects += text_defects(one.row.text, texts[place], source, target, known)
            defects += [lengths[place]] if place in lengths else []
            defects += [*labels.get(place, ()), *otherwise[place]]
        examined.append(Examined(one.row, one.source, reading, tuple(defects)))
    return examined


def _concepts_of_entities(rows: Sequence[Row], names: KnownNames | None) -> list[list[set[str]]]:
    """The concepts of each entity of each row; nothing without a knowledge base."""
    if names is None:
        return [[] for _ in rows]
    found = iter(names.concepts([row.text[one.start : one.end] for row in rows for one in row.enclosed]))
    return [[next(found) for _ in row.enclosed] for row in rows]


def _named_otherwise(
    readings: Sequence[Reading], rows: Sequence[Row], concepts: Sequence[list[set[str]]], names: KnownNames | None
) -> list[list[Defect]]:
    if names is None:
        return [[] for _ in rows]
    projections = [reading.projection for reading in readings]
    found = iter(names.concepts([one.text[span.start : span.end] for one in projections for span in one.spans]))
    return [
        named_otherwise(reading, row, own, [next(found) for _ in reading.projection.spans])
        for reading, row, own in zip(readings, rows, concepts, strict=True)
    ]
