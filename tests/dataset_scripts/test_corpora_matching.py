"""Folding and name matching: exact offsets, boundaries, acronyms, stop names."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.folding import fold, fold_characters, is_boundary
from kbioxlm.dataset_scripts.matching.matcher import Match, NameMatcher, StopNames, read_stop_names

Names = dict[str, dict[str, list[str]]]


def matcher(names: Names, stop_names: StopNames | None = None) -> NameMatcher:
    base = KnowledgeBase(tuple(names), names, {}, {})
    return NameMatcher(base, stop_names) if stop_names is not None else NameMatcher(base)


def found(names: Names, text: str, language: str = "en", stop_names: StopNames | None = None) -> list[str]:
    return [text[match.start : match.end] for match in matcher(names, stop_names).find(text, language)]


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Ｔ细胞，ＩＬ－２", "t细胞,il-2"),
        ("non‐Hodgkin’s\u00a0lymphoma", "non-hodgkin's lymphoma"),
        ("Sjo\u0308gren", "sjögren"),
        ("25 ㎎ ﬁbrin Strauß", "25 mg fibrin strauss"),
        ("ΑΣ ας", "ασ ασ"),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert fold_characters(text) == folded


@given(st.text())
def test_folded_offsets_lead_back(text: str) -> None:
    folded, starts, ends = fold(text)
    if starts is None or ends is None:
        assert len(folded) == len(text)
        return
    assert len(starts) == len(ends) == len(folded)
    assert [start for start in starts if start >= 0][:1] == [0]
    assert ends[-1] == len(text)
    assert sum(start >= 0 for start in starts) == sum(end >= 0 for end in ends)


@pytest.mark.parametrize(
    ("text", "offset", "expected"),
    [
        ("heart failure", 5, True),
        ("heartburn", 5, False),
        ("肝炎病", 2, True),
        ("患HIV者", 1, True),
        ("B12", 1, False),
        ("1.5", 1, False),
        ("1.5", 2, False),
        ("1,000", 1, False),
        ("in 1, then", 4, True),
        ("end.5 mg", 3, True),
        ("Pawe\u0301l", 4, False),
        ("대장암은", 3, True),
    ],
)
def test_boundaries(text: str, offset: int, expected: bool) -> None:
    assert is_boundary(text, offset) is expected


EN = {"en": {"C1": ["heart failure"], "C2": ["heart"], "C3": ["failure of the heart"]}}


def test_the_longest_name_with_boundaries_is_taken() -> None:
    assert found(EN, "Heart failure and heart failures; sweethearts") == ["Heart failure", "heart"]


def test_a_longer_name_that_fails_does_not_hide_a_shorter_one() -> None:
    names = {"en": {"C1": ["liver"], "C2": ["liver cell"]}}
    assert found(names, "liver cells") == ["liver"]


def test_chinese_needs_no_boundaries() -> None:
    names = {"zh": {"C1": ["糖尿病"], "C2": ["糖尿病肾病"], "C3": ["T细胞"]}}
    assert found(names, "患者有糖尿病肾病和糖尿病史，Ｔ细胞减少", "zh") == ["糖尿病肾病", "糖尿病", "Ｔ细胞"]
    assert found(names, "CAT细胞", "zh") == []


def test_offsets_are_those_of_the_original() -> None:
    names = {"en": {"C1": ["sjögren syndrome"], "C2": ["25 mg tablet"]}}
    text = "㎎ Sjo\u0308gren syndrome, 25 ㎎ tablet"
    assert found(names, text) == ["Sjo\u0308gren syndrome", "25 ㎎ tablet"]
    assert found({"en": {"C1": ["abcg"]}}, "abc㎎") == []


def test_short_acronyms_keep_their_case() -> None:
    names = {"en": {"C1": ["ALL"], "C2": ["cat"], "C3": ["AIDS"], "C4": ["ARDS-2"], "C5": ["HPV infection"]}}
    assert found(names, "all cats and a Cat; CAT, ALL, Aids, AIDS, ards-2") == ["Cat", "ALL", "AIDS"]
    assert found(names, "hpv INFECTION") == ["hpv INFECTION"]


def test_names_that_are_too_short_are_left_out() -> None:
    names = {"en": {"C1": ["MI"], "C2": ["12345"], "C3": ["B12"]}, "zh": {"C4": ["癌"], "C5": ["肺癌"]}}
    assert found(names, "MI 12345 B12 癌 肺癌") == ["B12", "肺癌"]


def test_stop_names_say_nothing_and_hide_what_they_hold() -> None:
    stops = StopNames(stops=frozenset({"all", "right"}), covers=frozenset({"不适合", "糖尿病"}))
    names = {"en": {"C1": ["ALL"], "C2": ["right"]}, "zh": {"C3": ["不适"], "C4": ["糖尿病"], "C5": ["合并"]}}
    text = "all right, ALL 不适合并 不适 糖尿病"
    assert found(names, text, "zh", stops) == ["ALL", "不适", "糖尿病"]
    assert matcher(names, stops).concepts_named("Right") == set()


def test_a_name_of_several_concepts_is_ambiguous_unless_preferred_by_one() -> None:
    names = {"en": {"C2": ["cold"], "C1": ["chilly", "cold"], "C4": ["fever", "heat"], "C3": ["warmth", "heat"]}}
    assert matcher(names).find("cold heat", "en") == [
        Match(0, 4, "C2", "en", False),
        Match(5, 9, "C3", "en", True),
    ]
    assert matcher(names).concepts_named("Heat") == {"C3", "C4"}


def test_the_language_of_the_text_goes_first() -> None:
    names = {"en": {"C1": ["aspirin"]}, "es": {"C2": ["aspirin"]}, "zh": {"C3": ["阿司匹林"]}}
    assert [match[2:4] for match in matcher(names).find("aspirin", "es")] == [("C2", "es")]
    assert [match[2:4] for match in matcher(names).find("服用aspirin", "zh")] == [("C1", "en")]


def test_no_names_no_matches() -> None:
    assert found({"en": {}}, "anything") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names\n", r"tsv:1: header 'names'; begin with the columns name, kind"),
        ("name\tkind\nright\tnever\n", r"tsv:2: cannot use 'right\\tnever'; write a name, a tab, and stop or cover"),
        ("name\tkind\nright\n", r"tsv:2: cannot use 'right'"),
    ],
)
def test_bad_stop_name_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "stops.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_stop_names(path)


def test_the_shipped_stop_names_load() -> None:
    shipped = read_stop_names()
    assert "right" in shipped.stops
    assert "不适合" in shipped.covers
    assert not shipped.stops & shipped.covers


LETTERS = "abAＢé. 1肝炎㎎\u0301-"
NAMES = st.text(LETTERS, min_size=2, max_size=5).map(str.strip)


def reference(matching: NameMatcher, keys: set[str], text: str) -> list[tuple[int, int]]:
    """Leftmost-longest among the valid spans, by trying every span."""
    folded, starts, ends = fold(text)
    starts = list(range(len(text))) if starts is None else starts
    ends = list(range(1, len(text) + 1)) if ends is None else ends
    spans, free = [], 0
    for start in range(len(folded)):
        for end in range(len(folded), start, -1):
            if start >= free and starts[start] >= 0 and ends[end - 1] >= 0 and folded[start:end] in keys:
                alone = matching.find(text[starts[start] : ends[end - 1]], "en")
                written = bool(alone) and alone[0].end == ends[end - 1] - starts[start]
                if written and is_boundary(folded, start) and is_boundary(folded, end):
                    spans.append((starts[start], ends[end - 1]))
                    free = end
                    break
    return spans


@settings(max_examples=300, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=8), st.text(LETTERS, max_size=24))
def test_matches_are_those_of_a_plain_search(names: list[str], text: str) -> None:
    matching = matcher({"en": {f"C{number}": [name] for number, name in enumerate(names) if name}})
    keys = {fold_characters(name) for name in names}
    matches = matching.find(text, "en")
    assert [(match.start, match.end) for match in matches] == reference(matching, keys, text)
    for match in matches:
        assert fold_characters(text[match.start : match.end]) in keys
    assert all(one.end <= other.start for one, other in pairwise(matches))
    for match in matches:
        assert not unicodedata.combining((text + " ")[match.end])
