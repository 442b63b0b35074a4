from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from kbioxlm.dataset_scripts.benchmarks.card import VERSION
from kbioxlm.dataset_scripts.benchmarks.classification import GAD_CLASSES, HALLMARKS
from kbioxlm.dataset_scripts.benchmarks.clean import Change, clean_splits
from kbioxlm.dataset_scripts.benchmarks.folder import write_benchmarks
from kbioxlm.dataset_scripts.benchmarks.origin import Origin
from kbioxlm.dataset_scripts.benchmarks.published import Split, read_published

BENCHMARKS = [f"{benchmark}_{language}" for benchmark in ("ade", "bc5cdr", "gad", "hoc") for language in ("en", "zh")]


@pytest.fixture
def built(published: Path, tmp_path: Path) -> Path:
    splits = read_published(published)
    cleaned, changes = clean_splits(splits)
    write_benchmarks([*cleaned, *splits], tmp_path / "out", changes)
    return tmp_path / "out"


def load(folder: Path, config: str) -> Any:
    return datasets.load_dataset(str(folder), config, cache_dir=str(folder.parent / "cache"))


def test_load_dataset_opens_every_configuration(built: Path) -> None:
    names = [*BENCHMARKS, *(f"{name}_original" for name in BENCHMARKS), "parallel", "changes"]
    assert datasets.get_dataset_config_names(str(built)) == names
    loaded = {name: load(built, name) for name in names}
    assert {name: len(rows) for name, rows in loaded["ade_zh_original"].items()} == {
        "train": 6, "validation": 2, "test": 2,
    }  # fmt: skip
    assert {name: len(rows) for name, rows in loaded["ade_en"].items()} == {"train": 2, "validation": 2, "test": 4}
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


def test_parallel_documents(built: Path) -> None:
    rows = load(built, "parallel")["train"]
    found = {(row["benchmark"], row["document"]): row for row in rows}
    assert list(found) == [
        ("ade", "1"), ("ade", "9"), ("ade", "8"), ("bc5cdr", "1"), ("bc5cdr", "2"), ("bc5cdr", "3"),
        ("gad", "train-1"), ("gad", "validation-0"), ("gad", "test-1"), ("hoc", "11"), ("hoc", "12"), ("hoc", "13"),
    ]  # fmt: skip
    assert found["ade", "9"] == {
        "benchmark": "ade", "document": "9", "split_en": "test", "split_zh": "test",
        "original_splits_en": ["validation", "test"], "original_splits_zh": ["train", "test"],
        "rows_en": ["9/0", "9/1"], "rows_zh": ["9/0", "9/1"],
    }  # fmt: skip
    # in Chinese, document 8 is in the published train and validation sets alone; in English it is in test
    assert (found["ade", "8"]["split_en"], found["ade", "8"]["split_zh"]) == ("test", None)
    assert json.loads((built / "stats.json").read_text())["parallel"] == {
        "ade": {"documents": 3, "documents_clean": 2, "same_labels": 3, "only_en": 2, "only_zh": 0},
        "bc5cdr": {"documents": 3, "documents_clean": 3, "same_labels": 3, "only_en": 0, "only_zh": 0},
        "gad": {"documents": 3, "documents_clean": 3, "same_labels": 3, "only_en": 2, "only_zh": 0},
        "hoc": {"documents": 3, "documents_clean": 3, "same_labels": 3, "only_en": 0, "only_zh": 0},
    }


