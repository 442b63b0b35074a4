"""`pipeline("biomedical-ner")`: what a user calls, on a tagger that was trained to find something."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import pipeline

from kbioxlm.pipeline_kbioxlm import BiomedicalNerPipeline
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.finetuning.run import finetune
from kbioxlm.training.finetuning.tagging import tag_texts
from kbioxlm.windows_kbioxlm import begins_word, cuts, entities, merge, pieces_of

ENGLISH = "the patient took aspirin and had severe bleeding ."
CHINESE = "患者服用阿司匹林后出现严重出血。"


@pytest.fixture(scope="module")
def folder(checkpoint: Path, ner_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger that has learnt its sentences in both languages by heart."""
    out = tmp_path_factory.mktemp("tagger")
    keys: dict[str, Any] = {
        "epochs": 12, "batch_size": 4, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "max_length": 62,
        "bf16": False, "allow_near_duplicates": True, "allow_shared_documents": True, "dev_share": 0.2,
    }  # fmt: skip
    finetune(FinetuneRecipe(checkpoint=str(checkpoint), train=str(ner_files["train_en"]), output=out / "ner", **keys))
    return out / "ner"


@pytest.fixture(scope="module")
def ner(folder: Path) -> BiomedicalNerPipeline:
    return pipeline("biomedical-ner", model=str(folder), trust_remote_code=True)


def test_entities_with_exact_offsets_and_a_probability(ner: BiomedicalNerPipeline) -> None:
    found = ner(ENGLISH)
    assert [(entity["word"], entity["entity_group"]) for entity in found] == [
        ("aspirin", "Drug"), ("severe bleeding", "Effect"),
    ]  # fmt: skip
    for entity in found:
        assert ENGLISH[entity["start"] : entity["end"]] == entity["word"]
        assert 0.5 < entity["score"] <= 1
        assert list(entity) == ["entity_group", "score", "word", "start", "end"]
    json.dumps(found)  # plain numbers and strings


def test_the_score_is_the_least_marginal_of_its_pieces(ner: BiomedicalNerPipeline) -> None:
    entity = ner(ENGLISH)[1]
    [text] = pieces_of(ner.tokenizer, [ENGLISH])
    ids = torch.tensor([[ner.tokenizer.cls_token_id, *text.ids, ner.tokenizer.sep_token_id]])
    labelled = torch.tensor([[False, *(start < end for start, end in text.offsets), False]])
    with torch.no_grad():
        logits = ner.model(ids).logits
    marginals = ner.model.crf.marginals(logits, labelled)[0]
    [path] = ner.model.decode(logits, labelled)
    scores = [
        float(marginals[position, tag])
        for position, tag in zip(labelled[0].nonzero().squeeze(1).tolist(), path, strict=True)
        if entity["start"] <= text.offsets[position - 1][0] and text.offsets[position - 1][1] <= entity["end"]
    ]
    assert len(scores) >= 2
    assert entity["score"] == pytest.approx(min(scores), abs=1e-6)


def test_one_text_or_many(ner: BiomedicalNerPipeline) -> None:
    texts = [ENGLISH, "", CHINESE, "   ", ENGLISH + " " + CHINESE]
    together = ner(texts, batch_size=2)
    assert len(together) == len(texts)
    assert together[1] == together[3] == []
    assert ner([]) == []
    assert ner(iter(texts[:1])) == together[:1]
    for text, found in zip(texts, together, strict=True):
        alone = ner(text)
        assert [{**entity, "score": None} for entity in alone] == [{**entity, "score": None} for entity in found]
        assert [entity["score"] for entity in alone] == pytest.approx([entity["score"] for entity in found], abs=1e-5)
    assert ner(texts) == ner(texts)


def test_it_finds_what_the_command_line_finds(ner: BiomedicalNerPipeline, folder: Path) -> None:
    for line, text in zip(tag_texts(str(folder), [ENGLISH, CHINESE]).splitlines(), (ENGLISH, CHINESE), strict=True):
        spans = [(entity["start"], entity["end"], entity["entity_group"]) for entity in json.loads(line)["entities"]]
        assert spans == [(entity["start"], entity["end"], entity["entity_group"]) for entity in ner(text)]


