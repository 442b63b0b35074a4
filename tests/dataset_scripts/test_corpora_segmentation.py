"""Sentences and segments."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbioxlm.dataset_scripts.corpora.segmentation import segment_spans, sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Give 1.5 mg of E. coli toxin, e.g. by vein, vs. placebo.",
        "Smith et al. Found that i.e. 5 vs. 6 (cf. Fig. 2) differ.",
        "It covers 2 . 2 Mb of DNA.",
        "See www.cancer.gov/Types for the list.",
        "Dr. A. B. Smith, approx. No. 5.",
        "1. Take the tablet",
        "Version 3.Beta of p53.R175H",
        "血糖5.6mmol/L，HBV-DNA 3.5E+4",
        "the U.S. National Library",
        "is p<0.05?yes",
    ],
)
def test_one_sentence_stays_whole(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It hurts. Call a doctor! Why? (Ask.) Now.", ["It hurts.", "Call a doctor!", "Why?", "(Ask.)", "Now."]),
        ("患者发热。咳嗽？“无。”有！", ["患者发热。", "咳嗽？", "“无。”", "有！"]),
        ("可以救治.其实不用. 好", ["可以救治.", "其实不用.", "好"]),
        ("into the muscle.Common side effects", ["into the muscle.", "Common side effects"]),
        ("Signs\n\n- fever\r\n- cough", ["Signs", "- fever", "- cough"]),
        ('He said "stop." Then it ended ...', ['He said "stop."', "Then it ended ..."]),
        ("为什么?因为", ["为什么?", "因为"]),
        ("The dose was 5. Patients slept.", ["The dose was 5.", "Patients slept."]),
        ("  \n ", []),
    ],
)
def test_sentences_are_told_apart(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_sentences_are_packed_as_long_as_they_fit() -> None:
    text = "One is here. Two is here.  Three is here. Four."
    assert [text[start:end] for start, end in segment_spans(text, 30)] == [
        "One is here. Two is here.",
        "Three is here. Four.",
    ]


def test_a_long_sentence_is_cut_at_space_comma_or_anywhere() -> None:
    assert cut("alpha beta gamma delta epsilon", 12) == ["alpha beta", "gamma delta", "epsilon"]
    assert cut("发热咳嗽，头痛乏力恶心", 8) == ["发热咳嗽，", "头痛乏力恶心"]
    assert cut("一二三四五六七八九十", 4) == ["一二三四", "五六七八", "九十"]
    assert cut("abcdefghijkl", 5) == ["abcde", "fghij", "kl"]
    assert cut("exactly ten", 11) == ["exactly ten"]


def cut(text: str, max_chars: int) -> list[str]:
    return [text[start:end] for start, end in segment_spans(text, max_chars)]


@given(st.text('ab 。.!，, 1\n肝A)"', max_size=120), st.integers(4, 40))
def test_nothing_is_lost_and_nothing_too_long(text: str, max_chars: int) -> None:
    segments = cut(text, max_chars)
    assert re.sub(r"\s", "", "".join(segments)) == re.sub(r"\s", "", text)
    assert all(0 < len(segment) <= max_chars and segment == segment.strip() for segment in segments)
    assert re.sub(r"\s", "", "".join(sentences(text))) == re.sub(r"\s", "", text)
