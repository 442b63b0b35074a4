"""Documents in the formats of the field, read back by libraries that others keep."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import conllu
import pytest
from bioc import biocjson, brat, pubtator
from bioc.validator import BioCValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from kbioxlm.formats_kbioxlm import SUFFIXES, export

ENGLISH = "Losartan for hypertension\nThe patient took losartan 50 mg; no cough."
CHINESE = "患者服用氯沙坦治疗高血压。"


def entity(text: str, words: str, label: str, **more: Any) -> dict[str, Any]:
    start = text.index(words)
    return {"entity_group": label, "word": words, "start": start, "end": start + len(words), "score": 0.75, **more}


DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": "en 1",
        "text": ENGLISH,
        "entities": [
            entity(ENGLISH, "losartan", "Chemical"),
            entity(ENGLISH, "Losartan", "Chemical", concept="C0126174"),
            entity(ENGLISH, "hypertension", "Disease", concept="C0020538"),
        ],
    },
    {
        "id": "zh|1",
        "text": CHINESE,
        "entities": [entity(CHINESE, "氯沙坦", "Chemical"), entity(CHINESE, "高血压", "Disease")],
    },
    {"id": "none", "text": "Nothing here 😀.", "entities": []},
]


def test_pubtator() -> None:
    found = pubtator.loads(export(DOCUMENTS, "pubtator").decode())
    assert [document.pmid for document in found] == ["en_1", "zh_1", "none"]
    assert found[0].title == "Losartan for hypertension"
    assert found[0].abstract == "The patient took losartan 50 mg; no cough."
    for document in found:
        text = f"{document.title} {document.abstract}"
        for annotation in document.annotations:
            assert text[annotation.start : annotation.end] == annotation.text
    assert [(a.text, a.type, a.id) for a in found[0].annotations] == [
        ("Losartan", "Chemical", "C0126174"), ("hypertension", "Disease", "C0020538"), ("losartan", "Chemical", "-"),
    ]  # fmt: skip
    assert [a.text for a in found[1].annotations] == ["氯沙坦", "高血压"]
    assert found[2].annotations == []


def test_bioc() -> None:
    collection = biocjson.loads(export(DOCUMENTS, "bioc").decode())
    BioCValidator().validate(collection)  # every annotation's text against its passage
    [passage] = collection.documents[0].passages
    assert passage.text == ENGLISH
    assert [(a.text, a.infons) for a in passage.annotations[:2]] == [
        ("Losartan", {"type": "Chemical", "identifier": "C0126174", "score": "0.7500"}),
        ("hypertension", {"type": "Disease", "identifier": "C0020538", "score": "0.7500"}),
    ]
    assert [len(document.passages[0].annotations) for document in collection.documents] == [3, 2, 0]


def test_brat() -> None:
    archive = zipfile.ZipFile(io.BytesIO(export(DOCUMENTS, "brat")))
    assert archive.namelist() == ["en_1.txt", "en_1.ann", "zh_1.txt", "zh_1.ann", "none.txt", "none.ann"]
    document = brat.loads(archive.read("en_1.txt").decode(), archive.read("en_1.ann").decode())
    assert [(e.text, e.type) for e in document.entities] == [
        ("Losartan", "Chemical"), ("hypertension", "Disease"), ("losartan", "Chemical"),
    ]  # fmt: skip
    for found in document.entities:
        assert document.text[slice(*found.total_span)] == found.text
    assert b"N1\tReference T1 C0126174\tLosartan\n" in archive.read("en_1.ann")


def test_brat_tells_an_entity_over_two_lines_in_fragments() -> None:
    text = "severe\nbleeding"
    whole = {"id": "1", "text": text, "entities": [entity(text, text, "Adverse effect")]}
    archive = zipfile.ZipFile(io.BytesIO(export([whole], "brat")))
    assert archive.read("1.ann").decode() == "T1\tAdverse_effect 0 6;7 15\tsevere bleeding\n"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "C:\\x", ".hidden", ""])
def test_names_of_files_lead_nowhere(name: str) -> None:
    document = {"id": name, "text": "x", "entities": []}
    names = zipfile.ZipFile(io.BytesIO(export([document, document], "brat"))).namelist()
    assert len({found.casefold() for found in names}) == 4
    for found in names:
        assert not set(found) & set("/\\:")
        assert not found.startswith(".")


def test_conll() -> None:
    sentences = conllu.parse(export(DOCUMENTS, "conll").decode(), fields=["form", "start", "end", "tag"])
    rows = [[(t["form"], int(t["start"]), int(t["end"]), t["tag"]) for t in sentence] for sentence in sentences]
    assert [row[0][0] for row in rows] == ["-DOCSTART-", "Losartan", "The", "-DOCSTART-", "患", "-DOCSTART-", "Nothing"]
    for text, row in ((ENGLISH, rows[1]), (ENGLISH, rows[2]), (CHINESE, rows[4])):
        assert all(text[start:end] == form for form, start, end, _ in row)
    tags = [tag for row in rows[1:3] for *_, tag in row]
    assert get_entities(tags) == [("Chemical", 0, 0), ("Disease", 2, 2), ("Chemical", 6, 6)]
    assert [tag for *_, tag in rows[4]] == [
        *["O"] * 4, "B-Chemical", "I-Chemical", "I-Chemical", "O", "O", "B-Disease", "I-Disease", "I-Disease", "O",
    ]  # fmt: skip


def test_json_lines_are_what_the_pipeline_gave() -> None:
    rows = [json.loads(line) for line in export(DOCUMENTS, "jsonl").decode().splitlines()]
    assert [row["id"] for row in rows] == ["en 1", "zh|1", "none"]
    assert rows[1]["entities"] == DOCUMENTS[1]["entities"]


def test_what_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="format 'xml': choose from jsonl, pubtator, bioc, brat, conll"):
        export(DOCUMENTS, "xml")
    outside = {"id": "a", "text": "abc", "entities": [{"entity_group": "X", "start": 1, "end": 9}]}
    with pytest.raises(ValueError, match="document 'a': X at 1:9 is not in its text, 0:3"):
        export([outside], "bioc")


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Any text, surrogates and line breaks in it, with entities that may touch and overlap, each with a character."""
    text = draw(
        st.text(st.characters(exclude_categories=()) | st.sampled_from("ab \n\r\t|中文"), min_size=1, max_size=40)
    )
    spans = draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, 8)), max_size=5))
    places = sorted({(start, min(start + length, len(text))) for start, length in spans})
    kept = [place for place in places if text[slice(*place)].strip()]
    return {"id": draw(st.text(max_size=8)), "text": text, "entities": [
        {"entity_group": "X", "start": start, "end": end} for start, end in kept
    ]}  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])  # the table of characters is made at the first draw
