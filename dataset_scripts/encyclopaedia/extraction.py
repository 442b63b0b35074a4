"""From the pages of a dump to cleaned articles, several files or pieces of a file at a time."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.encyclopaedia.cleaner import Cleaned, Cleaner
from kbioxlm.dataset_scripts.encyclopaedia.dumps import Dump, fingerprint
from kbioxlm.dataset_scripts.encyclopaedia.pages import PagesTask, SiteInfo, read_pages, read_site, tasks
from kbioxlm.dataset_scripts.encyclopaedia.steps import Steps
from kbioxlm.dataset_scripts.encyclopaedia.tables import CATEGORIES
from kbioxlm.dataset_scripts.encyclopaedia.texts import Article, Articles, ArticleWriter
from kbioxlm.dataset_scripts.encyclopaedia.wikitext import Markup

_IMAGES = 6
_ARTICLES = "articles.arrow"


class Stopped(Exception):  # noqa: N818
    """Another piece of work failed; this one was given up."""


def site_markup(dump: Dump, simplify: bool) -> Markup:
    """How the wikitext of an edition must be read, from the head of its pages.

    Raises:
        InputError: the pages are of another edition than their name says, or cannot be read.
    """
    path = dump.pages[0].path
    site: SiteInfo = read_site(path)
    if site.wiki and site.wiki != f"{dump.code.replace('-', '_')}wiki":
        raise InputError(path, f"holds pages of {site.wiki}", "give the file the name it had")
    names = frozenset(site.namespaces.get(number, "").lower() for number in (_IMAGES, CATEGORIES)) - {""}
    return Markup(dump.language == "zh", names, simplify)


def extract(
    dump: Dump, wanted: NDArray[np.uint32], markup: Markup, steps: Steps, workers: int
) -> tuple[Articles, list[tuple[int, str, str]]]:
    """The cleaned articles with page ids `wanted`, and (page id, title, reason) of those that could not be cleaned.

    Reading is done by `workers` threads, as bz2 leaves Python's lock to others, and cleaning by a process for each.

    Raises:
        InputError: files of the dump that are damaged; what was finished before is kept.
    """
    ids = frozenset(wanted.tolist())
    pieces = [piece for file in dump.pages for piece in tasks(file, ids)]
    inputs = [
        [fingerprint(file.path) for file in dump.pages],
        [markup.chinese, sorted(markup.namespaces), markup.simplify],
        hashlib.sha256(wanted.tobytes()).hexdigest(),
    ]
    stop = threading.Event()
    bar = tqdm(total=len(ids), desc=f"{dump.language} articles", unit=" articles")

    def once(piece: PagesTask) -> tuple[Path, dict[str, Any]]:
        make = partial(_extract_piece, piece, ids, markup, bar, stop)
        return steps.once(f"{dump.language}-{piece.name}", [*inputs, piece.offsets], make)

    with bar, ThreadPoolExecutor(workers) as pool:
        try:
            futures = [pool.submit(once, piece) for piece in pieces]
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    done = [future.result() for future in futures]
    failed = [(page, title, reason) for _, counts in done for page, title, reason in counts["failed"]]
    return Articles(folder / _ARTICLES for folder, _ in done), sorted(failed)


def _extract_piece(
    piece: PagesTask, ids: frozenset[int], markup: Markup, bar: tqdm[Any], stop: threading.Event, folder: Path
) -> dict[str, Any]:
    failed = []
    with Cleaner(markup) as cleaner, ArticleWriter(folder / _ARTICLES) as writer:
        for page in read_pages(piece, ids):
            if stop.is_set():
                raise Stopped
            text, failure = cleaner.clean(page.wikitext) if page.wikitext else Cleaned("", "no text")
            if failure:
                failed.append((page.id, page.title, failure))
            else:
                writer.write(Article(page.id, page.title, text))
            bar.update()
    return {"failed": failed}
