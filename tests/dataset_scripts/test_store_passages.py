"""Passage pairs: numbered without being listed, drawn uniformly, at the size of an encyclopaedia."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbioxlm.dataset_scripts.corpora.passage_level import passage_rows
from kbioxlm.dataset_scripts.corpora.passage_pairs import PassagePairs
from kbioxlm.dataset_scripts.corpora.readers import ArticlePair
from kbioxlm.dataset_scripts.corpora.segments import Segmenter
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.matcher import NameMatcher
from kbioxlm.dataset_scripts.matching.rules import MatchingRules

BASE = KnowledgeBase.of(("en", "zh"), {"en": {"C1": ["cough"]}, "zh": {"C1": ["咳嗽"]}}, {}, {})
SEGMENTER = Segmenter(NameMatcher.build(BASE.name_table(), MatchingRules()), {"en": 18, "zh": 8, "ja": 8})
WIDE = Segmenter(NameMatcher.build(BASE.name_table(), MatchingRules()), {"en": 24, "zh": 16})
Place = tuple[int, int]

texts = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 4)), max_size=8)


@settings(max_examples=200, deadline=None)
@given(texts)
def test_every_pair_has_one_number(rows: list[tuple[int, int, int]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    known = PassagePairs(*columns)
    passages = [(text, number) for text, (_, _, size) in enumerate(rows) for number in range(size)]

    def pairs(same_article: bool) -> set[tuple[Place, Place]]:
        return {
            (one, other)
            for one, other in itertools.product(passages, passages)
            if rows[one[0]][0] < rows[other[0]][0] and (rows[one[0]][1] == rows[other[0]][1]) == same_article
        }

    contexts = {(one, other) for one, other in itertools.pairwise(passages) if one[0] == other[0]}
    for total, decode, expected in (
        (known.positives, known.positive, pairs(True)),
        (known.randoms, known.random, pairs(False)),
        (known.contexts, known.context, contexts),
    ):
        assert total == len(expected)
        numbers = decode(np.arange(total))
        assert numbers.shape == (total, 2)
        found = list(zip(*(column.tolist() for column in known.texts(numbers.ravel())), strict=True))
        assert len(found) == 2 * total
        assert set(zip(found[::2], found[1::2], strict=True)) == expected


def test_numbers_beyond_32_bits_are_exact() -> None:
    articles = 200_000
    known = PassagePairs([0, 1] * articles, np.repeat(np.arange(articles), 2).tolist(), [50, 30] * articles)
    assert known.positives == articles * 1500
    assert known.randoms == (50 * articles) * (30 * articles) - articles * 1500
    last = known.random(np.array([0, known.randoms - 1]))
    assert [column.tolist() for column in known.texts(last.ravel())] == [
        [0, 3, 2 * articles - 2, 2 * articles - 3],
        [0, 0, 49, 29],
    ]


def articles_of(sizes: list[dict[str, int]]) -> list[ArticlePair]:
    """Articles with so many segments in each language."""
    marks = {"en": "One sentence {}. ", "zh": "第{}句在此。", "ja": "文{}である。"}
    return [
        ArticlePair(f"a{number}", {
            language: "".join(marks[language].format(f"{number}x{part}") for part in range(size))
            for language, size in by_language.items()
        })
        for number, by_language in enumerate(sizes)
    ]  # fmt: skip


def test_pairs_are_drawn_uniformly() -> None:
    articles = articles_of([{"en": 4, "zh": 1}, {"en": 1, "zh": 3}, {"en": 2, "zh": 2}])
    drawn: dict[str, Counter[frozenset[str]]] = {"positive": Counter(), "random": Counter(), "context": Counter()}
    first: Counter[str] = Counter()
    rounds = 300
    for seed in range(rounds):
        rows = list(passage_rows(lambda: articles, SEGMENTER, 9, seed))
        assert Counter(row.passage_relation for row in rows) == dict.fromkeys(drawn, 3)
        for row in rows:
            assert row.passage_relation is not None
            drawn[row.passage_relation][frozenset(row.id.split("+"))] += 1
            if row.passage_relation != "context":
                first[row.language] += 1
    for kind, possible in (("positive", 4 + 3 + 4), ("random", 7 * 6 - 11), ("context", 3 + 2 + 1 + 1)):
        assert len(drawn[kind]) == possible
        expected = 3 * rounds / possible
        statistic = sum((count - expected) ** 2 / expected for count in drawn[kind].values())
        assert statistic < possible - 1 + 4 * (2 * (possible - 1)) ** 0.5  # four standard deviations
    assert abs(first["en"] - first["zh"]) < 4 * (6 * rounds) ** 0.5


def test_three_languages_are_paired_with_one_another() -> None:
    articles = articles_of([{"en": 3, "ja": 2}, {"zh": 2, "ja": 3}, {"en": 2, "zh": 2, "ja": 2}])
    rows = list(passage_rows(lambda: articles, SEGMENTER, 10_000, seed=0))
    pairs: dict[str, set[tuple[str, ...]]] = {"positive": set(), "random": set(), "context": set()}
    for row in rows:
        assert row.passage_relation is not None
        languages = sorted(part.split(":")[1].split("/")[0] for part in row.id.split("+"))
        pairs[row.passage_relation].add(tuple(languages))
    assert pairs["positive"] <= {("en", "ja"), ("ja", "zh"), ("en", "zh")}
    assert pairs["random"] == {("en", "ja"), ("ja", "zh"), ("en", "zh")}
    assert pairs["context"] == {("en", "en"), ("ja", "ja"), ("zh", "zh")}
    assert len(rows) == 3 * 9  # as many as there are consecutive segments


@pytest.mark.parametrize("count", [0, 2])
def test_fewer_than_one_of_each_are_none(count: int) -> None:
    articles = articles_of([{"en": 3, "zh": 2}] * 2)
    assert list(passage_rows(lambda: articles, SEGMENTER, count, seed=0)) == []


def encyclopaedia(articles: int, parts: int = 4) -> Iterator[ArticlePair]:
    for number in range(articles):
        yield ArticlePair(str(number), {
            "en": "".join(f"Cough {number} {part}. " for part in range(parts)),
            "zh": "".join(f"咳嗽{number}于{part}。" for part in range(parts)),
        })  # fmt: skip


def test_twenty_thousand_articles_need_little_time() -> None:
    start = time.process_time()
    rows = list(passage_rows(lambda: encyclopaedia(20_000), WIDE, 3000, seed=1))
    assert time.process_time() - start < 60  # a few seconds; a program that lists all pairs does not end
    assert len(rows) == len({row.id for row in rows}) == 3000
    assert all(len(row.entities) > 1 and row.text and row.text_pair for row in rows)


def test_texts_are_not_kept() -> None:
    def peak(articles: int) -> int:
        tracemalloc.start()
        try:
            assert len(list(passage_rows(lambda: encyclopaedia(articles, 40), WIDE, 9, seed=1))) == 9
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    characters = sum(len(text) for pair in encyclopaedia(600, 40) for text in pair.texts.values())
    assert peak(800) - peak(200) < characters / 2