@given(st.lists(documents(), max_size=3))
def test_every_entity_comes_back(found: list[dict[str, Any]]) -> None:
    whole = [sorted((e["start"], e["end"]) for e in document["entities"]) for document in found]

    collection = biocjson.loads(export(found, "bioc").decode())
    BioCValidator().validate(collection)
    assert whole == [
        sorted((a.total_span.offset, a.total_span.end) for a in document.passages[0].annotations)
        for document in collection.documents
    ]

    lines = export(found, "pubtator").decode().split("\n")
    assert sum(line.count("\t") == 5 for line in lines) == sum(map(len, whole))
    assert len(lines) == 1 + sum(3 + len(places) for places in whole)  # a blank line behind each; the last line's end

    archive = zipfile.ZipFile(io.BytesIO(export(found, "brat")))
    for number, places in enumerate(whole):
        text, ann = (archive.read(name).decode() for name in archive.namelist()[2 * number : 2 * number + 2])
        assert sorted(tuple(e.total_span) for e in brat.loads_ann(ann).entities) == [
            (start + len(piece) - len(piece.lstrip("\n")), start + len(piece.rstrip("\n")))
            for start, piece in ((start, text[start:end]) for start, end in places)
        ]

    rows = [line.split("\t") for line in export(found, "conll").decode().split("\n") if line]
    assert sum(row[3].startswith("B-") for row in rows) <= sum(map(len, whole))
    assert all(len(row) == 4 for row in rows)


def test_the_same_documents_give_the_same_bytes() -> None:
    for name in SUFFIXES:
        assert export(DOCUMENTS, name) == export(DOCUMENTS, name)
