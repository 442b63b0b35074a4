"""Sentence templates, and sentences written from them."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

from sample_knowledge import SOURCE, Concept

PARTS = re.compile(r"\{(?P<article>a:)?(?P<slot>\w+)\}|\[(?P<number>\w+):(?P<one>[^|\]]*)\|(?P<many>[^\]]*)\]")


@dataclass
class Scene:
    """The concepts and numbers that a text has spoken of so far."""

    concepts: dict[str, Concept] = field(default_factory=dict)
    values: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Mention:
    """A concept's name in a text: code-point offsets, end exclusive."""

    start: int
    end: int
    concept: Concept


def read_sections(name: str) -> dict[str, list[str]]:
    """The templates of a file in sample/source/ by section."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (SOURCE / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            current.append(line)
    return sections


def slots(template: str) -> list[str]:
    """The names of the slots of a template, in order of appearance."""
    return [match["slot"] or match["number"] for match in PARTS.finditer(template)]


def write(
    template: str, scene: Scene, language: str, chance: random.Random, synonyms: float = 0.3
) -> tuple[str, list[Mention]]:
    """The template as a sentence of `language`; every name is a synonym with probability `synonyms`."""
    agreeing = {match["number"] for match in PARTS.finditer(template) if match["number"]}
    text, mentions, end = "", [], 0
    for match in PARTS.finditer(template):
        text += template[end : match.start()]
        end = match.end()
        slot = match["slot"]
        if match["number"]:
            text += match["many"] if scene.concepts[match["number"]].plural else match["one"]
        elif slot in scene.concepts:
            concept = scene.concepts[slot]
            # The number is that of the preferred name.
            name = _name(concept, language, chance, 0.0 if slot in agreeing else synonyms)
            if match["article"]:
                text += f"{_article(name)} "
            mentions.append(Mention(len(text), len(text) + len(name), concept))
            text += name
        elif slot in ("aage", "achild_age"):
            age = scene.values[slot[1:]][language]
            text += f"{_article(age)} {age}"
        else:
            text += scene.values[slot][language]
    text += template[end:]
    return (_capitalised(text) if language == "en" else text), mentions


def _name(concept: Concept, language: str, chance: random.Random, synonyms: float) -> str:
    names = concept.names[language]
    if len(names) > 1 and chance.random() < synonyms:
        return chance.choice(names[1:])
    return names[0]


def _article(name: str) -> str:
    if name[0].isdigit():
        return "an" if re.match(r"8|11\b|18\b", name) else "a"
    if re.match(r"NSAID|HMG", name):
        return "an"
    return "an" if name[0].lower() in "aeio" or re.match(r"u[nlmp]", name) else "a"


def _capitalised(text: str) -> str:
    return re.sub(r"(?:^|(?<=[.?] ))[a-z]", lambda match: match[0].upper(), text)
