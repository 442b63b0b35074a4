"""Texts with labels of their own, for relation extraction and document classification: loading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from kbioxlm.common.errors import InputError, Report, refuse, shown
from kbioxlm.training.finetuning.tasks.data import TaskData
from kbioxlm.training.finetuning.tasks.sources import parse_source, read_rows

_COLUMNS = ("id", "document", "language", "text", "labels")


class LabelledText(NamedTuple):
    """One text and its labels, sorted.

    Attributes:
        id: of the row.
        document: parallel documents have the same in every language.
        language: ISO 639-1.
    """

    id: str
    document: str
    language: str
    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class LabelledTexts(TaskData):
    """The texts of one source."""

    examples: tuple[LabelledText, ...]
    noun: ClassVar[str] = "text"

    @staticmethod
    def labels_of(example: LabelledText) -> Sequence[str]:
        """Its labels."""
        return example.labels


def load_labelled_texts(source: str, split: str, report: Report = refuse) -> LabelledTexts:
    """Load texts with labels.

    Args:
        source: `folder:config` or `folder:config:split`, with the columns id, document, language, text (strings)
            and labels (list of strings).
        split: the split that is read where `source` names none.
        report: what is done with what is wrong with a row; by default it is raised.

    Raises:
        InputError: nothing there, no such configuration or split, missing columns, a row that is not of their
            types or repeats a label, no row.
    """
    parsed = parse_source(source, split)
    texts = []
    for number, row in enumerate(read_rows(parsed, _COLUMNS)):
        try:
            texts.append(_text(source, number, row))
        except InputError as problem:
            report(problem)
    if not texts:
        raise InputError(source, "no text in this split", "name another split")
    return LabelledTexts(source, parsed.benchmark(texts[0].language), tuple(texts))


def _text(source: str, number: int, row: dict[str, Any]) -> LabelledText:
    labels = row["labels"]
    for column in ("id", "document", "language", "text"):
        if not isinstance(row[column], str):
            raise InputError(source, f"row {number}: {column} is {shown(row[column])}", "make it a string")
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        found = f"row {number} ({row['id']}): labels are {shown(labels)}"
        raise InputError(source, found, "give a list of names, empty for a text without a label")
    if len(set(labels)) < len(labels):
        raise InputError(source, f"row {number} ({row['id']}): a label is given twice: {shown(labels)}", "give it once")
    return LabelledText(row["id"], row["document"], row["language"], row["text"], tuple(sorted(labels)))
