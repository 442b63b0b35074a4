"""Texts with labels, and the JSON-lines files that GAD and HoC are published in.

GAD: `{"id": "0", "sentence": …, "label": "1"}`, one of two classes; the ids count the lines of a split before
translations were dropped, so they are equal for parallel sentences of one split and say nothing across splits.
HoC: `{"sentence": …, "label": [0, 1, …], "id": …}`, a flag for each of the ten hallmarks; the ids are PubMed ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_json_lines

# The place of a class in these tuples is its number, or its place in the flags, in the published files.
GAD_CLASSES = ("unrelated", "related")
HALLMARKS = (
    "activating invasion and metastasis",
    "avoiding immune destruction",
    "cellular energetics",
    "enabling replicative immortality",
    "evading growth suppressors",
    "genomic instability and mutation",
    "inducing angiogenesis",
    "resisting cell death",
    "sustaining proliferative signaling",
    "tumor promoting inflammation",
)


@dataclass(frozen=True)
class LabelledText:
    """A text with its labels.

    Attributes:
        id: of the row; that of the document, since a document is one text.
        document: the document's id; parallel documents have the same id in every language.
        text: as published.
        labels: in the order in which the classes are declared; exactly one where the classes exclude each other.
        language: ISO 639-1.
    """

    id: str
    document: str
    text: str
    labels: tuple[str, ...]
    language: str = ""


def read_gad(path: str | Path, language: str, split: str) -> list[LabelledText]:
    """Read a published GAD file.

    A sentence's document id is `split-id`, because ids begin anew in every split.

    Args:
        language: written into every row.
        split: the published split that the file belongs to.

    Raises:
        InputError: missing or empty file, a line that is not such an object, a label other than "0" and "1", an
            empty sentence, an id that came before.
    """
    return _read(Path(path), language, f"{split}-", _gad_labels)


def read_hoc(path: str | Path, language: str) -> list[LabelledText]:
    """Read a published HoC file; `labels` are the names in `HALLMARKS` whose flag is 1.

    Raises:
        InputError: as `read_gad`; a label that is not ten flags, each 0 or 1.
    """
    return _read(Path(path), language, "", _hoc_labels)


def _gad_labels(label: Any) -> tuple[str, ...] | None:
    return (GAD_CLASSES[int(label)],) if label in ("0", "1") else None


def _hoc_labels(label: Any) -> tuple[str, ...] | None:
    if not isinstance(label, list) or len(label) != len(HALLMARKS):
        return None
    if any(type(flag) is not int or flag not in (0, 1) for flag in label):
        return None
    return tuple(name for name, flag in zip(HALLMARKS, label, strict=True) if flag)


_EXPECTED: dict[Callable[[Any], Sequence[str] | None], str] = {
    _gad_labels: 'write "0" or "1"',
    _hoc_labels: f"write a list of {len(HALLMARKS)} flags, each 0 or 1",
}


def _read(
    path: Path, language: str, prefix: str, labels_of: Callable[[Any], tuple[str, ...] | None]
) -> list[LabelledText]:
    rows: list[LabelledText] = []
    lines: dict[str, int] = {}
    for number, record in read_json_lines(path, required=("id", "sentence", "label")):
        for key in ("id", "sentence"):
            value = record[key]
            if not isinstance(value, str) or not value.strip():
                raise InputError(path, f"{key} {shown(value)} is not a text", f"give every object a {key}", line=number)
        if record["id"] in lines:
            raise InputError(
                path, f"id {shown(record['id'])} is that of line {lines[record['id']]} too", "make ids unique",
                line=number,
            )  # fmt: skip
        lines[record["id"]] = number
        labels = labels_of(record["label"])
        if labels is None:
            raise InputError(path, f"label {shown(record['label'])} is unknown", _EXPECTED[labels_of], line=number)
        document = prefix + record["id"]
        rows.append(LabelledText(document, document, record["sentence"], labels, language))
    if not rows:
        raise InputError(path, "no object in the file", "give a file with content")
    return rows
