"""Concepts whose names are never paired by the corpora, so that alignment can be measured on them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.corpora.translations import fits_into_text
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.folding import fold_characters
from kbioxlm.dataset_scripts.matching.matcher import NameMatcher

DEV_SHARE = 1 / 6


class HeldOut(NamedTuple):
    """One held-out concept: its preferred names in the first two languages."""

    concept: str
    split: str
    source: str
    target: str
    source_language: str
    target_language: str


def hold_out(knowledge_base: KnowledgeBase, matcher: NameMatcher, count: int, seed: int) -> list[HeldOut]:
    """Draw `count` concepts, a sixth of them for development, the others for test.

    Drawn are concepts whose preferred names in the first two languages differ and are the names of no other concept.

    Raises:
        InputError: there are fewer such concepts.
    """
    if count == 0:
        return []
    first, second = knowledge_base.languages[:2]
    sources, targets = knowledge_base.names[first], knowledge_base.names[second]
    candidates = [
        concept
        for concept in sorted(sources.keys() & targets.keys())
        if _apart(matcher, concept, sources[concept][0], targets[concept][0])
    ]
    if len(candidates) < count:
        raise InputError(
            "--hold-out",
            f"{count} concepts asked, but only {len(candidates)} have unambiguous, different names in "
            f"{first} and {second}",
            "ask for fewer",
        )
    drawn = random.Random(f"{seed} hold-out").sample(candidates, count)
    development = set(drawn[: round(count * DEV_SHARE)])
    return [
        HeldOut(
            concept,
            "dev" if concept in development else "test",
            sources[concept][0],
            targets[concept][0],
            first,
            second,
        )
        for concept in sorted(drawn)
    ]


def _apart(matcher: NameMatcher, concept: str, source: str, target: str) -> bool:
    return fold_characters(source) != fold_characters(target) and all(
        fits_into_text(name) and matcher.concepts_named(name) == {concept} for name in (source, target)
    )


def blocked_concepts(knowledge_base: KnowledgeBase, held_out: Iterable[str]) -> frozenset[str]:
    """`held_out` and the concepts that would pair the same names: those sharing a name with them in each language."""
    first, second = knowledge_base.languages[:2]
    held = set(held_out)
    names = {language: _folded(knowledge_base.names[language]) for language in (first, second)}
    having: dict[tuple[str, str], set[str]] = {}
    for language, concepts in names.items():
        for concept, folded in concepts.items():
            for name in folded:
                having.setdefault((language, name), set()).add(concept)
    blocked = set(held)
    for concept in held:
        sharing = [
            set().union(*(having[language, name] for name in names[language].get(concept, ())))
            for language in (first, second)
        ]
        blocked |= sharing[0] & sharing[1]
    return frozenset(blocked)


def _folded(names: dict[str, list[str]]) -> dict[str, set[str]]:
    return {concept: set(map(fold_characters, known)) for concept, known in names.items()}
