"""Texts of a data set on the Hub, or in a folder that `load_dataset` opens."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from datasets import IterableDataset, Value, load_dataset
from datasets.exceptions import DatasetGenerationError
from huggingface_hub.errors import HTTPError

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.readers.documents import Document
from kbioxlm.dataset_scripts.readers.fields import LANGUAGE_KEYS, document_of

_LOG = logging.getLogger(__name__)
_UNREADABLE = (OSError, ValueError, HTTPError, DatasetGenerationError, pa.ArrowException)


@dataclass(frozen=True)
class HubPart:
    """One shard of a split of a data set, streamed."""

    dataset: str
    config: str | None
    split: str
    text_key: str
    shard: int
    shards: int
    languages: tuple[str, ...]
    language: str | None

    @property
    def name(self) -> str:
        dataset = Path(self.dataset).name if Path(self.dataset).is_dir() else self.dataset
        name = ":".join(filter(None, (dataset, self.config, self.split)))
        return name if self.shards == 1 else f"{name}#{self.shard}"

    def read(self) -> Iterator[Document]:
        """The texts of the shard in the languages asked for; the log tells how many are in others.

        Raises:
            InputError: a data set that cannot be read; as `document_of`.
        """
        place = f"hub:{self.name}"
        rows = iter(_opened(self.dataset, self.config, self.split).shard(num_shards=self.shards, index=self.shard))
        passed_over: Counter[str] = Counter()
        number = 0
        while True:
            try:
                row = next(rows, None)
            except _UNREADABLE as error:
                found = f"cannot be read after row {number} ({shown(str(error), 200)})"
                raise InputError(place, found, "check the data set and the network, and run again") from error
            if row is None:
                break
            number += 1
            document = document_of(row, place, self.name, number, self.language, self.text_key)
            if document.language in self.languages:
                yield document
            else:
                passed_over[document.language] += 1
        if passed_over:
            _LOG.info("%s: texts in languages not asked for: %s", place, dict(sorted(passed_over.items())))


def hub_parts(specification: str, languages: tuple[str, ...], language: str | None) -> list[HubPart]:
    """The shards of `hub:owner/name[:config[:split]]`; the split is `train` if none is named.

    The texts are in the column `text`; without one, in the only column of strings that is neither `id` nor language.

    Raises:
        InputError: a data set that cannot be opened, or without such a column.
    """
    dataset, *rest = specification.removeprefix("hub:").split(":")
    if not dataset or len(rest) > 2:
        raise InputError("--text", f"{shown(specification)}", "write hub:owner/name, with :config:split if needed")
    config = rest[0] if rest and rest[0] else None
    split = rest[1] if len(rest) > 1 and rest[1] else "train"
    rows = _opened(dataset, config, split)
    text_key = _text_key(specification, rows)
    shards = max(1, rows.num_shards)
    return [HubPart(dataset, config, split, text_key, shard, shards, languages, language) for shard in range(shards)]


def _opened(dataset: str, config: str | None, split: str) -> IterableDataset:
    try:
        return load_dataset(dataset, config, split=split, streaming=True)
    except _UNREADABLE as error:
        place = ":".join(filter(None, ("hub", dataset, config, split)))
        remedy = "check name, config and split, and the network"
        raise InputError(place, f"cannot be opened ({shown(str(error), 200)})", remedy) from error


def _text_key(specification: str, rows: IterableDataset) -> str:
    if rows.features is not None:
        strings = [key for key, feature in rows.features.items() if feature in (Value("string"), Value("large_string"))]
    else:
        strings = [key for key, value in next(iter(rows.take(1)), {}).items() if isinstance(value, str)]
    if "text" in strings:
        return "text"
    others = [key for key in strings if key != "id" and key not in LANGUAGE_KEYS]
    if len(others) != 1:
        found = f"no column 'text', and {'several' if others else 'no'} columns of strings ({', '.join(others)})"
        raise InputError(specification, found, "give a data set whose texts are in the column 'text'")
    return others[0]
