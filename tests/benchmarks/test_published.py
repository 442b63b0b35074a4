from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.clean import Change
from kbioxlm.dataset_scripts.benchmarks.published import Split, read_published, training_texts

SCRIPT = Path(__file__).parents[2] / "dataset_scripts" / "translated_benchmarks.py"


def test_files_become_splits_of_their_language(published: Path) -> None:
    splits = read_published(published)
    assert {(split.config, split.name): split.documents for split in splits} == {
        ("ade_en_original", "train"): {"1", "2", "3"},
        ("ade_en_original", "validation"): {"9"},
        ("ade_en_original", "test"): {"8", "9"},
        ("ade_zh_original", "train"): {"1", "8", "9"},
        ("ade_zh_original", "validation"): {"8"},
        ("ade_zh_original", "test"): {"9"},
        ("bc5cdr_en_original", "train"): {"1"},
        ("bc5cdr_en_original", "validation"): {"2"},
        ("bc5cdr_en_original", "test"): {"3"},
        ("bc5cdr_zh_original", "train"): {"1", "2"},
        ("bc5cdr_zh_original", "validation"): {"2"},
        ("bc5cdr_zh_original", "test"): {"3"},
        ("gad_en_original", "train"): {"train-0", "train-1"},
        ("gad_en_original", "validation"): {"validation-0"},
        ("gad_en_original", "test"): {"test-0", "test-1"},
        ("gad_zh_original", "train"): {"train-1"},
        ("gad_zh_original", "validation"): {"validation-0"},
        ("gad_zh_original", "test"): {"test-1"},
        ("hoc_en_original", "train"): {"11"},
        ("hoc_en_original", "validation"): {"12"},
        ("hoc_en_original", "test"): {"13"},
        ("hoc_zh_original", "train"): {"11"},
        ("hoc_zh_original", "validation"): {"12"},
        ("hoc_zh_original", "test"): {"13"},
    }
    for split in splits:
        assert split.sha256 == hashlib.sha256((published / split.file).read_bytes()).hexdigest()


def test_training_texts_leave_out_test_and_validation_documents(published: Path) -> None:
    rows = list(training_texts(read_published(published)))
    # ade/en/3 repeats the sentence "nine" of a test document; ade/zh 8 and 9, bc5cdr/zh 2 have ids kept back
    assert rows == [
        {"id": "ade/en/1", "lang": "en", "text": "one one ."},
        {"id": "ade/en/2", "lang": "en", "text": "two two ."},
        {"id": "ade/zh/1", "lang": "zh", "text": "一一."},
        {"id": "bc5cdr/en/1", "lang": "en", "text": "one one ."},
        {"id": "bc5cdr/zh/1", "lang": "zh", "text": "一一."},
    ]


def test_missing_files_are_named(published: Path, tmp_path: Path) -> None:
    (published / "NER/datasets/cdr/zh_to_eng/test.txt").unlink()
    with pytest.raises(InputError, match="1 of 24 files are missing, the first is NER/datasets/cdr/zh_to_eng/test"):
        read_published(published)
    with pytest.raises(InputError, match="no such folder"):
        read_published(tmp_path / "none")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_command_line(published: Path, tmp_path: Path) -> None:
    built = run("build", "--source", published, "--output", tmp_path / "out")
    assert built.returncode == 0, built.stderr
    assert "bc5cdr_zh          validation     1 documents     2 rows" in built.stdout
    assert "bc5cdr_zh_original train          2 documents     4 rows" in built.stdout
    written = run("text", "--source", published, "--output", tmp_path / "a.jsonl.gz")
    assert written.stdout == "en     2 documents\nzh     2 documents\n"
    lines = gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).decode().splitlines()
    assert json.loads(lines[0]) == {"id": "ade/en/1", "lang": "en", "text": "one one ."}


def test_command_line_error_leaves_nothing(published: Path, tmp_path: Path) -> None:
    path = published / "NER/datasets/ade/zh_to_eng/test.txt"
    path.write_text("-DOCSTART-\t1\nword\tQ\n")
    failed = run("build", "--source", published, "--output", tmp_path / "out" / "data")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1] == (f"error: {path}:2: tag 'Q' is not IOB2; use O, B-LABEL or I-LABEL")
    assert not (tmp_path / "out").exists()


def test_counts_of_the_published_files(real_splits: list[Split]) -> None:
    counts = {
        f"{split.config}/{split.name}": (
            len(split.documents),
            len(split.sentences),
            sum(len(sentence.entities) for sentence in split.sentences),
            sum(len(sentence.repaired_units) for sentence in split.sentences),
        )
        for split in real_splits
        if split.sentences
    }
    assert counts == {
        "ade_en_original/train": (3845, 3845, 9684, 19),
        "ade_en_original/validation": (427, 427, 1062, 4),
        "ade_en_original/test": (427, 427, 1062, 4),
        "ade_zh_original/train": (3787, 3787, 9560, 0),
        "ade_zh_original/validation": (419, 419, 1044, 0),
        "ade_zh_original/test": (421, 421, 1049, 0),
        "bc5cdr_en_original/train": (500, 4518, 9309, 0),
        "bc5cdr_en_original/validation": (500, 4531, 9532, 0),
        "bc5cdr_en_original/test": (500, 4764, 9718, 0),
        "bc5cdr_zh_original/train": (494, 4514, 9204, 0),
        "bc5cdr_zh_original/validation": (496, 4586, 9469, 0),
        "bc5cdr_zh_original/test": (498, 4767, 9654, 0),
    }
    texts = {f"{split.config}/{split.name}": len(split.texts) for split in real_splits if split.texts}
    assert texts == {
        "gad_en_original/train": 4261, "gad_en_original/validation": 535, "gad_en_original/test": 534,
        "gad_zh_original/train": 4154, "gad_zh_original/validation": 525, "gad_zh_original/test": 523,
        "hoc_en_original/train": 1295, "hoc_en_original/validation": 186, "hoc_en_original/test": 371,
        "hoc_zh_original/train": 1232, "hoc_zh_original/validation": 176, "hoc_zh_original/test": 370,
    }  # fmt: skip
    for split in real_splits:
        for sentence in split.sentences:
            joiner = " " if split.language == "en" else ""
            assert joiner.join(sentence.text[start:end] for start, end in sentence.units) == sentence.text


def test_texts_for_pretraining_hold_nothing_that_is_scored(
    real_splits: list[Split], real_cleaned: tuple[list[Split], list[Change]]
) -> None:
    unlabelled = list(training_texts(real_cleaned[0]))
    kept_back: dict[str, set[str]] = {split.benchmark: set() for split in real_splits}
    for split in (*real_splits, *real_cleaned[0]):
        if split.name != "train":
            kept_back[split.benchmark] |= split.documents
    for row in unlabelled:
        benchmark, _, document = row["id"].split("/")
        assert document not in kept_back[benchmark]
    assert len(unlabelled) == 7827
