"""A small copy of the authors' repository, written by the tests."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kbioxlm.dataset_scripts.benchmarks.clean import Change, clean_splits
from kbioxlm.dataset_scripts.benchmarks.published import Split, read_published

# file: documents in it, as (id, unit)
NER_FILES = {
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
# file: rows in it, as (id, sentence, label)
GAD_FILES = {
    "GAD_hf_en_zh/train.json": [("0", "@GENE$ causes @DISEASE$ .", "1"), ("1", "@GENE$ and @DISEASE$ .", "0")],
    "GAD_hf_en_zh/dev.json": [("0", "@GENE$ is near @DISEASE$ .", "0")],
    "GAD_hf_en_zh/test_en.json": [("0", "No @GENE$ in @DISEASE$ .", "1"), ("1", "@DISEASE$ without @GENE$ .", "1")],
    "GAD_hf_zh_en/train.json": [("1", "@GENE$和@DISEASE$。", "0")],
    "GAD_hf_zh_en/dev.json": [("0", "@GENE$在@DISEASE$附近。", "0")],
    "GAD_hf_zh_en/test_zh.json": [("1", "没有@GENE$的@DISEASE$。", "1")],
}
HOC_FILES = {
    "HoC_hf_en_zh/train.json": [("11", "Cells spread – and glycolysis rises .", [1, 0, 1, 0, 0, 0, 0, 0, 0, 0])],
    "HoC_hf_en_zh/dev.json": [("12", "Nothing of note .", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
    "HoC_hf_en_zh/test_en.json": [("13", "Inflammation was seen .", [0, 0, 0, 0, 0, 0, 0, 0, 0, 1])],
    "HoC_hf_zh_en/train.json": [("11", "细胞扩散，糖酵解增加。", [1, 0, 1, 0, 0, 0, 0, 0, 0, 0])],
    "HoC_hf_zh_en/dev.json": [("12", "没有值得注意的。", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
    "HoC_hf_zh_en/test_zh.json": [("13", "可见炎症。", [0, 0, 0, 0, 0, 0, 0, 0, 0, 1])],
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The authors' layout: NER documents of one unit and two sentences, GAD and HoC as they are above."""
    root = tmp_path / "published"
    for name, documents in NER_FILES.items():
        blocks = [f"-DOCSTART-\t{document}\n\n{unit}\tB-Drug\n\n{unit}\tO\n.\tO\n" for document, unit in documents]
        _write(root / "NER/datasets" / name, "\n".join(blocks))
    for name, rows in GAD_FILES.items():
        records = [{"id": key, "sentence": text, "label": label} for key, text, label in rows]
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
        _write(root / "RE/data/seqcls" / name, "".join(lines))
    for name, texts in HOC_FILES.items():
        flagged = [{"sentence": text, "label": flags, "id": key} for key, text, flags in texts]
        lines = [json.dumps(record, ensure_ascii="en_zh" in name) + "\n" for record in flagged]
        _write(root / "RE/data/seqcls" / name, "".join(lines))
    return root


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def real() -> Path:
    """The files that the authors published."""
    folder = os.environ.get("KBIOXLM_REAL_DATA")
    if not folder:
        pytest.skip("KBIOXLM_REAL_DATA is not set: no published benchmarks to read")
    return Path(folder) / "kbioxlm_benchmarks"


@pytest.fixture(scope="session")
def real_splits(real: Path) -> list[Split]:
    """They, read."""
    return read_published(real)


@pytest.fixture(scope="session")
def real_cleaned(real_splits: list[Split]) -> tuple[list[Split], list[Change]]:
    """They, cleaned."""
    return clean_splits(real_splits)
