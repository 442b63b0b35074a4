"""What is taken from each language edition before its pages are read: tables, roots, categories."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.encyclopaedia import tables as sql
from kbioxlm.dataset_scripts.encyclopaedia.categories import carried_roots, find_roots, read_categories, walk
from kbioxlm.dataset_scripts.encyclopaedia.dumps import Dump, fingerprint
from kbioxlm.dataset_scripts.encyclopaedia.settings import ArticleSettings, EditionCounts
from kbioxlm.dataset_scripts.encyclopaedia.steps import Steps
from kbioxlm.dataset_scripts.encyclopaedia.tables import Tables


class Edition(NamedTuple):
    """An edition, its tables, and the articles that its categories gave."""

    dump: Dump
    tables: Tables
    chosen: NDArray[np.uint32]
    counts: EditionCounts


def read_tables(dump: Dump, codes: tuple[str, ...], steps: Steps) -> Tables:
    """The tables of an edition; language links to the editions `codes` alone.

    Raises:
        InputError: a dump that is damaged or of another schema.
    """

    def table(name: str, make: Callable[[Path], int], *inputs: object) -> Path:
        def written(folder: Path) -> dict[str, int]:
            return {"rows": make(folder / "rows.parquet")}

        source = fingerprint(dump.tables[name]) if name in dump.tables else None
        return steps.once(f"{dump.language}-{name}", [source, *inputs], written)[0] / "rows.parquet"

    return Tables(
        pages=table(sql.PAGE, partial(sql.page_rows, dump)),
        redirects=table(sql.REDIRECT, partial(sql.redirect_rows, dump)),
        language_links=table(sql.LANGLINKS, partial(sql.language_link_rows, dump, codes), codes),
        category_links=table(sql.LINKS, partial(sql.category_link_rows, dump)),
        targets=table(sql.TARGETS, partial(sql.link_target_rows, dump)),
    )


def read_editions(dumps: list[Dump], settings: ArticleSettings, steps: Steps) -> list[Edition]:
    """Tables, roots and categories of all editions.

    Raises:
        InputError: as `read_tables`; lists of categories that cannot be used; an edition without any root.
    """
    listed = read_categories(settings.roots)
    excluded = read_categories(settings.excluded)
    codes = tuple(dump.code for dump in dumps)
    read = [read_tables(dump, codes, steps) for dump in dumps]
    own = [find_roots(tables, listed.get(dump.language, ())) for dump, tables in zip(dumps, read, strict=True)]
    origin = next((i for i, roots in enumerate(own) if roots), None)
    editions = []
    for dump, tables, roots in zip(dumps, read, own, strict=True):
        if not roots and origin is not None:
            roots = carried_roots(read[origin], list(own[origin].values()), dump.code, tables)
        if not roots:
            raise InputError(
                settings.roots,
                f"none of its categories is in the dump of language {dump.language!r}, nor a counterpart of one",
                f"add a line: {dump.language}, a tab, and the title of a category",
            )
        missing = [title for title in listed.get(dump.language, ()) if title not in roots]
        editions.append(_walked(dump, tables, roots, missing, settings.depth, excluded.get(dump.language, ()), steps))
    return editions


def _walked(
    dump: Dump,
    tables: Tables,
    roots: dict[str, int],
    missing: list[str],
    depth: int,
    excluded: tuple[str, ...],
    steps: Steps,
) -> Edition:
    def make(folder: Path) -> dict[str, object]:
        found = walk(tables, roots.values(), depth, excluded)
        np.save(folder / "articles.npy", found.articles)
        return {"categories": np.bincount(found.depths).tolist(), "excluded": found.excluded}

    sources = [str(path.parent.name) for path in tables]
    folder, counted = steps.once(f"{dump.language}-walk", [sources, sorted(roots.values()), depth, excluded], make)
    chosen = np.load(folder / "articles.npy")
    name = f"{dump.code.replace('-', '_')}wiki-{dump.date}"
    counts = EditionCounts(name, roots, missing, counted["categories"], counted["excluded"], len(chosen))
    return Edition(dump, tables, chosen, counts)
