"""Fact level: the facts between the concepts of a segment, told in the other language (paper, section 3.1.3).

Beside them, on request, the facts that every multilingual knowledge base holds in numbers: which name translates
which. They need no text around them, and a pair of names is the shortest example that teaches a translation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from kbioxlm.dataset_scripts.corpora.assembly import TextAssembly
from kbioxlm.dataset_scripts.corpora.rows import Entity, RelationSpan, Row
from kbioxlm.dataset_scripts.corpora.segments import Segment
from kbioxlm.dataset_scripts.corpora.translations import Translations
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase

MAX_FACTS = 8
WITHOUT_SPACES = frozenset({"ja", "zh"})


class _Fact(NamedTuple):
    subject: str
    relation: str
    object: str


class FactTeller:
    """Finds the facts of segments and tells them in another language.

    Args:
        knowledge_base: relations and their phrases.
        translations: names in the other language.
    """

    def __init__(self, knowledge_base: KnowledgeBase, translations: Translations):
        self._relations = knowledge_base.relations
        self._phrases = knowledge_base.phrases
        self._translations = translations

    def with_facts(self, segment: Segment, seed: int) -> Row | None:
        """`segment` with up to `MAX_FACTS` facts in one other language as `text_pair`.

        Returns:
            None if there is nothing to tell.
        """
        rng = random.Random(f"{seed} fact {segment.id}")
        written: dict[str, str] = {}
        for match in segment.matches:
            if match.language == segment.language and not match.ambiguous:
                written.setdefault(match.concept, segment.text[match.start : match.end])
        by_target = {
            target: facts
            for target in self._translations.languages
            if target != segment.language and (facts := self._facts(written, segment.language, target))
        }
        if not by_target:
            return None
        target = rng.choice(sorted(by_target))
        facts = by_target[target]
        if len(facts) > MAX_FACTS:
            facts = [facts[index] for index in sorted(rng.sample(range(len(facts)), MAX_FACTS))]
        text, entities, relations = self._told(facts, written, target, rng)
        return Row(segment.id, "fact", segment.language, segment.text, text, segment.entities() + entities, relations)

    def _facts(self, written: dict[str, str], language: str, target: str) -> list[_Fact]:
        """All facts between the concepts of `written` (concept → its name in the text) that `target` can tell."""
        nameable = [
            concept
            for concept, name in written.items()
            if target in self._translations.targets(concept, language, name)
        ]
        present = set(nameable)
        return [
            _Fact(subject, relation, object_)
            for subject in nameable
            for object_, relations in self._relations.get(subject, {}).items()
            if object_ in present
            for relation in relations
            if (relation, target) in self._phrases
        ]

    def _told(
        self, facts: list[_Fact], written: dict[str, str], target: str, rng: random.Random
    ) -> tuple[str, list[Entity], list[RelationSpan]]:
        assembly = TextAssembly()
        entities: list[Entity] = []
        relations: list[RelationSpan] = []
        space, separator = ("", "；") if target in WITHOUT_SPACES else (" ", "; ")

        def name(concept: str) -> None:
            start, end = assembly.add(self._translations.draw(concept, target, written[concept], rng), apart=True)
            entities.append(Entity(start, end, True, concept, target, True))

        for number, fact in enumerate(facts):
            if number:
                assembly.add(separator)
            name(fact.subject)
            assembly.add(space)
            start, end = assembly.add(self._phrases[fact.relation, target], apart=True)
            relations.append(RelationSpan(start, end, fact.relation))
            assembly.add(space)
            name(fact.object)
        return assembly.text(), entities, relations


def translation_facts(knowledge_base: KnowledgeBase, translations: Translations) -> Iterator[Row]:
    """Every name that can stand in a text, and beside it as `text_pair` its concept's first name in another language.

    Both directions are told; concepts that `translations` blocks are left out. UMLS calls the relation
    `translation_of`; as the separator says it already, it is not spelt out.
    """
    for language in translations.languages:
        for concept in sorted(knowledge_base.names[language]):
            for number, name in enumerate(translations.names(concept, language)):
                for target in translations.targets(concept, language, name):
                    pair = translations.choices(concept, target, name)[0]
                    entities = [
                        Entity(0, len(name), False, concept, language, False),
                        Entity(0, len(pair), True, concept, target, True),
                    ]
                    yield Row(f"{concept}/{language}/{number}/{target}", "fact", language, name, pair, entities)
