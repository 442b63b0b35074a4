"""All tasks by name."""

from __future__ import annotations

from typing import Literal

from kbioxlm.common.errors import InputError
from kbioxlm.training.finetuning.tasks.classification import DocumentTask, RelationTask
from kbioxlm.training.finetuning.tasks.ner import NerTask
from kbioxlm.training.finetuning.tasks.task import Task

TaskName = Literal["ner", "relation", "document"]


def make_task(
    name: TaskName,
    use_crf: bool = True,
    negative_label: str | None = "0",
    entity_markers: tuple[str, ...] = (),
    convert_pickle: bool = False,
) -> Task:
    """The task called `name`, with those of the settings that are its own.

    Raises:
        InputError: entity markers where entities are what is looked for.
    """
    if name == "relation":
        return RelationTask(negative_label=negative_label, entity_markers=entity_markers, convert_pickle=convert_pickle)
    if name == "document":
        return DocumentTask(entity_markers=entity_markers, convert_pickle=convert_pickle)
    if entity_markers:
        raise InputError("recipe", "entity_markers for task: ner", "leave them out, or set task: relation")
    return NerTask(use_crf=use_crf, convert_pickle=convert_pickle)
