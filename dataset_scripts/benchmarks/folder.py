"""Writing annotated sentences as a data set folder: Parquet, and a card that names its configurations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from kbioxlm.dataset_scripts.benchmarks.classification import GAD_CLASSES, HALLMARKS, LabelledText
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence
from kbioxlm.dataset_scripts.benchmarks.published import Split
from kbioxlm.dataset_scripts.folder import CARD, ShardWriter, dataset_folder, markdown_table, write_statistics

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
_CLASSES = {"gad": GAD_CLASSES, "hoc": HALLMARKS}
_BODY = """# ADE, BC5CDR, GAD and HoC in English and Chinese

Named entities (ADE, BC5CDR), gene-disease relations in sentences (GAD) and hallmarks of cancer in abstracts (HoC), from
the files published by the authors of KBioXLM (arXiv 2311.11564, github.com/ngwlh-gl/KBioXLM, no licence file). Parallel
documents have the same `document` in both languages.

{table}

- ADE and BC5CDR: English words are joined by one space, Chinese characters by nothing. `units` are the published lines,
  on which scores are computed. Offsets are code points of `text`, end exclusive.
- ADE has no validation split: the published `dev.txt` is the test set in the other language.
- A repaired tag is an `I-` that continued nothing and now begins an entity; `repaired_units` names its units.
- Label names, of texts in the order of the published numbers:{labels}
"""


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


def write_benchmarks(splits: Sequence[Split], output: str | Path) -> dict[str, Any]:
    """Write `splits` to the folder `output`; `load_dataset(output, "ade_en")` opens a configuration.

    Returns:
        `stats.json`: under `labels` the label names of every configuration, under `splits` the counts of every
        configuration and split: documents, rows, labels (entities, or classes of texts) and so on.

    Raises:
        InputError: `output` is a file, or a folder that holds something else.
    """
    counts: dict[str, dict[str, dict[str, Any]]] = {}
    labels: dict[str, list[str]] = {}
    with dataset_folder(output) as draft:
        for split in splits:
            table = sentence_table(split.sentences) if split.sentences else text_table(split.texts)
            writer = ShardWriter(draft / split.config / split.name, table.schema)
            writer.write(table)
            writer.close()
            counts.setdefault(split.config, {})[split.name] = _counts(split)
            labels[split.config] = _label_names(split.benchmark, splits)
        statistics = {"labels": labels, "splits": counts}
        (draft / CARD).write_text(_card(statistics), encoding="utf-8")
        write_statistics(draft, statistics)
    return statistics


def _counts(split: Split) -> dict[str, Any]:
    labels = [entity.label for row in split.sentences for entity in row.entities]
    labels += [label for row in split.texts for label in row.labels]
    return {
        "documents": len(split.documents),
        "rows": len(split.rows),
        "labels": dict(sorted(Counter(labels).items())),
        "repaired_tags": sum(len(row.repaired_units) for row in split.sentences),
        "file": split.file.as_posix(),
    }


def _label_names(benchmark: str, splits: Sequence[Split]) -> list[str]:
    """The names of a benchmark's labels: the classes of texts in their published order, entity labels sorted."""
    if benchmark in _CLASSES:
        return list(_CLASSES[benchmark])
    sentences = (sentence for split in splits if split.benchmark == benchmark for sentence in split.sentences)
    return sorted({entity.label for sentence in sentences for entity in sentence.entities})


def _card(statistics: dict[str, Any]) -> str:
    front_matter = {
        "pretty_name": "ADE, BC5CDR, GAD and HoC in English and Chinese",
        "language": ["en", "zh"],
        "license": "unknown",
        "task_categories": ["token-classification", "text-classification"],
        "configs": [
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{config}/{split}/*.parquet"} for split in splits],
            }
            for config, splits in statistics["splits"].items()
        ],
    }
    table = markdown_table(
        ["config", "split", "documents", "rows", "labels", "repaired tags", "file"],
        [
            [config, split, row["documents"], row["rows"], sum(row["labels"].values()), row["repaired_tags"],
             row["file"]]
            for config, splits in statistics["splits"].items()
            for split, row in splits.items()
        ],
    )  # fmt: skip
    labels = "\n".join(f"  - `{config}`: {', '.join(names)}" for config, names in statistics["labels"].items())
    body = _BODY.format(table=table, labels=f"\n{labels}")
    return f"---\n{yaml.safe_dump(front_matter, sort_keys=False)}---\n\n{body}"
