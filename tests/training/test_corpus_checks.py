"""Corpora that teach a level nothing, and vocabularies that do not know the texts, stop a run before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.training.pretraining.corpus_checks import check_coverage, check_levels
from kbioxlm.training.pretraining.encoded import EncodedLevel
from kbioxlm.training.pretraining.masking import IGNORED, Kind

UNK = 3


def level(name: str, units: dict[Kind, int], passages: list[int] | None = None, **counts: list[int]) -> EncodedLevel:
    nothing: Any = np.zeros(0, dtype=np.int64)
    return EncodedLevel(
        name, nothing, nothing, nothing, np.array(passages or [IGNORED], dtype=np.int8),
        dict.fromkeys(counts, nothing), dict.fromkeys(counts, 1.0),
        {language: np.array(values) for language, values in counts.items()},
        {kind: units.get(kind, 0) for kind in Kind if kind is not Kind.SPECIAL},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (level("entity", {Kind.WORD: 9, Kind.RELATION: 2}), "c/entity: no row has a usable entity within max_length"),
        (level("fact", {Kind.WORD: 9, Kind.ENTITY: 3}), "c/fact: no row has a usable relation phrase and no name"),
        (level("passage", {Kind.WORD: 9}, [IGNORED, IGNORED]), "c/passage: no row has a passage relation; build it"),
    ],
)
def test_a_level_without_what_its_task_predicts(bad: EncodedLevel, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_levels(Path("c"), [level("monolingual", {Kind.WORD: 1}), bad])


def test_levels_that_will_do() -> None:
    check_levels(
        Path("c"),
        [
            level("monolingual", {Kind.WORD: 1}),
            level("entity", {Kind.ENTITY: 1}),
            level("fact", {Kind.SWITCHED: 1}),
            level("passage", {Kind.WORD: 1}, [IGNORED, 2]),
        ],
    )


def test_a_vocabulary_that_does_not_cover_a_language() -> None:
    texts = level("entity", {}, en=[40, 0, 40, 1, 99, 0], zh=[40, 0, 40, 30, 60, 10])  # <s> <pad> </s> <unk> a b
    special = [0, 1, 2, UNK]
    everything = np.ones(6, dtype=bool)
    message = r"c/entity: 30\.0% of the pieces of its rows in 'zh' are <unk>; take a tokenizer that was learnt on such"
    with pytest.raises(InputError, match=message):
        check_coverage(Path("c"), [texts], everything, special, UNK, 0.95)
    check_coverage(Path("c"), [texts], everything, special, UNK, 0.7)


def test_a_head_that_does_not_cover_a_language() -> None:
    texts = level("fact", {}, en=[40, 0, 40, 1, 99, 0], zh=[40, 0, 40, 0, 90, 10])
    reduced = np.array([False, False, False, False, True, False])
    message = r"c/fact: 10\.0% of the pieces of its rows in 'zh' have no row in the MLM head; raise mlm_vocab_size, or"
    with pytest.raises(InputError, match=message):
        check_coverage(Path("c"), [texts], reduced, [0, 1, 2, UNK], UNK, 0.95)
    check_coverage(Path("c"), [texts], reduced, [0, 1, 2, UNK], UNK, 0.9)
