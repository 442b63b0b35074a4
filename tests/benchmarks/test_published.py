from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.classification import HALLMARKS
from kbioxlm.dataset_scripts.benchmarks.folder import write_benchmarks
from kbioxlm.dataset_scripts.benchmarks.published import read_published, training_texts

SCRIPT = Path(__file__).parents[2] / "dataset_scripts" / "translated_benchmarks.py"


def test_files_become_splits_of_their_language(published: Path) -> None:
    splits = {(split.config, split.name): split.documents for split in read_published(published)}
    assert splits == {
        ("ade_en", "train"): {"1", "2", "3"},
        ("ade_en", "test"): {"8", "9"},
        ("ade_zh", "train"): {"1", "8", "9"},
        ("ade_zh", "test"): {"9"},
        ("bc5cdr_en", "train"): {"1"},
        ("bc5cdr_en", "validation"): {"2"},
        ("bc5cdr_en", "test"): {"3"},
        ("bc5cdr_zh", "train"): {"1", "2"},
        ("bc5cdr_zh", "validation"): {"2"},
        ("bc5cdr_zh", "test"): {"3"},
        ("gad_en", "train"): {"train-0", "train-1"},
        ("gad_en", "validation"): {"validation-0"},
        ("gad_en", "test"): {"test-0", "test-1"},
        ("gad_zh", "train"): {"train-1"},
        ("gad_zh", "validation"): {"validation-0"},
        ("gad_zh", "test"): {"test-1"},
        ("hoc_en", "train"): {"11"},
        ("hoc_en", "validation"): {"12"},
        ("hoc_en", "test"): {"13"},
        ("hoc_zh", "train"): {"11"},
        ("hoc_zh", "validation"): {"12"},
        ("hoc_zh", "test"): {"13"},
    }


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


def test_load_dataset_opens_every_configuration(published: Path, tmp_path: Path) -> None:
    statistics = write_benchmarks(read_published(published), tmp_path / "out")
    folder = str(tmp_path / "out")
    names = [f"{benchmark}_{language}" for benchmark in ("ade", "bc5cdr", "gad", "hoc") for language in ("en", "zh")]
    assert datasets.get_dataset_config_names(folder) == names
    loaded = {name: datasets.load_dataset(folder, name, cache_dir=str(tmp_path / "cache")) for name in names}
    assert {name: len(rows) for name, rows in loaded["ade_zh"].items()} == {"train": 6, "test": 2}
    assert loaded["ade_zh"]["test"][0] == {
        "id": "9/0", "document": "9", "language": "zh", "text": "九", "repaired_units": [],
        "entities": [{"start": 0, "end": 1, "label": "Drug"}], "units": [{"start": 0, "end": 1}],
    }  # fmt: skip
    assert loaded["gad_zh"]["test"][:] == {
        "id": ["test-1"], "document": ["test-1"], "language": ["zh"], "text": ["没有@GENE$的@DISEASE$。"],
        "labels": [["related"]],
    }  # fmt: skip
    assert loaded["hoc_en"]["train"]["text"] == ["Cells spread – and glycolysis rises ."]
    assert loaded["hoc_en"]["train"]["labels"] == [["activating invasion and metastasis", "cellular energetics"]]
    assert loaded["hoc_en"]["validation"]["labels"] == [[]]
    assert loaded["hoc_en"]["test"].features["labels"] == datasets.List(datasets.Value("string"))
    assert statistics["splits"]["ade_zh"]["test"] == {
        "documents": 1, "rows": 2, "labels": {"Drug": 1}, "repaired_tags": 0,
        "file": "NER/datasets/ade/eng_to_zh/test.txt",
    }  # fmt: skip
    assert statistics["labels"]["gad_zh"] == ["unrelated", "related"]
    assert statistics["labels"]["hoc_en"] == list(HALLMARKS)
    assert statistics["labels"]["ade_en"] == ["Drug"]
    assert json.loads((tmp_path / "out" / "stats.json").read_text()) == statistics


def test_missing_files_are_named(published: Path, tmp_path: Path) -> None:
    (published / "NER/datasets/cdr/zh_to_eng/test.txt").unlink()
    with pytest.raises(InputError, match="1 of 22 files are missing, the first is NER/datasets/cdr/zh_to_eng/test"):
        read_published(published)
    with pytest.raises(InputError, match="no such folder"):
        read_published(tmp_path / "none")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_command_line(published: Path, tmp_path: Path) -> None:
    built = run("build", "--source", published, "--output", tmp_path / "out")
    assert built.returncode == 0, built.stderr
    assert "bc5cdr_zh  validation     1 documents     2 rows" in built.stdout
    written = run("text", "--source", published, "--output", tmp_path / "a.jsonl.gz")
    assert written.stdout == "en     3 documents\nzh     2 documents\n"
    lines = gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).decode().splitlines()
    assert json.loads(lines[0]) == {"id": "ade/en/1", "lang": "en", "text": "one one ."}


def test_command_line_error_leaves_nothing(published: Path, tmp_path: Path) -> None:
    path = published / "NER/datasets/ade/zh_to_eng/test.txt"
    path.write_text("-DOCSTART-\t1\nword\tQ\n")
    failed = run("build", "--source", published, "--output", tmp_path / "out" / "data")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1] == (f"error: {path}:2: tag 'Q' is not IOB2; use O, B-LABEL or I-LABEL")
    assert not (tmp_path / "out").exists()


def test_counts_of_the_published_files(real: Path) -> None:
    splits = read_published(real)
    counts = {
        f"{split.config}/{split.name}": (
            len(split.documents),
            len(split.sentences),
            sum(len(sentence.entities) for sentence in split.sentences),
            sum(len(sentence.repaired_units) for sentence in split.sentences),
        )
        for split in splits
        if split.sentences
    }
    assert counts == {
        "ade_en/train": (3845, 3845, 9684, 19),
        "ade_en/test": (427, 427, 1062, 4),
        "ade_zh/train": (3787, 3787, 9560, 0),
        "ade_zh/test": (421, 421, 1049, 0),
        "bc5cdr_en/train": (500, 4518, 9309, 0),
        "bc5cdr_en/validation": (500, 4531, 9532, 0),
        "bc5cdr_en/test": (500, 4764, 9718, 0),
        "bc5cdr_zh/train": (494, 4514, 9204, 0),
        "bc5cdr_zh/validation": (496, 4586, 9469, 0),
        "bc5cdr_zh/test": (498, 4767, 9654, 0),
    }
    texts = {f"{split.config}/{split.name}": len(split.texts) for split in splits if split.texts}
    assert texts == {
        "gad_en/train": 4261, "gad_en/validation": 535, "gad_en/test": 534,
        "gad_zh/train": 4154, "gad_zh/validation": 525, "gad_zh/test": 523,
        "hoc_en/train": 1295, "hoc_en/validation": 186, "hoc_en/test": 371,
        "hoc_zh/train": 1232, "hoc_zh/validation": 176, "hoc_zh/test": 370,
    }  # fmt: skip
    for split in splits:
        for sentence in split.sentences:
            joiner = " " if split.language == "en" else ""
            assert joiner.join(sentence.text[start:end] for start, end in sentence.units) == sentence.text
    unlabelled = list(training_texts(splits))
    kept_back: dict[str, set[str]] = {split.benchmark: set() for split in splits}
    for split in splits:
        if split.name != "train":
            kept_back[split.benchmark] |= split.documents
    for row in unlabelled:
        benchmark, _, document = row["id"].split("/")
        assert document not in kept_back[benchmark]
    assert len(unlabelled) == 8614
