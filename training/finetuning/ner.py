"""NER data for fine-tuning and evaluation: loading it, and the tags that stand for its labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from kbioxlm.common.errors import InputError, Report, refuse, shown
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, Span, read_iob
from kbioxlm.training.finetuning.tasks.data import TaskData
from kbioxlm.training.finetuning.tasks.sources import parse_source, read_rows

_COLUMNS = ("id", "document", "language", "text", "entities", "units")


@dataclass(frozen=True)
class NerData(TaskData):
    """The sentences of one NER source; its labels are those of the entities."""

    examples: tuple[Sentence, ...]
    noun: ClassVar[str] = "sentence"

    @staticmethod
    def labels_of(example: Sentence) -> list[str]:
        """The labels of its entities."""
        return [entity.label for entity in example.entities]


def load_ner(source: str | Path, split: str, report: Report = refuse) -> NerData:
    """Load annotated sentences.

    Args:
        source: an IOB file; or `folder:config` or `folder:config:split`, a configuration of a data set folder
            (or of a data set on the Hub) with the columns of `docs/benchmarks.md`.
        split: the split that is read where `source` names none; an IOB file has no splits.
        report: what is done with what is wrong with a row or a line; by default it is raised.

    Raises:
        InputError: nothing there, no such configuration or split, missing columns, spans outside the text or
            overlapping, no sentence.
    """
    name = str(source)
    path = Path(name)
    if path.is_file() or (":" not in name and not path.is_dir()):
        return NerData(name, str(path.resolve().parent), tuple(read_iob(path, report=report).sentences))
    parsed = parse_source(name, split, "an IOB file, folder:config or folder:config:split")
    rows = read_rows(parsed, _COLUMNS)
    sentences = []
    for number, row in enumerate(rows):
        try:
            sentences.append(_sentence(name, number, row))
        except InputError as problem:
            report(problem)
    if not sentences:
        raise InputError(name, "no sentence in this split", "name another split")
    return NerData(name, parsed.benchmark(sentences[0].language), tuple(sentences))


def _sentence(source: str, number: int, row: dict[str, Any]) -> Sentence:
    place = f"row {number} ({row['id']})"
    for column in ("id", "document", "language", "text"):
        if not isinstance(row[column], str):
            raise InputError(source, f"{place}: {column} is {shown(row[column])}", "make it a string")
    try:
        entities = tuple(sorted(Span(e["start"], e["end"], e["label"]) for e in row["entities"]))
        units = tuple((unit["start"], unit["end"]) for unit in row["units"])
        whole = all(isinstance(number, int) for span in (*entities, *units) for number in span[:2])
    except (KeyError, TypeError):
        whole = False
    if not whole or not all(isinstance(entity.label, str) and entity.label for entity in entities):
        found = f"{place}: entities are {shown(row['entities'])}, units {shown(row['units'])}"
        raise InputError(source, found, "give lists of start and end, and to every entity a label")
    for name, spans in (("entity", [entity[:2] for entity in entities]), ("unit", units)):
        last = 0
        for start, end in spans:
            if not last <= start < end <= len(row["text"]):
                raise InputError(
                    source, f"{place}: {name} {start}..{end} overlaps another or leaves the text of "
                    f"{len(row['text'])} characters", "correct the offsets",
                )  # fmt: skip
            last = end
    return Sentence(row["id"], row["document"], row["text"], entities, units, row["language"])


def entity_labels(id2label: dict[int, str]) -> list[str]:
    """The entity labels of a tagger's IOB2 tags, sorted: `{0: "O", 1: "B-Drug", 2: "I-Drug"}` gives `["Drug"]`."""
    return sorted({tag.partition("-")[2] for tag in id2label.values() if tag != "O"})


def iob2_tags(labels: Iterable[str]) -> list[str]:
    """The tags of a tagger for `labels`: `O`, then `B-` and `I-` of each."""
    return ["O"] + [f"{prefix}-{label}" for label in labels for prefix in ("B", "I")]
