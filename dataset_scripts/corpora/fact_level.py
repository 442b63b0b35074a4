"""Fact level: the facts between the concepts of a segment, told beside it (paper, section 3.1.3).

Beside them, on request, the facts that every multilingual knowledge base holds in numbers: which name translates
which. They need no text around them, and a pair of names is the shortest example that teaches a translation.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from kbioxlm.dataset_scripts.corpora.assembly import TextAssembly
from kbioxlm.dataset_scripts.corpora.rows import Entity, RelationSpan, Row
from kbioxlm.dataset_scripts.corpora.segments import Segment
from kbioxlm.dataset_scripts.corpora.translations import Translations
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.folding import fold_characters

WITHOUT_SPACES = frozenset({"bo", "ja", "km", "lo", "my", "th", "zh"})
FactLanguage = Literal["other", "own", "mixed"]
_MIXTURES = [parts for parts in itertools.product((False, True), repeat=3) if any(parts) and not all(parts)]


class _Fact(NamedTuple):
    subject: str
    relation: str
    object: str


class FactTeller:
    """Finds the facts of segments and tells them.

    Args:
        knowledge_base: relations and their phrases.
        translations: names in other languages.
        language: in which facts are told. "other": in one other language, as in the paper. "own": in that of the
            text, with the names that stand there. "mixed": subject, phrase and object each in either, drawn for
            every fact, never all three in the same.
        max_facts: the most facts of a segment; more are drawn from. None tells them all, as in the paper.
    """

    def __init__(
        self,
        knowledge_base: KnowledgeBase,
        translations: Translations,
        language: FactLanguage = "other",
        max_facts: int | None = None,
    ):
        self._knowledge_base = knowledge_base
        self._phrases = knowledge_base.phrases
        self._translations = translations
        self._language = language
        self._max_facts = max_facts

    def with_facts(self, segment: Segment, seed: int) -> Row | None:
        """`segment` with its facts as `text_pair`. What is drawn depends on `seed` and the segment's id alone.

        Returns:
            None if there is nothing to tell.
        """
        written: dict[str, str] = {}
        for match in segment.matches:
            if match.language == segment.language and not match.ambiguous:
                written.setdefault(match.concept, segment.text[match.start : match.end])
        known = self._facts(written)
        by_target = {
            target: facts
            for target in self._targets(segment.language)
            if (facts := self._tellable(known, written, segment.language, target))
        }
        if not by_target:
            return None
        rng = random.Random(f"{seed} fact {segment.id}")
        target = rng.choice(sorted(by_target))
        facts = by_target[target]
        if self._max_facts is not None and len(facts) > self._max_facts:
            facts = [facts[index] for index in sorted(rng.sample(range(len(facts)), self._max_facts))]
        text, entities, relations = self._told(facts, written, (segment.language, target), rng)
        return Row(segment.id, "fact", segment.language, segment.text, text, segment.entities() + entities, relations)

    def _targets(self, language: str) -> list[str]:
        if self._language == "own":
            return [language]
        return [target for target in self._translations.languages if target != language]

    def _facts(self, written: Mapping[str, str]) -> list[_Fact]:
        """All facts between the concepts of `written` (concept → its name in the text), by subject as they stand."""
        if len(written) < 2:
            return []
        place = {concept: number for number, concept in enumerate(written)}
        pairs = self._knowledge_base.relations_among(written).items()
        by_subject = sorted(pairs, key=lambda pair: (place[pair[0][0]], pair[1][0], pair[0][1]))
        return [
            _Fact(subject, relation, object_) for (subject, object_), relations in by_subject for relation in relations
        ]

    def _tellable(self, facts: list[_Fact], written: Mapping[str, str], language: str, target: str) -> list[_Fact]:
        """The facts that can be told, each sentence once: two relations may have the same phrase."""
        told: dict[tuple[str, str, str], _Fact] = {}
        for fact in facts:
            phrase = self._phrases.get((fact.relation, target))
            if phrase is None or (self._language == "mixed" and (fact.relation, language) not in self._phrases):
                continue
            if target == language or all(
                self._translations.choices(concept, target, written[concept]) for concept in (fact.subject, fact.object)
            ):
                told.setdefault((fact.subject, phrase, fact.object), fact)
        return list(told.values())

    def _told(
        self, facts: list[_Fact], written: Mapping[str, str], languages: tuple[str, str], rng: random.Random
    ) -> tuple[str, list[Entity], list[RelationSpan]]:
        """The facts in `languages`, that of the text and the target, with the places of names and phrases."""
        assembly = TextAssembly()
        entities: list[Entity] = []
        relations: list[RelationSpan] = []
        separator = "；" if languages[1] in WITHOUT_SPACES else "; "

        def name(concept: str, other: bool) -> None:
            known = written[concept]
            own = self._spelt(concept, languages[0], known)
            text = self._translations.draw(concept, languages[1], known, rng) if other else own
            start, end = assembly.add(text, apart=True)
            entities.append(Entity(start, end, True, concept, languages[other], other))

        for number, fact in enumerate(facts):
            if number:
                assembly.add(separator)
            subject, phrase, object_ = self._mixture(rng)
            name(fact.subject, subject)
            assembly.add(_space(languages[subject], languages[phrase]))
            start, end = assembly.add(self._phrases[fact.relation, languages[phrase]], apart=True)
            relations.append(RelationSpan(start, end, fact.relation))
            assembly.add(_space(languages[phrase], languages[object_]))
            name(fact.object, object_)
        return assembly.text(), entities, relations

    def _spelt(self, concept: str, language: str, written: str) -> str:
        """A name of the text as it stands inside a sentence: where it was found, a sentence may begin."""
        folded = fold_characters(written)
        names = self._knowledge_base.names_of(concept, language)
        return next((name for name in names if fold_characters(name) == folded), written)

    def _mixture(self, rng: random.Random) -> tuple[bool, ...]:
        """Whether subject, phrase and object are told in the other language."""
        return rng.choice(_MIXTURES) if self._language == "mixed" else (self._language == "other",) * 3


def _space(before: str, after: str) -> str:
    return "" if before in WITHOUT_SPACES and after in WITHOUT_SPACES else " "


def translation_facts(knowledge_base: KnowledgeBase, translations: Translations) -> Iterator[Row]:
    """Every name that can stand in a text, and beside it as `text_pair` its concept's first name in another language.

    Both directions are told; concepts that `translations` blocks are left out. UMLS calls the relation
    `translation_of`; as the separator says it already, it is not spelt out.
    """
    for language in translations.languages:
        for concept in knowledge_base.concepts(language):
            for number, name in enumerate(translations.names(concept, language)):
                for target in translations.targets(concept, language, name):
                    pair = translations.choices(concept, target, name)[0]
                    entities = [
                        Entity(0, len(name), False, concept, language, False),
                        Entity(0, len(pair), True, concept, target, True),
                    ]
                    yield Row(f"{concept}/{language}/{number}/{target}", "fact", language, name, pair, entities)
