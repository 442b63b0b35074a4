"""From the dumps of several Wikipedias to a data set of article pairs (paper, section 3.1.4)."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.encyclopaedia.assembly import LeftOut, assemble, schema_of, scored
from kbioxlm.dataset_scripts.encyclopaedia.card import write_article_card
from kbioxlm.dataset_scripts.encyclopaedia.dumps import find_dump
from kbioxlm.dataset_scripts.encyclopaedia.editions import Edition, read_editions
from kbioxlm.dataset_scripts.encyclopaedia.extraction import extract, site_markup
from kbioxlm.dataset_scripts.encyclopaedia.pairing import Pairs, pair
from kbioxlm.dataset_scripts.encyclopaedia.settings import ArticleSettings, ArticleStatistics
from kbioxlm.dataset_scripts.encyclopaedia.steps import Steps
from kbioxlm.dataset_scripts.encyclopaedia.texts import Articles
from kbioxlm.dataset_scripts.folder import ShardWriter, dataset_folder, write_statistics

CONFIG = "articles"


def build_article_pairs(settings: ArticleSettings) -> ArticleStatistics:
    """Read the dumps of `settings.editions` and write the article pairs to `settings.output`.

    What each step made is kept beside the output until the data set is complete, so that after a kill only the
    unfinished step is done again.

    Raises:
        InputError: files that are missing, damaged or of another form than Wikimedia's; a knowledge base or tagger
            that cannot be used; other content in the output's place.
    """
    dumps = [find_dump(language, folder) for language, folder in settings.editions]
    markups = [site_markup(dump, settings.simplify) for dump in dumps]
    with dataset_folder(settings.output) as draft:
        steps = Steps(steps_folder(settings.output))
        editions = read_editions(dumps, settings, steps)
        statistics = ArticleStatistics({edition.dump.language: edition.counts for edition in editions})
        rows = _paired(editions, settings, statistics, steps)
        left_out: list[LeftOut] = []
        articles = []
        for column, (edition, markup) in enumerate(zip(editions, markups, strict=True)):
            wanted = np.unique(rows[:, column][rows[:, column] > 0])
            found, failed = extract(edition.dump, wanted, markup, steps, settings.workers)
            _count_texts(edition, wanted, found, failed, left_out)
            articles.append(found)
        scores = scored(articles, settings)
        writer = ShardWriter(draft / CONFIG, schema_of(settings.languages))
        for batch in assemble(rows, editions, articles, scores, settings, statistics, left_out):
            writer.write(pa.Table.from_batches([batch]))
        writer.close()
        _write_left_out(draft / "left_out.tsv", left_out)
        write_statistics(draft, dataclasses.asdict(statistics))
        write_article_card(draft, settings, statistics)
    if not settings.keep_steps:
        shutil.rmtree(steps.folder)
    return statistics


def steps_folder(output: Path) -> Path:
    """Where the intermediate results of a run live until `output` is written."""
    return output.with_name(f".{output.name}.steps")


def _paired(
    editions: list[Edition], settings: ArticleSettings, statistics: ArticleStatistics, steps: Steps
) -> NDArray[np.uint32]:
    """Page ids, a row an article of the first edition and a column an edition; 0 where it has no counterpart."""
    first, *others = editions
    found = []
    for other in others:
        folder, counts = steps.once(
            f"{first.dump.language}-{other.dump.language}-pairs",
            [
                [path.parent.name for edition in (first, other) for path in edition.tables],
                [[edition.chosen.tolist(), edition.dump.code] for edition in (first, other)],
                settings.either,
            ],
            lambda folder, other=other: _pair_step(folder, first, other, settings.either),  # type: ignore[misc]
        )
        found.append(np.load(folder / "pairs.npy"))
        statistics.links[other.dump.language] = counts
    ids = np.unique(np.concatenate([pairs[:, 0] for pairs in found]))
    rows = np.zeros((len(ids), len(editions)), np.uint32)
    rows[:, 0] = ids
    for column, pairs in enumerate(found, start=1):
        rows[np.searchsorted(ids, pairs[:, 0]), column] = pairs[:, 1]
    return rows[(rows > 0).all(axis=1)] if settings.complete else rows


def _pair_step(folder: Path, first: Edition, other: Edition, either: bool) -> dict[str, int]:
    pairs: Pairs = pair(
        first.tables, other.tables, (first.dump.code, other.dump.code), (first.chosen, other.chosen), not either
    )
    np.save(folder / "pairs.npy", np.stack([pairs.first, pairs.second], axis=1))
    return {
        "pairs": len(pairs.first),
        "mutual": pairs.mutual,
        "unresolved": pairs.unresolved,
        "conflicts": pairs.conflicts,
    }


def _count_texts(
    edition: Edition,
    wanted: NDArray[np.uint32],
    found: Articles,
    failed: list[tuple[int, str, str]],
    left_out: list[LeftOut],
) -> None:
    language = edition.dump.language
    gone = sorted(set(wanted.tolist()) - set(found.ids.tolist()) - {page for page, _, _ in failed})
    edition.counts.wanted = len(wanted)
    edition.counts.failed = len(failed)
    edition.counts.missing = len(gone)
    left_out += [LeftOut(language, page, title, f"not cleaned: {reason}", None) for page, title, reason in failed]
    left_out += [LeftOut(language, page, "", "not among the pages as an article in wikitext", None) for page in gone]


def _write_left_out(path: Path, rows: list[LeftOut]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write("language\tpage\ttitle\treason\tscore\n")
        for row in sorted(rows, key=lambda row: (row.language, row.page, row.reason)):
            score = "" if row.score is None else f"{row.score:.4f}"
            stream.write(f"{row.language}\t{row.page}\t{row.title}\t{row.reason}\t{score}\n")
