"""The translated rows that are used, as tables with the columns of their source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.translation.examination import Examined
from kbioxlm.dataset_scripts.benchmarks.translation.readings import Reading, problems, read
from kbioxlm.dataset_scripts.benchmarks.translation.review import Decision, Status, status_of
from kbioxlm.dataset_scripts.benchmarks.translation.sources import Split, is_placeholder
from kbioxlm.dataset_scripts.benchmarks.translation.units import units_of


@dataclass(frozen=True)
class SplitCounts:
    """What became of the rows of a split.

    Attributes:
        source_rows: those that were translated; the sum of the next five.
        accepted, corrected, dropped: as a person decided.
        unreviewed: used without a decision.
        left_out: not decided on, and too risky to be used.
        rows, documents, entities: of the translated split.
        lost_entities: of the rows that are used.
    """

    source_rows: int
    accepted: int
    corrected: int
    dropped: int
    unreviewed: int
    left_out: int
    rows: int
    documents: int
    entities: int
    lost_entities: int


def output_config(config: str, source: str, target: str) -> str:
    """The name of a translated configuration: `ade_en` becomes `ade_zh`."""
    name, count = re.subn(rf"(?<![^_]){source}(?![^_])", target, config)
    return name if count else f"{config}_{target}"


def used_reading(
    examined: Examined, decision: Decision | None, threshold: float, target: str
) -> tuple[Status, Reading | None]:
    """What became of a row, and the reading that is used; None if none is."""
    status = status_of(examined.source, examined.reading.marked, decision)
    if status == "corrected" and decision is not None and decision.translation is not None:
        return status, read(decision.translation, examined.row.labels, target)
    if status == "accepted":
        return status, examined.reading
    if status == "dropped" or examined.risk > threshold or problems(examined.reading, examined.row.labels):
        return status, None
    return status, examined.reading


def check_decision(place: str, decision: Decision, reading: Reading, labels: Sequence[str]) -> None:
    """Refuse a decision for a text that is no annotation.

    Raises:
        InputError: names the line.
    """
    reasons = problems(reading, labels)
    if reasons:
        raise InputError(
            place, f"{decision.decision} a text that cannot be used: {'; '.join(reasons)}",
            "add a line that corrects it, or drops the row", line=decision.line or None,
        )  # fmt: skip


def assembled(
    split: Split, outcomes: Sequence[tuple[Status, Reading | None]], target: str
) -> tuple[pa.Table, SplitCounts]:
    """The table of a translated split and its counts. All columns but text, language and offsets are the source's."""
    kept = [place for place, (_, reading) in enumerate(outcomes) if reading is not None]
    readings = [reading for _, reading in outcomes if reading is not None]
    rows = [split.rows[place] for place in kept]
    entities: list[list[dict[str, Any]]] = [
        [
            {"start": span.start, "end": span.end, "label": row.labels[span.number - 1]}
            for span in reading.projection.spans
            if not is_placeholder(row.labels[span.number - 1])
        ]
        for row, reading in zip(rows, readings, strict=True)
    ]
    texts = [reading.projection.text for reading in readings]
    columns: Mapping[str, list[Any]] = {
        "language": [target] * len(kept),
        "text": list(texts),
        "entities": list(entities),
        "units": [
            [
                {"start": start, "end": end}
                for start, end in units_of(text, [(one["start"], one["end"]) for one in found])
            ]
            for text, found in zip(texts, entities, strict=True)
        ],
        "repaired_units": [[] for _ in kept],  # of the source's units
    }
    table = split.table.take(pa.array(kept, pa.int64()))
    for name, values in columns.items():
        if name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
    statuses = Counter(status for status, _ in outcomes)
    used_open = sum(reading is not None and status in ("open", "changed") for status, reading in outcomes)
    of_source = sum(not is_placeholder(label) for row in rows for label in row.labels)
    of_source_found = sum(
        not is_placeholder(row.labels[number - 1])
        for row, reading in zip(rows, readings, strict=True)
        for number in {span.number for span in reading.projection.spans}
    )
    counts = SplitCounts(
        source_rows=len(outcomes),
        accepted=statuses["accepted"],
        corrected=statuses["corrected"],
        dropped=statuses["dropped"],
        unreviewed=used_open,
        left_out=statuses["open"] + statuses["changed"] - used_open,
        rows=len(kept),
        documents=len({row.document for row in rows}),
        entities=sum(map(len, entities)),
        lost_entities=of_source - of_source_found,
    )
    return table, counts
