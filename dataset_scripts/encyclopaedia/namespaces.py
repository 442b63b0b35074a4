"""Words of wikitext that differ between language editions."""

from __future__ import annotations

import re
from pathlib import Path

from kbioxlm.common.files import read_lines

_ROWS = [line.split("\t") for _, line in read_lines(Path(__file__).with_name("markup_words.tsv"))]
# Images and categories may be written by the English name in every edition, and by the edition's own.
_LEFT_OUT = frozenset(word for kind, word in _ROWS if kind in ("media", "category"))
# Headings of sections that are no running text, letters small and Chinese simplified.
_APPARATUS = frozenset(word for kind, word in _ROWS if kind == "apparatus")
# Prefixes of two or three letters that lead to other projects and not to another language's article.
_PROJECTS = frozenset(("doi", "mw", "voy", "rfc", "hdl", "pmc", "pmid", "wmf", "nost", "isbn", "gnd"))
_LANGUAGE = re.compile(r"(?:[a-z]{2,3}(?:-[a-z]{2,}){0,2}|simple)")
_PROJECT = re.compile(
    r"(?:wikt|wiktionary|d|wikidata|s|wikisource|q|wikiquote|b|wikibooks|n|v|species|c|commons|m|meta|w)"
)


def is_apparatus(heading: str, simplified: str) -> bool:
    """Whether a section with this heading (as written, and in simplified Chinese) is no running text."""
    return heading.strip(" :：").lower() in _APPARATUS or simplified.strip(" :：").lower() in _APPARATUS


def leaves_no_text(target: str, own: frozenset[str]) -> bool:
    """Whether a link to `target` shows no text where it stands: an image, a category, another language's article.

    Args:
        own: the edition's names of its namespaces for images and categories, in small letters.
    """
    prefix, colon, _ = target.partition(":")
    if not colon or not prefix:
        return False  # a colon in front makes any of them an ordinary link
    prefix = " ".join(prefix.replace("_", " ").split())
    small = prefix.lower()
    return small in _LEFT_OUT or small in own or (bool(_LANGUAGE.fullmatch(prefix)) and small not in _PROJECTS)


def without_prefix(target: str) -> str:
    """What a link to `target` shows if it has no text of its own."""
    target = target.strip().lstrip(":")
    prefix, colon, rest = target.partition(":")
    if colon and (_PROJECT.fullmatch(prefix.strip().lower()) or _LANGUAGE.fullmatch(prefix.strip())):
        return rest.strip()
    return target
