"""Writing annotated sentences as a data set folder: Parquet, and a card that names its configurations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from kbioxlm.dataset_scripts.benchmarks.iob import Sentence
from kbioxlm.dataset_scripts.benchmarks.published import NER_FOLDER, Split
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
    ]
)
_BODY = f"""# ADE and BC5CDR in English and Chinese

Named entities, from the IOB files published by the authors of KBioXLM (arXiv 2311.11564,
github.com/ngwlh-gl/KBioXLM, no licence file), folder `{NER_FOLDER}`. Parallel documents have the same `document` in
both languages.

{{table}}

- English words are joined by one space, Chinese characters by nothing. `units` are the published lines, on which scores
  are computed. Offsets are code points of `text`, end exclusive.
- ADE has no validation split: the published `dev.txt` is the test set in the other language.
- A repaired tag is an `I-` that continued nothing and now begins an entity.
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
        }
        for sentence in sentences
    ]
    return pa.Table.from_pylist(rows, schema=NER_SCHEMA)


def write_benchmarks(splits: Sequence[Split], output: str | Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Write `splits` to the folder `output`; `load_dataset(output, "ade_en")` opens a configuration.

    Returns:
        the counts of `stats.json`: configuration, split, then documents, sentences, entities and so on.

    Raises:
        InputError: `output` is a file, or a folder that holds something else.
    """
    statistics: dict[str, dict[str, dict[str, Any]]] = {}
    with dataset_folder(output) as draft:
        for split in splits:
            writer = ShardWriter(draft / split.config / split.name, NER_SCHEMA)
            writer.write(sentence_table(split.content.sentences))
            writer.close()
            statistics.setdefault(split.config, {})[split.name] = {
                "documents": len(split.documents),
                "sentences": len(split.content.sentences),
                "entities": sum(len(sentence.entities) for sentence in split.content.sentences),
                "repaired_tags": len(split.content.repaired_lines),
                "file": split.file.as_posix(),
            }
        (draft / CARD).write_text(_card(statistics), encoding="utf-8")
        write_statistics(draft, statistics)
    return statistics


def _card(statistics: dict[str, dict[str, dict[str, Any]]]) -> str:
    front_matter = {
        "pretty_name": "ADE and BC5CDR in English and Chinese",
        "language": ["en", "zh"],
        "license": "unknown",
        "task_categories": ["token-classification"],
        "configs": [
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{config}/{split}/*.parquet"} for split in splits],
            }
            for config, splits in statistics.items()
        ],
    }
    table = markdown_table(
        ["config", "split", "documents", "sentences", "entities", "repaired tags", "file"],
        [
            [config, split, *(row[k] for k in ("documents", "sentences", "entities", "repaired_tags")), row["file"]]
            for config, splits in statistics.items()
            for split, row in splits.items()
        ],
    )
    return f"---\n{yaml.safe_dump(front_matter, sort_keys=False)}---\n\n{_BODY.format(table=table)}"
