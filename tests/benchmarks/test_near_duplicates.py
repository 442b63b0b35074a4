from __future__ import annotations

import random
import time

import pytest

from kbioxlm.dataset_scripts.benchmarks.near_duplicates import (
    NGRAM,
    near_duplicates,
    near_duplicates_within,
    normalized,
)


def jaccard(first: str, second: str) -> float:
    """By the definition, without hashes."""
    one, other = (
        {text[start : start + NGRAM] for start in range(max(1, len(text) - NGRAM + 1))}
        for text in (normalized(first), normalized(second))
    )
    return len(one & other) / len(one | other)


def variants(alphabet: str, seed: int) -> list[str]:
    """Texts of many lengths, and changed copies of them."""
    draw = random.Random(seed)
    texts = ["".join(draw.choices(alphabet, k=draw.randint(1, 60))) for _ in range(60)]
    for text in texts[:40]:
        place = draw.randrange(len(text))
        texts.append(text[:place] + draw.choice(alphabet) + text[place + draw.randint(0, 3) :])
    return texts


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("alphabet", ["abcde ", "锂中毒后出现发热患者。", "ab锂"])
def test_no_pair_is_missed_and_none_is_made_up(alphabet: str, threshold: float) -> None:
    left, right = variants(alphabet, 1), variants(alphabet, 1)[::-1] + variants(alphabet, 2)
    expected = [
        (i, j, similarity)
        for i, first in enumerate(left)
        for j, second in enumerate(right)
        if (similarity := jaccard(first, second)) >= threshold
    ]
    assert len(expected) >= 60
    assert near_duplicates(left, right, threshold) == expected


def test_within_one_list_each_pair_comes_once() -> None:
    texts = ["Aspirin caused fever .", "No such thing", "aspirin caused fever", "Aspirin caused fevers"]
    pairs = near_duplicates_within(texts, 0.8)
    assert [pair[:2] for pair in pairs] == [(0, 2), (0, 3), (2, 3)]
    assert pairs[0][2] == 1
    assert pairs[1][2] == pytest.approx(jaccard(texts[0], texts[3]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Beta-blocker , 5 mg", "beta - blocker, 5mg"),
        ("ＡＢＣＤ锂", "abcd锂"),
        ("锂 中毒（急性）。", "锂中毒急性"),
        ("。", "。"),
        ("a", "A!"),
        ("", ""),
    ],
)
def test_case_width_spaces_and_punctuation_do_not_count(first: str, second: str) -> None:
    assert near_duplicates([first], [second], 1.0) == [(0, 0, 1.0)]


@pytest.mark.parametrize(("first", "second"), [("。", "！"), ("a", "b"), ("abc", "abcd"), ("", "a")])
def test_short_texts_that_differ(first: str, second: str) -> None:
    assert near_duplicates([first], [second], 0.1) == []


def test_nothing_to_compare() -> None:
    assert near_duplicates([], ["a"]) == near_duplicates(["a"], []) == near_duplicates_within([]) == []


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_thresholds_out_of_range(threshold: float) -> None:
    with pytest.raises(ValueError, match="is not in"):
        near_duplicates(["a"], ["a"], threshold)


def test_twenty_thousand_sentences_take_seconds() -> None:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 9))) for _ in range(3000)]
    texts = [" ".join(draw.choices(words, k=20)) for _ in range(20_000)]
    texts[:100] = [text + " once more" for text in texts[-100:]]
    near_duplicates(["compile"], ["compile"])
    start = time.process_time()
    pairs = near_duplicates(texts[:10_000], texts[10_000:])
    assert [(i, j) for i, j, _ in pairs] == [(i, 9_900 + i) for i in range(100)]
    assert time.process_time() - start < 60  # comparing all pairs takes hours
