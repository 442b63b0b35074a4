"""Scripts: in which a language is written, and which characters are letters of it."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

from kbioxlm.dataset_scripts.translation.language_codes import script_of

_LETTERS = {
    "Latn": "LATIN",
    "Hans": "CJK UNIFIED",
    "Jpan": "CJK UNIFIED|HIRAGANA|KATAKANA",
    "Hang": "HANGUL",
    "Arab": "ARABIC",
    "Cyrl": "CYRILLIC",
    "Grek": "GREEK",
    "Hebr": "HEBREW",
}
_WORD = re.compile(r"[^\W\d_]+")


def same_script(one: str, other: str) -> bool:
    """Whether two languages are written in one script; Japanese shares its characters with Chinese."""
    scripts = {script_of(one), script_of(other)}
    return len(scripts) == 1 or scripts == {"Hans", "Jpan"}


def is_written_without_spaces(language: str) -> bool:
    """Whether words of `language` stand together without spaces."""
    return script_of(language) in ("Hans", "Jpan")


@lru_cache(maxsize=100_000)
def is_letter_of(character: str, language: str) -> bool:
    """Whether `character` is a letter of the script of `language`."""
    return unicodedata.name(character, "").startswith(tuple(_LETTERS[script_of(language)].split("|")))


def is_acronym(name: str) -> bool:
    """Whether `name` is made of codes alone: no word of it has two small letters in a row (HLA-B27, pH, mRNA)."""
    for word in _WORD.findall(name):
        if any(unicodedata.category(character) == "Lo" for character in word):
            return False
        if any(one.islower() and other.islower() for one, other in pairwise(word)):
            return False
    return True
