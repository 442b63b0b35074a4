"""NER data for fine-tuning and evaluation: loading it, carving a dev set, and the checks before training."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, Span, read_iob

_COLUMNS = ("id", "document", "language", "text", "entities", "units")


@dataclass(frozen=True)
class NerData:
    """The sentences of one NER source.

    Attributes:
        source: as it was asked for; named in errors and reports.
        benchmark: sources of the same benchmark have comparable document ids: the configurations of a folder
            that differ in their language alone, and the IOB files of one folder.
        sentences: in the order of the source.
    """

    source: str
    benchmark: str
    sentences: tuple[Sentence, ...]

    @cached_property
    def documents(self) -> frozenset[str]:
        """The ids of its documents."""
        return frozenset(sentence.document for sentence in self.sentences)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The entity labels that occur, sorted."""
        return tuple(sorted({entity.label for sentence in self.sentences for entity in sentence.entities}))

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of all sentences."""
        digest = hashlib.sha256()
        for sentence in self.sentences:
            digest.update(repr((sentence.id, sentence.text, sentence.entities, sentence.units)).encode())
        return digest.hexdigest()[:16]


def load_ner(source: str | Path, split: str) -> NerData:
    """Load annotated sentences.

    Args:
        source: an IOB file; or `folder:config` or `folder:config:split`, a configuration of a data set folder
            (or of a data set on the Hub) with the columns of `docs/benchmarks.md`.
        split: the split that is read where `source` names none; an IOB file has no splits.

    Raises:
        InputError: nothing there, no such configuration or split, missing columns, spans outside the text or
            overlapping, no sentence.
    """
    source = str(source)
    path = Path(source)
    if path.is_file() or ":" not in source:
        if path.is_dir():
            raise InputError(source, "is a folder", "name a configuration, as in folder:ade_en")
        return NerData(source, str(path.resolve().parent), tuple(read_iob(path).sentences))
    place, config, *rest = source.split(":")
    if len(rest) > 1 or not place or not config:
        raise InputError(source, "not a source", "write an IOB file, folder:config or folder:config:split")
    rows = _dataset_rows(source, place, config, rest[0] if rest else split)
    sentences = tuple(_sentence(source, number, row) for number, row in enumerate(rows))
    if not sentences:
        raise InputError(source, "no sentence in this split", "name another split")
    folder = str(Path(place).resolve()) if Path(place).is_dir() else place
    language = sentences[0].language
    return NerData(source, f"{folder}:{config.removesuffix(f'_{language}')}", sentences)


def _dataset_rows(source: str, place: str, config: str, split: str) -> list[dict[str, Any]]:
    """The rows of a split, read from the folder itself where there is one: load_dataset may answer from its cache
    with what an earlier build wrote to the same folder.
    """
    if Path(place).is_dir():
        table = pa.concat_tables(_read_shard(shard) for shard in _shards(source, Path(place), config, split))
    elif place.count("/") == 1 and not place.startswith((".", "/")):
        table = _hub_table(source, place, config, split)
    else:
        raise InputError(source, f"no folder {place}", "build it first, or check the path")
    missing = [column for column in _COLUMNS if column not in table.column_names]
    if missing:
        raise InputError(source, f"no column {', '.join(missing)}", "write the columns of docs/benchmarks.md")
    return table.to_pylist()


def _shards(source: str, folder: Path, config: str, split: str) -> list[Path]:
    """The Parquet files of a split, by the `configs:` of the folder's card."""
    card = require_file(folder / "README.md")
    front_matter = card.read_text(encoding="utf-8").split("---\n")
    try:
        configs = yaml.safe_load(front_matter[1])["configs"] if len(front_matter) > 2 else []
        files = {c["config_name"]: {row["split"]: row["path"] for row in c["data_files"]} for c in configs}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(card, f"its `configs:` cannot be read ({error!r})", "build the folder again") from error
    if config not in files:
        raise InputError(source, f"no configuration {shown(config)}", f"choose from {', '.join(files) or 'none'}")
    if split not in files[config]:
        raise InputError(source, f"no split {shown(split)} in {config}", f"choose from {', '.join(files[config])}")
    shards = sorted(folder.glob(files[config][split]))
    if not shards:
        raise InputError(source, f"no file matches {files[config][split]}", "build the folder again")
    return shards


