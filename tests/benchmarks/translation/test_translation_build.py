"""A data set translated from end to end: folder, review, decisions, kills, and the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts import translated_benchmarks
from kbioxlm.dataset_scripts.benchmarks.translation.assembly import output_config
from kbioxlm.dataset_scripts.benchmarks.translation.build import translate_dataset
from kbioxlm.dataset_scripts.benchmarks.translation.meaning import INSTRUCTION as COMPARE
from kbioxlm.dataset_scripts.benchmarks.translation.pieces import INSTRUCTION as TRANSLATE
from kbioxlm.dataset_scripts.benchmarks.translation.review import DECISIONS, ROWS, Decision, ReviewFolder
from kbioxlm.dataset_scripts.benchmarks.translation.settings import DatasetTranslation, one_translator
from kbioxlm.dataset_scripts.folder import ShardWriter, dataset_folder, write_statistics
from kbioxlm.dataset_scripts.translation.protocol import Translator

SCRIPT = Path(__file__).parents[3] / "dataset_scripts" / "translated_benchmarks.py"
REPAIRED_2 = "给予<1>阿司匹林</1>100毫克。"
LexiconOf = Callable[[Mapping[str, str]], Translator]


@pytest.fixture
def settings(tmp_path: Path, data: list[str], lexicon: Path) -> DatasetTranslation:
    return DatasetTranslation(
        data=tuple(data), source="en", target="zh", translator=one_translator(lexicon, TRANSLATE),
        review=tmp_path / "review", output=tmp_path / "out", cache=tmp_path / "answers.sqlite", threshold=0.25,
        sample=0.0, seed=0, piece=600,
    )  # fmt: skip


def rows_of(settings: DatasetTranslation, split: str = "train", config: str = "ade_zh") -> dict[str, dict[str, Any]]:
    loaded = datasets.load_dataset(
        str(settings.output), config, split=split, cache_dir=str(settings.output.with_name("hf"))
    )
    return {row["id"]: row for row in loaded}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_entities_are_projected_and_risky_rows_left_out(settings: DatasetTranslation) -> None:
    report = translate_dataset(settings)
    rows = rows_of(settings)
    assert list(rows) == ["1/0", "3/0"]
    first = rows["1/0"]
    assert (first["document"], first["language"], first["text"]) == ("1", "zh", "她服用甲氧氯普胺后出现运动障碍。")
    assert first["entities"] == [
        {"start": 3, "end": 8, "label": "Drug"}, {"start": 11, "end": 15, "label": "ADE"},
    ]  # fmt: skip
    assert [first["text"][one["start"] : one["end"]] for one in first["units"]] == list(first["text"])
    test = rows_of(settings, "test")["9/0"]
    assert [test["text"][one["start"] : one["end"]] for one in test["entities"]] == ["阿司匹林", "恶心"]
    train = report.splits["ade_zh"]["train"]
    assert (train.source_rows, train.rows, train.unreviewed, train.left_out) == (4, 2, 2, 2)
    assert (train.documents, train.entities, train.lost_entities) == (2, 2, 0)
    assert report.defects == {"lost": 1, "numbers": 1, "odd_marker": 1}
    review = [(row.key, row.risk) for row in ReviewFolder(settings.review).rows()]
    assert review == [("ade/train/4/0", 0.9), ("ade/train/2/0", 0.4), ("ade/test/9/0", 0.05)]


def test_card_and_statistics(settings: DatasetTranslation) -> None:
    report = translate_dataset(settings)
    card = (settings.output / "README.md").read_text(encoding="utf-8")
    assert "| ade_zh | train | 4 | 0 | 0 | 0 | 2 | 2 | 2 | 2 | 2 | 0 |" in card
    assert "| lost | 0.90 | 1 | 0 |" in card
    assert settings.translator.identity in card
    assert "ade/train.txt" in card
    assert str(settings.output.parent) not in card
    statistics = json.loads((settings.output / "stats.json").read_text(encoding="utf-8"))
    assert statistics["splits"]["ade_zh"]["test"]["rows"] == 1
    assert statistics["translator"]["settings"]["kind"] == "lexicon"
    assert report.summary().splitlines()[0] == (
        "5 rows: 3 used (0 accepted, 0 corrected, 3 unreviewed), 0 dropped, 2 left out as too risky"
    )


def test_decisions_are_applied_and_nothing_is_asked_twice(settings: DatasetTranslation) -> None:
    translate_dataset(settings)
    review = ReviewFolder(settings.review)
    offered = {row.key: row for row in review.rows()}
    review.decide("ade/train/2/0", Decision("correct", REPAIRED_2, offered["ade/train/2/0"].source))
    # as a person writes it, at full width
    review.decide("ade/train/4/0", Decision("correct", "<2>碳酸锂</2>后＜1＞恶心＜/1＞。"))
    review.decide("ade/test/9/0", Decision("drop"))
    review.decide("ade/train/3/0", Decision("drop"))  # one that was not put up at all
    silent = replace(settings, translator=Silent(settings.translator.identity))
    report = translate_dataset(silent)
    rows = rows_of(settings)
    assert list(rows) == ["1/0", "2/0", "4/0"]
    assert rows["2/0"]["text"] == "给予阿司匹林100毫克。"
    assert rows["4/0"]["entities"] == [
        {"start": 0, "end": 3, "label": "Drug"}, {"start": 4, "end": 6, "label": "ADE"},
    ]  # fmt: skip
    train, test = report.splits["ade_zh"]["train"], report.splits["ade_zh"]["test"]
    assert (train.corrected, train.dropped, train.unreviewed, train.left_out) == (2, 1, 1, 0)
    assert (test.dropped, test.rows) == (1, 0)
    assert (report.open, report.changed, report.gone) == (0, 0, 0)
    assert report.reviewed == {"lost": 1, "numbers": 1, "odd_marker": 1}
    assert datasets.get_dataset_config_names(str(settings.output)) == ["ade_zh"]
    # an empty split is written, but not listed
    assert "ade_zh/test" not in (settings.output / "README.md").read_text(encoding="utf-8")
    assert (settings.output / "ade_zh" / "test" / "part-00000.parquet").is_file()


class Silent:
    """A translator that must not be asked."""

    batch_size = 1
    concurrent = 1

    def __init__(self, identity: str):
        self.identity = identity
        self.settings: dict[str, str] = {}

    def translate(self, texts: Any, source: str, target: str) -> Any:
        raise AssertionError(f"asked for {texts}")


def test_an_accepted_translation_that_changed_waits_for_a_person(
    settings: DatasetTranslation, answers: dict[str, str], lexicon_of: LexiconOf
) -> None:
    translate_dataset(settings)
    review = ReviewFolder(settings.review)
    [offered] = [row for row in review.rows() if row.key == "ade/train/2/0"]
    review.decide(offered.key, Decision("accept", offered.translation, offered.source))
    assert translate_dataset(settings).splits["ade_zh"]["train"].accepted == 1
    answers[offered.source] = "给予<1>阿司匹林</1>1000毫克。"
    other = lexicon_of(answers)
    report = translate_dataset(replace(settings, translator=other))
    assert (report.changed, report.splits["ade_zh"]["train"].accepted) == (1, 0)
    assert "2/0" not in rows_of(settings)
    assert translate_dataset(settings).splits["ade_zh"]["train"].accepted == 1


def test_decisions_on_another_source_wait_and_those_on_rows_that_are_gone_are_counted(
    settings: DatasetTranslation,
) -> None:
    review = ReviewFolder(settings.review)
    review.decide("ade/train/4/0", Decision("correct", "<1>恶心</1>", "<1>Nausea</1> ."))
    review.decide("ade/train/77/0", Decision("drop"))
    report = translate_dataset(settings)
    assert (report.changed, report.gone) == (1, 1)
    assert "4/0" not in rows_of(settings)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"key": "ade/train/4/0", "decision": "correct", "translation": "<1>恶心"}',
         r"decisions\.jsonl:1: correct a text that cannot be used: entity 1 has half of its markers; add a line"),
        ('{"key": "ade/train/4/0", "decision": "correct"}', r'decisions\.jsonl:1: correct, but no translation'),
        ('{"key": "ade/train/4/0", "decision": "yes"}', r"decisions\.jsonl:1: decision 'yes'; write one of accept"),
        ('{"key": "ade/train/4/0", "decision": "drop", "why": ""}', r"decisions\.jsonl:1: unknown key 'why'"),
        ('{"key": "ade/train/4/0"}', r"decisions\.jsonl:1: no 'decision'"),
        ("drop 4", r"decisions\.jsonl:1: not JSON"),
    ],
)  # fmt: skip
def test_decisions_that_cannot_be_applied_are_named_before_anything_is_asked(
    settings: DatasetTranslation, line: str, message: str
) -> None:
    settings.review.mkdir()
    (settings.review / DECISIONS).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        translate_dataset(replace(settings, translator=Silent("s#1")))
    assert not settings.output.exists()


def test_an_unusable_translation_cannot_be_accepted(
    settings: DatasetTranslation, answers: dict[str, str], lexicon_of: LexiconOf
) -> None:
    answers["<1>Nausea</1> after <2>lithium carbonate</2> ."] = "<1>恶<2>心</1>锂</2>"
    crossing = lexicon_of(answers)
    settings = replace(settings, translator=crossing, threshold=1.0)
    translate_dataset(settings)
    assert "4/0" not in rows_of(settings)  # whatever the threshold
    ReviewFolder(settings.review).decide("ade/train/4/0", Decision("accept"))
    with pytest.raises(InputError, match=r"decisions\.jsonl:1: accept a text that cannot be used: the markers of ent"):
        translate_dataset(settings)


def test_the_same_run_gives_the_same_bytes(settings: DatasetTranslation, tmp_path: Path) -> None:
    translate_dataset(settings)
    other = replace(settings, review=tmp_path / "review2", output=tmp_path / "out2", cache=tmp_path / "answers2.sqlite")
    translate_dataset(other)
    assert contents(settings.output) == contents(other.output)
    assert contents(settings.review) == contents(other.review)


def test_a_sample_of_sound_rows_is_put_up_too(settings: DatasetTranslation) -> None:
    def drawn(**options: Any) -> set[str]:
        translate_dataset(replace(settings, **options))
        return {row.key for row in ReviewFolder(settings.review).rows() if row.why == "sample"}

    assert drawn(sample=1.0) == {"ade/train/1/0", "ade/train/3/0"}
    assert drawn(sample=0.0) == set()
    samples = [drawn(sample=0.5, seed=seed) for seed in range(8)]
    assert samples == [drawn(sample=0.5, seed=seed) for seed in range(8)]
    assert len({frozenset(sample) for sample in samples}) > 1
    ReviewFolder(settings.review).decide("ade/train/1/0", Decision("drop"))
    report = translate_dataset(replace(settings, sample=1.0))
    assert (report.sampled.drawn, report.sampled.reviewed, report.sampled.wrong) == (2, 1, 1)


LABELLED = pa.schema(
    [*((name, pa.string()) for name in ("id", "document", "language", "text")), ("labels", pa.list_(pa.string()))]
)


def labelled_folder(folder: Path, config: str, rows: list[tuple[str, str, list[str]]]) -> str:
    """A data set folder with one config of texts and labels, as `build` writes it."""
    with dataset_folder(folder) as draft:
        writer = ShardWriter(draft / config / "test", LABELLED)
        writer.write(
            pa.Table.from_pylist(
                [{"id": id_, "document": id_, "language": "en", "text": text, "labels": labels}
                 for id_, text, labels in rows],
                schema=LABELLED,
            )
        )  # fmt: skip
        writer.close()
        (draft / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n", encoding="utf-8")
        write_statistics(draft, {})
    return f"{folder}:{config}"


def test_placeholders_of_relation_rows_survive(
    settings: DatasetTranslation, lexicon_of: LexiconOf, tmp_path: Path
) -> None:
    source = labelled_folder(
        tmp_path / "benchmarks", "gad_en",
        [("0", "@GENE$ is linked to @DISEASE$.", ["1"]), ("1", "No @GENE$ in @DISEASE$.", ["0"])],
    )  # fmt: skip
    answers = {
        "<1>@GENE$</1> is linked to <2>@DISEASE$</2>.": "<2>@疾病$</2>与@ GENE $有关。",
        "No <1>@GENE$</1> in <2>@DISEASE$</2>.": "疾病中没有<1>@GENE$</1>。",
    }
    lexicon = lexicon_of(answers)
    translate_dataset(replace(settings, data=(source,), translator=lexicon))
    rows = rows_of(settings, "test", "gad_zh")
    assert rows == {
        "0": {"id": "0", "document": "0", "language": "zh", "text": "@DISEASE$与@GENE$有关。", "labels": ["1"]}
    }
    assert "license: cc-by-4.0" in (settings.output / "README.md").read_text(encoding="utf-8")


def test_long_documents_are_translated_in_pieces(
    settings: DatasetTranslation, lexicon_of: LexiconOf, tmp_path: Path
) -> None:
    source = labelled_folder(
        tmp_path / "benchmarks", "hoc_en", [("7", "The first sentence. The second sentence.", ["a", "b"])]
    )
    answers = {"The first sentence.": "第一句。", "The second sentence.": "第二句。"}
    lexicon = lexicon_of(answers)
    hoc = replace(settings, data=(source,), translator=lexicon, piece=25)
    translate_dataset(hoc)
    [row] = rows_of(settings, "test", "hoc_zh").values()
    assert (row["text"], row["labels"]) == ("第一句。第二句。", ["a", "b"])
    report = translate_dataset(replace(hoc, piece=600))
    assert report.defects == {"missing": 1}
    assert report.splits["hoc_zh"]["test"].left_out == 1


def test_meaning_is_compared_by_a_chat_model(settings: DatasetTranslation, chat_server: Any, tmp_path: Path) -> None:
    def verdicts(items: list[str]) -> list[str]:
        return ["OK." if "运动障碍" in item else "" if "未见" in item else "The dose is wrong." for item in items]

    chat_server.answer = verdicts
    checker = one_translator(chat_server.settings(tmp_path / "checker.yaml"), COMPARE)
    report = translate_dataset(replace(settings, checker=checker))
    assert "You compare biomedical texts" in chat_server.instructions[0]
    assert "from" not in chat_server.instructions[0].split(".")[0]
    assert "Aspirin 100 mg was given .\n=====\n给予阿司匹林10毫克。" in chat_server.asked
    assert report.defects["meaning"] == 3
    assert report.defects["unchecked"] == 1
    rows = {row.key: row for row in ReviewFolder(settings.review).rows()}
    assert [one.message for one in rows["ade/train/2/0"].defects if one.name == "meaning"] == ["The dose is wrong."]
    assert rows["ade/train/3/0"].risk == 0.05
    assert report.splits["ade_zh"]["test"].left_out == 1
    asked = len(chat_server.asked)
    translate_dataset(replace(settings, checker=checker))
    assert len(chat_server.asked) == asked
    assert "checker of meaning" in (settings.output / "README.md").read_text(encoding="utf-8")


def test_a_chat_model_translates_and_is_told_of_the_markers(
    settings: DatasetTranslation, answers: dict[str, str], chat_server: Any, tmp_path: Path
) -> None:
    chat_server.answer = lambda texts: [answers[text] for text in texts]
    chat = one_translator(chat_server.settings(tmp_path / "chat.yaml"), TRANSLATE)
    translate_dataset(replace(settings, translator=chat))
    assert list(rows_of(settings)) == ["1/0", "3/0"]
    assert "from English into Chinese" in chat_server.instructions[0]
    assert "<1> and </1>" in chat_server.instructions[0]
    own = chat_server.settings(tmp_path / "own.yaml", instruction="Just {count} of {source} {target}.")
    translate_dataset(replace(settings, translator=one_translator(own, TRANSLATE)))
    assert chat_server.instructions[-1] == "Just 5 of English Chinese."


def test_a_killed_run_goes_on_where_it_was(data: list[str], chat_server: Any, tmp_path: Path) -> None:
    rows = "\n".join(f"-DOCSTART-\t{n}\n\nAspirin\tB-Drug\ncase\tO\n{n:03d}\tO\n" for n in range(60))
    Path(data[0]).write_text(rows, encoding="utf-8")
    reached = threading.Event()

    def answer(texts: list[str]) -> list[str]:
        if len(chat_server.asked) > 20:
            reached.set()
            time.sleep(0.3)
        return [re.sub(r"<1>Aspirin</1> case (\d+)", r"<1>阿司匹林</1>第\1例", text) for text in texts]

    chat_server.answer = answer
    chat = chat_server.settings(tmp_path / "chat.yaml", texts_per_request=4, requests_at_once=1)
    command = [
        sys.executable, str(SCRIPT), "translate", "--data", data[0], "--source", "en", "--target", "zh",
        "--translator", str(chat), "--review", str(tmp_path / "review"), "--output", str(tmp_path / "out"),
        "--sample", "0",
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    assert reached.wait(120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.4)
    before = list(chat_server.asked)
    assert 20 < len(before) < 60
    assert not (tmp_path / "out").exists()
    chat_server.answer = lambda texts: [
        re.sub(r"<1>Aspirin</1> case (\d+)", r"<1>阿司匹林</1>第\1例", t) for t in texts
    ]
    done = CliRunner().invoke(translated_benchmarks.app, command[2:])
    assert done.exit_code == 0, done.output
    assert "60 rows: 60 used" in done.output
    again = chat_server.asked[len(before) :]
    assert set(before) | set(again) == {f"<1>Aspirin</1> case {n:03d}" for n in range(60)}
    assert len(again) == len(set(again))
    assert len(set(before) & set(again)) <= 4  # the request under way


@pytest.mark.parametrize(
    ("config", "expected"),
    [("ade_en", "ade_zh"), ("ade_en_clean", "ade_zh_clean"), ("gene", "gene_zh"), ("en", "zh"), ("ten", "ten_zh")],
)
def test_configurations_are_named_by_their_language(config: str, expected: str) -> None:
    assert output_config(config, "en", "zh") == expected


def other_language(rows: list[dict[str, Any]]) -> None:
    rows[0]["language"] = "es"


def no_text(rows: list[dict[str, Any]]) -> None:
    rows[1]["text"] = " "


def same_id(rows: list[dict[str, Any]]) -> None:
    rows[1]["id"] = rows[0]["id"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_language, r"row 0 \(0\) is in 'es'; --source says en"),
        (no_text, r"row 1 \(1\) has no text"),
        (same_id, r"'gad_en/test/0' is there twice"),
    ],
)
def test_rows_that_cannot_be_translated(
    settings: DatasetTranslation, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None], message: str
) -> None:
    rows = [{"id": str(n), "document": "1", "language": "en", "text": f"Text {n}", "labels": []} for n in range(2)]
    change(rows)
    writer = ShardWriter(tmp_path / "b" / "gad_en" / "test", LABELLED)
    writer.write(pa.Table.from_pylist(rows, schema=LABELLED))
    writer.close()
    with pytest.raises(InputError, match=message):
        translate_dataset(replace(settings, data=(f"{tmp_path / 'b'}:gad_en",)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": ("nowhere",)}, r"'nowhere' is no file; write FOLDER:CONFIG"),
        ({"data": ("nowhere:ade_en",)}, "no such configuration; choose from none: build it first"),
        ({"target": "en"}, "en into itself"),
        ({"sample": 1.5}, r"--sample: 1\.5 is not from 0 to 1"),
        ({"threshold": -0.1}, r"--threshold: -0\.1 is not from 0 to 1"),
    ],
)
def test_settings_that_cannot_be(settings: DatasetTranslation, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        translate_dataset(replace(settings, **options))


def test_files_must_not_lie_in_each_other(settings: DatasetTranslation) -> None:
    inside: list[dict[str, Any]] = [{"review": settings.output / "review"}, {"cache": settings.output / "a.sqlite"}]
    for options in inside:
        with pytest.raises(InputError, match="put review and cache beside the output"):
            translate_dataset(replace(settings, **options))
    with pytest.raises(InputError, match="comes twice"):
        translate_dataset(replace(settings, data=(settings.data[0], settings.data[0])))


def test_the_limit_is_for_trying_out(settings: DatasetTranslation) -> None:
    report = translate_dataset(replace(settings, limit=1))
    assert [report.splits["ade_zh"][split].source_rows for split in ("train", "test")] == [1, 1]


def test_command_line(data: list[str], lexicon: Path, tmp_path: Path) -> None:
    arguments = [
        "translate", "--data", data[0], "--data", data[1], "--source", "en", "--target", "zh", "--translator", lexicon,
        "--review", tmp_path / "review", "--output", tmp_path / "out",
    ]  # fmt: skip
    result = CliRunner().invoke(translated_benchmarks.app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    assert "5 rows: 3 used" in result.output
    assert "3 rows are open: `translated_benchmarks.py review" in result.output.replace("\n", " ")
    assert (tmp_path / "out.answers.sqlite").is_file()
    assert (tmp_path / "review" / ROWS).is_file()
    for command in ("translate", "review"):
        assert CliRunner().invoke(translated_benchmarks.app, [command, "--help"]).exit_code == 0
    both = tmp_path / "both.yaml"
    both.write_text(lexicon.read_text() + lexicon.read_text().splitlines()[1] + "\n", encoding="utf-8")
    arguments[arguments.index(lexicon)] = both
    failed = CliRunner().invoke(translated_benchmarks.app, [str(one) for one in arguments])
    assert isinstance(failed.exception, InputError)
    assert "lists 2 translators; list one" in str(failed.exception)
