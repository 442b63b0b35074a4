"""Entity level: code-switched copies of segments (paper, section 3.1.2)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from kbioxlm.dataset_scripts.corpora.assembly import TextAssembly
from kbioxlm.dataset_scripts.corpora.rows import Entity, Row
from kbioxlm.dataset_scripts.corpora.segments import Segment
from kbioxlm.dataset_scripts.corpora.translations import Translations
from kbioxlm.dataset_scripts.matching.matcher import Match

MAX_REPLACED = 10


def code_switched(segment: Segment, translations: Translations, seed: int) -> Row | None:
    """A copy of `segment` in which some names are replaced by names of the same concepts in one other language.

    Up to `MAX_REPLACED` names are replaced, but never all: where two or more could be, at least one is left, so
    that the concept's surroundings stay in the language of the text. Ambiguous names are left as they are.

    Returns:
        None if no name can be replaced.
    """
    by_target: dict[str, list[int]] = {}
    for index, match in enumerate(segment.matches):
        if match.language == segment.language and not match.ambiguous:
            written = segment.text[match.start : match.end]
            for target in translations.targets(match.concept, match.language, written):
                by_target.setdefault(target, []).append(index)
    if not by_target:
        return None
    rng = random.Random(f"{seed} entity {segment.id}")
    target = rng.choice(sorted(by_target))
    candidates = by_target[target]
    amount = min(MAX_REPLACED, max(1, len(candidates) - 1))
    names = {}
    for index in sorted(rng.sample(candidates, amount)):
        match = segment.matches[index]
        names[index] = translations.draw(match.concept, target, segment.text[match.start : match.end], rng)
    text, entities = replaced(segment.text, segment.matches, names, target)
    return Row(segment.id, "entity", segment.language, text, entities=entities)


def replaced(text: str, matches: Sequence[Match], names: Mapping[int, str], language: str) -> tuple[str, list[Entity]]:
    """`text` with match i written as `names[i]`, and all matches at their new places.

    Spaces are kept; one is added only where a name and its neighbour would run together into one word.
    """
    assembly = TextAssembly()
    entities = []
    position = 0
    after_name = False
    for index, match in enumerate(matches):
        assembly.add(text[position : match.start], apart=after_name and position < match.start)
        if index in names:
            start, end = assembly.add(names[index], apart=True)
            entities.append(Entity(start, end, False, match.concept, language, True))
        else:
            adjoins = after_name and position == match.start
            start, end = assembly.add(text[match.start : match.end], apart=adjoins)
            entities.append(Entity(start, end, False, match.concept, match.language, False))
        after_name = index in names
        position = match.end
    assembly.add(text[position:], apart=after_name)
    return assembly.text(), entities
