from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from kbioxlm.dataset_scripts.benchmarks.classification import LabelledText
from kbioxlm.dataset_scripts.benchmarks.clean import THRESHOLD, Change, Reason, clean_splits
from kbioxlm.dataset_scripts.benchmarks.near_duplicates import near_duplicates
from kbioxlm.dataset_scripts.benchmarks.published import LANGUAGES, Split, read_published


def text(number: int) -> str:
    """A text that is like that of no other number."""
    draw = random.Random(number)
    return " ".join("".join(draw.choices("aeioumnrst", k=6)) for _ in range(8))


def split(
    name: str, documents: dict[str, str], benchmark: str = "hoc", language: str = "en", label: str = "x"
) -> Split:
    rows = [LabelledText(key, key, value, (label,), language) for key, value in documents.items()]
    return Split(benchmark, language, name, Path(f"{language}_{name}.json"), rows, original=True)


def places(splits: list[Split]) -> dict[tuple[str, str], list[str]]:
    return {(s.language, s.name): [row.document for row in s.rows] for s in splits}


def test_a_document_has_one_place_in_all_languages() -> None:
    cleaned, changes = clean_splits(
        [
            split("train", {"a": text(1), "b": text(2), "c": text(3)}),
            split("validation", {"b": text(2), "d": text(4)}),
            split("test", {"e": text(5)}),
            split("train", {"a": "一个病人", "e": "另外的一个病人出血"}, language="zh"),
            split("validation", {"d": "没有"}, language="zh"),
        ]
    )
    assert places(cleaned) == {
        ("en", "train"): ["a", "c"],
        ("en", "validation"): ["b", "d"],
        ("en", "test"): ["e"],
        ("zh", "train"): ["a"],
        ("zh", "validation"): ["d"],
    }
    assert changes == [
        Change("hoc", "b", "train", None, Reason.ELSEWHERE, other="validation"),
        Change("hoc", "e", "train", None, Reason.ELSEWHERE, other="test"),
    ]
    assert [s.original for s in cleaned] == [False] * 5
    assert [s.config for s in cleaned] == ["hoc_en"] * 3 + ["hoc_zh"] * 2


def test_a_validation_set_is_carved_from_train_in_all_languages() -> None:
    english = {str(n): text(n) for n in range(40)}
    chinese = {str(n): f"患者{n * 7919}号" * 3 for n in range(0, 40, 2)}
    published = [split("train", english), split("train", chinese, language="zh"), split("test", {"t": text(50)})]
    cleaned, changes = clean_splits(published)
    found = places(cleaned)
    assert len(found["en", "validation"]) == 4
    assert found["en", "train"] == [n for n in english if n not in found["en", "validation"]]
    assert [n for n in found["en", "validation"] if n in chinese] == found.get(("zh", "validation"), [])
    assert changes == [Change("hoc", n, "train", "validation", Reason.CARVED) for n in found["en", "validation"]]
    assert clean_splits(published) == (cleaned, changes)
    # the choice does not hang on the order of the rows
    backwards, _ = clean_splits([split("train", dict(reversed(english.items()))), *published[1:]])
    assert set(places(backwards)["en", "validation"]) == set(found["en", "validation"])


def test_the_published_validation_set_of_ade_is_left_out() -> None:
    train, test = {str(n): text(n) for n in range(10)}, {"20": text(20)}
    cleaned, changes = clean_splits(
        [split(name, rows, "ade") for name, rows in (("train", train), ("validation", test), ("test", test))]
    )
    assert places(cleaned)["en", "test"] == ["20"]
    assert len(places(cleaned)["en", "validation"]) == 1
    assert set(places(cleaned)["en", "validation"]) < set(train)
    assert [change.reason for change in changes] == [Reason.VALIDATION_IS_TEST, Reason.CARVED]
    assert changes[0] == Change("ade", "20", "validation", None, Reason.VALIDATION_IS_TEST, other="test")


def test_repeats_and_near_duplicates_go_in_all_languages() -> None:
    cleaned, changes = clean_splits(
        [
            split("train", {"a": text(1), "b": text(2).upper(), "c": text(3), "d": text(4)}),
            split("validation", {"e": text(5), "f": text(3) + " !"}),
            split("test", {"g": text(6), "h": text(6), "i": text(2) + "."}),
            split("train", {"a": "病人服用阿司匹林以后出血", "b": "甲", "c": "乙", "d": "丙丁"}, language="zh"),
            split("validation", {"e": "没有什么可报道的"}, language="zh"),
        ]
    )
    assert places(cleaned) == {
        ("en", "train"): ["a", "d"],
        ("en", "validation"): ["e", "f"],
        ("en", "test"): ["g", "i"],
        ("zh", "train"): ["a", "d"],
        ("zh", "validation"): ["e"],
    }
    assert changes == [
        Change("hoc", "h", "test", None, Reason.REPEATED, "g", "en"),
        Change("hoc", "b", "train", None, Reason.NEAR_DUPLICATE, "i", "en", 1.0),
        Change("hoc", "c", "train", None, Reason.NEAR_DUPLICATE, "f", "en", 1.0),
    ]
    chinese = [
        change for change in _of_chinese("病人服用阿司匹林以后出血了", "病人服用阿司匹林以后出血") if change.other
    ]
    assert [(change.document, change.other, change.language) for change in chinese] == [("a", "e", "zh")]
    assert chinese[0].similarity == pytest.approx(9 / 10)


