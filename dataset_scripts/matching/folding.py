"""Folding of text for name matching, with the way back to the original offsets.

Folded are letter case, compatibility forms (NFKC: full-width letters, ligatures, composed accents), traditional
Chinese characters (to simplified ones, each alone, as OpenCC's t2s does) and the many code points for hyphens,
apostrophes and spaces.

This is the definition, in plain Python. `code_points` holds it as tables for compiled code.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

_LIKE_ASCII = {
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"), "-"),
    **dict.fromkeys(map(ord, "\u2018\u2019\u02bc\u2032\uff07\u0060\u00b4"), "'"),
    **dict.fromkeys(map(ord, "\t\n\r\u0085\u00a0\u2002\u2003\u2009\u200a\u202f\u3000"), " "),
}
UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul: spaced, but particles are joined on to nouns
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3005, 0x3007),  # Han iteration mark and zero
    (0x3040, 0x31FF),  # kana, Bopomofo, Hangul compatibility letters
    (0x3400, 0x9FFF),  # Han
    (0xAC00, 0xD7FF),  # Hangul syllables
    (0xF900, 0xFAFF),  # Han compatibility
    (0xFF66, 0xFF9F),  # half-width kana
    (0x1B000, 0x1B16F),  # kana supplements
    (0x20000, 0x3FFFF),  # Han extensions
)
_HAN_BLOCKS = ((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))


class Folded(NamedTuple):
    """A folded text and, where its length changed, the original offsets.

    `starts[i]` is the original offset at which folded character i begins, `ends[i]` the one at which it ends; -1
    inside a group of characters that came from one, or became one. None means that no offset moved.
    """

    text: str
    starts: list[int] | None
    ends: list[int] | None


class _FoldTable(dict[int, str]):
    """Folds by code point, filled as they are met. A combining mark becomes longer, so that it is noticed."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = fold_group(character) + ("\0" if unicodedata.combining(character) else "")
        self[code] = folded
        return folded


class _SimplifiedCharacters(dict[int, str]):
    """Traditional characters to simplified ones, made when the first Han character is met."""

    def __missing__(self, code: int) -> str:
        if not self and any(first <= code <= last for first, last in _HAN_BLOCKS):
            self.update(_simplified_characters())
            return self.get(code, chr(code))
        return chr(code)


def _simplified_characters() -> dict[int, str]:
    import opencc  # only where there is Chinese

    han = [chr(code) for first, last in _HAN_BLOCKS for code in range(first, last + 1)]
    simplified = opencc.OpenCC("t2s").convert("\n".join(han)).split("\n")
    return {
        ord(character): other
        for character, other in zip(han, simplified, strict=True)
        if character != other and len(other) == 1
    }


_TABLE = _FoldTable()
_SIMPLIFIED = _SimplifiedCharacters()


def write_alike(group: str) -> str:
    """A character with its combining marks, folded in all but its letter case and its kind of Chinese."""
    return unicodedata.normalize("NFKC", group.translate(_LIKE_ASCII))


def fold_group(group: str) -> str:
    """A character with its combining marks, folded, whatever its length becomes."""
    return unicodedata.normalize("NFKC", write_alike(group).casefold()).translate(_SIMPLIFIED)


def groups(text: str) -> list[str]:
    """`text` cut into characters with their combining marks."""
    found: list[str] = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        found.append(text[start:end])
        start = end
    return found


def fold(text: str) -> Folded:
    """`text` folded, with its offsets.

    Nearly all texts keep their length, so that one table look-up a character is enough; the others are folded
    one base character (with its combining marks) after another.
    """
    folded = text.translate(_TABLE)
    if len(folded) == len(text):
        return Folded(folded, None, None)
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    start = 0
    for group in groups(text):
        part = fold_group(group)
        parts.append(part)
        starts += [start] + [-1] * (len(part) - 1)
        start += len(group)
        ends += [-1] * (len(part) - 1) + [start]
    return Folded("".join(parts), starts, ends)


def fold_characters(text: str) -> str:
    """`text` folded, without offsets."""
    return fold(text).text


def is_unspaced(character: str) -> bool:
    """Whether `character` is of a script in which words are not set apart by spaces (Han, kana, Thai, …)."""
    code = ord(character)
    return code >= 0x0E00 and any(first <= code <= last for first, last in UNSPACED_BLOCKS)


class _WordCharacters(dict[str, bool]):
    def __missing__(self, character: str) -> bool:
        self[character] = unicodedata.category(character)[0] in "LMN" and not is_unspaced(character)
        return self[character]


_WORD_CHARACTERS = _WordCharacters()


def in_spaced_word(character: str) -> bool:
    """Whether `character` is a letter, mark or digit of a script that sets words apart by spaces (Latin, Greek, …)."""
    return _WORD_CHARACTERS[character]


def is_boundary(text: str, offset: int) -> bool:
    """Whether a name may begin or end at `offset`: not inside a word, and not inside a number such as 1.5."""
    if offset <= 0 or offset >= len(text):
        return True
    before, after = text[offset - 1], text[offset]
    if _WORD_CHARACTERS[before] and _WORD_CHARACTERS[after]:
        return False
    if after in ".," and before.isdigit():
        return not text[offset + 1 : offset + 2].isdigit()
    if before in ".," and after.isdigit():
        return not (offset > 1 and text[offset - 2].isdigit())
    return True
