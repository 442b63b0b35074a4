"""Real sentences: the authors' English ADE test set and their translations of it, given back whole and damaged."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest

from kbioxlm.dataset_scripts.benchmarks.folder import NER_SCHEMA, sentence_table
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, read_iob
from kbioxlm.dataset_scripts.benchmarks.translation.build import translate_dataset
from kbioxlm.dataset_scripts.benchmarks.translation.markers import Numbered, marked, marked_by_number
from kbioxlm.dataset_scripts.benchmarks.translation.review import Decision, ReviewFolder, ReviewRow
from kbioxlm.dataset_scripts.benchmarks.translation.settings import DatasetTranslation
from kbioxlm.dataset_scripts.folder import ShardWriter, read_table
from kbioxlm.dataset_scripts.knowledge.schemas import NAMES, RELATION_NAMES, RELATIONS
from kbioxlm.dataset_scripts.translation.protocol import Translator

THRESHOLD = 0.25


@dataclass(frozen=True)
class Pair:
    """A sentence and its translation, both with one marker for each label.

    Attributes:
        names: of each entity, in both languages.
        text, spans: of the translation.
    """

    id: str
    source: str
    target: str
    names: tuple[tuple[str, str], ...]
    text: str
    spans: tuple[tuple[int, int, str], ...]


def pair_of(source: Sentence, target: Sentence) -> Pair | None:
    """None where entities cannot be told apart by their labels, and so not be aligned without a person."""
    labels = [one.label for one in source.entities]
    if len(set(labels)) < len(labels) or sorted(labels) != sorted(one.label for one in target.entities):
        return None
    of_label = {one.label: target.text[one.start : one.end] for one in target.entities}
    numbered = [Numbered(labels.index(one.label) + 1, one.start, one.end) for one in target.entities]
    return Pair(
        id=source.id,
        source=marked(source.text, [(one.start, one.end) for one in source.entities]),
        target=marked_by_number(target.text, numbered),
        names=tuple((source.text[one.start : one.end], of_label[one.label]) for one in source.entities),
        text=target.text,
        spans=tuple((one.start, one.end, one.label) for one in target.entities),
    )


@dataclass(frozen=True)
class Published:
    """The sentences of ADE's test set in one language, as `build` writes them, and their published translations."""

    folder: Path
    source: str
    target: str
    pairs: list[Pair]


Direction = Callable[[str, str], Published]