def _of_chinese(train: str, test: str) -> list[Change]:
    published = [split("train", {"a": text(1), "b": text(2)}), split("validation", {"c": text(3)})]
    published += [split("train", {"a": train}, language="zh"), split("test", {"e": test}, language="zh")]
    return clean_splits(published)[1]


def sides_that_meet(splits: list[Split], threshold: float) -> list[tuple[str, str, str, str]]:
    """`(benchmark, document, other document, language)` of what is on two sides, by id (in any language) or text."""
    met = []
    for benchmark in dict.fromkeys(s.benchmark for s in splits):
        own = [s for s in splits if s.benchmark == benchmark]
        for names in (("train", "validation", "test"), ("validation", "test")):
            one, others = [s for s in own if s.name == names[0]], [s for s in own if s.name in names[1:]]
            ids = [set().union(*(s.documents for s in side)) for side in (one, others)]
            met += [(benchmark, document, document, "") for document in ids[0] & ids[1]]
            for language in LANGUAGES:
                left, right = (
                    [pair for s in side if s.language == language for pair in s.document_texts().items()]
                    for side in (one, others)
                )
                pairs = near_duplicates([value for _, value in left], [value for _, value in right], threshold)
                met += [(benchmark, left[i][0], right[j][0], language) for i, j, _ in pairs]
    return met


def test_synthetic_files_come_out_clean(published: Path) -> None:
    splits = read_published(published)
    assert ("ade", "9", "9", "") in sides_that_meet(splits, THRESHOLD)
    cleaned, _ = clean_splits(splits)
    assert sides_that_meet(cleaned, THRESHOLD) == []


def test_no_two_sides_of_the_real_benchmarks_meet(real_cleaned: tuple[list[Split], list[Change]]) -> None:
    assert sides_that_meet(real_cleaned[0], THRESHOLD) == []


def test_what_moves_in_the_real_benchmarks(
    real_splits: list[Split], real_cleaned: tuple[list[Split], list[Change]]
) -> None:
    cleaned, changes = real_cleaned
    assert {f"{s.config}/{s.name}": (len(s.documents), len(s.rows)) for s in cleaned} == {
        "ade_en/train": (3449, 3449), "ade_en/validation": (384, 384), "ade_en/test": (427, 427),
        "ade_zh/train": (3396, 3396), "ade_zh/validation": (379, 379), "ade_zh/test": (421, 421),
        "bc5cdr_en/train": (500, 4518), "bc5cdr_en/validation": (499, 4511), "bc5cdr_en/test": (500, 4764),
        "bc5cdr_zh/train": (494, 4514), "bc5cdr_zh/validation": (495, 4566), "bc5cdr_zh/test": (498, 4767),
        "gad_en/train": (3659, 3659), "gad_en/validation": (523, 523), "gad_en/test": (508, 508),
        "gad_zh/train": (3571, 3571), "gad_zh/validation": (514, 514), "gad_zh/test": (497, 497),
        "hoc_en/train": (1294, 1294), "hoc_en/validation": (186, 186), "hoc_en/test": (371, 371),
        "hoc_zh/train": (1231, 1231), "hoc_zh/validation": (176, 176), "hoc_zh/test": (370, 370),
    }  # fmt: skip
    assert Counter((change.benchmark, change.published, change.place, change.reason) for change in changes) == {
        ("ade", "validation", None, Reason.VALIDATION_IS_TEST): 427,
        ("ade", "train", "validation", Reason.CARVED): 384,
        ("ade", "train", None, Reason.REPEATED): 1,
        ("ade", "train", None, Reason.NEAR_DUPLICATE): 11,
        ("bc5cdr", "validation", None, Reason.NEAR_DUPLICATE): 1,
        ("gad", "test", None, Reason.REPEATED): 26,
        ("gad", "validation", None, Reason.REPEATED): 4,
        ("gad", "train", None, Reason.REPEATED): 134,
        ("gad", "validation", None, Reason.NEAR_DUPLICATE): 8,
        ("gad", "train", None, Reason.NEAR_DUPLICATE): 468,
        ("hoc", "train", None, Reason.NEAR_DUPLICATE): 1,
    }
    # every published row is in the cleaned splits, where it was or where it moved to, or has a change that says why not
    homes = {(s.benchmark, s.language, row.id): s.name for s in cleaned for row in s.rows}
    moved = {(change.benchmark, change.published, change.document): change.place for change in changes}
    for s in real_splits:
        for row in s.rows:
            expected = moved.get((s.benchmark, s.name, row.document), s.name)
            if s.benchmark != "ade" or s.name != "validation":
                assert homes.get((s.benchmark, s.language, row.id)) == expected, (s.config, s.name, row.id)
