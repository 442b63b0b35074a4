"""Writing and reading data set folders: Parquet shards, a card with `configs:`, and stats.json.

A folder written here opens with `datasets.load_dataset(folder, config)`, on disk as on the Hub.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import written_beside

ROWS_PER_GROUP = 10_000
ROWS_PER_SHARD = 200_000
COMPRESSION = "zstd"
CARD = "README.md"
STATISTICS = "stats.json"


@contextmanager
def dataset_folder(target: str | Path) -> Iterator[Path]:
    """A draft folder that becomes `target` when the block ends well; an older data set at `target` is replaced.

    Raises:
        InputError: `target` is a file, or a folder with content that is not a data set folder.
    """
    with written_beside(require_replaceable(target)) as draft:
        draft.mkdir(parents=True)
        yield draft


def require_replaceable(target: str | Path) -> Path:
    """`target` as a Path, after checking that it is free, an empty folder, or an earlier data set.

    Raises:
        InputError: it is a file, or a folder with content that is not a data set folder.
    """
    target = Path(target)
    if target.exists() and not target.is_dir():
        raise InputError(target, "is a file", "give a folder that does not exist yet")
    if target.is_dir() and any(target.iterdir()) and not (target / STATISTICS).is_file():
        raise InputError(
            target,
            f"is a folder with other content (no {STATISTICS})",
            "give a folder that does not exist yet; only an earlier data set is replaced",
        )
    return target


def shard_name(number: int) -> str:
    """The file name of a shard."""
    return f"part-{number:05d}.parquet"


class ShardWriter:
    """Writes tables to `folder/part-00000.parquet`, …, a new shard every `ROWS_PER_SHARD` rows.

    A writer that was given no rows leaves one shard with the schema alone.
    """

    def __init__(self, folder: Path, schema: pa.Schema):
        self.folder = folder
        self.schema = schema
        self.shards = 0
        self._rows_in_shard = 0
        self._writer: pq.ParquetWriter | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, table: pa.Table) -> None:
        """Append `table`, whose schema must be the writer's."""
        start = 0
        while start < table.num_rows:
            if self._writer is None:
                self._open()
            length = min(table.num_rows - start, ROWS_PER_SHARD - self._rows_in_shard)
            self._current().write_table(table.slice(start, length), row_group_size=ROWS_PER_GROUP)
            self._rows_in_shard += length
            start += length
            if self._rows_in_shard == ROWS_PER_SHARD:
                self.close()

    def close(self) -> None:
        """Finish the open shard."""
        if self._writer is None and self.shards == 0:
            self._open()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> None:
        path = self.folder / shard_name(self.shards)
        self._writer = pq.ParquetWriter(path, self.schema, compression=COMPRESSION)
        self.shards += 1
        self._rows_in_shard = 0

    def _current(self) -> pq.ParquetWriter:
        assert self._writer is not None
        return self._writer


def write_rows(folder: Path, schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write `rows` (one tuple a row, in the order of `schema`) as the shards of one config."""
    writer = ShardWriter(folder, schema)
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [() for _ in schema]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    writer.write(pa.Table.from_arrays(arrays, schema=schema))
    writer.close()


def read_table(folder: str | Path, config: str, columns: Sequence[str]) -> pa.Table:
    """The shards of one config as a table of `columns`.

    Raises:
        InputError: no shards, a shard that is not Parquet, or a column that is missing.
    """
    tables = []
    for shard in _required_shards(folder, config):
        _require_columns(shard, columns)
        try:
            tables.append(pq.read_table(shard, columns=list(columns)))
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable(shard, error) from error
    return pa.concat_tables(tables)


def read_batches(folder: str | Path, config: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of one config in `columns`, a few at a time.

    Raises:
        InputError: as `read_table`.
    """
    for shard in _required_shards(folder, config):
        _require_columns(shard, columns)
        try:
            with pq.ParquetFile(shard) as file:
                yield from file.iter_batches(columns=list(columns))
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable(shard, error) from error


def column_names(folder: str | Path, config: str) -> list[str]:
    """The columns of one config.

    Raises:
        InputError: no shards, or a shard that is not Parquet.
    """
    names: list[str] = _schema(_required_shards(folder, config)[0]).names
    return names


def _required_shards(folder: str | Path, config: str) -> list[Path]:
    shards = _shards(Path(folder), config)
    if not shards:
        raise InputError(folder, f"no {config}/*.parquet in it", "give a folder written by the script that makes it")
    return shards


def _require_columns(shard: Path, columns: Sequence[str]) -> None:
    known = _schema(shard).names
    missing = [column for column in columns if column not in known]
    if missing:
        raise InputError(shard, f"no column {missing[0]!r}", "build the folder again with this version")


def _schema(shard: Path) -> pa.Schema:
    try:
        return pq.read_schema(shard)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(shard, error) from error


def _unreadable(shard: Path, error: Exception) -> InputError:
    return InputError(shard, f"not a readable Parquet file ({error})", "build the folder again")


def write_card(folder: Path, front_matter: Mapping[str, Any], configs: Sequence[str], body: str) -> None:
    """Write the card: YAML front matter with one entry in `configs:` for each folder of shards, then `body`.

    A config without rows is not listed: `load_dataset` fails on an empty split, and says clearly what there is
    when it is asked for a config that is not listed.
    """
    filled = [name for name in configs if any(pq.read_metadata(shard).num_rows for shard in _shards(folder, name))]
    header = {
        **front_matter,
        "configs": [
            {"config_name": name, "data_files": [{"split": "train", "path": f"{name}/*.parquet"}]} for name in filled
        ],
    }
    text = yaml.safe_dump(header, allow_unicode=True, sort_keys=False)
    (folder / CARD).write_text(f"---\n{text}---\n\n{body.rstrip()}\n", encoding="utf-8")


def copy_other_configs(source: Path, target: Path, written: tuple[str, ...]) -> None:
    """Copy the shards of every config of `source` but those in `written`, byte for byte."""
    for shard in sorted(source.glob("*/*.parquet")):
        if shard.parent.name not in written:
            (target / shard.parent.name).mkdir(exist_ok=True)
            shutil.copyfile(shard, target / shard.parent.name / shard.name)


def write_statistics(folder: Path, statistics: Mapping[str, Any]) -> None:
    """Write `stats.json`, which also marks the folder as ours."""
    text = json.dumps(statistics, ensure_ascii=False, indent=2)
    (folder / STATISTICS).write_text(text + "\n", encoding="utf-8")


def _shards(folder: Path, config: str) -> list[Path]:
    return sorted((folder / config).glob("*.parquet"))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers get thousands separators."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
