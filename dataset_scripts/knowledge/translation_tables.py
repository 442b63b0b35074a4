"""The tables of a knowledge base folder as its translation reads and writes them: concept by concept, never whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.folder import ROWS_PER_GROUP, ShardWriter, read_table, write_rows
from kbioxlm.dataset_scripts.knowledge.card import SourceRow
from kbioxlm.dataset_scripts.knowledge.schemas import RELATION_NAMES, SOURCES

ROWS_AT_ONCE = 50_000
NEEDED = ("concept", "language", "name", "preferred", "source", "term_type")
_ORDER = ("concept", "language", "name", "source", "term_type")


class NamesReader:
    """The config `names` of a folder, some thousand rows at a time. Without a column `license` it is "".

    Raises:
        InputError: no shards, or a shard without one of the columns.
    """

    def __init__(self, folder: str | Path):
        self._shards = sorted((Path(folder) / "names").glob("*.parquet"))
        if not self._shards:
            raise InputError(folder, "no names/*.parquet in it", "give a folder written by knowledge_base.py build")
        self.schema = pq.read_schema(self._shards[0]).remove_metadata()
        for column in NEEDED:
            if column not in self.schema.names:
                raise InputError(self._shards[0], f"no column {column!r}", "build the folder again with this version")
        if "license" not in self.schema.names:
            self.schema = self.schema.append(pa.field("license", pa.string()))

    @property
    def rows(self) -> int:
        """Number of names."""
        return sum(pq.read_metadata(shard).num_rows for shard in self._shards)

    def concepts(self) -> Iterator[pl.DataFrame]:
        """All names, cut between concepts.

        Raises:
            InputError: names that are not sorted by concept, or a shard that cannot be read.
        """
        rest: pl.DataFrame | None = None
        for frame in self._frames():
            frame = frame if rest is None else pl.concat([rest, frame])
            if not frame["concept"].is_sorted():
                raise InputError(
                    self._shards[0].parent, "the names are not sorted by concept", "build the knowledge base again"
                )
            last = frame["concept"] == frame["concept"][-1]
            rest = frame.filter(last)
            if rest.height < frame.height:
                yield frame.filter(~last)
        if rest is not None:
            yield rest

    def _frames(self) -> Iterator[pl.DataFrame]:
        for shard in self._shards:
            try:
                for batch in pq.ParquetFile(shard).iter_batches(batch_size=ROWS_AT_ONCE):
                    frame = pl.DataFrame(pl.from_arrow(batch))
                    if "license" not in frame.columns:
                        frame = frame.with_columns(license=pl.lit(""))
                    if frame.height:
                        yield frame.select(self.schema.names)
            except (pa.ArrowInvalid, OSError, pl.exceptions.PolarsError) as error:
                raise InputError(shard, f"not readable as names ({shown(str(error))})", "build it again") from error


class NamesWriter:
    """Writes the config `names` of a folder. The bytes do not depend on how the rows were cut."""

    def __init__(self, folder: Path, schema: pa.Schema):
        self._schema = schema
        self._writer = ShardWriter(folder / "names", schema)
        self._pending: list[pl.DataFrame] = []

    def write(self, frame: pl.DataFrame, added: pl.DataFrame) -> None:
        """Append the names `frame` of some concepts with the rows `added` to them."""
        together = pl.concat([frame, added], how="diagonal").select(self._schema.names) if added.height else frame
        self._pending.append(together.sort(_ORDER))
        if sum(part.height for part in self._pending) >= ROWS_AT_ONCE:
            rows = pl.concat(self._pending)
            whole = rows.height // ROWS_PER_GROUP * ROWS_PER_GROUP
            self._flush(rows[:whole])
            self._pending = [rows[whole:]]

    def close(self) -> None:
        """Write what is left."""
        if self._pending:
            self._flush(pl.concat(self._pending))
        self._writer.close()

    def _flush(self, rows: pl.DataFrame) -> None:
        self._writer.write(rows.to_arrow().cast(self._schema))


def write_phrases(source: Path, target: Path, language: str, added: Sequence[tuple[str, str]]) -> None:
    """Write the config `relation_names` of `target`: that of `source`, and `added` (relation, phrase) in `language`."""
    table = read_table(source, "relation_names", RELATION_NAMES.names)
    rows = {tuple(row[column] for column in RELATION_NAMES.names) for row in table.to_pylist()}
    rows.update((relation, language, phrase) for relation, phrase in added)
    write_rows(target / "relation_names", RELATION_NAMES, sorted(rows))


def write_sources(source: Path, target: Path, name: str, title: str, licenses: Mapping[str, int]) -> list[SourceRow]:
    """Write the config `sources` of `target`: that of `source`, and `name` with one row a licence of its names."""
    counts: Counter[tuple[str, str, str, str, str, str]] = Counter()
    if any((source / "sources").glob("*.parquet")):
        for row in read_table(source, "sources", SOURCES.names).to_pylist():
            known = SourceRow(**row)
            counts[known[:6]] += known.names
    for license_, names in licenses.items():
        counts[name, license_, title, "", "", ""] += names
    rows = [SourceRow(*key, counts[key]) for key in sorted(counts)]
    write_rows(target / "sources", SOURCES, rows)
    return rows
