"""`train.py check-data`: everything at once, as errors and warnings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner, Result

from kbioxlm.training.commands import app
from kbioxlm.training.finetuning.data_check import check_data
from kbioxlm.training.finetuning.recipe import FinetuneRecipe


def called(tmp_path: Path, keys: dict[str, Any], *overrides: str) -> Result:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(keys), encoding="utf-8")
    return CliRunner().invoke(app, ["check-data", str(recipe), *overrides])


@pytest.fixture
def keys(base: dict[str, Any], checkpoint: Path, ner_files: dict[str, Path], tmp_path: Path) -> dict[str, Any]:
    files = {name: str(path) for name, path in ner_files.items()}
    return {
        **base, "checkpoint": str(checkpoint), "train": files["train_en"], "dev": files["dev_en"],
        "tests": {"zh": files["test_zh"]}, "output": str(tmp_path / "m"),
    }  # fmt: skip


@pytest.fixture
def gad(base: dict[str, Any], checkpoint: Path, labelled_texts: Path, tmp_path: Path) -> dict[str, Any]:
    source = f"{labelled_texts}:gad_en"
    return {
        **base, "checkpoint": str(checkpoint), "task": "relation", "train": source, "dev": source,
        "tests": {"en": source}, "output": str(tmp_path / "m"),
    }  # fmt: skip


def test_clean_data(keys: dict[str, Any], tmp_path: Path) -> None:
    done = called(tmp_path, keys)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[-1] == f"{tmp_path / 'recipe.yaml'}: 0 errors, {len(lines) - 1} warnings"
    assert all(line.startswith("warning: ") for line in lines[:-1])
    assert any("dev_en.txt: 16 documents say nearly the same" in line and "allowed" in line for line in lines)
    assert not (tmp_path / "m").exists()


def test_everything_at_once(keys: dict[str, Any], tmp_path: Path) -> None:
    """Bad tags in two files, an unknown label, a missing file, a missing checkpoint, too many shots, a leak."""
    train = tmp_path / "train.txt"
    blocks = [f"-DOCSTART-\td{i}\n\nfever{i}\tB-Effect\nnow\tO\n" for i in range(6)]
    train.write_text("\n".join([*blocks, "-DOCSTART-\td9\n\nnausea\tX-Effect\n", "-DOCSTART-\td8\n\nrash\tBEffect\n"]))
    test = tmp_path / "test.txt"
    test.write_text("-DOCSTART-\tt1\n\nBRCA1\tB-Gene\n\n-DOCSTART-\td3\n\ncough\tB-Effect\n\n-DOCSTART-\tt4\n\nx\tQ\n")
    keys |= {
        "checkpoint": "/none/such", "train": str(train), "dev": None, "shots": 99,
        "tests": {"t": str(test), "gone": str(tmp_path / "gone.txt")},
    }  # fmt: skip
    done = called(tmp_path, keys)
    assert done.exit_code == 2
    errors = [line for line in done.output.splitlines() if line.startswith("error: ")]
    for expected in (
        "/none/such: no such checkpoint folder", "train.txt:", "'X-Effect'", "'BEffect'", "'Q'",
        "gone.txt: no such file", "99 shots of 7 documents; set shots to at most 7",
        "has label 'Gene', which the model does not know",
        "shares 1 document ids with",
    ):  # fmt: skip
        assert any(expected in line for line in errors), (expected, errors)
    assert done.output.splitlines()[-1].startswith(f"{tmp_path / 'recipe.yaml'}: {len(errors)} errors, ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tests": {"fr": "FOLDER:gad_fr"}}, "no configuration 'gad_fr'"),
        ({"tests": {"zh": "FOLDER:gad_zh:train"}}, "no split 'train' in gad_zh; choose from test"),
        ({"train": "FOLDER:gad_zh:train"}, "no split 'train' in gad_zh"),
        ({"dev": "FOLDER:gad_zh"}, "no split 'validation' in gad_zh"),
        ({"negative_label": "none"}, "no text has the negative label 'none'"),
        ({"task": "ner"}, "no column entities, units; set task: relation or document"),
        ({"task": "ner", "entity_markers": ["@G$"]}, "entity_markers for task: ner"),
        ({"shots": 97}, "97 shots of 96 documents"),
        ({"carve_from": "FOLDER:hoc_en", "dev": None}, "is of another benchmark"),
    ],
)
def test_errors(change: dict[str, Any], expected: str, gad: dict[str, Any], labelled_texts: Path) -> None:
    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: placed(item) for key, item in value.items()}
        return value.replace("FOLDER", str(labelled_texts)) if isinstance(value, str) else value

    found = check_data(FinetuneRecipe(**gad | placed(change)))
    assert [expected in str(one) for one in found if one.severity == "error"].count(True) == 1, found


def test_warnings(gad: dict[str, Any], labelled_texts: Path, tmp_path: Path) -> None:
    """A label with few examples, repeats that contradict each other, no test set, a label that dev lacks."""
    folder = tmp_path / "own"
    (folder / "gad_en" / "train").mkdir(parents=True)
    source = labelled_texts / "gad_en" / "validation" / "part-00000.parquet"
    table = pq.read_table(source)
    rows = [{"id": str(i), "document": str(i), "language": "en", "text": f"text {i} of many", "labels": ["0"]}
            for i in range(20)]  # fmt: skip
    rows += [rows[0] | {"id": "20", "document": "20", "labels": ["1"]}, rows[1] | {"id": "21", "document": "21"}]
    for split, chosen in (("train", rows[:3] + rows[4:]), ("validation", [rows[3]])):
        (folder / "gad_en" / split).mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(chosen, schema=table.schema), folder / "gad_en" / split / "p.parquet")
    card = {"configs": [{"config_name": "gad_en", "data_files": [
        {"split": s, "path": f"gad_en/{s}/*.parquet"} for s in ("train", "validation")]}]}  # fmt: skip
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n")
    own = f"{folder}:gad_en"
    found = check_data(FinetuneRecipe(**gad | {"train": own, "dev": own, "tests": {}}))
    assert {one.severity for one in found} == {"warning"}
    text = "\n".join(map(str, found))
    assert "label '1' has 1 training texts" in text
    assert "no tests" in text
    assert "2 texts occur more than once, 1 of them with different labels, such as 'text 0 of many'" in text
    assert "no text has 1; F1 says nothing about it" in text
