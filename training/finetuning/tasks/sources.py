"""Reading labelled rows from `folder:config[:split]`, a configuration of a data set folder or of the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file
from kbioxlm.dataset_scripts.benchmarks.published import ORIGINAL

_TASKS = {"entities": "ner", "labels": "relation or document"}  # by the column that only its sources have


@dataclass(frozen=True)
class Source:
    """`folder:config:split`, taken apart.

    Attributes:
        name: as it was asked for.
        place: a folder, or the id of a data set on the Hub.
    """

    name: str
    place: str
    config: str
    split: str

    def benchmark(self, language: str) -> str:
        """What the configurations of a folder that differ in their language alone have in common; the published and
        the cleaned splits of a benchmark have the same documents.
        """
        folder = str(Path(self.place).resolve()) if Path(self.place).is_dir() else self.place
        return f"{folder}:{self.config.removesuffix(ORIGINAL).removesuffix(f'_{language}')}"


def parse_source(name: str, split: str, kinds: str = "folder:config or folder:config:split") -> Source:
    """`name` as a source; `split` is read where it names none.

    Raises:
        InputError: it does not have the form; `kinds` says which there are.
    """
    place, _, rest = name.partition(":")
    config, *splits = rest.split(":")
    if len(splits) > 1 or not place or not config:
        if Path(name).is_dir():
            raise InputError(name, "is a folder", "name a configuration, as in folder:ade_en")
        raise InputError(name, "not a source", f"write {kinds}")
    return Source(name, place, config, splits[0] if splits else split)


def read_rows(source: Source, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a split, read from the folder itself where there is one: load_dataset may answer from its cache
    with what an earlier build wrote to the same folder.

    Raises:
        InputError: no such folder, configuration or split, a damaged file, or a column that is missing.
    """
    if Path(source.place).is_dir():
        table = pa.concat_tables(_read_shard(shard) for shard in _shards(source))
    elif source.place.count("/") == 1 and not source.place.startswith((".", "/")):
        table = _hub_table(source)
    else:
        raise InputError(source.name, f"no folder {source.place}", "build it first, or check the path")
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        other = [task for column, task in _TASKS.items() if column in table.column_names and column not in columns]
        raise InputError(
            source.name, f"no column {', '.join(missing)}",
            f"set task: {other[0]} for this source" if other else "write the columns of docs/benchmarks.md",
        )  # fmt: skip
    return table.to_pylist()


def _shards(source: Source) -> list[Path]:
    """The Parquet files of a split, by the `configs:` of the folder's card."""
    folder = Path(source.place)
    card = require_file(folder / "README.md")
    front_matter = card.read_text(encoding="utf-8").split("---\n")
    try:
        configs = yaml.safe_load(front_matter[1])["configs"] if len(front_matter) > 2 else []
        files = {c["config_name"]: {row["split"]: row["path"] for row in c["data_files"]} for c in configs}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(card, f"its `configs:` cannot be read ({error!r})", "build the folder again") from error
    if source.config not in files:
        raise InputError(
            source.name, f"no configuration {shown(source.config)}", f"choose from {', '.join(files) or 'none'}"
        )
    splits = files[source.config]
    if source.split not in splits:
        raise InputError(
            source.name, f"no split {shown(source.split)} in {source.config}", f"choose from {', '.join(splits)}"
        )
    shards = sorted(folder.glob(splits[source.split]))
    if not shards:
        raise InputError(source.name, f"no file matches {splits[source.split]}", "build the folder again")
    return shards


def _read_shard(shard: Path) -> pa.Table:
    try:
        return pq.read_table(shard)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(shard, f"not a readable Parquet file ({error})", "build the folder again") from error


def _hub_table(source: Source) -> pa.Table:
    try:
        return datasets.load_dataset(source.place, source.config, split=source.split).data.table
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        found = f"cannot be loaded from the Hub ({error})"
        raise InputError(source.name, found, "check the name, or the path") from error
