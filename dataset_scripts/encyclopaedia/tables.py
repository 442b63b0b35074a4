"""The tables of a dump, brought from SQL into Parquet once, with the rows and columns that are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.encyclopaedia.dumps import Dump
from kbioxlm.dataset_scripts.encyclopaedia.sql import SqlTable

ARTICLES, CATEGORIES = 0, 14
PAGE, REDIRECT, LANGLINKS, LINKS, TARGETS = "page", "redirect", "langlinks", "categorylinks", "linktarget"
_OF_BOTH = [ARTICLES, CATEGORIES]


class Tables(NamedTuple):
    """The Parquet files of one edition, made by the functions below."""

    pages: Path
    redirects: Path
    language_links: Path
    category_links: Path
    targets: Path


def page_rows(dump: Dump, path: Path) -> int:
    """Articles and categories: `id`, `namespace`, `title` (with underscores), `redirect`."""
    wanted = {"page_id": "id", "page_namespace": "namespace", "page_title": "title", "page_is_redirect": "redirect"}
    return _written(
        dump,
        PAGE,
        wanted,
        path,
        lambda rows: rows.filter(pl.col("namespace").is_in(_OF_BOTH)).with_columns(
            pl.col("id").cast(pl.UInt32), pl.col("namespace").cast(pl.UInt8), pl.col("redirect") != 0
        ),
    )


def redirect_rows(dump: Dump, path: Path) -> int:
    """Redirects within the edition: `id` of the page, `namespace` and `title` of its target."""
    wanted = {"rd_from": "id", "rd_namespace": "namespace", "rd_title": "title", "rd_interwiki": "interwiki"}
    return _written(
        dump,
        REDIRECT,
        wanted,
        path,
        lambda rows: rows.filter(
            pl.col("namespace").is_in(_OF_BOTH) & (pl.col("interwiki").fill_null("") == "")
        ).select(pl.col("id").cast(pl.UInt32), pl.col("namespace").cast(pl.UInt8), "title"),
    )


def language_link_rows(dump: Dump, codes: tuple[str, ...], path: Path) -> int:
    """Language links to the editions `codes`: `id` of the page, `language` (a code) and `title` there."""
    wanted = {"ll_from": "id", "ll_lang": "language", "ll_title": "title"}
    return _written(
        dump,
        LANGLINKS,
        wanted,
        path,
        lambda rows: rows.filter(pl.col("language").is_in(codes)).with_columns(
            pl.col("id").cast(pl.UInt32), title=normalised(pl.col("title"))
        ),
    )


def category_link_rows(dump: Dump, path: Path) -> int:
    """Members of categories: `id` of the page, `subcategory`, and either `title` or `target` of the category.

    Up to MediaWiki 1.44 the category's title stands in `cl_to`; then `cl_target_id` is a row of table linktarget.
    """
    columns = SqlTable(dump.tables[LINKS], LINKS).columns
    by_title = "cl_to" in columns or "cl_target_id" not in columns
    category = {"cl_to": "title"} if by_title else {"cl_target_id": "target"}
    if not by_title and TARGETS not in dump.tables:
        raise InputError(
            dump.tables[LINKS], f"its categories are rows of table {TARGETS}, whose dump is not there",
            f"fetch …-{TARGETS}.sql.gz of the same dump beside it",
        )  # fmt: skip
    return _written(
        dump,
        LINKS,
        {"cl_from": "id", **category, "cl_type": "type"},
        path,
        lambda rows: rows.filter(pl.col("type").is_in(["page", "subcat"])).select(
            pl.col("id").cast(pl.UInt32), *category.values(), subcategory=pl.col("type") == "subcat"
        ),
    )


def link_target_rows(dump: Dump, path: Path) -> int:
    """Categories among the link targets: `target` and `title`. A dump of the older schema has none."""
    if TARGETS not in dump.tables:
        empty = pl.DataFrame(schema={"target": pl.Int64, "title": pl.String})
        empty.write_parquet(path)
        return 0
    wanted = {"lt_id": "target", "lt_namespace": "namespace", "lt_title": "title"}
    return _written(
        dump,
        TARGETS,
        wanted,
        path,
        lambda rows: rows.filter(pl.col("namespace") == CATEGORIES).select("target", "title"),
    )


def normalised(title: pl.Expr) -> pl.Expr:
    """A title as table page has it: underscores, first letter capital, nothing of a section or a leading colon."""
    plain = (
        title.str.replace(r"#.*$", "")
        .str.replace_all(r"[\s_\u200e\u200f]+", "_")
        .str.strip_chars("_:")
        .str.strip_chars("_")
    )
    first = plain.str.slice(0, 1)
    capital = first.str.to_uppercase()
    one = capital.str.len_chars() == 1  # ß and ŉ have no capital of one letter, and MediaWiki leaves them
    return pl.when(one).then(capital + plain.str.slice(1)).otherwise(plain)


def _written(
    dump: Dump, table: str, wanted: dict[str, str], path: Path, kept: Callable[[pl.DataFrame], pl.DataFrame]
) -> int:
    """Write the `kept` rows of a table with the columns `wanted` under new names; returns how many."""
    source = SqlTable(dump.tables[table], table)
    count = 0
    writer: pq.ParquetWriter | None = None
    with tqdm(desc=f"{dump.language} {table}", unit=" rows", unit_scale=True) as bar:
        for batch in _with_empty(source, tuple(wanted)):
            bar.update(batch.num_rows)
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            rows = kept(frame.rename(wanted)).to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(path, rows.schema, compression="zstd", compression_level=1)
            writer.write_table(rows)
            count += rows.num_rows
    assert writer is not None
    writer.close()
    return count


def _with_empty(source: SqlTable, wanted: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """The batches after one without rows, so that a table without rows has a schema too."""
    types = {column: pa.int64() if integer else pa.large_string() for column, integer in source.columns.items()}
    if all(column in types for column in wanted):
        yield pa.RecordBatch.from_pydict({column: pa.array([], types[column]) for column in wanted})
    yield from source.read(wanted)
