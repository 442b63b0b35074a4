"""NER data for fine-tuning and evaluation: loading it, and the tags that stand for its labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, Span, read_iob
from kbioxlm.training.tasks.data import TaskData
from kbioxlm.training.tasks.sources import parse_source, read_rows

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


def load_ner(source: str | Path, split: str) -> NerData:
    """Load annotated sentences.

    Args:
        source: an IOB file; or `folder:config` or `folder:config:split`, a configuration of a data set folder
            (or of a data set on the Hub) with the columns of `docs/benchmarks.md`.
        split: the split that is read where `source` names none; an IOB file has no splits.

    Raises:
        InputError: nothing there, no such configuration or split, missing columns, spans outside the text or
            overlapping, no sentence.
    """
    name = str(source)
    path = Path(name)
    if path.is_file() or (":" not in name and not path.is_dir()):
        return NerData(name, str(path.resolve().parent), tuple(read_iob(path).sentences))
    parsed = parse_source(name, split, "an IOB file, folder:config or folder:config:split")
    rows = read_rows(parsed, _COLUMNS)
    sentences = tuple(_sentence(name, number, row) for number, row in enumerate(rows))
    if not sentences:
        raise InputError(name, "no sentence in this split", "name another split")
    return NerData(name, parsed.benchmark(sentences[0].language), sentences)


def _sentence(source: str, number: int, row: dict[str, Any]) -> Sentence:
    entities = tuple(sorted(Span(e["start"], e["end"], e["label"]) for e in row["entities"]))
    units = tuple((unit["start"], unit["end"]) for unit in row["units"])
    for name, spans in (("entity", [entity[:2] for entity in entities]), ("unit", units)):
        last = 0
        for start, end in spans:
            if not last <= start < end <= len(row["text"]):
                raise InputError(
                    source, f"row {number} ({row['id']}): {name} {start}..{end} overlaps another or leaves the text of "
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
