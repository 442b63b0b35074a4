"""Rows under review and decisions on them, as files and as a reviewer's session."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.translation.defects import Defect, risk
from kbioxlm.dataset_scripts.benchmarks.translation.highlights import highlighted, listed, said
from kbioxlm.dataset_scripts.benchmarks.translation.markers import Numbered
from kbioxlm.dataset_scripts.benchmarks.translation.review import DECISIONS, ROWS, Decision, ReviewFolder, ReviewRow
from kbioxlm.dataset_scripts.benchmarks.translation.session import Filter, RefusedError, Session

LOST, NUMBERS, ODD = Defect("lost", "", (2,)), Defect("numbers", ""), Defect("odd_marker", "")
OPEN, DECIDED, ALL = Filter("open"), Filter("decided"), Filter("all")


def row(key: str, *defects: Defect, translation: str = "<1>甲</1>和<2>乙</2>") -> ReviewRow:
    why = "defects" if defects else "sample"
    source = "<1>A</1> and <2>B</2>"
    return ReviewRow(key, why, risk(defects), defects, "en", "zh", source, translation, ("Drug", "ADE"))


ROW_LIST = [row("a", ODD), row("b", LOST, translation="<1>甲</1>和乙"), row("c"), row("d", NUMBERS, NUMBERS)]


@pytest.fixture
def folder(tmp_path: Path) -> ReviewFolder:
    made = ReviewFolder(tmp_path / "review")
    made.write_rows(ROW_LIST)
    return made


def test_rows_come_back_the_riskiest_first(folder: ReviewFolder) -> None:
    assert folder.rows() == [ROW_LIST[1], ROW_LIST[3], ROW_LIST[0], ROW_LIST[2]]


def test_the_last_line_of_a_row_counts(folder: ReviewFolder) -> None:
    assert folder.decisions() == {}
    folder.decide("a", Decision("drop"))
    folder.decide("b", Decision("correct", "<1>甲</1>\n<2>乙</2>", "src"))
    folder.decide("a", Decision("open"))
    assert folder.decisions() == {
        "a": Decision("open", line=3),
        "b": Decision("correct", "<1>甲</1>\n<2>乙</2>", "src", line=2),
    }


def test_a_line_that_a_hand_left_open_is_ended_first(folder: ReviewFolder) -> None:
    folder.decisions_file.write_text('{"key": "a", "decision": "drop"}', encoding="utf-8")
    folder.decide("b", Decision("drop"))
    assert {key: one.decision for key, one in folder.decisions().items()} == {"a": "drop", "b": "drop"}


def test_decisions_of_many_writers_stay_whole_lines(folder: ReviewFolder) -> None:
    text = "<1>甲</1>" * 2_000

    def write(writer: int) -> None:
        for place in range(25):
            ReviewFolder(folder.path).decide(f"{writer}/{place}", Decision("correct", text))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert folder.decisions().keys() == {f"{writer}/{place}" for writer in range(8) for place in range(25)}
    assert {one.translation for one in folder.decisions().values()} == {text}


def test_of_a_decision_that_does_not_fit_on_the_disk_nothing_stays(
    folder: ReviewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.decide("a", Decision("drop"))
    before = folder.decisions_file.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folder.decide("b", Decision("drop"))
    assert folder.decisions_file.read_bytes() == before


@pytest.mark.parametrize("change", [{"labels": 3}, {"defects": [{"name": "new"}]}, {"source": None}, {"key": 1}])
def test_rows_that_are_none_are_named(folder: ReviewFolder, change: dict[str, object]) -> None:
    lines = folder.rows_file.read_text(encoding="utf-8").splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **change})
    folder.rows_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"{ROWS}:2: not a row under review"):
        folder.rows()


def test_a_folder_without_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{ROWS}: no such file; name a folder that `translate` was given"):
        Session(tmp_path)
    ReviewFolder(tmp_path).write_rows([])
    with pytest.raises(InputError, match=rf"{ROWS}: no row in it; there is nothing to review"):
        Session(tmp_path)


def test_filters_and_their_order(folder: ReviewFolder) -> None:
    session = Session(folder.path)
    assert session.defect_names() == ["any", "lost", "numbers", "odd_marker", "sample"]
    assert session.queue(OPEN) == ["b", "d", "a", "c"]
    assert session.queue(DECIDED) == []
    assert session.queue(Filter("all", "numbers")) == ["d"]
    assert session.queue(Filter("all", "sample")) == ["c"]
    assert session.queue(Filter("all", least_risk=0.5)) == ["b", "d"]
    assert [session.neighbour("d", OPEN, step) for step in (-1, 0, 1)] == ["b", "d", "a"]
    assert [session.neighbour("c", OPEN, 1), session.neighbour("b", OPEN, -1)] == ["c", "b"]
    assert session.neighbour("d", Filter("open", "odd_marker"), 0) == "a"
    assert session.neighbour(None, OPEN, 0) == "b"


def test_decisions_are_on_the_disk_and_another_session_goes_on(folder: ReviewFolder) -> None:
    session = Session(folder.path)
    session.decide("a", "accept", ROW_LIST[0].translation, 0)
    session.decide("b", "correct", "<1>甲</1>和<2>乙</2>", 0)
    assert folder.decisions()["a"] == Decision("accept", ROW_LIST[0].translation, ROW_LIST[0].source, 1)
    other = Session(folder.path)
    assert other.counts() == {"accepted": 1, "corrected": 1, "open": 2}
    assert other.queue(OPEN) == ["d", "c"]
    assert other.chosen_text("b") == "<1>甲</1>和<2>乙</2>"
    other.decide("d", "drop", "", 0)
    other.decide("a", "open", ROW_LIST[0].translation, 1)
    assert session.counts() == {"corrected": 1, "dropped": 1, "open": 2}  # without being told
    assert session.neighbour("d", OPEN, 1) == "a"


def test_what_cannot_be_decided_is_refused_and_nothing_written(folder: ReviewFolder) -> None:
    session = Session(folder.path)
    offered = ROW_LIST[3].translation
    for key, decision, text, message in (
        ("x", "drop", "", "not under review any more"),
        ("d", "accept", offered + "!", "The text was edited"),
        ("d", "correct", offered + " ", "The text is the one that is offered"),
        ("d", "correct", "<1>甲<2>和</1>乙</2>", "This cannot be used: the markers of entities 1 and 2 cross"),
        ("d", "correct", "<1>甲", "This cannot be used: entity 1 has half of its markers"),
    ):
        with pytest.raises(RefusedError, match=message):
            session.decide(key, decision, text, 0)
    assert not folder.decisions_file.exists()


def test_what_another_has_decided_meanwhile_is_not_overruled_unseen(folder: ReviewFolder) -> None:
    one, other = Session(folder.path), Session(folder.path)
    one.decide("d", "drop", "", 0)
    with pytest.raises(RefusedError, match="Meanwhile this row is dropped, by another page"):
        other.decide("d", "accept", ROW_LIST[3].translation, 0)
    assert other.line("d") == 1
    other.decide("d", "accept", ROW_LIST[3].translation, other.line("d"))
    assert one.counts()["accepted"] == 1


def test_rows_written_anew_are_seen(folder: ReviewFolder) -> None:
    session = Session(folder.path)
    session.decide("d", "accept", ROW_LIST[3].translation, 0)
    folder.write_rows([row("d", NUMBERS, translation="<1>丙</1>和<2>乙</2>"), row("e")])
    assert session.queue(ALL) == ["d", "e"]
    assert session.status("d") == "changed"
    assert session.chosen_text("d") == "<1>丙</1>和<2>乙</2>"
    assert session.decided_text("d") == ROW_LIST[3].translation
    assert session.neighbour("b", OPEN, 0) == "d"


def test_files_that_are_damaged_while_the_page_is_open(folder: ReviewFolder) -> None:
    session = Session(folder.path)
    folder.decisions_file.write_text("{}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"{DECISIONS}:1: no 'key'"):
        session.counts()
    folder.decisions_file.unlink()
    assert session.counts() == {"open": 4}


def test_an_edited_text_is_read_and_checked(folder: ReviewFolder) -> None:
    reading, reasons, noticed = Session(folder.path).read("a", "＜1＞甲＜/1＞和aspirin 5<2>")
    assert reading.marked == "<1>甲</1>和aspirin 5<2>"
    assert reasons == ["entity 2 has half of its markers"]
    assert [one.name for one in noticed] == ["half", "untranslated", "numbers"]


def test_everything_that_is_drawn_is_escaped() -> None:
    text = '<b>&"x'
    html = highlighted(text, [Numbered(9, 3, 5)], ["L"] * 8 + ['"><i>'], '"zh')
    assert html == (
        '<div class="marked-text" lang="&quot;zh" dir="auto">&lt;b&gt;<mark class="entity entity-0" data-number="9" '
        'title="&quot;&gt;&lt;i&gt;">&amp;&quot;<sub>9 &quot;&gt;&lt;i&gt;</sub></mark>x</div>'
    )
    assert "<i>" not in listed([Defect("lost", "<i>")], "<i>") + said("<i>", "saved")
    assert listed([], "Nothing") == said("", "saved") == ""
    heaviest = listed([ODD, LOST], "Found")
    assert heaviest.index("lost") < heaviest.index("odd_marker")
