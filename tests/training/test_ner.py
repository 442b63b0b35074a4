from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.folder import NER_SCHEMA, write_benchmarks
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, Span, read_iob
from kbioxlm.dataset_scripts.benchmarks.published import Split
from kbioxlm.training.finetuning.ner import NerData, entity_labels, iob2_tags, load_ner
from kbioxlm.training.finetuning.tasks.data import carve_dev, unknown_labels
from kbioxlm.training.finetuning.tasks.sources import parse_source


@pytest.fixture
def folder(tmp_path: Path, ner_files: dict[str, Path]) -> Path:
    """A benchmarks folder with ade_en (train, test) and ade_zh (test)."""
    made_of = {("en", "train"): "train_en", ("en", "test"): "test_en", ("zh", "test"): "test_zh"}
    splits = [
        Split("ade", language, name, Path("x.txt"), read_iob(ner_files[file], language=language).sentences)
        for (language, name), file in made_of.items()
    ]
    write_benchmarks(splits, tmp_path / "bench")
    return tmp_path / "bench"


def data_of(benchmark: str, *documents: str, source: str = "") -> NerData:
    sentences = [Sentence(f"{document}/0", document, "a", (), ((0, 1),)) for document in documents]
    return NerData(source or benchmark, benchmark, tuple(sentences))


def test_published_and_cleaned_splits_are_the_same_benchmark() -> None:
    configs = {"ade_en": "en", "ade_zh": "zh", "ade_en_original": "en", "ade_zh_original": "zh"}
    found = {parse_source(f"lab/data:{config}", "train").benchmark(language) for config, language in configs.items()}
    assert found == {"lab/data:ade"}  # so that documents that they share are found


def test_iob_file(ner_files: dict[str, Path]) -> None:
    data = load_ner(ner_files["test_zh"], "test")
    assert (len(data.examples), data.labels, len(data.documents)) == (16, ("Drug", "Effect"), 16)
    assert data.examples[0].text == "患者服用阿司匹林后出现发热。"
    assert data.benchmark == load_ner(ner_files["train_en"], "train").benchmark


def test_configurations_of_a_folder(folder: Path, ner_files: dict[str, Path]) -> None:
    english = load_ner(f"{folder}:ade_en", "test")
    chinese = load_ner(f"{folder}:ade_zh", "test")
    assert english.benchmark == chinese.benchmark
    expected = load_ner(ner_files["test_zh"], "test").examples
    assert chinese.examples == tuple(replace(sentence, language="zh") for sentence in expected)
    assert load_ner(f"{folder}:ade_en:train", "test").examples == load_ner(f"{folder}:ade_en", "train").examples


def test_a_rebuilt_folder_is_read_anew(folder: Path, ner_files: dict[str, Path]) -> None:
    before = load_ner(f"{folder}:ade_en", "test")
    rows = read_iob(ner_files["dev_en"], language="en").sentences
    write_benchmarks([Split("ade", "en", "test", Path("x"), rows)], folder)
    after = load_ner(f"{folder}:ade_en", "test")
    assert before.documents != after.documents
    assert before.fingerprint != after.fingerprint


def test_errors_of_sources(folder: Path, tmp_path: Path) -> None:
    for source, message in {
        f"{folder}:ade_fr": "no configuration 'ade_fr'; choose from ade_en, ade_zh",
        f"{folder}:ade_zh:train": "no split 'train' in ade_zh; choose from test",
        f"{folder}:a:b:c": "not a source; write an IOB file, folder:config or folder:config:split",
        f"{folder}": "is a folder; name a configuration",
        f"{tmp_path}/none:ade_en": "no folder .*none; build it first",
        "none:ade_en": "no folder none; build it first",
        f"{tmp_path}/none.txt": "no such file",
    }.items():
        with pytest.raises(InputError, match=message):
            load_ner(source, "test")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"entities": [{"start": 0, "end": 9, "label": "X"}]}, r"row 0 \(1/0\): entity 0\.\.9 overlaps another or"),
        (
            {"entities": [{"start": 0, "end": 2, "label": "X"}, {"start": 1, "end": 3, "label": "Y"}]},
            r"entity 1\.\.3 overlaps another",
        ),
        ({"units": [{"start": 2, "end": 2}]}, r"unit 2\.\.2 overlaps another or leaves the text of 3 characters"),
    ],
)
def test_offsets_are_checked(folder: Path, row: dict, message: str) -> None:
    base = {"id": "1/0", "document": "1", "language": "en", "text": "abc", "entities": [], "units": []}
    table = pa.Table.from_pylist([base | row], schema=NER_SCHEMA)
    pq.write_table(table, folder / "ade_zh/test/part-00000.parquet")
    with pytest.raises(InputError, match=message):
        load_ner(f"{folder}:ade_zh", "test")


