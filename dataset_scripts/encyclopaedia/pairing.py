"""Pairing the articles of two editions by their language links."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.encyclopaedia.tables import ARTICLES, Tables

MOST_REDIRECTS = 3


class Pairs(NamedTuple):
    """Articles of two editions that are about the same.

    Attributes:
        first, second: page ids; none is there twice. Sorted by `first`.
        mutual: how many of the pairs are linked in both directions.
        unresolved: links whose title is no article of the other edition.
        conflicts: links left out because one of their articles is paired with another.
    """

    first: NDArray[np.uint32]
    second: NDArray[np.uint32]
    mutual: int
    unresolved: int
    conflicts: int


def pair(
    first: Tables,
    second: Tables,
    codes: tuple[str, str],
    chosen: tuple[NDArray[np.uint32], NDArray[np.uint32]],
    both: bool,
) -> Pairs:
    """Pair the articles of edition `first` with those of `second`.

    Links of either edition count; one that both tell wins over one that a single edition tells, then the one with
    the lower page ids.

    Args:
        codes: of the two editions, as language links have them.
        chosen: page ids of the articles of each edition that the categories gave.
        both: whether both articles of a pair must be among `chosen`, or only one.
    """
    there, lost_there = _links(first, second, codes[1])
    back, lost_back = _links(second, first, codes[0])
    links = pl.concat(
        [there.select(first="id", second="target"), back.select(first="target", second="id")],
    )
    among = [
        pl.col(side).is_in(pl.Series(ids).implode()) for side, ids in zip(("first", "second"), chosen, strict=True)
    ]
    candidates = (
        links.filter(among[0] & among[1] if both else among[0] | among[1])
        .group_by("first", "second")
        .len("directions")
        .sort(pl.col("directions"), "first", "second", descending=[True, False, False])
    )
    taken_first: set[int] = set()
    taken_second: set[int] = set()
    rows: list[tuple[int, int]] = []
    mutual = 0
    for one, other, directions in candidates.iter_rows():
        if one in taken_first or other in taken_second:
            continue
        taken_first.add(one)
        taken_second.add(other)
        rows.append((one, other))
        mutual += directions > 1
    found = np.array(sorted(rows), np.uint32).reshape(-1, 2)
    return Pairs(found[:, 0], found[:, 1], mutual, lost_there + lost_back, candidates.height - len(rows))


def _links(origin: Tables, other: Tables, code: str) -> tuple[pl.DataFrame, int]:
    """Links from articles of `origin` to articles of `other` (`id`, `target`), and the number that lead nowhere."""
    links = pl.scan_parquet(origin.language_links).filter(pl.col("language") == code).collect()
    sources = _articles(origin, links.select("id")).select("id", "article")  # a redirect's link is that of its target
    targets = _articles(other, links.select("title")).select("title", target="article")
    links = links.join(sources, on="id")
    found = links.join(targets, on="title").select("target", id="article")
    return found.unique(), links.height - found.height


def _articles(tables: Tables, wanted: pl.DataFrame) -> pl.DataFrame:
    """The pages `wanted` (by `id` or by `title`) with the `article` they lead to, through redirects if need be.

    A redirect that leads to no article, round in a circle, or over too many others is left out.
    """
    pages = pl.scan_parquet(tables.pages).filter(pl.col("namespace") == ARTICLES)
    redirects = pl.scan_parquet(tables.redirects).filter(pl.col("namespace") == ARTICLES)
    reached = pages.join(wanted.lazy(), on=wanted.columns[0], how="semi").select("id", "title", article="id").collect()
    for _ in range(MOST_REDIRECTS):
        steps = (
            redirects.join(reached.lazy().select(id="article"), on="id", how="semi")
            .select("title", article="id")
            .join(pages.select("title", next="id"), on="title")
            .select("article", "next")
            .collect(engine="streaming")
        )
        reached = (
            reached.join(steps, on="article", how="left")
            .with_columns(article=pl.coalesce("next", "article"))
            .drop("next")
        )
    final = pages.filter(~pl.col("redirect")).select(article="id")
    return reached.lazy().join(final, on="article", how="semi").collect(engine="streaming")
