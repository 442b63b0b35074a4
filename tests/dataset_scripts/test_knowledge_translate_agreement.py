"""When two translations are one, and when an answer is none."""

from __future__ import annotations

import pytest

from kbioxlm.dataset_scripts.knowledge.agreement import doubt, normalised
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("I型糖尿病", "Ⅰ型糖尿病", "zh"),
        ("1型糖尿病", " 1 型糖尿病。", "zh"),
        ("高血壓", "高血压", "zh"),
        ("维生素B12", "維生素b12", "zh"),
        ("维生素B12", "维生素 B-12", "zh"),
        ("肺癌(非小细胞)", "肺癌(非小细胞)", "zh"),
        ("Diabetes mellitus tipo 2", "diabetes mellitus, tipo 2", "es"),
        ("síndrome de Down", "si\u0301ndrome de down", "es"),
    ],
)
def test_the_same_name_written_otherwise(one: str, other: str, language: str) -> None:
    assert normalised(one, language) == normalised(other, language)


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("1.5 mg", "15 mg", "es"),
        ("COVID 1-2", "COVID 12", "es"),
        ("5%", "5", "es"),
        ("心脏病", "心脏病症", "zh"),
        ("哮喘", "哮喘病", "zh"),
        ("fenitoína", "fenitoina", "es"),
        ("高血壓", "高血压", "ja"),
        ("α受体", "β受体", "zh"),
        ("Na+", "Na", "en"),
    ],
)
def test_other_names(one: str, other: str, language: str) -> None:
    assert normalised(one, language) != normalised(other, language)


@pytest.mark.parametrize(
    ("name", "first", "second", "reason"),
    [
        ("heart attack", "心肌梗死", "心肌梗死", ""),
        ("heart attack", "心肌梗死", "心肌梗塞", "differ"),
        ("heart attack", None, "心肌梗死", "answer 1 is empty"),
        ("heart attack", "心肌梗死", " 。", "answer 2 is empty"),
        ("heart attack", None, None, "answer 1 is empty; answer 2 is empty"),
        (
            "heart attack",
            "heart attack",
            "Heart Attack",
            "answer 1 is not written in zh; answer 2 is not written in zh",
        ),
        ("Abacavir", "Abacavir", "阿巴卡韦", "answer 1 is not written in zh"),
        ("HLA-B27", "HLA-B27", "HLA B27", ""),
        ("mRNA", "mRNA", "mRNA", ""),
        ("pH 7", "pH 7", "pH 7", ""),
        ("fever", "热" * 56, "热" * 56, "answer 1 is too long; answer 2 is too long"),
        ("heart attack", "1. 心肌梗死", "心肌梗死", "answer 1 holds more than a name"),
        ("heart attack", "心肌梗死\n(注释)", "心肌梗死", "answer 1 holds more than a name"),
        ("heart attack", "翻译:心肌梗死", "心肌梗死", "answer 1 holds more than a name"),
        ("heart attack", "输出：心肌梗死", "心肌梗死", "answer 1 holds more than a name"),
        ("heart attack", '["心肌梗死"]', "心肌梗死", "answer 1 holds more than a name"),
        (
            "heart attack",
            "__zh__ 心肌梗死",
            "<unk>心肌",
            "answer 1 holds more than a name; answer 2 holds more than a name",
        ),
        ("[D] heart attack", "[D]心脏病发作", "[D]心脏病发作", ""),
        ("1. toe", "1. 脚趾", "1. 脚趾", ""),
    ],
)
def test_english_into_chinese(name: str, first: str | None, second: str | None, reason: str) -> None:
    assert doubt(name, first, second, "en", "zh") == reason


@pytest.mark.parametrize(
    ("source", "target", "name", "answer", "sound"),
    [
        ("zh", "en", "急性髓系白血病", "acute myeloid leukaemia", True),
        ("zh", "en", "急性髓系白血病", "急性髓系白血病", False),
        ("zh", "en", "DNA", "DNA", True),
        ("en", "es", "insulin", "insulin", True),  # one word may be the same
        ("en", "es", "heart attack", "heart attack", False),
        ("en", "es", "translation factor", "traducción, factor de", True),
        ("en", "es", "asthma", "Traducción: asma", False),
        ("en", "es", "asthma", "Sure, asma", False),
        ("zh", "ja", "糖尿病", "糖尿病", True),
        ("en", "ru", "asthma", "asthma", False),
        ("en", "ru", "asthma", "астма", True),
        ("en", "ko", "asthma", "천식", True),
        ("en", "el", "asthma", "άσθμα", True),
    ],
)
def test_other_pairs(source: str, target: str, name: str, answer: str, sound: bool) -> None:
    assert (doubt(name, answer, answer, source, target) == "") == sound


def test_every_language_can_be_judged() -> None:
    for source in ENGLISH_NAMES:
        for target in ENGLISH_NAMES:
            assert doubt("fever", "", "", source, target) == "answer 1 is empty; answer 2 is empty"
            assert isinstance(doubt("fever", "x y", "x y", source, target), str)
