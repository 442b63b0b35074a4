from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, Span
from kbioxlm.training.finetuning.ner import iob2_tags, load_ner
from kbioxlm.training.finetuning.spans import (
    IGNORED,
    Pieces,
    inexpressible,
    merge_windows,
    pieces_of,
    spans_of_pieces,
    tags_of_pieces,
    unit_tags,
    windows_of,
)

TAG_IDS = {tag: i for i, tag in enumerate(iob2_tags(["Drug", "Effect"]))}


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(checkpoint, config=KBioXLMConfig.from_pretrained(checkpoint))


def sentence(text: str, *entities: Span, spaced: bool = False) -> Sentence:
    if spaced:
        ends = [i for i, character in enumerate(text) if character == " "] + [len(text)]
        units = tuple(zip([0, *(end + 1 for end in ends[:-1])], ends, strict=True))
    else:
        units = tuple((i, i + 1) for i in range(len(text)))
    return Sentence("d/0", "d", text, entities, units)


def test_offsets_hold_no_space(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "  took  aspirin。锂"
    (pieces,) = pieces_of(tokenizer, [text])
    covered = set()
    for start, end in pieces.offsets:
        assert text[start:end] == text[start:end].strip()
        covered |= set(range(start, end))
    assert covered == {i for i, character in enumerate(text) if not character.isspace()}


def test_a_metaspace_alone_carries_no_label(tokenizer: PreTrainedTokenizerBase) -> None:
    (pieces,) = pieces_of(tokenizer, ["患者"])
    space = tokenizer.convert_tokens_to_ids("▁")
    assert pieces.ids[0] == space
    start, end = pieces.offsets[0]
    assert start == end
    assert tags_of_pieces(pieces.offsets, [Span(0, 2, "Drug")])[:2] == [None, "B-Drug"]


@pytest.mark.parametrize(
    ("offsets", "entities", "expected"),
    [
        # one entity of two pieces, and a neighbour of the same label
        ([(0, 2), (2, 4), (4, 6)], [Span(0, 4, "X"), Span(4, 6, "X")], ["B-X", "I-X", "B-X"]),
        # a piece over two entities goes to the one with more characters
        ([(0, 3)], [Span(0, 1, "X"), Span(1, 3, "Y")], ["B-Y"]),
        ([(0, 2)], [Span(0, 1, "X"), Span(1, 2, "Y")], ["B-X"]),
        # mostly outside: no entity; half: the entity
        ([(0, 3)], [Span(0, 1, "X")], ["O"]),
        ([(0, 2)], [Span(0, 1, "X")], ["B-X"]),
        # two pieces of one character
        ([(0, 1), (0, 1)], [Span(0, 1, "X")], ["B-X", "I-X"]),
        # a piece without characters between pieces of an entity
        ([(0, 1), (1, 1), (1, 2)], [Span(0, 2, "X")], ["B-X", None, "I-X"]),
        ([(0, 1), (1, 2), (2, 3)], [Span(1, 2, "X")], ["O", "B-X", "O"]),
    ],
)
def test_tags_of_pieces(offsets: list, entities: list, expected: list) -> None:
    assert tags_of_pieces(offsets, entities) == expected


def test_spans_of_pieces_pass_over_pieces_without_tag() -> None:
    offsets = [(0, 2), (2, 2), (3, 5), (6, 7), (8, 9)]
    tags = ["B-X", None, "I-X", "I-Y", "B-Y"]
    assert spans_of_pieces(offsets, tags) == (Span(0, 5, "X"), Span(8, 9, "Y"))


def test_units_belong_to_spans_that_cover_half() -> None:
    units = [(0, 4), (5, 9), (10, 11), (11, 12)]
    assert unit_tags([Span(0, 2, "X")], units) == ["B-X", "O", "O", "O"]
    assert unit_tags([Span(0, 1, "X")], units) == ["O", "O", "O", "O"]
    assert unit_tags([Span(0, 9, "X"), Span(10, 12, "Y")], units) == ["B-X", "I-X", "B-Y", "I-Y"]
    assert unit_tags([Span(10, 11, "Y"), Span(11, 12, "Y")], units) == ["O", "O", "B-Y", "B-Y"]
    assert unit_tags([Span(0, 2, "X"), Span(2, 4, "Y")], units) == ["B-X", "O", "O", "O"]


def test_gold_entities_survive_the_way_to_pieces_and_back(
    tokenizer: PreTrainedTokenizerBase, ner_files: dict[str, Path]
) -> None:
    sentences = load_ner(ner_files["train_en"], "train").examples
    pieces = pieces_of(tokenizer, [s.text for s in sentences])
    assert inexpressible(sentences, pieces) == 0
    for s, piece in zip(sentences, pieces, strict=True):
        spans = spans_of_pieces(piece.offsets, tags_of_pieces(piece.offsets, s.entities))
        assert spans == s.entities


def test_inexpressible_entities_are_counted() -> None:
    s = sentence("abcdef", Span(0, 2, "X"), Span(3, 4, "X"))
    assert inexpressible([s], [Pieces([1, 2], [(0, 3), (3, 6)])]) == 2
    assert inexpressible([s], [Pieces([1, 2, 3, 4], [(0, 2), (2, 3), (3, 4), (4, 6)])]) == 0


def test_one_window_for_a_short_sentence(tokenizer: PreTrainedTokenizerBase, ner_files: dict[str, Path]) -> None:
    sentences = load_ner(ner_files["test_zh"], "test").examples
    pieces = pieces_of(tokenizer, [s.text for s in sentences])
    windows = windows_of(sentences, pieces, tokenizer, 62, TAG_IDS)
    assert [window.sentence for window in windows] == list(range(len(sentences)))
    for window, piece in zip(windows, pieces, strict=True):
        assert window.input_ids == [0, *piece.ids, 2]
        assert [label != IGNORED for label in window.labels] == window.labelled
        assert window.labels[0] == window.labels[-1] == IGNORED


def test_long_sentences_are_windowed_without_loss(tokenizer: PreTrainedTokenizerBase) -> None:
    rng = random.Random(3)
    words = [rng.choice(["aspirin", "nausea", "the", "patient", "took"]) for _ in range(120)]
    text = " ".join(words)
    starts = [sum(len(word) + 1 for word in words[:i]) for i in range(len(words))]
    entities = [
        Span(start, start + len(word), "Drug") for start, word in zip(starts, words, strict=True) if word == "aspirin"
    ]
    s = sentence(text, *entities, spaced=True)
    pieces = pieces_of(tokenizer, [text])
    windows = windows_of([s], pieces, tokenizer, 20, TAG_IDS)
    assert len(windows) > 5
    assert max(len(window.input_ids) for window in windows) <= 20
    first_characters = {start for start, _ in s.units}
    for window in windows:
        start, _ = pieces[0].offsets[window.first]
        assert window.first == 0 or start in first_characters
    for left, right in itertools.pairwise(windows):
        assert left.first < right.first < left.first + len(left.input_ids) - 2
    names = list(TAG_IDS)
    predicted = [[names[label] for label in window.labels if label != IGNORED] for window in windows]
    merged = merge_windows(windows, predicted, pieces)
    assert spans_of_pieces(pieces[0].offsets, merged[0]) == s.entities


def test_an_entity_that_began_before_the_window_is_not_labelled() -> None:
    class Ids:
        cls_token_id, sep_token_id = 0, 2

    s = sentence("abcdefghij", Span(2, 9, "Drug"))
    pieces = [Pieces(list(range(10, 20)), [(i, i + 1) for i in range(10)])]
    windows = windows_of([s], pieces, Ids(), 8, TAG_IDS)
    assert [window.first for window in windows] == [0, 5]
    assert windows[1].labels == [IGNORED, *[IGNORED] * 4, TAG_IDS["O"], IGNORED]
    assert windows[1].labelled == [False, True, True, True, True, True, False]


def test_a_unit_longer_than_the_window_is_cut() -> None:
    class Ids:
        cls_token_id, sep_token_id = 0, 2

    s = Sentence("d/0", "d", "x" * 30, (), ((0, 30),))
    pieces = [Pieces(list(range(30)), [(i, i + 1) for i in range(30)])]
    windows = windows_of([s], pieces, Ids(), 10)
    covered = {window.first + i for window in windows for i in range(len(window.input_ids) - 2)}
    assert covered == set(range(30))


def test_merging_takes_the_window_with_more_context() -> None:
    class Ids:
        cls_token_id, sep_token_id = 0, 2

    s = sentence("abcdefghij")
    pieces = [Pieces(list(range(10)), [(i, i + 1) for i in range(10)])]
    windows = windows_of([s], pieces, Ids(), 10)
    assert [(window.first, len(window.input_ids) - 2) for window in windows] == [(0, 8), (6, 4)]
    predicted = [["first"] * 8, ["second"] * 4]
    # pieces 6 and 7 lie in both: 1 and 0 before the end of the first, 0 and 1 behind the start of the second
    assert merge_windows(windows, predicted, pieces) == [["first"] * 7 + ["second"] * 3]
