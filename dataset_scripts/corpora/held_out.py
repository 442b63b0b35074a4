"""Concepts whose names are never paired by the corpora, so that alignment can be measured on them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.corpora.translations import fits_into_text
from kbioxlm.dataset_scripts.knowledge.name_table import NameTable
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.folding import fold_characters
from kbioxlm.dataset_scripts.matching.matcher import NameMatcher

DEV_SHARE = 1 / 6
_NAMES_AT_ONCE = 100_000


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
    candidates = _candidates(knowledge_base, matcher, first, second)
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
            knowledge_base.names_of(concept, first)[0],
            knowledge_base.names_of(concept, second)[0],
            first,
            second,
        )
        for concept in sorted(drawn)
    ]


def _candidates(knowledge_base: KnowledgeBase, matcher: NameMatcher, first: str, second: str) -> list[str]:
    pairs = []
    for concept in tqdm(knowledge_base.concepts(first), desc="names to hold out", unit=" concepts"):
        targets = knowledge_base.names_of(concept, second)
        if targets:
            source, target = knowledge_base.names_of(concept, first)[0], targets[0]
            if all(map(fits_into_text, (source, target))) and fold_characters(source) != fold_characters(target):
                pairs.append((concept, source, target))
    having = [matcher.concepts_named([pair[side] for pair in pairs]) for side in (1, 2)]
    return [
        concept
        for (concept, _, _), *concepts in zip(pairs, *having, strict=True)
        if all(named == {concept} for named in concepts)
    ]


def blocked_concepts(knowledge_base: KnowledgeBase, held_out: Iterable[str]) -> frozenset[str]:
    """`held_out` and the concepts that would pair the same names: those sharing a name with them in each language."""
    table = knowledge_base.name_table()
    held = set(held_out)
    blocked = None
    for place, language in enumerate(knowledge_base.languages[:2]):
        names = {concept: set(map(fold_characters, knowledge_base.names_of(concept, language))) for concept in held}
        having = _having(table, place, set().union(*names.values()))
        sharing = {(concept, other) for concept in held for name in names[concept] for other in having.get(name, ())}
        blocked = sharing if blocked is None else blocked & sharing
    return frozenset(held | {other for _, other in blocked or ()})


def _having(table: NameTable, language: int, names: set[str]) -> dict[str, set[str]]:
    """Folded name → the concepts that have it, for those of `names` alone."""
    having: dict[str, set[str]] = {}
    rows = np.flatnonzero(table.language == language) if names else np.zeros(0, np.int64)
    for start in range(0, len(rows), _NAMES_AT_ONCE):
        part = rows[start : start + _NAMES_AT_ONCE]
        for row, name in zip(part.tolist(), table.names.take(part).to_pylist(), strict=True):
            folded = fold_characters(name)
            if folded in names:
                having.setdefault(folded, set()).add(table.concepts[int(table.concept[row])].as_py())
    return having
