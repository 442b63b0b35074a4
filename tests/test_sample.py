"""The embedded sample: it can be made again byte for byte, and it is what sample/README.md says it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SAMPLE = Path(__file__).resolve().parents[1] / "sample"
MADE = [
    "umls/MRCONSO.RRF",
    "umls/MRREL.RRF",
    "umls/MRSTY.RRF",
    "text/en.jsonl",
    "text/zh.jsonl",
    "pairs.jsonl",
    "ner/train_en.txt",
    "ner/dev_en.txt",
    "ner/test_en.txt",
    "ner/test_zh.txt",
]
UNSEEN_SHARE = 0.3
CHINESE = re.compile(r"[\u4e00-\u9fff]")
LABELLED_TYPES = {
    **dict.fromkeys(("T037", "T047", "T048", "T191"), "Disease"),
    **dict.fromkeys(("T121", "T125", "T126", "T127", "T129", "T195"), "Drug"),
    "T184": "Symptom",
}

Tokens = list[tuple[str, str]]


def rows(name: str) -> list[list[str]]:
    """The fields of every line of an RRF file, without the empty one after the last bar."""
    lines = (SAMPLE / "umls" / name).read_text(encoding="utf-8").splitlines()
    assert all(line.endswith("|") for line in lines)
    return [line[:-1].split("|") for line in lines]


def objects(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text(encoding="utf-8").splitlines()]


def documents(name: str) -> dict[str, list[Tokens]]:
    """The sentences of every document of an IOB file by document id."""
    found: dict[str, list[Tokens]] = {}
    content = (SAMPLE / "ner" / name).read_text(encoding="utf-8")
    assert content.endswith("\n\n")
    for block in content[:-2].split("\n\n"):
        lines = [tuple(line.split("\t")) for line in block.split("\n")]
        if lines[0][0] == "-DOCSTART-":
            assert len(lines) == 1
            assert lines[0][1] not in found
            current = found.setdefault(lines[0][1], [])
        else:
            current.append([(unit, tag) for unit, tag in lines])
    return found


def sentences(name: str) -> Iterator[Tokens]:
    for document in documents(name).values():
        yield from document


def joined(units: list[str], name: str) -> str:
    return ("" if name.endswith("zh.txt") else " ").join(units)


def entities(name: str) -> Iterator[tuple[str, str]]:
    """Every entity as `(text, label)`."""
    for sentence in sentences(name):
        current: list[str] = []
        label = ""
        for unit, tag in [*sentence, ("", "O")]:
            if current and not tag.startswith("I-"):
                yield joined(current, name), label
                current = []
            if tag.startswith("B-"):
                current, label = [unit], tag[2:]
            elif tag.startswith("I-"):
                current.append(unit)


@pytest.fixture(scope="module")
def concept_of() -> dict[str, str]:
    """Concept id of every name, lower-cased."""
    return {row[14].lower(): row[0] for row in rows("MRCONSO.RRF")}


def test_the_script_rewrites_every_file_byte_for_byte(tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLE / "make_sample.py"), "--output", str(tmp_path)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert written == sorted(MADE)
    for name in MADE:
        assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes(), name


def test_the_sample_is_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.suffix != ".pyc") < 1_500_000


@pytest.mark.parametrize(("name", "columns"), [("MRCONSO.RRF", 18), ("MRREL.RRF", 16), ("MRSTY.RRF", 6)])
def test_rows_have_the_columns_of_the_release_format(name: str, columns: int) -> None:
    assert {len(row) for row in rows(name)} == {columns}


def test_every_concept_has_one_semantic_type_and_a_preferred_name_in_both_languages() -> None:
    typed = [row[0] for row in rows("MRSTY.RRF")]
    assert 350 <= len(typed) <= 450
    assert len(set(typed)) == len(typed)
    preferred = Counter(
        (row[0], row[1]) for row in rows("MRCONSO.RRF") if (row[2], row[6], row[12]) == ("P", "Y", "PT")
    )
    assert preferred == Counter((concept, language) for concept in typed for language in ("ENG", "CHI"))


def test_no_two_concepts_share_a_name_and_names_are_in_their_language() -> None:
    names = [(row[1], row[14].lower()) for row in rows("MRCONSO.RRF")]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    for language, name in names:
        assert name == name.strip()
        assert len(name) > 1
        assert bool(CHINESE.search(name)) == (language == "CHI"), name


def test_relations_join_known_concepts_and_read_from_the_second_to_the_first(concept_of: dict[str, str]) -> None:
    known = {row[0] for row in rows("MRSTY.RRF")}
    relations = [(row[4], row[7], row[0]) for row in rows("MRREL.RRF")]
    assert len(relations) >= 500
    assert len(set(relations)) == len(relations)
    assert {end for subject, _, object_ in relations for end in (subject, object_)} == known
    assert all(relation and subject != object_ for subject, relation, object_ in relations)
    assert (concept_of["metformin"], "may_treat", concept_of["2型糖尿病"]) in relations
    assert (concept_of["pneumonia"], "isa", concept_of["respiratory disease"]) in relations
    assert (concept_of["pneumonia"], "has_finding_site", concept_of["lungs"]) in relations


@pytest.mark.parametrize("language", ["en", "zh"])
def test_texts_are_many_short_different_and_in_their_language(language: str) -> None:
    texts = objects(f"text/{language}.jsonl")
    assert 1200 <= len(texts) <= 1800
    assert len({text["id"] for text in texts}) == len({text["text"] for text in texts}) == len(texts)
    for text in texts:
        assert set(text) == {"id", "lang", "text"}
        assert text["lang"] == language
        assert_written_in(language, text["text"])
        ends = re.findall(r"[.?](?= |$)" if language == "en" else "[。？]", text["text"])
        assert 1 <= len(ends) <= 7


@pytest.mark.parametrize("language", ["en", "zh"])
def test_texts_name_most_concepts(language: str) -> None:
    text = "\n".join(record["text"].lower() for record in objects(f"text/{language}.jsonl"))
    code = {"en": "ENG", "zh": "CHI"}[language]
    named = {row[0] for row in rows("MRCONSO.RRF") if row[1] == code and row[14].lower() in text}
    assert len(named) >= 0.97 * len(rows("MRSTY.RRF"))


def test_articles_are_there_in_both_languages() -> None:
    pairs = objects("pairs.jsonl")
    assert 60 <= len(pairs) <= 120
    assert len({pair["id"] for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert set(pair) == {"id", "en", "zh"}
        assert_written_in("en", pair["en"])
        assert_written_in("zh", pair["zh"])
        sentences_of = pair["zh"].count("。")
        assert 4 <= sentences_of <= 7
        assert len(re.findall(r"\.(?= [A-Z]|$)", pair["en"])) == sentences_of


def assert_written_in(language: str, text: str) -> None:
    assert text == text.strip()
    assert not re.search(r"[{}\[\]|]|  |\bNone\b", text)
    if language == "en":
        assert not CHINESE.search(text)
        assert re.match(r"[A-Z0-9]", text)
        assert text[-1] in ".?"
        assert not re.search(r"\b(\w+) \1\b", text), text
        assert not re.search(r"\ba [aeioAEIO]|\ban [bcdfgjkpqtvwxyz]", text), text
    else:
        assert text[-1] in "。？"
        assert len(CHINESE.findall(text)) >= 0.5 * len(text), text
        assert not re.search(r"[,;:?!]", text), text


@pytest.mark.parametrize(
    ("name", "count"), [("train_en.txt", 1000), ("dev_en.txt", 150), ("test_en.txt", 250), ("test_zh.txt", 250)]
)
def test_ner_files_are_valid_iob2(name: str, count: int) -> None:
    assert len(list(sentences(name))) == count
    allowed = {"O"} | {f"{prefix}-{label}" for prefix in "BI" for label in ("Disease", "Drug", "Symptom")}
    for sentence in sentences(name):
        previous = "O"
        for unit, tag in sentence:
            assert tag in allowed
            assert not re.search(r"\s", unit)
            assert not tag.startswith("I-") or previous[2:] == tag[2:], sentence
            assert len(unit) == 1 or not name.endswith("zh.txt")
            previous = tag
    assert {label for _, label in entities(name)} == {"Disease", "Drug", "Symptom"}


@pytest.mark.parametrize("name", ["train_en.txt", "dev_en.txt", "test_en.txt", "test_zh.txt"])
def test_every_entity_is_a_name_with_the_label_of_its_semantic_type(name: str, concept_of: dict[str, str]) -> None:
    types = {row[0]: row[1] for row in rows("MRSTY.RRF")}
    for text, label in entities(name):
        if name.endswith("en.txt"):
            text = text.replace(" , ", ", ")
        assert LABELLED_TYPES[types[concept_of[text.lower()]]] == label, text


@pytest.mark.parametrize("name", ["train_en.txt", "dev_en.txt", "test_en.txt", "test_zh.txt"])
def test_every_name_of_a_labelled_concept_carries_its_label(name: str, concept_of: dict[str, str]) -> None:
    types = {row[0]: row[1] for row in rows("MRSTY.RRF")}
    known = {text.replace(", ", " , "): concept for text, concept in concept_of.items()}
    for sentence in sentences(name):
        units = [unit for unit, _ in sentence]
        expected = ["O"] * len(units)
        start = 0
        while start < len(units):
            ends = range(min(len(units), start + 20), start, -1)
            end = next((end for end in ends if joined(units[start:end], name).lower() in known), None)
            if end is None:
                start += 1
                continue
            label = LABELLED_TYPES.get(types[known[joined(units[start:end], name).lower()]])
            if label:
                expected[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
            start = end
        assert [tag for _, tag in sentence] == expected, joined(units, name)


def test_ner_splits_share_no_document_and_no_sentence() -> None:
    splits = {name: documents(name) for name in ("train_en.txt", "dev_en.txt", "test_en.txt")}
    ids = [number for split in splits.values() for number in split]
    assert len(set(ids)) == len(ids)
    written = [joined([unit for unit, _ in sentence], name) for name in splits for sentence in sentences(name)]
    assert len(set(written)) == len(written)


def test_test_documents_are_parallel(concept_of: dict[str, str]) -> None:
    english, chinese = documents("test_en.txt"), documents("test_zh.txt")
    assert list(english) == list(chinese)
    assert [len(english[number]) for number in english] == [len(chinese[number]) for number in english]
    counts = {
        name: Counter((concept_of[text.lower().replace(" , ", ", ")], label) for text, label in entities(name))
        for name in ("test_en.txt", "test_zh.txt")
    }
    assert counts["test_en.txt"] == counts["test_zh.txt"]


def test_many_test_entities_belong_to_concepts_that_training_never_names(concept_of: dict[str, str]) -> None:
    trained = {concept_of[text.lower().replace(" , ", ", ")] for text, _ in entities("train_en.txt")}
    for name in ("test_zh.txt", "test_en.txt"):
        names = {text.lower() for text, _ in entities(name)}
        unseen = [text for text in names if concept_of[text.replace(" , ", ", ")] not in trained]
        assert len(unseen) >= UNSEEN_SHARE * len(names)


def test_some_unseen_concepts_are_in_no_article(concept_of: dict[str, str]) -> None:
    trained = {concept_of[text.lower().replace(" , ", ", ")] for text, _ in entities("train_en.txt")}
    tested = {concept_of[text.lower()] for text, _ in entities("test_zh.txt")}
    articles = "\n".join(pair["zh"] for pair in objects("pairs.jsonl"))
    chinese_names = [row for row in rows("MRCONSO.RRF") if row[1] == "CHI"]
    in_articles = {row[0] for row in chinese_names if row[14] in articles}
    assert len(tested - trained - in_articles) >= 20
