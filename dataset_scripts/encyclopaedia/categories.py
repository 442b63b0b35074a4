"""Walking the categories of an edition from given roots down to its articles."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import opencc
import polars as pl
from numpy.typing import NDArray

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_lines
from kbioxlm.dataset_scripts.encyclopaedia.tables import ARTICLES, CATEGORIES, Tables, normalised

ROOTS = Path(__file__).with_name("roots.tsv")
EXCLUDED = Path(__file__).with_name("excluded.tsv")


class Walk(NamedTuple):
    """What a walk reached.

    Attributes:
        categories: page ids of the categories, nearest first, then by id.
        depths: of each of them its distance from the nearest root.
        excluded: how many categories were not entered because they are on the list.
        articles: page ids of the members that are articles and no redirects, sorted.
    """

    categories: NDArray[np.uint32]
    depths: NDArray[np.uint8]
    excluded: int
    articles: NDArray[np.uint32]


def read_categories(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Language → categories of a tab-separated file with the header `language category`.

    Raises:
        InputError: a missing or empty file, another header, a line that is not a language and a category, or an
            expression between slashes that is not regular.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for line, text in read_lines(path):
        row = text.split("\t")
        if line == 1:
            if row != ["language", "category"]:
                raise InputError(path, f"header {shown(text)}", "begin with the columns language, category", line=1)
            continue
        if len(row) != 2 or not all(cell.strip() for cell in row):
            raise InputError(path, f"cannot use {shown(text)}", "write a language, a tab and a category", line=line)
        try:
            _expression(row[1])
        except re.error as error:
            raise InputError(
                path, f"{shown(row[1])} is not a regular expression ({error})", "correct it; titles have no slashes "
                "around them", line=line,
            ) from error  # fmt: skip
        found[row[0]].append(row[1].strip())
    return {language: tuple(categories) for language, categories in found.items()}


def find_roots(tables: Tables, titles: Iterable[str]) -> dict[str, int]:
    """Title → page id of those `titles` that are categories of the edition.

    A title may have spaces, a namespace prefix, or the Chinese characters of the other script.
    """
    pages = pl.scan_parquet(tables.pages).filter(pl.col("namespace") == CATEGORIES)
    scripts = [opencc.OpenCC(name) for name in ("s2t", "t2s")]
    found: dict[str, int] = {}
    for title in titles:
        written = [title, *(script.convert(title) for script in scripts)]
        names = pl.DataFrame({"title": [name.rpartition(":")[2] for name in written]}).select(
            normalised(pl.col("title"))
        )
        ids = dict(pages.join(names.lazy(), on="title", how="semi").select("title", "id").collect().iter_rows())
        for name in names["title"]:
            if name in ids and title not in found:
                found[title] = ids[name]
    return found


def carried_roots(origin: Tables, roots: Sequence[int], code: str, tables: Tables) -> dict[str, int]:
    """The counterparts of category pages `roots` of another edition, by its language links to edition `code`."""
    links = (
        pl.scan_parquet(origin.language_links)
        .filter((pl.col("language") == code) & pl.col("id").is_in(sorted(roots)))
        .sort("id")
        .select(pl.col("title").str.replace(r"^[^:]*:", ""))
        .collect()
    )
    return find_roots(tables, links["title"])


def walk(tables: Tables, roots: Iterable[int], depth: int, excluded: Sequence[str]) -> Walk:
    """Go down from `roots`, breadth first, at most `depth` steps; every category is entered once.

    Args:
        excluded: titles of categories that are not entered, or regular expressions between slashes, searched for
            in titles with underscores. Roots are entered in any case.
    """
    pages = pl.scan_parquet(tables.pages)
    categories = pages.filter(pl.col("namespace") == CATEGORIES).select("title", category="id").collect()
    names = dict(categories.select("category", "title").iter_rows()) if excluded else {}
    expressions = [_expression(entry) for entry in excluded]
    parents, children = _edges(tables, categories)
    reached: dict[int, int] = dict.fromkeys(sorted(set(roots)), 0)
    refused: set[int] = set()
    level = np.array(sorted(reached), np.uint32)
    for distance in range(1, depth + 1):
        below = np.unique(_below(level, parents, children))
        fresh = [int(child) for child in below if child not in reached and child not in refused]
        kept = [child for child in fresh if not _matches(names.get(child, ""), expressions)]
        refused.update(set(fresh) - set(kept))
        reached |= dict.fromkeys(kept, distance)
        level = np.array(kept, np.uint32)
    ids = np.fromiter(reached, np.uint32, len(reached))
    depths = np.fromiter(reached.values(), np.uint8, len(reached))
    return Walk(ids, depths, len(refused), _members(tables, categories, ids))


def _expression(entry: str) -> re.Pattern[str]:
    if len(entry) > 2 and entry[0] == entry[-1] == "/":
        return re.compile(entry[1:-1])
    title = pl.DataFrame({"title": [entry.rpartition(":")[2]]}).select(normalised(pl.col("title"))).item()
    return re.compile(rf"\A{re.escape(title)}\Z")


def _matches(title: str, expressions: Iterable[re.Pattern[str]]) -> bool:
    return any(expression.search(title) for expression in expressions)


def _edges(tables: Tables, categories: pl.DataFrame) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Parents and children, sorted by parent."""
    edges = (
        _with_category(tables, pl.scan_parquet(tables.category_links).filter(pl.col("subcategory")), categories)
        .select("category", "id")
        .collect(engine="streaming")
        .sort("category", "id")
    )
    return edges["category"].to_numpy(), edges["id"].to_numpy()


def _below(
    level: NDArray[np.uint32], parents: NDArray[np.uint32], children: NDArray[np.uint32]
) -> NDArray[np.uint32]:  # fmt: skip
    starts = np.searchsorted(parents, level, "left")
    ends = np.searchsorted(parents, level, "right")
    spans = [children[start:end] for start, end in zip(starts, ends, strict=True)]
    return np.concatenate(spans) if spans else np.empty(0, np.uint32)


def _members(tables: Tables, categories: pl.DataFrame, chosen: NDArray[np.uint32]) -> NDArray[np.uint32]:
    links = pl.scan_parquet(tables.category_links).filter(~pl.col("subcategory"))
    entered = categories.filter(pl.col("category").is_in(pl.Series(chosen).implode()))
    articles = pl.scan_parquet(tables.pages).filter((pl.col("namespace") == ARTICLES) & ~pl.col("redirect"))
    members = _with_category(tables, links, entered).select("id").unique()
    return articles.join(members, on="id", how="semi").select("id").collect(engine="streaming")["id"].sort().to_numpy()


def _with_category(tables: Tables, links: pl.LazyFrame, categories: pl.DataFrame) -> pl.LazyFrame:
    """The `links` into `categories`, with the page id of the category."""
    if "target" in links.collect_schema():
        targets = pl.scan_parquet(tables.targets).join(categories.lazy(), on="title").select("target", "category")
        return links.join(targets, on="target")
    return links.join(categories.lazy(), on="title")
