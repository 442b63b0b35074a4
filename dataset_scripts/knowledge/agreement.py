"""When two independent translations of a name are taken as one, and when an answer is none at all."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import opencc

from kbioxlm.dataset_scripts.translation.language_codes import script_of
from kbioxlm.dataset_scripts.translation.protocol import Answer
from kbioxlm.dataset_scripts.translation.scripts import is_acronym, is_letter_of, same_script

# scripts that hold many letters a syllable or word: a name written in them is several times shorter
_DENSE = frozenset({"Hans", "Jpan", "Hang"})
_ALWAYS_ALLOWED = 40  # characters: an acronym may be spelt out
# what chat models, tokenizers and forms leave around an answer
_REMAINS = re.compile(
    r"```|<unk>|⁇|\ufffd|>>\w+<<|__\w\w__|</?s>|[\x00-\x08\x0b\x0c\x0e-\x1f]"
    r"|^\s*(?:\d+[.)、]\s|[-*•]\s|[\[{])|^\s*[\"“].*[\"”]\s*$"
    r"|^\s*(?:here (?:is|are)\b|sure[,!]|note:)"
    r"|^\s*(?:translation|output|traducción|traduction|tradução|traduzione|übersetzung|翻译|译文|译为|输出|翻訳|訳)\s*[:：]",
    re.IGNORECASE,
)
_OF_DIGITS = re.compile(r"(?<=\d)[^\w\s](?=\d)")


def normalised(name: str, language: str) -> str:
    """`name` without what two translators may write differently in the same name.

    Folded are compatibility forms (NFKC), letter case and, in Chinese, traditional characters. Spaces, hyphens,
    brackets, quotes and punctuation are left out, but not between two digits (1.5 is not 15), and not `%`, `/`, `*`
    and the like. No word or suffix is dropped: 心脏病 and 心脏病症 differ.
    """
    name = unicodedata.normalize("NFKC", name).casefold()
    if language == "zh":
        name = _simplifier().convert(name)
    kept = {match.start() for match in _OF_DIGITS.finditer(name)}
    return "".join(character for place, character in enumerate(name) if place in kept or not _is_dropped(character))


def doubt(source_name: str, first: Answer, second: Answer, source: str, target: str) -> str:
    """Why the answers are not accepted, or "" if they are.

    They are if both are sound and equal when `normalised`. An answer is not sound if it is empty, much longer than a
    name of that length becomes, holds remains of a prompt or form, or is not in the target's script though the
    source name is more than an acronym; nor, between languages of one script, if it repeats a source name of several
    words.
    """
    folded = [normalised(answer or "", target) for answer in (first, second)]
    doubts = [
        f"answer {number} {reason}"
        for number, answer, plain in ((1, first, folded[0]), (2, second, folded[1]))
        if (reason := _unsound(source_name, answer, plain, source, target))
    ]
    if doubts:
        return "; ".join(doubts)
    return "" if folded[0] == folded[1] else "differ"


def holds_remains(answer: str, source_text: str) -> bool:
    """Whether `answer` has remains of a prompt, a list, a form or special tokens that `source_text` has not."""
    return _REMAINS.search(answer) is not None and _REMAINS.search(source_text) is None


def _unsound(source_name: str, answer: Answer, folded: str, source: str, target: str) -> str:
    if answer is None or not folded:
        return "is empty"
    if "\n" in answer.strip() or holds_remains(answer, source_name):
        return "holds more than a name"
    growth = 8 if script_of(source) in _DENSE and script_of(target) not in _DENSE else 3
    if len(answer) > _ALWAYS_ALLOWED + growth * len(source_name):
        return "is too long"
    if not same_script(source, target):
        if not any(is_letter_of(letter, target) for letter in answer) and not is_acronym(source_name):
            return f"is not written in {target}"
    elif len(source_name.split()) > 1 and folded == normalised(source_name, target):
        return "repeats the source"
    return ""


@lru_cache(maxsize=1)
def _simplifier() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


@lru_cache(maxsize=100_000)
def _is_dropped(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Zs", "Cf", "Pd", "Ps", "Pe", "Pi", "Pf") or character in "\t,;:.!?'·・、。"
