"""Which concepts of several sources are one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

CUI = re.compile(r"C\d{7}")


class SameConcepts(NamedTuple):
    """Concept → the concept that stands for it, for those that another one stands for; and what was left apart."""

    stands_for: dict[str, str]
    conflicts: int


def same_concepts(same_as: Iterable[Mapping[str, str]]) -> SameConcepts:
    """Concepts that are the same, directly or through others, become one: the CUI among them, else the first by name.

    A source does not list a concept twice. So where two concepts of one source (by the prefix of their ids, or two
    CUIs) would become one, some reference is wrong; all concepts of that group are left apart, and it is counted.
    """
    root: dict[str, str] = {}

    def find(concept: str) -> str:
        while (above := root.setdefault(concept, concept)) != concept:
            root[concept] = concept = root[above]
        return concept

    for references in same_as:
        for concept, other in references.items():
            one, two = sorted((find(concept), find(other)))
            root[two] = one
    groups = defaultdict(list)
    for concept in sorted(root):
        groups[find(concept)].append(concept)
    stands_for: dict[str, str] = {}
    conflicts = 0
    for group in groups.values():
        if max(Counter(map(_source, group)).values()) > 1:
            conflicts += 1
            continue
        first = min(group, key=lambda concept: (not CUI.fullmatch(concept), concept))
        stands_for |= {concept: first for concept in group if concept != first}
    return SameConcepts(stands_for, conflicts)


def _source(concept: str) -> str:
    prefix, colon, _ = concept.partition(":")
    return prefix + colon if colon else "CUI" if CUI.fullmatch(concept) else concept
