"""Results as HTML. Whatever came in with a text is escaped here, and nowhere is anything else put in."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .knowledge import folded
from .tagger import Entity
from .texts import kind, say

_SHOWN = frozenset("\n\t")
# joiners belong to emoji and to scripts that join; all other marks without width may hide something
_JOINERS = frozenset("\u200c\u200d")
_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp"})


def safe(text: str) -> str:
    """`text` as HTML; marks that nobody sees, such as those that turn the direction of writing, by their number."""
    parts = []
    for character in text:
        if unicodedata.category(character) in _HIDDEN and character not in _SHOWN | _JOINERS and character != "\r":
            number = f"U+{ord(character):04X}"
            parts.append(f'<span class="hidden-mark">{number}</span>')
        else:
            parts.append(escape(character))
    return "".join(parts)


def percent(score: float) -> str:
    """A probability as a reader sees it; never 100% for what is not certain."""
    return f"{min(int(score * 100), 99) if score < 1 else 100}%"


def marked(
    text: str, entities: Sequence[Entity], labels: Sequence[str], name: str, language: str, notes: Sequence[str] = ()
) -> str:
    """A text with its entities: each a number, its words, its type and its confidence; colour comes on top.

    Args:
        text: the whole text.
        entities: in the order of the text, none within another.
        labels: all types, whose places decide the colours.
        name: prefix of the numbers, such as `A`.
        language: of the interface.
        notes: HTML behind the entities, if any.
    """
    parts, done = [], 0
    for number, entity in enumerate(entities):
        colour = labels.index(entity["entity_group"]) % 6
        note = notes[number] if notes else ""
        parts.append(safe(text[done : entity["start"]]))
        parts.append(
            f'<mark class="entity kind-{colour}" data-number="{name}{number + 1}"><bdi>{safe(entity["word"])}</bdi>'
            f'<span class="badge"><b>{name}{number + 1}</b> {safe(kind(language, entity["entity_group"]))} '
            f"{percent(entity['score'])}{note}</span></mark>"
        )
        done = entity["end"]
    parts.append(safe(text[done:]))
    return f'<div class="marked-text" dir="auto" tabindex="0">{"".join(parts)}</div>'


def section(heading: str, body: str, count: str = "") -> str:
    """A part of the result under its heading."""
    return f"<section><h3>{escape(heading)} <small>{escape(count)}</small></h3>{body}</section>"


def legend(labels: Sequence[str], language: str) -> str:
    """The types and their colours."""
    keys = "".join(
        f'<li><span class="entity kind-{number % 6}">{safe(kind(language, label))}</span></li>'
        for number, label in enumerate(labels)
    )
    return f'<ul class="legend" aria-label="{escape(say(language, "legend"))}">{keys}</ul>'


def message(text: str, kind: str = "refused") -> str:
    """A line that tells what happened; read out at once."""
    return f'<div class="message {kind}" role="alert">{safe(text)}</div>' if text else ""


def found(text: str, entities: Sequence[Entity], labels: Sequence[str], name: str, heading: str, language: str) -> str:
    """A text with its entities under a heading."""
    body = marked(text, entities, labels, name, language)
    if not entities:
        body += f'<p class="none">{escape(say(language, "none_found"))}</p>'
    return section(heading, body, say(language, "found_count", count=len(entities)))


def ner_result(result: Mapping[str, Any], labels: Sequence[str], language: str) -> tuple[str, str, str]:
    """What `Reading.ner` gives as three parts of the page: the text, the parallel text, the tables."""
    first, second = result["entities"], result["parallel_entities"]
    left = found(result["text"], first, labels, "A", say(language, "heading_text"), language)
    right = ""
    if result["parallel"]:
        right = found(result["parallel"], second, labels, "B", say(language, "heading_parallel"), language)
    tables = pair_table(result, language) if result["parallel"] else ""
    if first or second:
        tables += concept_table(named_alike(result), language)
    told = result["knowledge_base"]
    state = say(
        language,
        "knowledge_state",
        version=version_of(told, language),
        concepts=told["concepts"],
        digest=told["digest"],
    )
    return left, right, f'{tables}<p class="state">{safe(state)}</p>'


def version_of(told: Mapping[str, Any], language: str) -> str:
    """The date or the versions of a knowledge base, as far as it states them."""
    return ", ".join(filter(None, [told["date"], *told["versions"]])) or say(language, "no_version")


def pair_table(result: Mapping[str, Any], language: str) -> str:
    """Entities of both texts beside each other."""
    first, second = result["entities"], result["parallel_entities"]
    pairs = {pair["first"]: pair for pair in result["pairs"]}
    rows = []
    for number, entity in enumerate(first):
        pair = pairs.get(number)
        if pair is None:
            rows.append([_words(f"A{number + 1}", entity), escape(say(language, "no_pair")), ""])
            continue
        why = say(language, f"by_{pair['by']}") + ", " + say(language, "similarity", value=pair["similarity"])
        other = _words(f"B{pair['second'] + 1}", second[pair["second"]])
        rows.append([_words(f"A{number + 1}", entity), other, escape(why)])
    aligned = {pair["second"] for pair in result["pairs"]}
    for number, entity in enumerate(second):
        if number not in aligned:
            rows.append([escape(say(language, "no_pair")), _words(f"B{number + 1}", entity), ""])
    heads = ["column_words", "column_pair", "column_by"]
    return section(say(language, "heading_pairs"), table(heads, rows, language)) if rows else ""


def named_alike(result: Mapping[str, Any]) -> list[list[tuple[str, Entity]]]:
    """All entities with their numbers, in groups of which the knowledge base knows the same, or which it does not know
    and which are written alike."""
    groups: dict[object, list[tuple[str, Entity]]] = {}
    for name, entities in (("A", result["entities"]), ("B", result["parallel_entities"])):
        for number, entity in enumerate(entities, 1):
            known = tuple(concept["concept"] for concept in entity["concepts"]) or folded(entity["word"])
            groups.setdefault((entity["entity_group"], known), []).append((f"{name}{number}", entity))
    return list(groups.values())


def concept_table(groups: Sequence[Sequence[tuple[str, Entity]]], language: str) -> str:
    """What the knowledge base knows of each group of entities; an ambiguous one has a row for every concept."""
    cells = []
    for group in groups:
        entity = group[0][1]
        numbers: dict[str, list[str]] = {}
        for name, one in group:
            numbers.setdefault(one["word"], []).append(name)
        scores = sorted({percent(one["score"]) for _, one in group}, key=lambda score: int(score[:-1]))
        start = [
            "<br>".join(f"<b>{', '.join(names)}</b> <bdi>{safe(word)}</bdi>" for word, names in numbers.items()),
            safe(kind(language, entity["entity_group"])),
            "–".join(dict.fromkeys([scores[0], scores[-1]])),
        ]
        if not entity["concepts"]:
            cells.append([*start, f"<i>{escape(say(language, 'unknown'))}</i>", "", "", ""])
        for concept in entity["concepts"]:
            id = f"<code>{safe(concept['concept'])}</code>"
            if len(entity["concepts"]) > 1:
                id += f"<br><i>{escape(say(language, 'ambiguous', count=len(entity['concepts'])))}</i>"
            sources = "<br>".join(f"{safe(one['source'])}, {safe(one['license'])}" for one in concept["sources"])
            names = concept["names"]
            cells.append([*start, id, safe(names.get("en", "")), safe(names.get("zh", "")), sources])
    heads = [
        "column_words", "column_label", "column_score", "column_concept", "column_en", "column_zh", "column_source",
    ]  # fmt: skip
    return section(say(language, "heading_concepts"), table(heads, cells, language))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], language: str) -> str:
    """A table of HTML cells; on a narrow screen each row becomes a card, with the heads in front of the cells."""
    names = [escape(say(language, head)) for head in heads]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(
        "<tr>" + "".join(
            f'<td data-head="{name}"><div>{cell}</div></td>' for name, cell in zip(names, row, strict=True)
        ) + "</tr>"
        for row in rows
    )  # fmt: skip
    drawn = f'<table class="facts"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scrolls" tabindex="0">{drawn}</div>'


def comparison(result: Mapping[str, Any], labels: Sequence[str], language: str) -> tuple[str, str, str]:
    """What `Reading.compare` gives: both sides, and a line that counts."""
    sides = []
    for side, name in (("first", "A"), ("second", "B")):
        entities = result[side]
        notes = [
            f" · <i>{escape(say(language, 'by_both' if entity['shared'] else 'only_here'))}</i>" for entity in entities
        ]
        body = marked(result["text"], entities, labels, name, language, notes)
        if not entities:
            body += f'<p class="none">{escape(say(language, "none_found"))}</p>'
        count = say(language, "found_count", count=len(entities))
        sides.append(section(result[f"{side}_model"], body, count))
    alone = {side: sum(not entity["shared"] for entity in result[side]) for side in ("first", "second")}
    line = say(
        language, "agreement", both=len(result["first"]) - alone["first"], first=result["first_model"],
        second=result["second_model"], only_first=alone["first"], only_second=alone["second"],
    )  # fmt: skip
    return message(line, "told"), sides[0], sides[1]


def _words(name: str, entity: Entity) -> str:
    return f"<b>{name}</b> <bdi>{safe(entity['word'])}</bdi>"
