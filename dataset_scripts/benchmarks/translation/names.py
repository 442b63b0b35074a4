"""What a knowledge base knows of the entities: their concepts, and where names of these stand in a translation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.matcher import NameMatcher
from kbioxlm.dataset_scripts.matching.rules import MatchingRules


class Mention(NamedTuple):
    """A name in a text.

    Attributes:
        concepts: all that have the name.
        language: of the name.
    """

    start: int
    end: int
    concepts: frozenset[str]
    language: str


class KnownNames:
    """The names of a knowledge base in source and target language.

    No stop names: a name is looked for where it is known to be meant.
    """

    def __init__(self, knowledge_base: KnowledgeBase):
        self._matcher = NameMatcher.build(knowledge_base.name_table(), MatchingRules())

    @classmethod
    def load(cls, folder: Path, source: str, target: str) -> KnownNames:
        """The names of a folder written by knowledge_base.py.

        Raises:
            InputError: no knowledge base, or one without names in one of the languages.
        """
        return cls(KnowledgeBase.load(folder, (source, target)))

    def concepts(self, names: Sequence[str]) -> list[set[str]]:
        """For each name all concepts that have it, in either language."""
        return self._matcher.concepts_named(names)

    def mentions(self, texts: Sequence[str], language: str) -> list[list[Mention]]:
        """The names in each of `texts`, which are in `language`: leftmost-longest, in order."""
        matches = self._matcher.find_all(texts, [language] * len(texts))
        words = [text[one.start : one.end] for text, found in zip(texts, matches, strict=True) for one in found]
        concepts = iter(self._matcher.concepts_named(words))
        return [
            [Mention(one.start, one.end, frozenset({one.concept, *next(concepts)}), one.language) for one in found]
            for found in matches
        ]
