"""The shards of the data set folder: the kept rows of each level, and the mixture of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kbioxlm.dataset_scripts.corpora.arrays import map_array
from kbioxlm.dataset_scripts.corpora.mixture import mixing_keys, pieces_of
from kbioxlm.dataset_scripts.corpora.rows import LEVELS, ROW, LevelCounts
from kbioxlm.dataset_scripts.corpora.selection import KeptRows, Selection
from kbioxlm.dataset_scripts.corpora.work import WorkFolder, placed
from kbioxlm.dataset_scripts.folder import COMPRESSION, ROWS_PER_GROUP, ROWS_PER_SHARD, shard_name

MIXTURE = "mixture"


def shard_count(rows: int) -> int:
    """The number of shards of `rows` rows; a level without rows has one with the schema alone."""
    return max(1, -(-rows // ROWS_PER_SHARD))


def write_level_shard(work: WorkFolder, level: str, number: int, units: Sequence[Path]) -> None:
    """Write shard `number` of `level`, and its statistics into the folder `counts`."""
    counts = LevelCounts()
    start = number * ROWS_PER_SHARD
    with placed(work.output / level / shard_name(number)) as draft:
        with pq.ParquetWriter(str(draft), ROW, compression=COMPRESSION) as writer:
            for group in _groups(KeptRows(work.selection, level, units).tables(start, start + ROWS_PER_SHARD)):
                writer.write_table(group, row_group_size=ROWS_PER_GROUP)
                counts.add(group)
        with placed(work.counts / level / f"{number:05d}.json") as path:
            path.write_text(json.dumps(counts.as_dict()), encoding="utf-8")


def _groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The rows of `tables` in row groups, whose borders thus do not depend on those of the units."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= ROWS_PER_GROUP:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, ROWS_PER_GROUP).combine_chunks()
            waiting = [joined.slice(ROWS_PER_GROUP)]
            rows -= ROWS_PER_GROUP
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


def read_counts(folder: Path) -> LevelCounts:
    """The statistics of all shards of one level."""
    counts = LevelCounts()
    for path in sorted(folder.glob("*.json")):
        for name, values in json.loads(path.read_text(encoding="utf-8")).items():
            numbered = name.endswith("_per_row")
            getattr(counts, name).update(
                Counter({int(key) if numbered else key: value for key, value in values.items()})
            )
    return counts


def write_mixture_shard(work: WorkFolder, selection: Selection, number: int, seed: int) -> None:
    """Write shard `number` of the mixture: pieces of all levels, their rows in an order drawn from `seed`."""
    shards = shard_count(sum(selection.mixed_rows.values()))
    tables = [ROW.empty_table()]
    for level in LEVELS:
        mixed = map_array(work.selection / f"{level}.mixed.npy")
        for start, stop in pieces_of(selection.rows[level], number, shards):
            if mixed[start:stop].any():
                rows = _rows(work.output / level, start, stop)
                tables.append(rows.filter(pa.array(mixed[start:stop])))
    table = pa.concat_tables(tables).combine_chunks()
    order = np.argsort(mixing_keys(np.arange(table.num_rows, dtype=np.uint64), number, seed), kind="stable")
    with placed(work.output / MIXTURE / shard_name(number)) as draft:
        pq.write_table(table.take(order), draft, compression=COMPRESSION, row_group_size=ROWS_PER_GROUP)


def _rows(level: Path, start: int, stop: int) -> pa.Table:
    """Rows `start` to `stop` of a level's shards."""
    first = start // ROWS_PER_GROUP
    groups = []
    for group in range(first, -(-stop // ROWS_PER_GROUP)):
        shard, place = divmod(group, ROWS_PER_SHARD // ROWS_PER_GROUP)
        with pq.ParquetFile(level / shard_name(shard)) as file:
            groups.append(file.read_row_group(place))
    return pa.concat_tables(groups).slice(start - first * ROWS_PER_GROUP, stop - start)
