"""All tasks by name."""

from __future__ import annotations

from typing import Literal

from kbioxlm.training.tasks.classification import DocumentTask, RelationTask
from kbioxlm.training.tasks.ner import NerTask
from kbioxlm.training.tasks.task import Task

TaskName = Literal["ner", "relation", "document"]


def make_task(name: TaskName, use_crf: bool = True, negative_label: str | None = "0") -> Task:
    """The task called `name`, with those of the settings that are its own."""
    if name == "relation":
        return RelationTask(negative_label)
    return DocumentTask() if name == "document" else NerTask(use_crf)
