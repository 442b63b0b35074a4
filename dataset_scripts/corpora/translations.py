"""The name that is written for a concept in another language."""

from __future__ import annotations

import random
import re
from functools import lru_cache

from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.folding import fold_characters
from kbioxlm.dataset_scripts.matching.matcher import is_long_enough

MAX_NAME_CHARS = 60
MAX_ACRONYM_CHARS = 5
PREFERRED_SHARE = 0.5
REMEMBERED = 1 << 16
_NEVER = re.compile(
    r"[\[\]{}|;；\\<>=]|特指|未标明|不伴有|未分类|他处|其他的|某些的|"
    r"\b(NOS|NEC)\b|unspecified|not elsewhere|other specified",
    re.IGNORECASE,
)
_LAST_RESORT = re.compile(r"[/,，、()（）:：.。]")


class Translations:
    """Names to write into texts, drawn among those of a concept.

    Args:
        knowledge_base: whose names.
        blocked: concepts that get no name in another language (those held out).
    """

    def __init__(self, knowledge_base: KnowledgeBase, blocked: frozenset[str] = frozenset()):
        self._knowledge_base = knowledge_base
        self.languages = knowledge_base.languages
        self.blocked = blocked
        self._fit = lru_cache(REMEMBERED)(self._fitting)
        self._different = lru_cache(REMEMBERED)(self._differing)

    def names(self, concept: str, language: str) -> list[str]:
        """The names of `concept` in `language` that can stand in a text, the preferred one first if it is among them.

        Names with commas, slashes, brackets or in the form of an acronym are given only where there is no other.
        """
        return self._fit(concept, language)

    def choices(self, concept: str, language: str, written: str) -> list[str]:
        """The names of `concept` in `language` that differ from `written`, the name found in a text."""
        return self._different(concept, language, written)

    def targets(self, concept: str, language: str, written: str) -> list[str]:
        """The languages other than `language` in which `concept` has a name that differs from `written`."""
        return [target for target in self.languages if target != language and self.choices(concept, target, written)]

    def draw(self, concept: str, language: str, written: str, rng: random.Random) -> str:
        """A name of `concept` in `language` that differs from `written`: half of the time the first, else any other."""
        names = self.choices(concept, language, written)
        return names[0] if len(names) == 1 or rng.random() < PREFERRED_SHARE else rng.choice(names[1:])

    def _fitting(self, concept: str, language: str) -> list[str]:
        names = [] if concept in self.blocked else self._knowledge_base.names_of(concept, language)
        fit = [name for name in names if fits_into_text(name)]
        return [name for name in fit if _is_plain(name)] or fit

    def _differing(self, concept: str, language: str, written: str) -> list[str]:
        folded = fold_characters(written)
        return [name for name in self.names(concept, language) if fold_characters(name) != folded]


def fits_into_text(name: str) -> bool:
    """Whether a name can stand inside a sentence: neither very short nor very long, no markup, no classifier's phrase
    such as "unspecified"."""
    return len(name) <= MAX_NAME_CHARS and is_long_enough(fold_characters(name)) and not _NEVER.search(name)


def _is_plain(name: str) -> bool:
    """Whether a name reads naturally: no list, inversion, gloss or abbreviation."""
    return not _LAST_RESORT.search(name) and not (len(name) <= MAX_ACRONYM_CHARS and name.isupper())
