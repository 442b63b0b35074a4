from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.folder import write_benchmarks
from kbioxlm.dataset_scripts.benchmarks.published import read_published, training_texts

SCRIPT = Path(__file__).parents[2] / "dataset_scripts" / "translated_benchmarks.py"

# file: documents in it, as (id, unit)
FILES = {
    "ade/eng_to_zh/train.txt": [("1", "one"), ("2", "two"), ("3", "Nine")],
    "ade/eng_to_zh/dev.txt": [("9", "nine")],
    "ade/eng_to_zh/test.txt": [("9", "九")],
    "ade/zh_to_eng/train.txt": [("1", "一"), ("9", "久"), ("8", "八")],
    "ade/zh_to_eng/dev.txt": [("8", "八")],
    "ade/zh_to_eng/test.txt": [("8", "eight"), ("9", "nine")],
    "cdr/eng_to_zh/train.txt": [("1", "one")],
    "cdr/eng_to_zh/dev.txt": [("2", "two")],
    "cdr/eng_to_zh/test.txt": [("3", "三")],
    "cdr/zh_to_eng/train.txt": [("1", "一"), ("2", "两")],
    "cdr/zh_to_eng/dev.txt": [("2", "二")],
    "cdr/zh_to_eng/test.txt": [("3", "three")],
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The authors' layout with one-unit documents, two sentences each."""
    for name, documents in FILES.items():
        path = tmp_path / "published" / "NER" / "datasets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        blocks = [f"-DOCSTART-\t{document}\n\n{unit}\tB-Drug\n\n{unit}\tO\n.\tO\n" for document, unit in documents]
        path.write_text("\n".join(blocks), encoding="utf-8")
    return tmp_path / "published"


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
    assert datasets.get_dataset_config_names(folder) == ["ade_en", "ade_zh", "bc5cdr_en", "bc5cdr_zh"]
    loaded = datasets.load_dataset(folder, "ade_zh", cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 6, "test": 2}
    assert loaded["test"][0] == {
        "id": "9/0", "document": "9", "language": "zh", "text": "九",
        "entities": [{"start": 0, "end": 1, "label": "Drug"}], "units": [{"start": 0, "end": 1}],
    }  # fmt: skip
    assert statistics["ade_zh"]["test"] == {
        "documents": 1, "sentences": 2, "entities": 1, "repaired_tags": 0, "file": "ade/eng_to_zh/test.txt",
    }  # fmt: skip
    assert json.loads((tmp_path / "out" / "stats.json").read_text()) == statistics


def test_missing_files_are_named(published: Path, tmp_path: Path) -> None:
    (published / "NER/datasets/cdr/zh_to_eng/test.txt").unlink()
    with pytest.raises(InputError, match=r"1 of 10 files are missing, the first is cdr/zh_to_eng/test\.txt; give the"):
        read_published(published)
    with pytest.raises(InputError, match="no such folder"):
        read_published(tmp_path / "none")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_command_line(published: Path, tmp_path: Path) -> None:
    built = run("build", "--source", published, "--output", tmp_path / "out")
    assert built.returncode == 0, built.stderr
    assert "bc5cdr_zh  validation     1 documents     2 sentences" in built.stdout
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


@pytest.fixture(scope="module")
def real() -> Path:
    folder = os.environ.get("KBIOXLM_REAL_DATA")
    if not folder:
        pytest.skip("KBIOXLM_REAL_DATA is not set: no published benchmarks to read")
    return Path(folder) / "kbioxlm_benchmarks"


def test_counts_of_the_published_files(real: Path) -> None:
    splits = read_published(real)
    counts = {
        f"{split.config}/{split.name}": (
            len(split.documents),
            len(split.content.sentences),
            sum(len(sentence.entities) for sentence in split.content.sentences),
            len(split.content.repaired_lines),
        )
        for split in splits
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
    for split in splits:
        for sentence in split.content.sentences:
            joiner = " " if split.language == "en" else ""
            assert joiner.join(sentence.text[start:end] for start, end in sentence.units) == sentence.text
    texts = list(training_texts(splits))
    kept_back: dict[str, set[str]] = {split.benchmark: set() for split in splits}
    for split in splits:
        if split.name != "train":
            kept_back[split.benchmark] |= split.documents
    for row in texts:
        benchmark, _, document = row["id"].split("/")
        assert document not in kept_back[benchmark]
    assert len(texts) == 8614