def _read_shard(shard: Path) -> pa.Table:
    try:
        return pq.read_table(shard)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(shard, f"not a readable Parquet file ({error})", "build the folder again") from error


def _hub_table(source: str, place: str, config: str, split: str) -> pa.Table:
    try:
        return datasets.load_dataset(place, config, split=split).data.table
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(source, f"cannot be loaded from the Hub ({error})", "check the name, or the path") from error


def _sentence(source: str, number: int, row: dict[str, Any]) -> Sentence:
    entities = tuple(sorted(Span(e["start"], e["end"], e["label"]) for e in row["entities"]))
    units = tuple((unit["start"], unit["end"]) for unit in row["units"])
    for name, spans in (("entity", [entity[:2] for entity in entities]), ("unit", units)):
        last = 0
        for start, end in spans:
            if not last <= start < end <= len(row["text"]):
                raise InputError(
                    source, f"row {number} ({row['id']}): {name} {start}..{end} overlaps another or leaves the text of "
                    f"{len(row['text'])} characters", "correct the offsets",
                )  # fmt: skip
            last = end
    return Sentence(row["id"], row["document"], row["text"], entities, units, row["language"])


def carve_dev(data: NerData, share: float, seed: int) -> tuple[NerData, NerData]:
    """Split `data` into train and dev by document: dev gets `share` of the documents, drawn with `seed`.

    Raises:
        InputError: there is one document only.
    """
    documents = sorted(data.documents)
    if len(documents) < 2:
        raise InputError(data.source, "one document cannot be parted into train and dev", "name a dev source")
    count = min(len(documents) - 1, max(1, math.floor(share * len(documents) + 0.5)))
    chosen = set(random.Random(seed).sample(documents, count))
    train = tuple(sentence for sentence in data.sentences if sentence.document not in chosen)
    dev = tuple(sentence for sentence in data.sentences if sentence.document in chosen)
    return (
        NerData(data.source, data.benchmark, train),
        NerData(f"{data.source} (share {share:g} of the documents, seed {seed})", data.benchmark, dev),
    )


def check_disjoint(train: NerData, dev: NerData, tests: Iterable[NerData]) -> None:
    """Refuse test and dev sets that share a document with train, and tests that share one with dev, in any language.

    Ids are compared within a benchmark only (see `NerData.benchmark`).

    Raises:
        InputError: two sets share a document id.
    """
    pairs = [(train, dev)] + [(part, test) for test in tests for part in (train, dev)]
    for first, second in pairs:
        shared = first.documents & second.documents
        if first.benchmark == second.benchmark and shared:
            raise InputError(
                second.source, f"shares {len(shared)} document ids with {first.source}, such as {shown(min(shared))}",
                "use other splits, or set allow_shared_documents: true if the ids mean different documents",
            )  # fmt: skip


def check_labels(data: NerData, known: Sequence[str]) -> None:
    """Refuse a set that holds an entity label outside `known`.

    Raises:
        InputError: names the label, its first sentence and the labels that are known.
    """
    for sentence in data.sentences:
        for entity in sentence.entities:
            if entity.label not in known:
                raise InputError(
                    data.source,
                    f"sentence {sentence.id} has label {shown(entity.label)}, which the model does not know",
                    f"it knows {', '.join(known) or 'none'}; use data with these labels, or train with this one",
                )  # fmt: skip


def entity_labels(id2label: dict[int, str]) -> list[str]:
    """The entity labels of a tagger's IOB2 tags, sorted: `{0: "O", 1: "B-Drug", 2: "I-Drug"}` gives `["Drug"]`."""
    return sorted({tag.partition("-")[2] for tag in id2label.values() if tag != "O"})


def iob2_tags(labels: Iterable[str]) -> list[str]:
    """The tags of a tagger for `labels`: `O`, then `B-` and `I-` of each."""
    return ["O"] + [f"{prefix}-{label}" for label in labels for prefix in ("B", "I")]
