"""Passage level: pairs of segments from articles that exist in several languages (paper, section 3.1.4)."""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.corpora.passage_pairs import Numbers, PassagePairs
from kbioxlm.dataset_scripts.corpora.readers import ArticlePair
from kbioxlm.dataset_scripts.corpora.rows import Row
from kbioxlm.dataset_scripts.corpora.segments import Piece, Segmenter

POSITIVE, RANDOM, CONTEXT = "positive", "random", "context"
_ROWS_AT_ONCE = 2000


class _Texts(NamedTuple):
    """The different texts of articles, in the order in which they are met.

    Attributes:
        new: of every text met, whether it is met for the first time (and is not blank).
        language, record, size: of every different text: a place in `languages`, the number of its record, and how
            many passages it has.
        leader: of every record, the number of another about the same article, or its own.
    """

    languages: list[str]
    new: bytearray
    language: array[int]
    record: array[int]
    size: array[int]
    leader: array[int]


def passage_rows(
    pairs: Callable[[], Iterable[ArticlePair]], segmenter: Segmenter, count: int, seed: int
) -> Iterator[Row]:
    """Equal thirds of positive, random and context pairs, `count` in all or as many as the articles give.

    Positive is one segment in each of two languages from the same article, random the same from two articles,
    context two consecutive segments in one language. All pairs of a kind are as likely, and none comes twice. Which
    language comes first is drawn. Articles are read twice, and of their texts only what was drawn is kept and
    searched for names.

    Args:
        pairs: gives the articles from the start, the same whenever it is called. Those that share a text are one.

    Raises:
        InputError: the articles were not the same when they were read again.
    """
    texts = _count(pairs(), segmenter)
    known = PassagePairs(texts.language, _articles(texts), texts.size)
    chosen = _draw(known, count, random.Random(f"{seed} passage"))
    pieces = _pieces(pairs(), texts, segmenter, known, np.array([pair for _, pair in chosen], np.int64).ravel())
    for start in range(0, len(chosen), _ROWS_AT_ONCE):
        yield from _rows(chosen[start : start + _ROWS_AT_ONCE], pieces, segmenter)


def _count(articles: Iterable[ArticlePair], segmenter: Segmenter) -> _Texts:
    texts = _Texts([], bytearray(), array("q"), array("q"), array("q"), array("q"))
    seen: dict[bytes, int] = {}
    places: dict[str, int] = {}
    for record, article in enumerate(articles):
        texts.leader.append(record)
        for language, text in sorted(article.texts.items()):
            digest = hashlib.blake2b(f"{language} {text}".encode(), digest_size=12).digest()
            is_new = digest not in seen and bool(text.strip())
            texts.new.append(is_new)
            if is_new:
                seen[digest] = record
                place = places.setdefault(language, len(places))
                texts.language.append(place)
                texts.record.append(record)
                texts.size.append(sum(1 for _ in segmenter.pieces([article.id], [language], [text])))
            elif digest in seen:
                texts.leader[_root(texts.leader, record)] = _root(texts.leader, seen[digest])
    texts.languages.extend(places)
    return texts


def _root(leader: array[int], record: int) -> int:
    while leader[record] != record:
        leader[record] = leader[leader[record]]
        record = leader[record]
    return record


def _articles(texts: _Texts) -> list[int]:
    """Of every text its article, numbered from 0."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(_root(texts.leader, record), len(numbers)) for record in texts.record]


def _draw(known: PassagePairs, count: int, rng: random.Random) -> list[tuple[str, tuple[int, int]]]:
    amount = min(count // 3, known.positives, known.randoms, known.contexts)
    drawn: list[tuple[str, tuple[int, int]]] = []
    for kind, total, pairs in (
        (POSITIVE, known.positives, known.positive),
        (RANDOM, known.randoms, known.random),
        (CONTEXT, known.contexts, known.context),
    ):
        for first, second in pairs(np.array(rng.sample(range(total), amount), np.int64)).tolist():
            swapped = kind != CONTEXT and rng.random() < 0.5
            drawn.append((kind, (second, first) if swapped else (first, second)))
    rng.shuffle(drawn)
    return drawn


def _pieces(
    articles: Iterable[ArticlePair], texts: _Texts, segmenter: Segmenter, known: PassagePairs, passages: Numbers
) -> dict[int, Piece]:
    """Passage → the piece of text that it is, for those of `passages`."""
    passages = np.unique(passages)
    wanted: dict[int, list[tuple[int, int]]] = {}
    places = (column.tolist() for column in (*known.texts(passages), passages))
    for text, number, passage in zip(*places, strict=True):
        wanted.setdefault(text, []).append((number, passage))
    pieces: dict[int, Piece] = {}
    is_new = iter(texts.new)
    text_number = -1
    for article in articles:
        for language, text in sorted(article.texts.items()):
            if not next(is_new, False):
                continue
            text_number += 1
            if text_number in wanted:
                cut = list(segmenter.pieces([f"{article.id}:{language}"], [language], [text]))
                if len(cut) != texts.size[text_number]:
                    raise _changed()
                pieces.update((passage, cut[number]) for number, passage in wanted[text_number])
    if len(pieces) != len(passages):
        raise _changed()
    return pieces


def _changed() -> InputError:
    return InputError("article pairs", "they changed while they were read", "run it again when they are complete")


def _rows(
    chosen: Sequence[tuple[str, tuple[int, int]]], pieces: dict[int, Piece], segmenter: Segmenter
) -> Iterator[Row]:
    segments = iter(segmenter.matched([pieces[passage] for _, pair in chosen for passage in pair]))
    for (kind, _), first, second in zip(chosen, segments, segments, strict=True):
        yield Row(
            f"{first.id}+{second.id}",
            "passage",
            first.language,
            first.text,
            second.text,
            first.entities() + second.entities(in_pair=True),
            passage_relation=kind,
        )