@pytest.fixture(scope="module")
def published_pairs(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Direction:
    """Makes a direction of the pairs that can be aligned."""
    files = {"en": "dev.txt", "zh": "test.txt"}
    sentences = {
        language: read_iob(real / "NER/datasets/ade/eng_to_zh" / name, language=language, repair=True).sentences
        for language, name in files.items()
    }

    def made(source: str, target: str) -> Published:
        targets = {one.id: one for one in sentences[target]}
        found = [
            (one, pair)
            for one in sentences[source]
            if one.id in targets and (pair := pair_of(one, targets[one.id])) is not None
        ]
        folder = tmp_path_factory.mktemp("published") / "benchmarks"
        writer = ShardWriter(folder / f"ade_{source}" / "test", NER_SCHEMA)
        writer.write(sentence_table([one for one, _ in found]))
        writer.close()
        return Published(folder, source, target, [pair for _, pair in found])

    return made


LexiconOf = Callable[..., Translator]


def settings_of(published: Published, translator: Translator, folder: Path) -> DatasetTranslation:
    return DatasetTranslation(
        data=(f"{published.folder}:ade_{published.source}:test",), source=published.source, target=published.target,
        translator=translator,
        review=folder / "review", output=folder / "out", cache=folder / "answers.sqlite", threshold=THRESHOLD,
        sample=0.0, seed=0, piece=2_000,
    )  # fmt: skip


def written(settings: DatasetTranslation) -> dict[str, tuple[str, tuple[tuple[int, int, str], ...]]]:
    rows = read_table(str(settings.output), f"ade_{settings.target}/test", ["id", "text", "entities"]).to_pylist()
    return {
        row["id"]: (row["text"], tuple((one["start"], one["end"], one["label"]) for one in row["entities"]))
        for row in rows
    }


@pytest.mark.parametrize(("source", "target"), [("en", "zh"), ("zh", "en")])
def test_published_translations_come_back_with_their_offsets(
    published_pairs: Direction, lexicon_of: LexiconOf, tmp_path: Path, source: str, target: str
) -> None:
    published = published_pairs(source, target)
    pairs = published.pairs
    assert len(pairs) > 200
    translator = lexicon_of({pair.source: pair.target for pair in pairs}, source, target)
    settings = settings_of(published, translator, tmp_path)
    report = translate_dataset(settings)
    rows = written(settings)
    assert rows == {pair.id: (pair.text, pair.spans) for pair in pairs if pair.id in rows}
    assert not {"missing", "lost", "half", "empty", "crossed", "nested", "doubled"} & report.defects.keys()
    # the authors' translations were proofread: most of them must pass
    assert len(rows) > 0.9 * len(pairs), report.summary()


def lost(text: str) -> str:
    return re.sub(r"</?1>", "", text)


def half(text: str) -> str:
    return text.replace("</1>", "")


def empty(text: str) -> str:
    return re.sub(r"<1>(.*?)</1>", r"\1<1></1>", text)


def doubled(text: str) -> str:
    return re.sub(r"(<1>.*?</1>)", r"\1、\1", text)


def crossed(text: str) -> str:
    return re.sub(r"</(\d)>(.*)<(\d)>(.)", r"\2<\3>\4</\1>", text)


DAMAGE = {function.__name__: function for function in (lost, half, empty, doubled, crossed)}


def damaged(pairs: list[Pair]) -> dict[str, tuple[str, str]]:
    """For every third pair of two entities, what was done to it and what came of it."""
    draw = random.Random(0)
    found = {}
    for pair in pairs:
        if len(pair.spans) != 2 or draw.random() > 1 / 3:
            continue
        name = draw.choice(sorted(DAMAGE))
        text = DAMAGE[name](pair.target)
        if text != pair.target:
            found[pair.id] = (name, text)
    return found


def knowledge_base(folder: Path, names: set[tuple[str, str]]) -> Path:
    """A folder in which every pair of an English and a Chinese name is a concept."""
    rows = [
        {"concept": f"C{place}", "language": language, "name": name, "preferred": True}
        for place, both in enumerate(sorted(names))
        for language, name in zip(("en", "zh"), both, strict=True)
    ]
    for config, schema, content in (("names", NAMES, rows), ("relations", RELATIONS, []),
                                    ("relation_names", RELATION_NAMES, [])):  # fmt: skip
        writer = ShardWriter(folder / config, schema)
        writer.write(pa.Table.from_pylist(content, schema=schema))
        writer.close()
    return folder


def test_damage_is_found_and_mended_where_names_are_known(
    published_pairs: Direction, lexicon_of: LexiconOf, tmp_path: Path
) -> None:
    published = published_pairs("en", "zh")
    pairs = published.pairs
    damage = damaged(pairs)
    assert {name for name, _ in damage.values()} == set(DAMAGE)
    assert len(damage) > 50
    answers = {pair.source: damage.get(pair.id, ("", pair.target))[1] for pair in pairs}
    translator = lexicon_of(answers)

    by_id = {pair.id: pair for pair in pairs}

    # without a knowledge base only what both languages write alike is found again; of the rest a person is told
    plain = settings_of(published, translator, tmp_path / "plain")
    translate_dataset(plain)
    under_review = {row.key: found_in(row) for row in ReviewFolder(plain.review).rows()}
    for id_, (name, _) in damage.items():
        assert under_review[f"ade_en/test/{id_}"] & {name, "repaired"}, (name, id_)
    assert not damage.keys() & written(plain).keys()

    # with one, an entity whose name stands there once is found again, exactly
    known = knowledge_base(tmp_path / "knowledge_base", {names for pair in pairs for names in pair.names})
    mended = replace(settings_of(published, translator, tmp_path / "mended"), knowledge_base=known)
    translate_dataset(mended)
    rows = written(mended)
    wrong = {id_ for id_ in rows.keys() & damage.keys() if rows[id_] != (by_id[id_].text, by_id[id_].spans)}
    assert wrong == set()
    mendable = {id_ for id_, (name, _) in damage.items() if name != "doubled"}
    assert len(rows.keys() & mendable) > 0.5 * len(mendable)
    assert not rows.keys() & (damage.keys() - mendable)

    # the rest is corrected by a person: then all of it is as published
    folder = ReviewFolder(mended.review)
    for row in folder.rows():
        id_ = row.key.removeprefix("ade_en/test/")
        folder.decide(row.key, Decision("correct", by_id[id_].target, row.source))
    report = translate_dataset(mended)
    assert (report.open, report.changed) == (0, 0)
    assert written(mended) == {pair.id: (pair.text, pair.spans) for pair in pairs}


def found_in(row: ReviewRow) -> set[str]:
    return {defect.name for defect in row.defects}
