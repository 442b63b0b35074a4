"""What the fine-tuning engine asks of a task; see the head of `training/finetuning/run.py` for how it is used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError, Report, refuse
from kbioxlm.training.finetuning.tasks.data import TaskData, joined


@dataclass(frozen=True)
class Scored:
    """A model's answers on one data set.

    Attributes:
        figures: `f1`, `precision`, `recall` in 0 to 100, `n`, and what else the task counts.
        predictions: one for each of the `n` scored examples, `{"id", "document", "gold", "predicted"}`. Both lists
            hold what counts, each item once, so that in every task F1 = 2 TP / (|gold| + |predicted|), summed over
            examples, with TP the items in both.
    """

    figures: dict[str, Any]
    predictions: list[dict[str, Any]]


class PreparedData(Protocol):
    """A data set as a model takes it in."""

    @property
    def data(self) -> TaskData:
        """What was prepared."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Training rows, each with `input_ids`; those of a data set that was prepared without labels train nothing."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One kind of labels: how they are read, learnt and scored.

    Attributes:
        name: as in the recipe.
        metric: what `f1` means, for reports.
        counted: what `n` counts.
        convert_pickle: whether a checkpoint without safetensors is read from its pickle, without its code.
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    counted: ClassVar[str]

    convert_pickle: bool = False

    @abstractmethod
    def load(self, source: str, split: str, report: Report = refuse) -> TaskData:
        """The examples of `source`; `split` is read where it names none, and `report` is given what is wrong with
        single rows, which are left out if it does not raise it.

        Raises:
            InputError: nothing there, or rows that are not of this task.
        """

    def load_together(self, sources: str, split: str, report: Report = refuse) -> TaskData:
        """The examples of one source, or of several that are joined with ` + `, such as a benchmark in two languages.

        Raises:
            InputError: as `load`; or sources of different benchmarks.
        """
        return joined([self.load(source.strip(), split, report) for source in sources.split(" + ")], sources)

    def problems(self, data: TaskData) -> Iterator[InputError]:
        """What makes a training, dev or test set unusable beyond labels and shared documents."""
        for example in data.examples:
            if not example.text.strip():
                yield InputError(data.source, f"{data.noun} {example.id} has no text", "fill it or take it out")

    def label_problems(self, train: TaskData, labels: Sequence[str]) -> Iterator[InputError]:
        """Why no model can be trained for `labels`, those of the training source."""
        if not labels:
            yield InputError(train.source, f"no {train.noun} has a label", "give annotated data")

    @abstractmethod
    def new_model(self, checkpoint: str, labels: Sequence[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The encoder of `checkpoint` with a new head for `labels`, drawn from torch's generator; and a tokenizer.

        Raises:
            InputError: nothing there, no tokenizer, no encoder weights.
        """

    @abstractmethod
    def load_model(self, checkpoint: str, merge: bool = True) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """A fine-tuned model of this task and its tokenizer.

        An adapter is merged into its base; where not to `merge`, it stays apart (a `PeftModel`), to be trained further.

        Raises:
            InputError: nothing there, or no trained head.
        """

    @abstractmethod
    def labels_of_model(self, model: PreTrainedModel) -> list[str]:
        """The labels that a model of this task knows."""

    @abstractmethod
    def prepare(
        self,
        data: Any,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        labels: Sequence[str] | None = None,
    ) -> Any:
        """`data` in windows of at most `max_length` positions; with `labels` (a model's, in order) to be trained on."""

    @abstractmethod
    def collate(self, rows: list[dict[str, Any]], pad_token_id: int) -> dict[str, torch.Tensor]:
        """Training rows as one batch with `labels`."""

    @abstractmethod
    def evaluate(self, model: Any, prepared: Any, batch_size: int, bf16: bool) -> Scored:
        """The answers of `model` on `prepared`, and their scores."""

    @abstractmethod
    def summary(self, prepared: Any) -> dict[str, Any]:
        """What a report says of training data, beside its source and documents."""
