"""Putting the articles of all editions side by side, without the short and the off-topic ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tqdm import tqdm

from kbioxlm.dataset_scripts.encyclopaedia.editions import Edition
from kbioxlm.dataset_scripts.encyclopaedia.relevance import EntityDensity, Relevance, TaggerDensity
from kbioxlm.dataset_scripts.encyclopaedia.settings import ArticleSettings, ArticleStatistics
from kbioxlm.dataset_scripts.encyclopaedia.texts import Article, Articles

_BATCH = 256
_ROWS = 1_000
Scores = list[NDArray[np.float64]] | None


class LeftOut(NamedTuple):
    """An article that is in a pair but not in the data set."""

    language: str
    page: int
    title: str
    reason: str
    score: float | None


def schema_of(languages: Sequence[str]) -> pa.Schema:
    """`id`, then for each language its text and its title."""
    columns = [(name, pa.string()) for language in languages for name in (language, f"{language}_title")]
    return pa.schema([("id", pa.string()), *columns])


def scored(articles: Sequence[Articles], settings: ArticleSettings) -> Scores:
    """The score of each article of each edition, in the order of `ids`; None if nothing is to be scored.

    Raises:
        InputError: a knowledge base or a tagger that cannot be used.
    """
    relevance: Relevance
    if settings.knowledge_base is not None:
        relevance = EntityDensity.of_folder(settings.knowledge_base, settings.languages)
    elif settings.tagger is not None:
        relevance = TaggerDensity(settings.tagger)
    else:
        return None
    return [
        np.array(list(_scores(relevance, language, found)), np.float64)
        for language, found in zip(settings.languages, articles, strict=True)
    ]


def _scores(relevance: Relevance, language: str, articles: Articles) -> Iterator[float]:
    with tqdm(total=len(articles.ids), desc=f"{language} scores", unit=" articles") as bar:
        for start in range(0, len(articles.ids), _BATCH):
            found = [articles.get(int(page)) for page in articles.ids[start : start + _BATCH]]
            yield from relevance.scores([article.text for article in found if article is not None], language)
            bar.update(len(found))


def assemble(
    rows: NDArray[np.uint32],
    editions: Sequence[Edition],
    articles: Sequence[Articles],
    scores: Scores,
    settings: ArticleSettings,
    statistics: ArticleStatistics,
    left_out: list[LeftOut],
) -> Iterator[pa.RecordBatch]:
    """The rows of the data set; what they leave out is added to `left_out` and counted in `statistics`.

    Args:
        rows: page ids; (articles, editions), 0 where an edition has none.
    """
    schema = schema_of(settings.languages)
    code = editions[0].dump.code
    kept: list[list[str | None]] = []
    for row in tqdm(rows.tolist(), desc="pairs", unit=" articles"):
        found = [source.get(page) if page else None for source, page in zip(articles, row, strict=True)]
        found = _long_enough(found, editions, settings, left_out)
        if not _enough(found, settings):
            statistics.incomplete += 1
            continue
        score = None if scores is None else _mean_score(found, articles, scores)
        if score is not None and score < settings.threshold:
            statistics.off_topic += 1
            left_out += [
                LeftOut(language, article.id, article.title, "off topic", score)
                for language, article in zip(settings.languages, found, strict=True)
                if article is not None
            ]
            continue
        statistics.rows += 1
        kept.append([f"{code}:{row[0]}", *_cells(found, editions)])
        if len(kept) == _ROWS:
            yield _batch(kept, schema)
            kept = []
    yield _batch(kept, schema)


def _long_enough(
    found: list[Article | None], editions: Sequence[Edition], settings: ArticleSettings, left_out: list[LeftOut]
) -> list[Article | None]:
    kept: list[Article | None] = []
    for article, edition in zip(found, editions, strict=True):
        if article is not None and len(article.text) < settings.minimal_characters:
            edition.counts.short += 1
            left_out.append(LeftOut(edition.dump.language, article.id, article.title, "too short", None))
            article = None
        kept.append(article)
    return kept


def _enough(found: list[Article | None], settings: ArticleSettings) -> bool:
    """Whether the first language and another one are left, or all of them where all are asked."""
    there = [article is not None for article in found]
    return all(there) if settings.complete else there[0] and any(there[1:])


def _mean_score(found: list[Article | None], articles: Sequence[Articles], scores: list[NDArray[np.float64]]) -> float:
    """Over the languages: names of one language may be sparse in a knowledge base."""
    values = [
        float(values[np.searchsorted(source.ids, article.id)])
        for article, source, values in zip(found, articles, scores, strict=True)
        if article is not None
    ]
    return sum(values) / len(values)


def _cells(found: list[Article | None], editions: Sequence[Edition]) -> list[str | None]:
    cells: list[str | None] = []
    for article, edition in zip(found, editions, strict=True):
        cells += [None, None] if article is None else [article.text, article.title]
        if article is not None:
            edition.counts.articles += 1
            edition.counts.characters += len(article.text)
    return cells


def _batch(rows: list[list[str | None]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(schema)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