@pytest.fixture(scope="module")
def real_folder(
    real_splits: list[Split],
    real_cleaned: tuple[list[Split], list[Change]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    cleaned, changes = real_cleaned
    folder = tmp_path_factory.mktemp("real") / "out"
    write_benchmarks([*cleaned, *real_splits], folder, changes)
    return folder


def test_parallel_documents_of_the_real_benchmarks(real_folder: Path) -> None:
    statistics = json.loads((real_folder / "stats.json").read_text())
    keys = ("documents", "documents_clean", "same_labels", "only_en", "only_zh")
    assert {name: tuple(row[key] for key in keys) for name, row in statistics["parallel"].items()} == {
        "ade": (4209, 4196, 4145, 63, 0),
        "bc5cdr": (1488, 1487, 1485, 12, 0),
        "gad": (5202, 4582, 5202, 128, 0),
        "hoc": (1778, 1777, 1778, 74, 0),
    }
    for row in pq.read_table(real_folder / "parallel").to_pylist():
        assert row["split_en"] == row["split_zh"] or None in (row["split_en"], row["split_zh"])


def test_statistics_and_card_say_what_moved(built: Path) -> None:
    statistics = json.loads((built / "stats.json").read_text())
    assert statistics["version"] == VERSION
    assert statistics["source"] == {"url": None, "commit": None}
    assert statistics["splits"]["ade_zh"]["test"] == {
        "documents": 1, "rows": 2, "labels": {"Drug": 1}, "repaired_tags": 0,
        "file": "NER/datasets/ade/eng_to_zh/test.txt",
    }  # fmt: skip
    assert len(statistics["splits"]["ade_zh_original"]["test"].pop("sha256")) == 64
    assert statistics["splits"]["ade_zh_original"]["test"] == statistics["splits"]["ade_zh"]["test"]
    assert statistics["labels"]["gad_zh"] == ["unrelated", "related"]
    assert statistics["labels"]["hoc_en_original"] == list(HALLMARKS)
    assert statistics["labels"]["ade_en"] == ["Drug"]
    places = [(row["benchmark"], row["published"], row["place"], row["documents"]) for row in statistics["changes"]]
    assert places == [
        ("ade", "validation", None, 2),  # is a test set
        ("ade", "train", None, 2),  # 8 and 9 are in test, too
        ("ade", "train", "validation", 1),
        ("ade", "train", None, 1),  # "Nine" repeats "nine"
        ("bc5cdr", "train", None, 1),  # 2 is in validation, too
    ]
    changes = pq.read_table(built / "changes").to_pylist()
    assert len(changes) == sum(row["documents"] for row in statistics["changes"]) == 7
    assert changes[-2] == {
        "benchmark": "ade", "document": "3", "published": "train", "place": None,
        "reason": "near-duplicate of a text of another split", "other": "9", "language": "en", "similarity": 1.0,
    }  # fmt: skip
    card = (built / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["version"] == VERSION
    assert "| ade | train | validation | part of the validation set, carved from train | 1 | 2 | 0 |" in card
    assert "| gad | 3 | 3 | 3 | 2 | 0 |" in card
    assert "GPL-3.0, as BigBIO lists it" in card
    assert "holds no licence file. `stats.json` holds the SHA-256" in card


def test_the_origin_is_told_and_the_same_input_gives_the_same_bytes(published: Path, tmp_path: Path) -> None:
    origin = Origin(published, "https://host/archive.tar.gz", "abc123")
    splits = read_published(published)
    cleaned, changes = clean_splits(splits)
    written = []
    for name in ("one", "other"):
        write_benchmarks([*cleaned, *splits], tmp_path / name, changes, origin)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        written.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert b"fetched from https://host/archive.tar.gz (commit abc123)" in written[0][Path("README.md")]
    assert json.loads(written[0][Path("stats.json")])["source"]["commit"] == "abc123"


def iob_lines(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The lines of an IOB file, from rows of a configuration."""
    lines: list[str] = []
    document = None
    for row in rows:
        if row["document"] != document:
            lines += [f"-DOCSTART-\t{row['document']}", ""]
            document = row["document"]
        for index, unit in enumerate(row["units"]):
            tag = "O"
            for entity in row["entities"]:
                if entity["start"] <= unit["start"] < entity["end"]:
                    begins = unit["start"] == entity["start"] and index not in row["repaired_units"]
                    tag = f"{'B' if begins else 'I'}-{entity['label']}"
            lines.append(f"{row['text'][unit['start'] : unit['end']]}\t{tag}")
        lines.append("")
    return lines


def json_lines(benchmark: str, rows: Iterable[dict[str, Any]], ascii_only: bool) -> list[str]:
    """The lines of a GAD or HoC file, from rows of a configuration."""
    lines = []
    for row in rows:
        record: dict[str, Any] = {"id": row["id"].split("-")[-1], "sentence": row["text"]}
        if benchmark == "gad":
            record["label"] = str(GAD_CLASSES.index(row["labels"][0]))
        else:
            flags = [int(name in row["labels"]) for name in HALLMARKS]
            record = {"sentence": row["text"], "label": flags, "id": row["id"]}
        lines.append(json.dumps(record, ensure_ascii=ascii_only))
    return lines


def assert_original_is_published(folder: Path, source: Path) -> None:
    statistics = json.loads((folder / "stats.json").read_text())["splits"]
    checked = 0
    for config, splits in statistics.items():
        if not config.endswith("_original"):
            continue
        for name, entry in splits.items():
            rows = pq.read_table(folder / config / name).to_pylist()
            published = (source / entry["file"]).read_bytes()
            if "entities" in rows[0]:
                lines = iob_lines(rows)
            else:
                # some files escape what is not ASCII, others do not: JSON for the same text
                lines = json_lines(config.split("_")[0], rows, ascii_only=published.isascii())
            # how many blank lines end a file, is all that rows do not say
            assert "\n".join(lines).rstrip("\n").encode() == published.rstrip(b"\n"), entry["file"]
            checked += 1
    assert checked == 24


def test_original_is_the_published_files_to_the_byte(published: Path, tmp_path: Path) -> None:
    path = published / "NER/datasets/ade/zh_to_eng/test.txt"
    path.write_text("-DOCSTART-\t8\n\nlithium\tB-Drug\ntoxicity\tI-ADE\nagain\tI-ADE\nor\tO\n\nfever\tB-ADE\n")
    write_benchmarks(read_published(published), tmp_path / "out")
    assert_original_is_published(tmp_path / "out", published)


def test_original_is_the_real_files_to_the_byte(real_folder: Path, real: Path) -> None:
    assert_original_is_published(real_folder, real)
