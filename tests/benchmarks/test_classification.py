from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.classification import HALLMARKS, LabelledText, read_gad, read_hoc


def written(folder: Path, *records: dict[str, Any]) -> Path:
    path = folder / "file.json"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_gad(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"id": "0", "sentence": "@GENE$ in @DISEASE$", "label": "1"},
        {"id": "7", "sentence": "x", "label": "0"},
    )
    assert read_gad(path, "en", "train") == [
        LabelledText("train-0", "train-0", "@GENE$ in @DISEASE$", ("related",), "en"),
        LabelledText("train-7", "train-7", "x", ("unrelated",), "en"),
    ]


def test_hoc_flags_become_names_in_the_order_of_the_flags(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        *({"sentence": "x", "label": [int(k == n) for k in range(10)], "id": f"{n}"} for n in range(10)),
        {"sentence": "y", "label": [0] * 10, "id": "none"},
        {"sentence": "z", "label": [1] * 10, "id": "all"},
    )
    rows = read_hoc(path, "zh")
    assert [row.labels for row in rows[:10]] == [(name,) for name in HALLMARKS]
    assert [row.labels for row in rows[10:]] == [(), HALLMARKS]
    assert (rows[3].id, rows[3].document, rows[3].language) == ("3", "3", "zh")


GOOD = {"id": "0", "sentence": "x", "label": "1"}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"label": "2"}, r"""file\.json:2: label '2' is unknown; write "0" or "1"$"""),
        ({"label": 1}, r"file\.json:2: label 1 is unknown"),
        ({"label": ["1"]}, r"file\.json:2: label \['1'\] is unknown"),
        ({"sentence": " "}, r"file\.json:2: sentence ' ' is not a text; give every object a sentence"),
        ({"id": 4}, r"file\.json:2: id 4 is not a text"),
        ({"id": "0"}, r"file\.json:2: id '0' is that of line 1 too; make ids unique"),
    ],
)
def test_errors_of_gad(tmp_path: Path, record: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_gad(written(tmp_path, GOOD, GOOD | {"id": "1"} | record), "en", "train")


@pytest.mark.parametrize("label", [[0] * 9, [0] * 11, [0] * 9 + [2], [True] * 10, [0.0] * 10, "1", None])
def test_errors_of_hoc(tmp_path: Path, label: Any) -> None:
    with pytest.raises(InputError, match=r"file\.json:1: label .* is unknown; write a list of 10 flags, each 0 or 1"):
        read_hoc(written(tmp_path, GOOD | {"label": label}), "en")


def test_lines_that_are_no_such_object(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for text, message in {
        '{"id": "0", "sentence": "x"}\n': r"file\.json:1: no 'label' in",
        "[]\n": r"file\.json:1: not a JSON object",
        '{"id": \n': r"file\.json:1: not JSON",
        "\n\n": r"file\.json: no object in the file",
        "": r"the file is empty",
    }.items():
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_gad(path, "en", "train")
