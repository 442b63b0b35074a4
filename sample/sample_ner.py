"""The NER files of the sample: English training and development documents, parallel English and Chinese test ones."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

from sample_knowledge import SOURCE, Knowledge
from sample_scenes import Filler
from sample_templates import Mention

WORD = re.compile(r"[A-Za-z0-9]+(?:['.\-/][A-Za-z0-9]+)*|[^\sA-Za-z0-9]")
CHARACTER = re.compile(r"\S")
TRAIN_SENTENCES, DEV_SENTENCES, TEST_SENTENCES = 1000, 150, 250
# Of the test sentences, this share is drawn until it names a concept that training never named.
UNSEEN_SHARE = 0.8

Sentence = tuple[str, list[Mention]]


def write_ner(knowledge: Knowledge, unseen: set[str], seed: int, folder: Path) -> None:
    """Write train_en.txt, dev_en.txt, test_en.txt and test_zh.txt into `folder`; `unseen` are ids of concepts."""
    folder.mkdir(parents=True, exist_ok=True)
    maker = _Maker(knowledge, unseen, random.Random(f"{seed} ner"))
    train = maker.documents(TRAIN_SENTENCES, 10001, test=False)
    dev = maker.documents(DEV_SENTENCES, 20001, test=False)
    test = maker.documents(TEST_SENTENCES, 30001, test=True)
    for name, documents, language in (
        ("train_en", train, "en"), ("dev_en", dev, "en"), ("test_en", test, "en"), ("test_zh", test, "zh"),
    ):  # fmt: skip
        unit = WORD if language == "en" else CHARACTER
        blocks = []
        for number, sentences in documents:
            blocks.append(f"-DOCSTART-\t{number}\n\n")
            blocks += [iob(*sentence[language], unit) for sentence in sentences]
        (folder / f"{name}.txt").write_text("".join(blocks), encoding="utf-8", newline="\n")


class _Maker:
    def __init__(self, knowledge: Knowledge, unseen: set[str], chance: random.Random):
        self.knowledge, self.unseen, self.chance = knowledge, unseen, chance
        self.filler = Filler(knowledge, chance)
        rows = (SOURCE / "templates_ner.tsv").read_text(encoding="utf-8").splitlines()[1:]
        self.templates = [tuple(row.split("\t")) for row in rows]
        self.finders = {language: _finder(knowledge, language) for language in ("en", "zh")}
        self.written: set[str] = set()

    def documents(self, count: int, first: int, test: bool) -> list[tuple[int, list[dict[str, Sentence]]]]:
        """Documents of one to four sentences, `count` sentences in all, numbered from `first`."""
        templates = [(en, zh) for split, en, zh in self.templates if test or split == "all"]
        self.filler.allowed = (lambda _: True) if test else (lambda concept: concept.id not in self.unseen)
        documents: list[tuple[int, list[dict[str, Sentence]]]] = []
        while count:
            size = min(count, self.chance.randint(1, 4))
            count -= size
            chosen = self.chance.sample(templates, size)
            sentences = [self._sentence(*templates_of_one, test, templates) for templates_of_one in chosen]
            documents.append((first + len(documents), sentences))
        return documents

    def _sentence(self, en: str, zh: str, test: bool, templates: list[tuple[str, str]]) -> dict[str, Sentence]:
        fresh = test and self.chance.random() < UNSEEN_SHARE
        while True:
            for _ in range(40):
                scene = self.filler.fill([en, zh])
                if scene is None:
                    break
                pair = {"en": self.filler.write(en, scene, "en"), "zh": self.filler.write(zh, scene, "zh")}
                entities = [m.concept for m in pair["en"][1] if m.concept.label]
                if fresh and not any(concept.id in self.unseen for concept in entities):
                    continue
                if pair["en"][0] not in self.written and all(self._exact(x, *pair[x]) for x in pair):
                    self.written.add(pair["en"][0])
                    return pair
            en, zh = self.chance.choice(templates)

    def _exact(self, language: str, text: str, mentions: list[Mention]) -> bool:
        """Whether the names of diseases, drugs and symptoms found in `text` are exactly the ones put there."""
        meant = {(m.start, m.end, m.concept.id) for m in mentions if m.concept.label}
        return meant == self.finders[language](text)


def _finder(knowledge: Knowledge, language: str) -> Callable[[str], set[tuple[int, int, str]]]:
    """A function that finds the longest names in a text, from left to right, and returns those that bear a label."""
    named = {name.lower(): concept for concept in knowledge.concepts.values() for name in concept.names[language]}
    lengths = sorted({len(name) for name in named}, reverse=True)
    border = re.compile(r"\b") if language == "en" else re.compile("")

    def find(text: str) -> set[tuple[int, int, str]]:
        lowered = text.lower()
        borders = {match.start() for match in border.finditer(lowered)}
        found: set[tuple[int, int, str]] = set()
        end = 0
        for start in sorted(borders):
            if start < end:
                continue
            ends = (start + length for length in lengths if start + length in borders)
            stop = next((stop for stop in ends if lowered[start:stop] in named), None)
            if stop is not None:
                end = stop
                if named[lowered[start:stop]].label:
                    found.add((start, stop, named[lowered[start:stop]].id))
        return found

    return find


def iob(text: str, mentions: list[Mention], unit: re.Pattern[str]) -> str:
    """One sentence as `unit<TAB>tag` lines (IOB2) and a blank line."""
    lines = []
    entities = [m for m in mentions if m.concept.label]
    for match in unit.finditer(text):
        tag = "O"
        for mention in entities:
            if match.start() < mention.end and mention.start < match.end():
                if not mention.start <= match.start() < match.end() <= mention.end:
                    raise ValueError(f"{match[0]!r} lies across the border of a name in {text!r}")
                tag = f"{'B' if match.start() == mention.start else 'I'}-{mention.concept.label}"
        lines.append(f"{match[0]}\t{tag}\n")
    return "".join(lines) + "\n"