def test_long_text_is_read_whole_and_without_seams(ner: BiomedicalNerPipeline) -> None:
    """Forty sentences, several windows. (The tagger is too small to find the same at every position.)"""
    text = " ".join([ENGLISH] * 40)
    assert len(ner.preprocess([text])["windows"]) > 5
    found = ner(text, batch_size=3)
    sentences = {entity["start"] // (len(ENGLISH) + 1) for entity in found}
    assert sentences == set(range(40))
    for entity, following in itertools.pairwise(found):
        assert entity["end"] <= following["start"]
    exact = [entity for entity in found if entity["word"] in ("aspirin", "severe bleeding")]
    assert len(exact) > 0.6 * 80


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec=None), max_size=120))
def test_any_text_is_read(ner: BiomedicalNerPipeline, text: str) -> None:
    """Surrogates, marks of direction, emoji, control characters."""
    for entity in ner(text):
        assert 0 <= entity["start"] < entity["end"] <= len(text)
        assert text[entity["start"] : entity["end"]] == entity["word"]
        assert not entity["word"][0].isspace()
        assert not entity["word"][-1].isspace()


def test_half_a_surrogate_pair_moves_no_offset(ner: BiomedicalNerPipeline) -> None:
    before = ner("😀 " + ENGLISH)
    after = ner("\ud83d " + ENGLISH)
    assert [entity["start"] for entity in after] == [entity["start"] for entity in before]
    assert {entity["word"] for entity in after} == {"aspirin", "severe bleeding"}


def test_what_is_no_text_is_refused(ner: BiomedicalNerPipeline) -> None:
    with pytest.raises(TypeError, match="text 1 is None: give strings"):
        ner(["a", None])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="takes batch_size, not stride"):
        ner("a", stride=3)
    with pytest.raises(TypeError, match="takes no aggregation_strategy"):
        BiomedicalNerPipeline(ner.model, tokenizer=ner.tokenizer, aggregation_strategy="simple")


def test_it_works_in_a_fresh_process_and_is_saved_again(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys, json; sys.modules['kbioxlm'] = None\n"
        "from transformers import pipeline\n"
        "ner = pipeline('biomedical-ner', model=sys.argv[1], trust_remote_code=True)\n"
        "str(ner.model.config)\n"
        "ner.save_pretrained('again')\n"
        "again = pipeline('biomedical-ner', model='again', trust_remote_code=True)\n"
        f"print(json.dumps([ner({ENGLISH!r}), again({ENGLISH!r})]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    first, again = json.loads(done.stdout.splitlines()[-1])
    assert first == again
    assert [entity["word"] for entity in first] == ["aspirin", "severe bleeding"]


def test_windows_cover_all_pieces_and_overlap() -> None:
    for pieces in (1, 10, 11, 25, 100):
        windows = cuts(pieces, range(0, pieces, 3), 10)
        assert windows[0][0] == 0
        assert windows[-1][1] == pieces
        assert all(0 < last - first <= 10 for first, last in windows)
        for (first, last), (following, _) in itertools.pairwise(windows):
            assert first < following < last
            assert following % 3 == 0
    assert cuts(25, [], 10) == [(0, 10), (8, 18), (16, 25)]  # nowhere to cut


def test_each_piece_is_read_where_most_stands_around_it() -> None:
    windows = [(0, 0, 6), (0, 3, 9)]
    read = [[f"a{i}" for i in range(6)], [f"b{i}" for i in range(3, 9)]]
    assert merge(windows, read, [9]) == [["a0", "a1", "a2", "a3", "a4", "b5", "b6", "b7", "b8"]]


def test_iob2_is_read_strictly() -> None:
    text = "abcdef"
    offsets = [(i, i + 1) for i in range(6)]
    tags = [("I-X", 0.9), ("B-X", 0.8), None, ("I-X", 0.7), ("I-Y", 0.6), ("B-Y", 0.5)]
    assert [(e["word"], e["entity_group"], e["score"]) for e in entities(text, offsets, tags)] == [
        ("bcd", "X", 0.7), ("f", "Y", 0.5),
    ]  # fmt: skip


def test_where_words_begin() -> None:
    text = "take 5mg 阿司匹林-x"
    assert [i for i in range(len(text)) if not text[i].isspace() and begins_word(text, i)] == [
        0,
        5,
        9,
        10,
        11,
        12,
        13,
        14,
    ]
