"""Writing tables of any size sorted and without duplicates: one range of the first column at a time.

The ranges follow from the rows alone, so that the bytes written do not depend on threads or on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
from tqdm import tqdm

from kbioxlm.dataset_scripts.folder import ShardWriter

ROWS_AT_ONCE = 1_500_000
SAMPLED_EVERY = 128


def stored(table: pl.LazyFrame, path: Path) -> pl.LazyFrame:
    """`table` written to `path`, to be read from there."""
    table.sink_parquet(path, compression="lz4", row_group_size=100_000, engine="streaming")
    return pl.scan_parquet(path)


def ranges(table: pl.LazyFrame, column: str, what: str) -> Iterator[pl.Expr]:
    """Conditions on `column` that divide `table` into ranges, in their order, of about `ROWS_AT_ONCE` rows."""
    rows = table.select(pl.len()).collect(engine="streaming").item()
    parts = -(-rows // ROWS_AT_ONCE)
    if parts <= 1:
        yield pl.lit(True)
        return
    sample = table.select(column).with_row_index("row").filter(pl.col("row") % SAMPLED_EVERY == 0)
    values = sample.select(pl.col(column).sort()).collect(engine="streaming")[column]
    bounds = sorted({values[part * len(values) // parts] for part in range(1, parts)})
    place = pl.col(column)
    with tqdm(total=len(bounds) + 1, desc=what, unit=" parts") as progress:
        for low, high in zip([None, *bounds], [*bounds, None], strict=True):
            above = pl.lit(True) if low is None else place >= low
            yield above if high is None else above & (place < high)
            progress.update()


def write_frame(writer: ShardWriter, frame: pl.DataFrame) -> None:
    """Append the columns of `writer`'s schema to its shards."""
    columns = [frame[name].to_arrow().cast(writer.schema.field(name).type) for name in writer.schema.names]
    writer.write(pa.Table.from_arrays(columns, schema=writer.schema))
