"""Defects of translated texts: golden cases of what is found and of what is left alone."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbioxlm.dataset_scripts.benchmarks.translation.checks import text_defects
from kbioxlm.dataset_scripts.benchmarks.translation.defects import UNUSABLE, WEIGHTS, Defect, risk
from kbioxlm.dataset_scripts.benchmarks.translation.outliers import label_outliers, length_outliers
from kbioxlm.dataset_scripts.benchmarks.translation.quantities import differing_numbers
from kbioxlm.dataset_scripts.benchmarks.translation.readings import read
from kbioxlm.dataset_scripts.benchmarks.translation.sources import Enclosed, Row
from kbioxlm.dataset_scripts.benchmarks.translation.units import units_of
from kbioxlm.dataset_scripts.benchmarks.translation.untranslated import untranslated_runs


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("A 26-year-old woman took 5 mg for 2 weeks.", "一名26岁女性服用5毫克，持续两周。", []),
        ("Eighty - two patients in March 1994", "1994年3月的82例患者", []),
        ("the nineteenth week; twenty-first case", "第19周；第21例", []),
        ("10,000 patients and 1.5 million tests", "1万名患者，150万次检测", []),
        ("hundreds in the 1990s", "20世纪90年代有数百例", []),
        ("p<.05, type II diabetes", "p<0.05，2型糖尿病", []),
        ("serotonin in 2 cases", "2例的5-羟色胺", []),
        ("a dose of 0.50 ml", "剂量0.5毫升", []),
        ("once daily for 25 days", "每天1次，共二十五天", []),
        ("５ mg", "5毫克", []),
        ("cytochrome P-450 2D6", "细胞色素P-4502D6", ["2", "450", "4502"]),
        ("she took amantadine for 6 years", "她服用金刚烷胺", ["6"]),
        ("she took amantadine", "她服用金刚烷胺6年", ["6"]),
        ("3 of 30 and 3 of 31", "30例中3例，31例中30例", ["3", "30"]),
        ("15 mg", "1.5毫克", ["1.5", "15"]),
    ],
)
def test_numbers_in_chinese(source: str, target: str, expected: list[str]) -> None:
    assert differing_numbers(source, target, "en", "zh") == expected
    assert differing_numbers(target, source, "zh", "en") == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("1,000 mg, 2.5 ml", "1.000 mg, 2,5 ml", []),
        ("three cases", "3 casos", []),
        ("3 cases", "tres casos", []),  # any small number may be a word of a language without tables
        ("34 cases", "tres casos", ["34"]),
    ],
)
def test_numbers_in_spanish(source: str, target: str, expected: list[str]) -> None:
    assert differing_numbers(source, target, "en", "es") == expected


@given(st.integers(0, 99_999_999))
def test_a_number_is_always_like_itself(number: int) -> None:
    for written in (str(number), f"{number:,}"):
        assert differing_numbers(f"about {written} cells", f"约{number}个细胞", "en", "zh") == []
        assert differing_numbers(f"about {written} cells", f"{number + 37}个细胞", "en", "zh") != []


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("服用甲氧氯普胺后出现MDR1、mRNA、ApoE、TNFalpha和HLA-B27的变化", []),
        ("剂量为5 mg/kg，pH 7.4，PKC alpha，Arg/Gln，E. coli，in vitro", []),
        ("@GENE$与@DISEASE$相关", []),
        ("服用metoclopramide后出现dyskinesia", ["metoclopramide", "dyskinesia"]),
        ("服用 after taking the drug 后", ["after taking the drug"]),
        ("Naranjo量表", ["Naranjo"]),
        ("Stevens-Johnson综合征，Stevens-Johnson综合征", ["Stevens-Johnson"]),
    ],
)
def test_latin_words_in_chinese(target: str, expected: list[str]) -> None:
    assert untranslated_runs("", target, "en", "zh") == expected


def test_known_names_are_translations_in_any_letters() -> None:
    text = "感染Covid病毒"
    assert untranslated_runs("", text, "en", "zh") == ["Covid"]
    assert untranslated_runs("", text, "en", "zh", [(2, 9)]) == []


def test_chinese_in_english_and_words_that_follow_each_other_in_both() -> None:
    assert untranslated_runs("", "She took 阿司匹林 daily.", "zh", "en") == ["阿司匹林"]
    source = "She developed a severe skin reaction after two days"
    assert untranslated_runs(source, "Ella desarrolló a severe skin reaction grave", "en", "es") == [
        "a severe skin reaction"
    ]
    assert untranslated_runs(source, "Tuvo una severa skin reaction", "en", "es") == []


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("She took aspirin.", "她服用了阿司匹林。", []),
        ("She took aspirin.", "She took  Aspirin.", ["copied"]),
        ("MDR1 HLA-B27", "MDR1 HLA-B27", []),
        ("She took aspirin.", "输出：她服用了阿司匹林。", ["remains"]),
        ("She took aspirin.", "翻译：她服用了Aspirin。", ["remains", "foreign_name"]),
        ("She took 5 aspirin.", "她服用了aspirin。", ["untranslated", "numbers"]),
        ("She took aspirin.", " ", []),  # said to be missing elsewhere
    ],
)
def test_texts(source: str, target: str, expected: list[str]) -> None:
    assert [defect.name for defect in text_defects(source, target, "en", "zh")] == expected


def test_lengths_far_from_all_others() -> None:
    draw = random.Random(0)
    lengths = [(length := draw.randint(60, 200), round(length * draw.uniform(0.28, 0.36))) for _ in range(200)]
    assert length_outliers(lengths) == {}
    found = length_outliers([*lengths, (150, 12), (150, 140), (8, 4), (0, 5), (150, 0)])
    assert set(found) == {200, 201}
    assert found[200].message.startswith("12 characters where about 4")
    ratios = sorted(math.log(target / source) for source, target in lengths)
    assert math.exp(ratios[100]) * 150 == pytest.approx(int(found[200].message.split()[-5]), abs=2)


def test_lengths_of_few_rows_or_equal_rows_say_nothing() -> None:
    assert length_outliers([(100, 30)] * 18 + [(100, 300)]) == {}
    assert length_outliers([(100, 30)] * 40 + [(100, 300)]) == {}


def row_of(number: int, name: str, label: str) -> Row:
    return Row(f"c/train/{number}", str(number), name, (Enclosed(0, len(name), label),))


def test_a_name_with_another_label_than_everywhere_else() -> None:
    rows = [row_of(number, "nausea", "ADE") for number in range(5)]
    rows += [row_of(5, "Aspirin", "Drug"), row_of(6, "cough", "ADE"), row_of(7, "emetine", "Drug")]
    texts = ["恶心"] * 5 + ["恶心", "咳嗽", "吐根碱"]
    readings = [read(f"<1>{text}</1>", row.labels, "zh") for row, text in zip(rows, texts, strict=True)]
    found = label_outliers(rows, readings)
    assert {place: [defect.name for defect in defects] for place, defects in found.items()} == {5: ["other_type"]}
    assert found[5][0].message == "'恶心' is Drug here and ADE 5 times elsewhere"
    # the source itself calls it both
    ambiguous = [*rows, row_of(8, "Aspirin", "ADE")]
    assert label_outliers(ambiguous, [*readings, read("<1>阿司匹林</1>", ("ADE",), "zh")]) == {}


def test_risk_grows_with_every_defect() -> None:
    assert risk([]) == 0.0
    assert risk([Defect("odd_marker", "")]) == 0.05
    assert risk([Defect("lost", ""), Defect("numbers", "")]) == pytest.approx(0.94)
    assert risk([Defect("missing", ""), Defect("numbers", "")]) == 1.0
    assert all(0.0 < weight <= 1.0 for weight in WEIGHTS.values())
    assert set(WEIGHTS) >= UNUSABLE


def test_units_are_words_and_single_characters_and_end_with_entities() -> None:
    text = "服用MDR1抑制剂 5-HT 后"
    units = units_of(text, [(4, 7)])
    assert [text[start:end] for start, end in units] == [
        "服",
        "用",
        "MD",
        "R1",
        "抑",
        "制",
        "剂",
        "5",
        "-",
        "HT",
        "后",
    ]


@given(st.text(alphabet="aB1 服，-é\u0301\n", max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_units_cover_all_but_white_space_and_respect_borders(text: str, cuts: list[int]) -> None:
    borders = sorted({min(cut, len(text)) for cut in cuts})
    spans = list(zip(borders[::2], borders[1::2], strict=False))
    units = units_of(text, spans)
    covered = [place for start, end in units for place in range(start, end)]
    assert covered == [place for place, character in enumerate(text) if not character.isspace()]
    for start, end in units:
        assert not any(start < border < end for span in spans for border in span)
