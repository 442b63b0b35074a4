"""Markers around entities, tidied and projected back: golden cases and properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbioxlm.dataset_scripts.benchmarks.translation.markers import (
    Numbered,
    escaped,
    marked,
    marked_by_number,
    parsed,
    with_markers,
)
from kbioxlm.dataset_scripts.benchmarks.translation.projection import projected
from kbioxlm.dataset_scripts.benchmarks.translation.tidying import tidied

# texts made to be mistaken for markers, beside any other text
LIKE_MARKERS = st.text(alphabet="<>/\\12 １＜＞&lgt;《》a服\n", max_size=24)
TEXTS = st.one_of(LIKE_MARKERS, st.text(max_size=40), st.builds(lambda a, b: a + b, LIKE_MARKERS, st.text(max_size=9)))


@st.composite
def annotated(draw: Any, texts: st.SearchStrategy[str] = TEXTS) -> tuple[str, list[tuple[int, int]]]:
    """A text with spans that are sorted, not empty, and do not overlap."""
    text = draw(texts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    return text, spans


def test_entities_are_numbered_in_their_order() -> None:
    text = "After taking Metoclopramide, she developed dyskinesia."
    assert marked(text, [(13, 27), (43, 53)]) == "After taking <1>Metoclopramide</1>, she developed <2>dyskinesia</2>."
    assert marked(text, [(13, 27)], first=5) == "After taking <5>Metoclopramide</5>, she developed dyskinesia."
    assert marked_by_number("ab", [Numbered(2, 1, 2), Numbered(1, 0, 1)]) == "<1>a</1><2>b</2>"


def test_what_looks_like_a_marker_is_escaped() -> None:
    assert escaped("n <5> and < / 3 >, ＜1＞, &lt;2&gt; but p<0.05") == (
        "n <\\5> and <\\ / 3 >, ＜\\1＞, &lt;\\2&gt; but p<0.05"
    )
    assert parsed("<\\1> <\\\\2>") == ("<1> <\\2>", [])


@given(annotated())
def test_marking_and_projecting_gives_text_and_spans_back(example: tuple[str, list[tuple[int, int]]]) -> None:
    text, spans = example
    result = projected(marked(text, spans), len(spans))
    assert (result.text, [(span.start, span.end) for span in result.spans]) == (text, spans)
    assert [span.number for span in result.spans] == list(range(1, len(spans) + 1))
    assert result.defects == ()
    assert result.missing == set()


@given(TEXTS)
def test_reading_a_text_and_writing_it_changes_nothing_but_how_markers_are_written(marked_text: str) -> None:
    plain, markers = parsed(marked_text)
    written = with_markers(plain, markers)
    again, markers_again = parsed(written)
    assert again == plain
    assert markers_again == [marker._replace(odd=False) for marker in markers]
    assert with_markers(again, markers_again) == written


@given(st.text(alphabet="<>/12 ＜a服，\n", max_size=30), st.sampled_from(["en", "zh"]), st.integers(0, 3))
@settings(max_examples=300)
def test_any_answer_becomes_a_text_with_valid_spans(answer: str, language: str, count: int) -> None:
    result = projected(tidied(answer, language).text, count)
    last = 0
    for number, start, end in result.spans:
        assert 1 <= number <= count
        assert last <= start < end <= len(result.text)
        assert not result.text[start].isspace()
        assert not result.text[end - 1].isspace()
        last = end
    told = {number for defect in result.defects for number in defect.numbers}
    assert {span.number for span in result.spans} | told == set(range(1, count + 1))


@given(st.text(alphabet="<>/12 ＜a服，\n", max_size=30), st.sampled_from(["en", "zh"]))
@settings(max_examples=300)
def test_tidying_twice_changes_nothing_more(answer: str, language: str) -> None:
    once = tidied(answer, language).text
    assert tidied(once, language) == (once, ())


@pytest.mark.parametrize(
    ("answer", "language", "expected"),
    [
        ("服用 <1>甲氧氯普胺</1> 后", "zh", "服用<1>甲氧氯普胺</1>后"),
        ("服用<1> 甲氧氯普胺 </1>后", "zh", "服用<1>甲氧氯普胺</1>后"),
        ("服用 <1>MDR1</1> 后", "zh", "服用<1>MDR1</1>后"),
        ("A <1>MDR1</1> B", "zh", "A <1>MDR1</1> B"),
        ("took <1> aspirin </1> .", "en", "took <1>aspirin</1> ."),
        ("took <1>aspirin</1> and", "en", "took <1>aspirin</1> and"),
        ("one\n <1>two</1>", "zh", "one\n <1>two</1>"),
        ("<2>a<1></2>b</1>", "en", "<2>a</2><1>b</1>"),
        ("<1> </1>b", "en", "<1></1>b"),
        ("服用＜1＞阿司匹林＜／１＞和< 2 >布洛芬< / 2 >", "zh", "服用<1>阿司匹林</1>和<2>布洛芬</2>"),
        ("&lt;1&gt;阿司匹林&lt;/1&gt;", "zh", "<1>阿司匹林</1>"),
    ],
)
def test_answers_are_tidied(answer: str, language: str, expected: str) -> None:
    assert tidied(answer, language).text == expected


def test_markers_written_in_another_way_are_named() -> None:
    assert tidied("＜2＞a</2> <1>b< /1>", "en").odd == (1, 2)
    assert tidied("<2>a</2> <1>b</1>", "en").odd == ()


@pytest.mark.parametrize(
    ("answer", "spans", "defects"),
    [
        ("甲<1>乙</1>丙<2>丁</2>", {(1, "乙"), (2, "丁")}, []),
        ("甲<2>乙</2>丙<1>丁</1>", {(2, "乙"), (1, "丁")}, []),
        ("甲<1>乙</1>丙", {(1, "乙")}, [("lost", (2,))]),
        ("甲<1>乙</1>丙<2>丁", {(1, "乙")}, [("half", (2,))]),
        ("甲<1>乙</1>丙</2>丁<2>", {(1, "乙")}, [("half", (2,))]),
        ("<1>乙</1><1>丙</1><2>丁</2>", {(1, "乙"), (1, "丙"), (2, "丁")}, [("doubled", (1,))]),
        ("<1>乙</1>丙</1><2>丁</2>", {(1, "乙"), (2, "丁")}, [("stray", (1,))]),
        ("<1><1>乙</1><2>丁</2>", {(1, "乙"), (2, "丁")}, [("stray", (1,))]),
        ("<1>乙<2>丙</1>丁</2>", set(), [("crossed", (1, 2))]),
        ("<1>乙<2>丙</2>丁</1>", set(), [("nested", (1, 2))]),
        ("<1><2>丙</2></1>", set(), [("nested", (1, 2))]),
        ("<1></1><2>丙</2>", {(2, "丙")}, [("empty", (1,))]),
        ("<1>乙</1><2>丙</2><3>丁</3>", {(1, "乙"), (2, "丙")}, [("unknown", ())]),
        ("什么都没有", set(), [("lost", (1,)), ("lost", (2,))]),
    ],
)
def test_what_markers_have_gone_through(answer: str, spans: set[Any], defects: list[tuple[str, Any]]) -> None:
    result = projected(answer, 2)
    assert {(number, result.text[start:end]) for number, start, end in result.spans} == spans
    assert [(defect.name, defect.numbers) for defect in result.defects] == defects
    assert "<" not in result.text
    assert result.missing == {1, 2} - {number for number, _ in spans}
