"""Which documents of a benchmark are there in both languages, and where.

Parallel documents have the same id: a PubMed id in BC5CDR and HoC, the number of a sentence in ADE, the number of a
sentence within its split in GAD. Nothing was matched by content; that the labels of nearly all pairs are the same is
the check that ids mean what they seem to, and is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kbioxlm.dataset_scripts.benchmarks.published import LANGUAGES, Split

PARALLEL_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("document", pa.string()),
        *((f"split_{language}", pa.string()) for language in LANGUAGES),
        *((f"original_splits_{language}", pa.list_(pa.string())) for language in LANGUAGES),
        *((f"rows_{language}", pa.list_(pa.string())) for language in LANGUAGES),
    ]
)


@dataclass
class _Places:
    """A document in one language: its row ids and labels, its split when cleaned, its splits as published."""

    rows: list[str]
    labels: Counter[str]
    split: str | None = None
    original_splits: tuple[str, ...] = ()


def parallel_documents(splits: Sequence[Split]) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """The rows of `PARALLEL_SCHEMA` of the documents that `splits` hold in both languages, and counts by benchmark.

    Returns:
        the rows; and for each benchmark `documents` (in both languages), `documents_clean` (in both in the cleaned
        splits), `same_labels` (with equal labels in both, or as many entities of each label), and `only_en`,
        `only_zh` (in one language alone).
    """
    rows: list[dict[str, Any]] = []
    counts: dict[str, dict[str, int]] = {}
    for benchmark in dict.fromkeys(split.benchmark for split in splits):
        places = {
            language: _places([s for s in splits if (s.benchmark, s.language) == (benchmark, language)])
            for language in LANGUAGES
        }
        first, *others = (places[language] for language in LANGUAGES)
        shared = [document for document in first if all(document in other for other in others)]
        same = clean = 0
        for document in shared:
            found = {language: places[language][document] for language in LANGUAGES}
            row: dict[str, Any] = {"benchmark": benchmark, "document": document}
            row |= {f"split_{language}": place.split for language, place in found.items()}
            row |= {f"original_splits_{language}": list(place.original_splits) for language, place in found.items()}
            row |= {f"rows_{language}": place.rows for language, place in found.items()}
            rows.append(row)
            same += len({frozenset(place.labels.items()) for place in found.values()}) == 1
            clean += all(place.split is not None for place in found.values())
        counts[benchmark] = {
            "documents": len(shared),
            "documents_clean": clean,
            "same_labels": same,
            **{f"only_{language}": len(places[language]) - len(shared) for language in LANGUAGES},
        }
    return rows, counts


def _places(splits: Sequence[Split]) -> dict[str, _Places]:
    """The documents of one benchmark and language."""
    documents: dict[str, _Places] = {}
    # as published first: it has every document, and the cleaned rows have the same ids
    for split in sorted(splits, key=lambda split: not split.original):
        own: dict[str, _Places] = {}
        for row in split.rows:
            place = own.setdefault(row.document, _Places([], Counter()))
            place.rows.append(row.id)
            place.labels.update(split.labels_of(row))
        for key, place in own.items():
            place = documents.setdefault(key, place)
            if split.original:
                place.original_splits += (split.name,)
            else:
                place.split = split.name
    return documents
