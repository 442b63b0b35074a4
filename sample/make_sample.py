"""Write every file of the sample from the hand-written tables and templates in source/.

    python sample/make_sample.py [--output FOLDER]

The same source gives the same bytes. Texts are synthetic: they put general medical knowledge into sentences, and
their numbers and patients are invented.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

from sample_knowledge import Knowledge, write_umls
from sample_ner import write_ner
from sample_scenes import Filler
from sample_templates import Scene, read_sections, slots

SEED = 20231118
TEXTS = 1800
# Section, its share among the texts, how many sentences a text has, what its sentences share.
MIX = (("about", 32), ("drug", 20), ("case", 25), ("study", 9), ("question", 6), ("other", 6), ("head", 14))
ARTICLES = {"disease": 75, "drug": 35}
ARTICLE_PLAN = {
    "disease": (
        "definition", "alias", "cause", "risk", "symptoms", "test", "drug", "treatment", "complication", "vaccine",
        "similar", "closing",
    ),
    "drug": ("definition", "alias", "indication", "dose", "effects", "contra", "sibling", "closing"),
}  # fmt: skip


def monolingual_texts(knowledge: Knowledge, language: str) -> list[dict[str, str]]:
    """`TEXTS` different short texts of one language."""
    chance = random.Random(f"{SEED} text {language}")
    filler = Filler(knowledge, chance)
    sections = read_sections(f"templates_{language}.txt")
    join = " " if language == "en" else ""
    texts: dict[str, None] = {}
    names, weights = zip(*MIX, strict=True)
    while len(texts) < TEXTS:
        section = chance.choices(names, weights)[0]
        text = join.join(_sentences(filler, chance, sections, section, language))
        if text:
            texts[text] = None
    return [{"id": f"{language}-{number:04d}", "lang": language, "text": text} for number, text in enumerate(texts, 1)]


def _sentences(
    filler: Filler, chance: random.Random, sections: dict[str, list[str]], section: str, language: str
) -> list[str]:
    """One text: an opening sentence and up to three that go on about the same disease, drug or patient."""
    if section == "case":
        plan = [chance.choice(sections["case_open"]), *chance.sample(sections["case_next"], chance.randint(1, 3))]
    elif section in ("about", "drug"):
        plan = chance.sample(sections[section], chance.choice((1, 2, 3, 3)))
    else:
        plan = [chance.choice(sections[section])]
    written: list[str] = []
    scene: Scene | None = None
    for template in plan:
        grown = filler.fill([template], scene)
        if grown is None:
            continue
        written.append(filler.write(template, grown, language)[0])
        if section == "case":
            scene = grown
        else:
            kept = {"drug"} if section == "drug" else {"disease"}
            scene = Scene({slot: c for slot, c in grown.concepts.items() if slot in kept}, {})
    return written


def article_pairs(knowledge: Knowledge, hidden: set[str]) -> list[dict[str, str]]:
    """Encyclopaedia articles in both languages, sentence for sentence the same; none names a `hidden` concept."""
    chance = random.Random(f"{SEED} pairs")
    filler = Filler(knowledge, chance)
    filler.allowed = lambda concept: concept.id not in hidden
    table = [line.split("\t") for line in _lines("templates_pairs.tsv")]
    pairs: list[dict[str, str]] = []
    for kind, count in ARTICLES.items():
        heads = [c for c in knowledge.of_kind(kind) if c.id not in hidden and not knowledge.is_vaccine(c)]
        chance.shuffle(heads)
        written = 0
        for head in heads:
            base = Scene({kind: head}, {})
            article: list[tuple[str, str]] = []
            bound = base
            for position in ARTICLE_PLAN[kind]:
                optional = position not in ("definition", "symptoms", "drug", "effects")
                if (optional and chance.random() < 0.35) or (len(article) >= 6 and position != "closing"):
                    continue
                sentence, bound = _article_sentence(filler, chance, table, kind, position, bound)
                if sentence and len(article) < 7:
                    article.append(sentence)
            if len(article) < 4 or written >= count:
                continue
            written += 1
            english, chinese = zip(*article, strict=True)
            pairs.append({"id": f"pair-{len(pairs) + 1:03d}", "en": " ".join(english), "zh": "".join(chinese)})
    return pairs


def _article_sentence(
    filler: Filler, chance: random.Random, table: list[list[str]], kind: str, position: str, scene: Scene
) -> tuple[tuple[str, str] | None, Scene]:
    for name in (position, f"{position}_short"):
        fitting = [(en, zh) for of_kind, at, en, zh in table if (of_kind, at) == (kind, name)]
        if not fitting:
            continue
        en, zh = chance.choice(fitting)
        head = scene.concepts[kind]
        if "alias" in slots(en):
            others = {language: head.names[language][1:] for language in ("en", "zh")}
            if not all(others.values()):
                return None, scene
            return (en.replace("{alias}", others["en"][0]), zh.replace("{alias}", others["zh"][0])), scene
        grown = filler.fill([en, zh], Scene({kind: head}, {}) if name == "drug" else scene)
        if grown is not None:
            synonyms = 0.0 if position == "definition" else 0.15  # other names of the head come next
            english = filler.write(en, grown, "en", synonyms)[0]
            chinese = filler.write(zh, grown, "zh", synonyms)[0]
            return (english, chinese), Scene({**scene.concepts, **grown.concepts}, {})
    return None, scene


def _lines(name: str) -> list[str]:
    source = Path(__file__).resolve().parent / "source" / name
    return source.read_text(encoding="utf-8").splitlines()[1:]


def write_sample(folder: Path) -> None:
    """Write umls/, text/, pairs.jsonl and ner/ into `folder`."""
    knowledge = Knowledge()
    write_umls(knowledge, folder / "umls")
    for language in ("en", "zh"):
        write_json_lines(folder / "text" / f"{language}.jsonl", monolingual_texts(knowledge, language))
    unseen = held_out(knowledge)
    write_json_lines(folder / "pairs.jsonl", article_pairs(knowledge, set(unseen[::2])))
    write_ner(knowledge, set(unseen), SEED, folder / "ner")


def held_out(knowledge: Knowledge, share: float = 0.3) -> list[str]:
    """Ids of the concepts that no NER training or development sentence names; half of them are in no article."""
    chance = random.Random(f"{SEED} held out")
    ids: list[str] = []
    for kind in ("disease", "drug", "symptom"):
        concepts = knowledge.of_kind(kind)
        ids += sorted(concept.id for concept in chance.sample(concepts, round(share * len(concepts))))
    return ids


def write_json_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Write one JSON object a line, UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent, help="where the files go")
    write_sample(parser.parse_args().output)