def test_damaged_folders(folder: Path) -> None:
    shard = folder / "ade_zh/test/part-00000.parquet"
    pq.write_table(pa.table({"id": ["1"], "document": ["1"], "language": ["en"], "units": [[]]}), shard)
    with pytest.raises(InputError, match=r"no column text, entities; write the columns"):
        load_ner(f"{folder}:ade_zh", "test")
    pq.write_table(pa.Table.from_pylist([], schema=NER_SCHEMA), shard)
    with pytest.raises(InputError, match="no sentence in this split"):
        load_ner(f"{folder}:ade_zh", "test")
    shard.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"part-00000\.parquet: not a readable Parquet file"):
        load_ner(f"{folder}:ade_zh", "test")
    shard.unlink()
    with pytest.raises(InputError, match="no file matches"):
        load_ner(f"{folder}:ade_zh", "test")
    (folder / "README.md").write_text("---\nconfigs: 3\n---\n")
    with pytest.raises(InputError, match=r"README\.md: its `configs:` cannot be read"):
        load_ner(f"{folder}:ade_zh", "test")


def test_dev_is_carved_by_document() -> None:
    sentences = [Sentence(f"{d}/{n}", str(d), f"{d} {n}", (), ()) for d in range(20) for n in range(3)]
    data = NerData("s", "b", tuple(sentences))
    train, dev = carve_dev(data, 0.1, seed=1)
    assert (len(train.documents), len(dev.documents), len(dev.examples)) == (18, 2, 6)
    assert not train.documents & dev.documents
    assert set(train.examples) | set(dev.examples) == set(sentences)
    assert carve_dev(data, 0.1, seed=1)[1].documents == dev.documents
    assert any(carve_dev(data, 0.1, seed=seed)[1].documents != dev.documents for seed in range(2, 6))
    assert len(carve_dev(data, 0.001, seed=1)[1].documents) == 1
    assert len(carve_dev(data, 0.999, seed=1)[0].documents) == 1
    with pytest.raises(InputError, match="one document cannot be parted into train and dev; name a dev source"):
        carve_dev(data_of("b", "1"), 0.1, seed=1)


def test_unknown_labels_are_refused(ner_files: dict[str, Path]) -> None:
    data = load_ner(ner_files["test_en"], "test")
    assert not list(unknown_labels(data, ["Drug", "Effect", "Gene"]))
    (problem,) = unknown_labels(data, ["Drug"])
    assert "test_en.txt: sentence d64/0 has label 'Effect', which the model does not know; it knows Drug; use" in str(
        problem
    )
    assert len(list(unknown_labels(data, []))) == 2  # one a label, not one a sentence


def test_tags_of_labels() -> None:
    assert iob2_tags(["A", "B"]) == ["O", "B-A", "I-A", "B-B", "I-B"]
    assert entity_labels({0: "O", 1: "B-Drug", 2: "I-Drug", 3: "B-A-B"}) == ["A-B", "Drug"]


def test_entities_are_sorted(folder: Path) -> None:
    row = {
        "id": "1/0", "document": "1", "language": "zh", "text": "abc", "units": [],
        "entities": [{"start": 2, "end": 3, "label": "X"}, {"start": 0, "end": 1, "label": "Y"}],
    }  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row], schema=NER_SCHEMA), folder / "ade_zh/test/part-00000.parquet")
    assert load_ner(f"{folder}:ade_zh", "test").examples[0].entities == (Span(0, 1, "Y"), Span(2, 3, "X"))
