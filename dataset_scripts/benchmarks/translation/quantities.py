"""The numbers of a text, to be compared with those of its translation."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from decimal import Decimal
from functools import cache

# languages whose numbers have a comma where English has a point: there, all separators are passed over
_DECIMAL_COMMA = frozenset(
    ("cs", "da", "de", "el", "es", "et", "eu", "fi", "fr", "hr", "hu", "it", "lv", "nl", "no", "pl", "pt", "ru", "sv",
     "tr", "uk")
)  # fmt: skip
_NUMBER = re.compile(r"(?:(?<![\d.])\.)?\d+(?:[.,]\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SCALES = {
    "en": {"hundred": 2, "thousand": 3, "million": 6, "billion": 9},
    "zh": {"百": 2, "千": 3, "万": 4, "百万": 6, "千万": 7, "亿": 8, "十亿": 9},
}
_HAN_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "俩": 2}
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10000}
_HAN_NUMBER = re.compile(rf"[{''.join((*_HAN_DIGITS, *_HAN_UNITS))}]+")
_ROMAN = re.compile(r"(?<![A-Za-z])(X{0,3})(IX|IV|V?I{0,3})(?![A-Z])")
_ONES, _TEENS, _TENS, _NTHS, _MONTHS = map(
    str.split,
    (
        "one two three four five six seven eight nine",
        "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
        "twenty thirty forty fifty sixty seventy eighty ninety",
        "first second third fourth fifth sixth seventh eighth ninth",
        "january february march april may june july august september october november december",
    ),
)
_OTHERS = {
    "zero": 0, "a": 1, "an": 1, "once": 1, "single": 1, "twice": 2, "double": 2, "both": 2, "half": 2, "pair": 2,
    "couple": 2, "thrice": 3, "triple": 3, "twelfth": 12, "dozen": 12, "hundred": 100, "thousand": 1000,
}  # fmt: skip
_ENGLISH = {
    **{word: value for words in (_ONES, _NTHS, _MONTHS) for value, word in enumerate(words, 1)},
    **{word: value for value, word in enumerate(_TEENS, 10)},
    **{word: 10 * value for value, word in enumerate(_TENS, 2)},
    **_OTHERS,
}
_ENDINGS = re.compile(r"(?:fold|th|s)$")
# serotonin is 5-羟色胺, 5-hydroxytryptamine
_BEGINNINGS = {"mono": 1, "uni": 1, "bi": 2, "di": 2, "tri": 3, "tetra": 4, "quadri": 4, "seroton": 5}
_WORD = re.compile(r"[a-z]+")
_TENS_AND_ONES = re.compile(rf"\b({'|'.join(_TENS)})[\s-]*({'|'.join((*_ONES, *_NTHS))})(?![a-rt-z])")
_DECADE = re.compile(r"(?<!\d)(\d\d)(\d)0s")
_HAN_DECADE = re.compile(r"(\d\d)世纪(?:(\d)0年代)?")
_LARGEST_SPELLED = 20  # numbers that a language without tables here may put in words


def differing_numbers(source_text: str, target_text: str, source: str, target: str) -> list[str]:
    """The numbers that one of the texts has and the other has not, in digits or in words; sorted.

    Number words are known in English and Chinese; in other languages any whole number up to 20 may be one.
    """
    loose = bool({source, target} & _DECIMAL_COMMA)
    first, second = (
        _in_digits(unicodedata.normalize("NFKC", text), language, loose)
        for text, language in ((source_text, source), (target_text, target))
    )
    lost = {number for number in first - second if not _may_be_spelled(number, target_text, target)}
    new = {number for number in second - first if not _may_be_spelled(number, source_text, source)}
    return sorted(lost | new)


def _in_digits(text: str, language: str, loose: bool) -> Counter[str]:
    found: Counter[str] = Counter()
    for match in _NUMBER.finditer(text):
        for number in [match[0]] if loose or _GROUPED.fullmatch(match[0]) else match[0].split(","):
            found[_canonical(number, _scale(text, match.end(), language), loose)] += 1
    return found


def _canonical(number: str, scale: int, loose: bool) -> str:
    if loose:
        return re.sub(r"[.,]", "", number).strip("0") or "0"  # 1,50, 1.5 and 15 are alike: no sign which one is meant
    number = number.replace(",", "")
    if number.count(".") > 1:  # a version, a date
        return number
    value = Decimal(f"0{number}").scaleb(scale).normalize()
    return format(value, "f")


def _scale(text: str, place: int, language: str) -> int:
    """The power of ten of the word behind a number."""
    rest = text[place : place + 12].lstrip().lower()
    words = [word for word in _SCALES.get(language, {}) if rest.startswith(word)]
    return _SCALES[language][max(words, key=len)] if words else 0


def _may_be_spelled(number: str, text: str, language: str) -> bool:
    text = unicodedata.normalize("NFKC", text)
    if number in _spelled(text, language):
        return True
    return language not in _SCALES and number.isdigit() and int(number) <= _LARGEST_SPELLED


@cache
def _roman(tens: str, ones: str) -> int:
    value = {"": 0, "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9}
    return 10 * len(tens) + value[ones]


def _spelled(text: str, language: str) -> set[str]:
    """Numbers that words, Roman numerals and decades in `text` may stand for."""
    values = {_roman(*match.groups()) for match in _ROMAN.finditer(text) if match[0]}
    for match in _DECADE.finditer(text):
        values |= {int(match[1]) + 1, 10 * int(match[2])}
    for match in _HAN_DECADE.finditer(text):
        values.add(100 * (int(match[1]) - 1) + 10 * int(match[2] or 0))
    if language == "en":
        lower = text.lower()
        for word in set(_WORD.findall(lower)):
            values |= {_ENGLISH[form] for form in (word, _ENDINGS.sub("", word)) if form in _ENGLISH}
            values |= {value for beginning, value in _BEGINNINGS.items() if word.startswith(beginning)}
        for match in _TENS_AND_ONES.finditer(lower):
            values.add(_ENGLISH[match[1]] + _ENGLISH[match[2]])
    if language == "zh":
        for match in _HAN_NUMBER.finditer(text):
            values |= {_han(match[0]), *(_HAN_DIGITS[one] for one in match[0] if one in _HAN_DIGITS)}
        values |= {2 for character in text if character in "双倍半"}
    return {str(value) for value in values}


def _han(numeral: str) -> int:
    """The value of a Chinese numeral below 100 million: 二十五, 一千零八, 三万."""
    total = section = digit = 0
    for character in numeral:
        if character in _HAN_DIGITS:
            digit = _HAN_DIGITS[character]
        elif character == "万":
            total, section, digit = (total + section + digit) * 10000, 0, 0
        else:
            section, digit = section + (digit or 1) * _HAN_UNITS[character], 0
    return total + section + digit
