"""A run is recognised by its recipe and inputs: finished ones are kept, killed ones go on, nothing else is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.training.runs import fingerprint, finished_report, resume_point, work_folder

IDENTITY = {"recipe": {"steps": 3}, "inputs": {"corpora": "abc"}}


def test_a_finished_run_is_recognised_by_its_identity(tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert finished_report(output, IDENTITY) is None
    output.mkdir()
    assert finished_report(output, IDENTITY) is None
    report = {**IDENTITY, "seconds": 2.5}
    (output / "report.json").write_text(json.dumps(report))
    assert finished_report(output, IDENTITY) == report
    assert finished_report(output, {**IDENTITY, "inputs": {"corpora": "abd"}}) is None
    assert finished_report(output, {**IDENTITY, "recipe": {"steps": 4}}) is None


def test_what_is_no_run_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").touch()
    (tmp_path / "file").touch()
    for name in ("folder", "file"):
        with pytest.raises(InputError, match=rf"{name}: exists and holds no report\.json.*name a new folder as output"):
            finished_report(tmp_path / name, IDENTITY)


def test_only_an_equal_run_is_gone_on_with(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "out")
    assert work.parent == tmp_path
    assert resume_point(work, IDENTITY) is None
    assert resume_point(work, IDENTITY) is None  # killed before its first checkpoint
    for step in (5, 10, 9):
        (work / f"checkpoint-{step}").mkdir()
        (work / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (work / "checkpoint-15").mkdir()  # killed while it was written
    assert resume_point(work, IDENTITY) == str(work / "checkpoint-10")
    (work / ".checkpoint-15.part").mkdir()  # the same, by a trainer that renames
    assert resume_point(work, IDENTITY) == str(work / "checkpoint-10")
    assert not (work / ".checkpoint-15.part").exists()


def test_a_run_whose_recipe_changed_is_not_thrown_away(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "out")
    resume_point(work, IDENTITY)
    changed = {"recipe": {"steps": 4, "seed": 1}, "inputs": {"corpora": "abc"}}
    assert resume_point(work, changed) is None  # nothing is lost
    assert resume_point(work, IDENTITY) is None
    (work / "checkpoint-10").mkdir()
    (work / "checkpoint-10" / "trainer_state.json").write_text("{}")
    message = (
        r"\.out\.training: holds a run that was cut off at step 10 and differs in recipe\.steps \(3, now 4\), "
        r"recipe\.seed \(None, now 1\); restore these to go on with it, or delete .*out\.training to begin anew"
    )
    with pytest.raises(InputError, match=message):
        resume_point(work, changed)
    assert resume_point(work, IDENTITY) == str(work / "checkpoint-10")


def test_a_work_folder_without_a_note_is_begun_anew(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "out")
    (work / "checkpoint-5").mkdir(parents=True)
    assert resume_point(work, IDENTITY) is None
    assert not (work / "checkpoint-5").exists()


def test_fingerprints_follow_content_and_names_not_places(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x.txt").write_text("one")
    same = fingerprint(tmp_path / "a")
    assert same == fingerprint(str(tmp_path / "b"))
    (tmp_path / "b" / "deep" / "x.txt").write_text("two")
    assert fingerprint(tmp_path / "b") != same
    (tmp_path / "a" / "deep" / "x.txt").rename(tmp_path / "a" / "x.txt")
    assert fingerprint(tmp_path / "a") != same
    assert fingerprint(tmp_path / "a" / "x.txt") != fingerprint(tmp_path / "b" / "deep" / "x.txt")
    assert fingerprint("FacebookAI/xlm-roberta-base") == "FacebookAI/xlm-roberta-base"
