"""Rows of all four levels as pieces and units, with a real tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.corpora.rows import LEVELS as BUILT_LEVELS
from kbioxlm.dataset_scripts.corpora.rows import ROW, Row, to_table
from kbioxlm.dataset_scripts.folder import ShardWriter
from kbioxlm.training.models.tokenizer import learn
from kbioxlm.training.pretraining.features import LEVELS, Encoded, encode_rows, load_level, word_spans
from kbioxlm.training.pretraining.masking import IGNORED, Kind

TEXTS = [
    "the patient took aspirin and had severe bleeding",
    "vitamin C helps the patient",
    "aspirin may treat fever",
    "the fever of the patient.",
    "患者服用阿司匹林后出现严重出血。",
    "阿司匹林治疗发热",
    "发热患者；服用维生素",
] * 20


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    """Learnt from `TEXTS`: most words are several pieces."""
    return learn(TEXTS, 62)


def entity(text: str, name: str, replaced: bool = False, in_pair: bool = False) -> dict[str, Any]:
    start = text.index(name)
    return {
        "start": start, "end": start + len(name), "in_pair": in_pair, "concept": "C1", "language": "en",
        "replaced": replaced,
    }  # fmt: skip


def row(text: str, *entities: dict[str, Any], **columns: Any) -> dict[str, Any]:
    return {
        "text": text, "text_pair": None, "entities": list(entities), "relations": [], "passage_relation": None,
    } | columns  # fmt: skip


def units(encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, Kind]]:
    """What each unit spells, in reading order, and its kind; a unit must be one run of pieces."""
    tokens = tokenizer.convert_ids_to_tokens(encoded.input_ids)
    found: list[tuple[str, Kind]] = []
    last = -1
    for token, unit, kind in zip(tokens, encoded.units.tolist(), encoded.kinds.tolist(), strict=True):
        if unit >= 0:
            found = [*found[:-1], (found[-1][0] + token, kind)] if unit == last else [*found, (token, Kind(kind))]
        last = unit
    assert len(found) == len(set(encoded.units.tolist()) - {-1})
    return [(text.replace("▁", " ").strip(), Kind(kind)) for text, kind in found]


def encode(one: dict[str, Any], tokenizer: PreTrainedTokenizerBase, max_length: int = 128) -> Encoded:
    [encoded] = encode_rows([one], tokenizer, max_length)
    assert encoded.input_ids.shape == encoded.units.shape == encoded.kinds.shape
    special = np.isin(encoded.input_ids, tokenizer.all_special_ids)
    assert (encoded.units[special] == -1).all()
    np.testing.assert_array_equal(encoded.kinds == Kind.SPECIAL, encoded.units == -1)
    return encoded


def test_english(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "the patient had severe bleeding."
    encoded = encode(row(text, entity(text, "severe bleeding")), tokenizer)
    assert units(encoded, tokenizer) == [
        ("the", Kind.WORD), ("patient", Kind.WORD), ("had", Kind.WORD), ("severe bleeding", Kind.ENTITY),
        (".", Kind.WORD),
    ]  # fmt: skip
    assert encoded.passage_label == IGNORED
    assert encoded.input_ids[0] == tokenizer.bos_token_id
    assert encoded.input_ids[-1] == tokenizer.eos_token_id
    assert len(encoded.input_ids) > 7  # several pieces in a unit


def test_chinese(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "患者服用阿司匹林后出现严重出血。"
    encoded = encode(row(text, entity(text, "阿司匹林"), entity(text, "出血")), tokenizer)
    found = units(encoded, tokenizer)
    assert [spelt for spelt, kind in found if kind == Kind.ENTITY] == ["阿司匹林", "出血"]
    assert "".join(spelt for spelt, _ in found) == text
    assert ("患者", Kind.WORD) in found  # a word of jieba's, not single characters


def test_code_switched(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "the patient took 阿司匹林 and had fever"
    encoded = encode(row(text, entity(text, "阿司匹林", True), entity(text, "fever")), tokenizer)
    found = units(encoded, tokenizer)
    assert ("阿司匹林", Kind.SWITCHED) in found
    assert ("fever", Kind.ENTITY) in found
    space = tokenizer.convert_tokens_to_ids("▁")
    before_han = np.flatnonzero(encoded.kinds == Kind.SWITCHED)[0] - 1
    assert encoded.input_ids[before_han] == space
    assert encoded.units[before_han] == -1


def test_a_lone_metaspace_is_never_masked_but_inside_a_name(tokenizer: PreTrainedTokenizerBase) -> None:
    space = tokenizer.convert_tokens_to_ids("▁")
    text = "vitamin C 患者 took"
    alone = encode(row(text), tokenizer)
    assert space in alone.input_ids
    assert (alone.units[alone.input_ids == space] == -1).all()
    named = encode(row(text, entity(text, "vitamin C")), tokenizer)
    assert units(named, tokenizer)[0] == ("vitamin C", Kind.ENTITY)
    inside = (named.input_ids == space) & (named.units >= 0)
    assert inside.sum() == 1  # "▁" before "C"; else the name would be two units


def test_facts(tokenizer: PreTrainedTokenizerBase) -> None:
    text, pair = "aspirin may treat fever", "阿司匹林治疗发热；发热"
    start = pair.index("治疗")
    encoded = encode(
        row(
            text, entity(text, "aspirin"), entity(text, "fever"), entity(pair, "阿司匹林", True, True),
            entity(pair, "发热", True, True), text_pair=pair,
            relations=[{"start": start, "end": start + 2, "relation": "may_treat"}],
        ),
        tokenizer,
    )  # fmt: skip
    assert [(spelt, kind) for spelt, kind in units(encoded, tokenizer) if kind != Kind.WORD] == [
        ("aspirin", Kind.ENTITY), ("fever", Kind.ENTITY), ("阿司匹林", Kind.SWITCHED), ("治疗", Kind.RELATION),
        ("发热", Kind.SWITCHED),
    ]  # fmt: skip
    assert encoded.input_ids.tolist().count(tokenizer.eos_token_id) == 3


@pytest.mark.parametrize(("relation", "label"), [("positive", 0), ("random", 1), ("context", 2)])
def test_passages(tokenizer: PreTrainedTokenizerBase, relation: str, label: int) -> None:
    text, pair = "the patient took aspirin", "患者服用阿司匹林"
    one = row(
        text, entity(text, "aspirin"), entity(pair, "阿司匹林", in_pair=True), text_pair=pair, passage_relation=relation
    )
    encoded = encode(one, tokenizer)
    assert encoded.passage_label == label
    assert [spelt for spelt, kind in units(encoded, tokenizer) if kind == Kind.ENTITY] == ["aspirin", "阿司匹林"]


def test_batches_keep_order_and_equal_single_rows(tokenizer: PreTrainedTokenizerBase) -> None:
    pair = row("aspirin may treat fever", text_pair="阿司匹林治疗发热", passage_relation="random")
    rows = [pair, row("the fever"), row("发热患者"), pair, row("took aspirin")]
    for one, encoded in zip(rows, encode_rows(rows, tokenizer, 20), strict=True):
        alone = encode(one, tokenizer, 20)
        np.testing.assert_array_equal(encoded.input_ids, alone.input_ids)
        np.testing.assert_array_equal(encoded.units, alone.units)
        np.testing.assert_array_equal(encoded.kinds, alone.kinds)
        assert encoded.passage_label == alone.passage_label
    assert encode_rows([], tokenizer, 20) == []


def test_long_rows_are_cut_from_the_longer_side(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "the patient took aspirin and had fever " * 20
    single = encode(row(text), tokenizer, 16)
    assert len(single.input_ids) == 16
    assert single.input_ids[-1] == tokenizer.eos_token_id
    pair = encode(row(text, text_pair="发热患者", passage_relation="positive"), tokenizer, 24)
    assert len(pair.input_ids) == 24
    assert "".join(spelt for spelt, _ in units(pair, tokenizer)).endswith("发热患者")
    cut = encode(row(text, entity(text, "aspirin and")), tokenizer, len(single.input_ids) // 2)
    assert len(cut.input_ids) == 8


def test_text_of_nothing_but_spaces_has_no_unit(tokenizer: PreTrainedTokenizerBase) -> None:
    assert (encode(row(" "), tokenizer).units == -1).all()
    assert (encode(row(""), tokenizer).units == -1).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("IL-6 rose by 1.5%", ["IL", "-", "6", "rose", "by", "1", ".", "5", "%"]),
        ("snake_case été", ["snake_case", "été"]),
        ("服用aspirin后", ["服用", "aspirin", "后"]),
        ("カタカナ", None),
        ("  \n\t", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str] | None) -> None:
    spans = word_spans(text)
    found = [text[start:end] for start, end in spans]
    assert words is None or found == words
    assert "".join(found) == "".join(text.split())
    assert all(start < end for start, end in spans)
    assert spans == sorted(spans)


def write_level(folder: Path, level: str, texts: list[str]) -> None:
    writer = ShardWriter(folder / level, ROW)
    if texts:
        writer.write(to_table([Row("1", level, "en", text) for text in texts]))
    writer.close()


def test_levels_are_loaded_and_missing_or_empty_ones_refused(tmp_path: Path) -> None:
    write_level(tmp_path, "monolingual", ["a", "b"])
    write_level(tmp_path, "fact", [])
    assert load_level(tmp_path, "monolingual")["text"] == ["a", "b"]
    with pytest.raises(InputError, match=f"has no level 'entity'; build it .* the levels are {', '.join(LEVELS)}"):
        load_level(tmp_path, "entity")
    with pytest.raises(InputError, match="fact: has no rows"):
        load_level(tmp_path, "fact")


def test_every_entity_of_built_corpora_is_a_unit_of_its_own(sample_corpora: Path, sample_tokenizer: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(sample_tokenizer)
    for level in BUILT_LEVELS:
        rows = load_level(sample_corpora, level)
        chosen = [rows[i] for i in range(0, len(rows), max(1, len(rows) // 40))]
        for one, encoded in zip(chosen, encode_rows(chosen, tokenizer, 500), strict=True):
            found = [spelt for spelt, kind in units(encoded, tokenizer) if kind in (Kind.ENTITY, Kind.SWITCHED)]
            sides = (one["text"], one["text_pair"])
            names = [sides[e["in_pair"]][e["start"] : e["end"]] for e in one["entities"]]
            assert len(found) == len(names)
            phrases = [kind for _, kind in units(encoded, tokenizer) if kind == Kind.RELATION]
            assert len(phrases) == len(one["relations"])
