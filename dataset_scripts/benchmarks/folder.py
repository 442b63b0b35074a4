"""Writing benchmarks as a data set folder: Parquet, a card that names its configurations, and stats.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from kbioxlm.dataset_scripts.benchmarks.card import VERSION, benchmarks_card
from kbioxlm.dataset_scripts.benchmarks.classification import GAD_CLASSES, HALLMARKS, LabelledText
from kbioxlm.dataset_scripts.benchmarks.clean import Change
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence
from kbioxlm.dataset_scripts.benchmarks.origin import Origin
from kbioxlm.dataset_scripts.benchmarks.parallel import PARALLEL_SCHEMA, parallel_documents
from kbioxlm.dataset_scripts.benchmarks.published import LANGUAGES, Split
from kbioxlm.dataset_scripts.folder import CARD, ShardWriter, dataset_folder, write_statistics

_OFFSETS = [("start", pa.int32()), ("end", pa.int32())]
NER_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("document", pa.string()),
        ("language", pa.string()),
        ("text", pa.string()),
        ("entities", pa.list_(pa.struct([*_OFFSETS, ("label", pa.string())]))),
        ("units", pa.list_(pa.struct(_OFFSETS))),
        ("repaired_units", pa.list_(pa.int32())),
    ]
)
TEXT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("document", pa.string()),
        ("language", pa.string()),
        ("text", pa.string()),
        ("labels", pa.list_(pa.string())),
    ]
)
CHANGES_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("document", pa.string()),
        ("published", pa.string()),
        ("place", pa.string()),
        ("reason", pa.string()),
        ("other", pa.string()),
        ("language", pa.string()),
        ("similarity", pa.float64()),
    ]
)
PARALLEL = "parallel"
CHANGES = "changes"
_CLASSES = {"gad": GAD_CLASSES, "hoc": HALLMARKS}


def sentence_table(sentences: Sequence[Sentence]) -> pa.Table:
    """`sentences` as a table of `NER_SCHEMA`."""
    rows = [
        {
            "id": sentence.id,
            "document": sentence.document,
            "language": sentence.language,
            "text": sentence.text,
            "entities": [entity._asdict() for entity in sentence.entities],
            "units": [{"start": start, "end": end} for start, end in sentence.units],
            "repaired_units": list(sentence.repaired_units),
        }
        for sentence in sentences
    ]
    return pa.Table.from_pylist(rows, schema=NER_SCHEMA)


def text_table(texts: Sequence[LabelledText]) -> pa.Table:
    """`texts` as a table of `TEXT_SCHEMA`."""
    return pa.Table.from_pylist([asdict(text) for text in texts], schema=TEXT_SCHEMA)


def write_benchmarks(
    splits: Sequence[Split],
    output: str | Path,
    changes: Sequence[Change] = (),
    origin: Origin | None = None,
) -> dict[str, Any]:
    """Write `splits` to the folder `output`; `load_dataset(output, "ade_en")` opens a configuration.

    Args:
        splits: cleaned ones, those as published, or both; the second have configurations of their own.
        changes: what became of documents when the splits were cleaned, the rows of the configuration `changes`.
        origin: where the published files are from, if that is to be told.

    Returns:
        `stats.json`, as docs/benchmarks.md describes it.

    Raises:
        InputError: `output` is a file, or a folder that holds something else.
    """
    counts: dict[str, dict[str, dict[str, Any]]] = {}
    labels: dict[str, list[str]] = {}
    with dataset_folder(output) as draft:
        for split in tqdm(splits, desc="writing", unit="split"):
            table = sentence_table(split.sentences) if split.sentences else text_table(split.texts)
            _write(draft / split.config / split.name, table)
            counts.setdefault(split.config, {})[split.name] = _counts(split)
            labels[split.config] = _label_names(split.benchmark, splits)
        pairs, parallel = parallel_documents(splits)
        tables = {
            PARALLEL: pa.Table.from_pylist(pairs, schema=PARALLEL_SCHEMA),
            CHANGES: pa.Table.from_pylist([asdict(change) for change in changes], schema=CHANGES_SCHEMA),
        }
        filled = [name for name, table in tables.items() if table.num_rows]  # load_dataset fails on an empty split
        for name in filled:
            _write(draft / name / "train", tables[name])
        statistics = {
            "version": VERSION,
            "source": {"url": origin and origin.url, "commit": origin and origin.commit},
            "labels": labels,
            "splits": counts,
            PARALLEL: parallel,
            CHANGES: _change_counts(changes, splits),
        }
        (draft / CARD).write_text(benchmarks_card(statistics, filled), encoding="utf-8")
        write_statistics(draft, statistics)
    return statistics


def _write(folder: Path, table: pa.Table) -> None:
    writer = ShardWriter(folder, table.schema)
    writer.write(table)
    writer.close()


def _counts(split: Split) -> dict[str, Any]:
    labels = Counter(label for row in split.rows for label in split.labels_of(row))
    counts = {
        "documents": len(split.documents),
        "rows": len(split.rows),
        "labels": dict(sorted(labels.items())),
        "repaired_tags": sum(len(row.repaired_units) for row in split.sentences),
        "file": split.file.as_posix(),
    }
    return counts | ({"sha256": split.sha256} if split.sha256 else {})


def _change_counts(changes: Sequence[Change], splits: Sequence[Split]) -> list[dict[str, Any]]:
    """How many documents, and how many rows in each language, changed their place in the same way."""
    rows = Counter((s.benchmark, s.language, s.name, row.document) for s in splits if s.original for row in s.rows)
    groups: dict[tuple[Any, ...], list[Change]] = {}
    for change in changes:
        groups.setdefault((change.benchmark, change.published, change.place, change.reason), []).append(change)
    return [
        {
            "benchmark": benchmark, "published": published, "place": place, "reason": str(reason),
            "documents": len(own),
            **{
                f"rows_{language}": sum(rows[benchmark, language, published, change.document] for change in own)
                for language in LANGUAGES
            },
        }
        for (benchmark, published, place, reason), own in groups.items()
    ]  # fmt: skip


def _label_names(benchmark: str, splits: Sequence[Split]) -> list[str]:
    """The names of a benchmark's labels: the classes of texts in their published order, entity labels sorted."""
    if benchmark in _CLASSES:
        return list(_CLASSES[benchmark])
    own = [split for split in splits if split.benchmark == benchmark]
    return sorted({label for split in own for row in split.rows for label in split.labels_of(row)})
