"""Answers as they are read and mended: placeholders, and entities found again by their names."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kbioxlm.dataset_scripts.benchmarks.translation.examination import Answered, Examined, examine
from kbioxlm.dataset_scripts.benchmarks.translation.markers import Numbered, marked, parsed
from kbioxlm.dataset_scripts.benchmarks.translation.names import KnownNames
from kbioxlm.dataset_scripts.benchmarks.translation.pieces import joined, pieces_of
from kbioxlm.dataset_scripts.benchmarks.translation.projection import projected
from kbioxlm.dataset_scripts.benchmarks.translation.readings import problems, read, with_span
from kbioxlm.dataset_scripts.benchmarks.translation.sources import PLACEHOLDER, Enclosed, Row
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase

LABELS = ("@GENE$", "@DISEASE$")


@pytest.mark.parametrize(
    ("answer", "text", "notes"),
    [
        ("<1>@GENE$</1>与<2>@DISEASE$</2>相关", "@GENE$与@DISEASE$相关", []),
        ("<2>@疾病$</2>与<1>@基因$</1>相关", "@DISEASE$与@GENE$相关", []),
        ("<1>＠GENE＄</1>与@DISEASE$相关", "@GENE$与@DISEASE$相关", ["restored"]),
        ("@ gene $与＠ＤＩＳＥＡＳＥ＄相关", "@GENE$与@DISEASE$相关", ["restored", "restored"]),
    ],
)
def test_placeholders_survive(answer: str, text: str, notes: list[str]) -> None:
    reading = read(answer, LABELS, "zh")
    assert reading.projection.text == text
    assert {text[start:end] for _, start, end in reading.projection.spans} == set(LABELS)
    assert [text[start:end] == LABELS[number - 1] for number, start, end in reading.projection.spans] == [True, True]
    assert [note.name for note in reading.notes] == notes
    assert problems(reading, LABELS) == []
    assert read(reading.marked, LABELS, "zh").marked == reading.marked


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        ("<1>@GENE$</1>与疾病相关", ["@DISEASE$ is missing"]),
        ("<1>@GENE$</1>与@DISEASE$、@DISEASE$相关", ["@DISEASE$ is missing"]),
        ("", ["@GENE$ is missing", "@DISEASE$ is missing", "there is no text"]),
        ("<1>@GENE$<2>与</1>疾病</2>", ["the markers of entities 1 and 2 cross"]),
    ],
)
def test_rows_that_lost_a_placeholder_cannot_be_used(answer: str, reasons: list[str]) -> None:
    assert problems(read(answer, LABELS, "zh"), LABELS) == reasons


def test_an_entity_may_be_lost_or_doubled_but_its_markers_must_be_whole() -> None:
    labels = ("Drug", "ADE")
    assert problems(read("没有", labels, "zh"), labels) == []
    assert problems(read("<1>甲</1><1>甲</1>", labels, "zh"), labels) == []
    assert problems(read("<1>甲</1><3>乙</3>", labels, "zh"), labels) == ["marker 3 is not in the source"]
    assert problems(read("<1>甲", labels, "zh"), labels) == ["entity 1 has half of its markers"]


@given(st.text(alphabet="<>/12a \n", max_size=24), st.integers(0, 8), st.integers(1, 8))
def test_a_span_that_is_set_is_there_alone_and_the_text_stays(marked_text: str, start: int, length: int) -> None:
    plain = parsed(marked_text)[0]
    end = min(start + length, len(plain))
    if start >= end:
        return
    text = with_span(marked_text, Numbered(1, start, end))
    assert parsed(text)[0] == plain
    others = [one for one in parsed(marked_text)[1] if one.number != 1]
    assert [one._replace(odd=False) for one in others] == [one for one in parsed(text)[1] if one.number != 1]
    alone = projected(with_span(plain.replace("<", "(").replace(">", ")"), Numbered(1, start, end)), 1)
    assert alone.spans == (Numbered(1, start, end),)


NAMES = {
    "en": {
        "C1": ["metoclopramide"], "C2": ["dyskinesia"], "C3": ["aspirin", "acetylsalicylic acid"], "C4": ["nausea"],
        "C5": ["cold virus"],
    },
    "zh": {
        "C1": ["甲氧氯普胺", "胃复安"], "C2": ["运动障碍"], "C3": ["阿司匹林"], "C4": ["恶心"], "C5": ["Covid"],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def names() -> KnownNames:
    return KnownNames(KnowledgeBase.of(("en", "zh"), NAMES, {}, {}))


def row_of(text: str, *entities: tuple[str, str]) -> Row:
    """Entities by what they are called, each behind the one before."""
    enclosed = []
    place = 0
    for name, label in entities:
        place = text.index(name, place)
        enclosed.append(Enclosed(place, place + len(name), label))
        place += len(name)
    return Row(f"c/train/{text}", "1", text, tuple(enclosed))


def examined(row: Row, answer: str, names: KnownNames | None) -> Examined:
    source = marked(row.text, [(one.start, one.end) for one in row.enclosed])
    [found] = examine([Answered(row, source, answer, True)], "en", "zh", names)
    return found


ROW = row_of("After taking metoclopramide she developed dyskinesia.", ("metoclopramide", "Drug"), ("dyskinesia", "ADE"))


@pytest.mark.parametrize(
    ("answer", "offered"),
    [
        ("服用胃复安后出现<2>运动障碍</2>。", "服用<1>胃复安</1>后出现<2>运动障碍</2>。"),
        ("服用胃复安后出现运动障碍。", "服用<1>胃复安</1>后出现<2>运动障碍</2>。"),
        ("服用<1>胃复安后出现<2>运动障碍</2>。", "服用<1>胃复安</1>后出现<2>运动障碍</2>。"),
        ("服用胃复安<1></1>后出现<2>运动障碍</2>。", "服用<1>胃复安</1>后出现<2>运动障碍</2>。"),
        ("服用<1>胃复安后<2>出现</1>运动障碍</2>。", "服用<1>胃复安</1>后出现<2>运动障碍</2>。"),
        ("服用metoclopramide后出现<2>运动障碍</2>。", "服用<1>metoclopramide</1>后出现<2>运动障碍</2>。"),
    ],
)
def test_known_names_are_found_without_markers(names: KnownNames, answer: str, offered: str) -> None:
    found = examined(ROW, answer, names)
    assert found.reading.marked == offered
    kinds = {defect.name for defect in found.defects}
    assert "repaired" in kinds
    assert not kinds & {"lost", "half", "empty", "crossed"}
    if "metoclopramide" not in answer:  # else it is untranslated, too
        assert kinds == {"repaired"}
        assert found.risk == pytest.approx(1 - 0.85 ** len(found.defects), abs=1e-3)


@pytest.mark.parametrize(
    "answer",
    [
        "服用止吐药后出现<2>运动障碍</2>。",  # another word
        "服用胃复安和甲氧氯普胺后出现<2>运动障碍</2>。",  # two places for one entity
        "<2>服用胃复安后出现运动障碍</2>。",  # inside another entity
    ],
)
def test_what_is_not_certain_is_left_to_a_person(names: KnownNames, answer: str) -> None:
    found = examined(ROW, answer, names)
    assert found.reading.marked == answer
    assert "lost" in {defect.name for defect in found.defects}


def test_without_a_knowledge_base_only_what_was_copied_is_found() -> None:
    found = examined(row_of("MDR1 and 5-FU", ("MDR1", "Gene"), ("5-FU", "Drug")), "MDR1和氟尿嘧啶", None)
    assert found.reading.marked == "<1>MDR1</1>和氟尿嘧啶"
    assert {defect.name for defect in found.defects} == {"repaired", "lost"} | {"numbers"}


def test_as_many_places_as_entities_are_taken_in_order(names: KnownNames) -> None:
    row = row_of("aspirin or acetylsalicylic acid", ("aspirin", "Drug"), ("acetylsalicylic acid", "Drug"))
    assert examined(row, "阿司匹林或阿司匹林", names).reading.marked == "<1>阿司匹林</1>或<2>阿司匹林</2>"
    assert examined(row, "<2>阿司匹林</2>或阿司匹林", names).reading.marked == "<2>阿司匹林</2>或<1>阿司匹林</1>"
    assert examined(row, "阿司匹林", names).reading.marked == "阿司匹林"


def test_entities_that_became_another_concept(names: KnownNames) -> None:
    found = examined(ROW, "服用<1>运动障碍</1>后出现<2>胃复安</2>。", names)
    assert [defect.name for defect in found.defects] == ["other_concept", "other_concept"]
    assert found.defects[0].message == "'运动障碍' is a name of another concept than 'metoclopramide'"
    assert examined(ROW, "服用<1>药</1>后出现<2>运动障碍</2>。", names).defects == ()


def test_names_of_the_target_language_in_foreign_letters(names: KnownNames) -> None:
    row = row_of("the cold virus", ("cold virus", "Organism"))
    assert examined(row, "<1>Covid</1>", names).defects == ()
    assert [defect.name for defect in examined(row, "<1>Covid</1>", None).defects] == ["foreign_name"]


def test_no_answer_and_half_an_answer() -> None:
    source = marked(ROW.text, [(one.start, one.end) for one in ROW.enclosed])
    for answer, kinds in (("", ["missing"]), ("服用<1>胃复安</1>后", ["missing", "lost"])):
        [found] = examine([Answered(ROW, source, answer, False)], "en", "zh", None)
        assert [defect.name for defect in found.defects] == kinds
        assert found.risk == 1.0


SENTENCES = st.lists(
    st.text(alphabet="abc DE1.,<>/@$", min_size=1, max_size=30).map(lambda text: f"A{text}b. "), min_size=1, max_size=6
).map("".join)


@given(SENTENCES, st.lists(st.integers(0, 200), max_size=8), st.integers(1, 80))
def test_pieces_keep_entities_whole_and_an_echo_gives_them_back(text: str, cuts: list[int], longest: int) -> None:
    assume(not re.search(r"</?\d+>", text))  # what looks like a marker is told as a defect: below
    text = text.strip()
    borders = sorted({min(cut, len(text)) for cut in cuts})
    spans = [
        (start, end)
        for start, end in zip(borders[::2], borders[1::2], strict=False)
        if text[start:end] == text[start:end].strip() != ""
    ]
    row = Row("c/train/1", "1", text, tuple(Enclosed(start, end, "X") for start, end in spans))
    pieces = pieces_of(row, longest)
    echoed = projected(joined(pieces, [piece.text for piece in pieces], "en"), len(spans))
    assert echoed.defects == ()
    assert [echoed.text[start:end] for _, start, end in echoed.spans] == [text[start:end] for start, end in spans]
    assert "".join(echoed.text.split()) == "".join(text.split())


def test_a_source_that_holds_what_looks_like_a_marker_goes_to_a_person() -> None:
    row = Row("c/train/1", "1", "Levels <1> rose.", ())
    echoed = projected(joined(pieces_of(row, 80), ["Levels <1> rose."], "en"), 0)
    assert [defect.name for defect in echoed.defects] == ["unknown"]


def test_pieces_are_whole_sentences_and_line_breaks_stay() -> None:
    text = "First one here. Second one here.\n\nThird one here."
    row = Row("c/train/1", "1", text, (Enclosed(16, 22, "X"), Enclosed(34, 39, "X")))
    pieces = pieces_of(row, 20)
    assert [piece.text for piece in pieces] == [
        "First one here.", "<1>Second</1> one here.", "<2>Third</2> one here.",
    ]  # fmt: skip
    assert joined(pieces, ["一。", "<1>二</1>。 ", None], "zh") == "一。<1>二</1>。\n\n"
    assert joined(pieces, ["Uno.", "<1>Dos</1>.", "<2>Tres</2>."], "es") == "Uno. <1>Dos</1>.\n\n<2>Tres</2>."
    assert [piece.text for piece in pieces_of(row, 600)] == [
        "First one here. <1>Second</1> one here.\n\n<2>Third</2> one here."
    ]
    across = Row("c/train/1", "1", text, (Enclosed(10, 22, "X"),))
    assert [piece.text for piece in pieces_of(across, 20)] == [
        "First one <1>here. Second</1> one here.", "Third one here.",
    ]  # fmt: skip


def test_placeholders_are_told_from_other_text() -> None:
    assert PLACEHOLDER.findall("@GENE$ and @DISEASE$, a@b.c $5 @x y$") == ["@GENE$", "@DISEASE$"]
