"""Passage level: pairs of segments from articles that exist in several languages (paper, section 3.1.4)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence

from kbioxlm.dataset_scripts.corpora.readers import ArticlePair
from kbioxlm.dataset_scripts.corpora.rows import Row
from kbioxlm.dataset_scripts.corpora.segments import Segment, Segmenter

POSITIVE, RANDOM, CONTEXT = "positive", "random", "context"
Article = dict[str, list[list[Segment]]]
SegmentPair = tuple[Segment, Segment]


def passage_rows(pairs: Iterable[ArticlePair], segmenter: Segmenter, count: int, seed: int) -> Iterator[Row]:
    """Equal thirds of positive, random and context pairs, `count` in all or as many as the articles give.

    Positive is one segment in each of two languages from the same article, random the same from two articles,
    context two consecutive segments in one language. Which language comes first is drawn.
    """
    articles = _articles(pairs, segmenter)
    rng = random.Random(f"{seed} passage")
    contexts = list(_contexts(articles))
    positives = list(_positives(articles))
    amount = min(count // 3, len(contexts), len(positives), _random_limit(articles))
    chosen = [(POSITIVE, _flipped(pair, rng)) for pair in rng.sample(positives, amount)]
    chosen += [(RANDOM, _flipped(pair, rng)) for pair in _randoms(articles, amount, rng)]
    chosen += [(CONTEXT, pair) for pair in rng.sample(contexts, amount)]
    rng.shuffle(chosen)
    for kind, (first, second) in chosen:
        yield Row(
            f"{first.id}+{second.id}",
            "passage",
            first.language,
            first.text,
            second.text,
            first.entities() + second.entities(in_pair=True),
            passage_relation=kind,
        )


def _articles(pairs: Iterable[ArticlePair], segmenter: Segmenter) -> list[Article]:
    """Articles as language → texts → segments. Records that share a text are about the same article."""
    records = [(pair.id, pair.texts) for pair in pairs]
    leader = list(range(len(records)))

    def root(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    seen: dict[tuple[str, str], int] = {}
    for index, (_, texts) in enumerate(records):
        for key in texts.items():
            leader[root(index)] = root(seen.setdefault(key, index))
    articles: dict[int, Article] = {}
    for index, (name, texts) in enumerate(records):
        article = articles.setdefault(root(index), {})
        for language, text in texts.items():
            if seen.get((language, text)) == index:
                segments = list(segmenter.segments(f"{name}:{language}", language, text))
                article.setdefault(language, []).append(segments)
    return list(articles.values())


def _positives(articles: Iterable[Article]) -> Iterator[SegmentPair]:
    for article in articles:
        for first, second in itertools.combinations(sorted(article), 2):
            yield from itertools.product(_flat(article[first]), _flat(article[second]))


def _contexts(articles: Iterable[Article]) -> Iterator[SegmentPair]:
    for article in articles:
        for texts in article.values():
            for segments in texts:
                yield from itertools.pairwise(segments)


def _random_limit(articles: Sequence[Article]) -> int:
    """How many pairs of segments there are in two languages and from two articles."""
    sizes = [{language: len(_flat(texts)) for language, texts in article.items()} for article in articles]
    limit = 0
    for first, second in itertools.combinations(sorted({language for size in sizes for language in size}), 2):
        ones, others = ([size.get(language, 0) for size in sizes] for language in (first, second))
        limit += sum(ones) * sum(others) - sum(one * other for one, other in zip(ones, others, strict=True))
    return limit


def _randoms(articles: Sequence[Article], amount: int, rng: random.Random) -> Iterator[SegmentPair]:
    """`amount` different pairs, at most `_random_limit`."""
    pools: dict[str, list[tuple[int, Segment]]] = {}
    for number, article in enumerate(articles):
        for language, texts in article.items():
            pools.setdefault(language, []).extend((number, segment) for segment in _flat(texts))
    languages = list(itertools.combinations(sorted(pools), 2))
    drawn: set[tuple[str, str]] = set()
    while len(drawn) < amount:
        first, second = rng.choice(languages)
        (one, left), (other, right) = rng.choice(pools[first]), rng.choice(pools[second])
        if one != other and (left.id, right.id) not in drawn:
            drawn.add((left.id, right.id))
            yield left, right


def _flipped(pair: SegmentPair, rng: random.Random) -> SegmentPair:
    return pair if rng.random() < 0.5 else (pair[1], pair[0])


def _flat(texts: Iterable[list[Segment]]) -> list[Segment]:
    return [segment for segments in texts for segment in segments]
