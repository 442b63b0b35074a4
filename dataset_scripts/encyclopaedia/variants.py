"""Chinese Wikipedia's markup for words that differ between scripts and regions: `-{zh-hans:计算机;zh-hant:電腦}-`."""

from __future__ import annotations

import re
from functools import cache

import opencc

# Innermost first: a rule holds no other rule. `-{{` is a hyphen before a template.
_RULE = re.compile(r"-\{(?!\{)((?:(?!-\{|\}-).)*+)\}-", re.DOTALL)
_FLAGS = re.compile(r"\s*([A-Za-z;\-\s]*?)\s*\|(.*)", re.DOTALL)
_CHOICE = re.compile(
    r"(?:[^;:{}\[\]]*=>)?\s*(zh(?:-[a-z]+)?)\s*:(.*?)\s*(?=;\s*(?:[^;:{}\[\]]*=>\s*)?zh(?:-[a-z]+)?\s*:|\Z)", re.DOTALL
)
_SIMPLIFIED = ("zh-hans", "zh-cn", "zh-sg", "zh-my", "zh")
_HIDDEN = set("HTD-")
_DEEPEST = 5


def resolve_variants(text: str) -> str:
    """`text` with every rule replaced by what readers of simplified Chinese see."""
    if "-{" not in text:
        return text
    for _ in range(_DEEPEST):
        text, changed = _RULE.subn(lambda rule: _shown(rule[1]), text)
        if not changed:
            break
    return text


def simplified(text: str) -> str:
    """`text` in simplified characters, character for character and word for word as OpenCC knows them."""
    return _converter().convert(text)


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def _shown(rule: str) -> str:
    flags = _FLAGS.fullmatch(rule)
    # `zh-hans;zh-hant|text` restricts the variants, `A|rules` are flags, `[[a|b]]` is neither
    if flags and "[" not in flags[1]:
        names = {flag.strip() for flag in flags[1].split(";")}
        if names & _HIDDEN:
            return ""
        rule = flags[2]
        if names & {"R"}:
            return rule
    choices: dict[str, str] = {}
    for variant, text in _CHOICE.findall(rule):
        choices.setdefault(variant, text.strip().rstrip(";").rstrip())
    if not choices:
        return rule
    for variant in _SIMPLIFIED:
        if choices.get(variant):
            return choices[variant]
    return next(iter(choices.values()))
