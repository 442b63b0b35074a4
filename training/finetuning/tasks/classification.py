"""Labels of whole texts: relation extraction (exactly one label) and document classification (any number)."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError, Report, refuse, shown
from kbioxlm.training.finetuning.batching import padded_inputs
from kbioxlm.training.finetuning.classifier import PreparedTexts, load_classifier, predict_logits, prepare_texts
from kbioxlm.training.finetuning.labelled_texts import LabelledTexts, load_labelled_texts
from kbioxlm.training.finetuning.scores import label_f1
from kbioxlm.training.finetuning.tasks.data import TaskData
from kbioxlm.training.finetuning.tasks.task import Scored, Task


@dataclass(frozen=True, kw_only=True)
class _ClassificationTask(Task):
    """What both have in common."""

    multi_label: ClassVar[bool]

    entity_markers: tuple[str, ...] = ()

    def load(self, source: str, split: str, report: Report = refuse) -> LabelledTexts:
        """Texts with labels; see `labelled_texts.load_labelled_texts`."""
        return load_labelled_texts(source, split, report)

    def new_model(self, checkpoint: str, labels: Sequence[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """A classifier with one logit a label."""
        return load_classifier(checkpoint, labels, self.multi_label, self.entity_markers, self.convert_pickle)

    def load_model(self, checkpoint: str, merge: bool = True) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """A fine-tuned classifier."""
        return load_classifier(checkpoint, multi_label=self.multi_label, merge=merge)

    def label_problems(self, train: TaskData, labels: Sequence[str]) -> Iterator[InputError]:
        """As for every task; and an entity marker that no text holds."""
        yield from super().label_problems(train, labels)
        for marker in self.entity_markers:
            if not any(marker in example.text for example in train.examples):
                yield InputError(
                    train.source, f"no text holds the entity marker {shown(marker)}", "name those that the texts hold"
                )

    def labels_of_model(self, model: PreTrainedModel) -> list[str]:
        """In the order of its logits."""
        return [model.config.id2label[i] for i in range(model.config.num_labels)]

    def prepare(
        self,
        data: LabelledTexts,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        labels: Sequence[str] | None = None,
    ) -> PreparedTexts:
        """Windows of pieces; with `labels`, each is trained on the labels of its text."""
        targets = None if labels is None else [self.target(example.labels, labels) for example in data.examples]
        return prepare_texts(data, tokenizer, max_length, targets, marked=not self.multi_label)

    @abstractmethod
    def target(self, given: Sequence[str], labels: Sequence[str]) -> Any:
        """The labels of a text as the loss takes them."""

    def collate(self, rows: list[dict[str, Any]], pad_token_id: int) -> dict[str, torch.Tensor]:
        """Ids (batch, sequence), and labels: (batch,) indices, or (batch, labels) of 0 and 1."""
        inputs = padded_inputs([row["input_ids"] for row in rows], pad_token_id)
        return {**inputs, "labels": torch.tensor([row["labels"] for row in rows])}

    def summary(self, prepared: PreparedTexts) -> dict[str, Any]:
        """How many windows there are, and how many texts bear each label."""
        counts = Counter(label for example in prepared.data.examples for label in example.labels)
        return {"windows": len(prepared.windows), "labels": dict(sorted(counts.items()))}


@dataclass(frozen=True, kw_only=True)
class RelationTask(_ClassificationTask):
    """One relation, or none, between the entities that a text marks.

    F1 is micro-averaged over all labels but the negative one; with one positive label it is the binary F1 of that
    label. This is how BLURB scores GAD, ChemProt and DDI, and the paper GAD. Predictions hold the label, and
    nothing for the negative one.

    The logits of a text in several windows are the means over those that hold most of its entity markers.
    """

    name = "relation"
    metric = "micro-F1 of the labels but the negative one"
    counted = "texts"
    multi_label = False

    negative_label: str | None = "0"

    def problems(self, data: TaskData) -> Iterator[InputError]:
        """A text that has no label, or several."""
        yield from super().problems(data)
        for example in data.examples:
            if len(example.labels) != 1:
                yield InputError(
                    data.source,
                    f"text {example.id} has {len(example.labels)} labels ({shown(list(example.labels))}), a relation "
                    "has exactly one",
                    "correct it, or set task: document for any number of labels",
                )

    def label_problems(self, train: TaskData, labels: Sequence[str]) -> Iterator[InputError]:
        """As for every task; fewer than two labels, or none that is the negative one."""
        yield from super().label_problems(train, labels)
        if len(labels) < 2:
            yield InputError(train.source, f"{len(labels)} label in all", "give data with at least two")
        elif self.negative_label is not None and self.negative_label not in labels:
            yield InputError(
                train.source, f"no text has the negative label {shown(self.negative_label)}",
                f"set negative_label to the one of {', '.join(labels)} that means none, or to null if every one counts",
            )  # fmt: skip

    def target(self, given: Sequence[str], labels: Sequence[str]) -> int:
        """The index of the label."""
        return labels.index(given[0])

    def evaluate(self, model: Any, prepared: PreparedTexts, batch_size: int, bf16: bool) -> Scored:
        """The best label of each text, and `scores.label_f1`."""
        labels = self.labels_of_model(model)
        logits = predict_logits(model, prepared, lambda windows: windows.mean(dim=0), batch_size, bf16)
        rows = [
            {
                "id": example.id, "document": example.document,
                "gold": self._counting(example.labels[0]), "predicted": self._counting(labels[best]),
            }
            for example, best in zip(prepared.data.examples, logits.argmax(dim=1).tolist(), strict=True)
        ]  # fmt: skip
        return Scored(label_f1([row["gold"] for row in rows], [row["predicted"] for row in rows]), rows)

    def _counting(self, label: str) -> list[str]:
        return [] if label == self.negative_label else [label]


@dataclass(frozen=True, kw_only=True)
class DocumentTask(_ClassificationTask):
    """Any number of labels of a document, such as the ten hallmarks of HoC.

    F1 is micro-averaged over all pairs of document and label, as BLURB and the paper score HoC. Rows with one
    document id are parts of one document: it bears, and is predicted, every label of any of them.

    A label is predicted where its logit, the greatest of the windows' logits, is above 0.
    """

    name = "document"
    metric = "document-level micro-F1"
    counted = "documents"
    multi_label = True

    def target(self, given: Sequence[str], labels: Sequence[str]) -> list[float]:
        """0 or 1 for each label."""
        return [float(label in given) for label in labels]

    def evaluate(self, model: Any, prepared: PreparedTexts, batch_size: int, bf16: bool) -> Scored:
        """The labels of each document, and `scores.label_f1`."""
        labels = self.labels_of_model(model)
        logits = predict_logits(model, prepared, lambda windows: windows.amax(dim=0), batch_size, bf16)
        documents: dict[str, dict[str, Any]] = {}
        for example, row in zip(prepared.data.examples, (logits > 0).tolist(), strict=True):
            empty = {"id": example.id, "document": example.document, "gold": set(), "predicted": set()}
            document = documents.setdefault(example.document, empty)
            document["gold"].update(example.labels)
            document["predicted"].update(label for label, on in zip(labels, row, strict=True) if on)
        rows = [
            {**document, "gold": sorted(document["gold"]), "predicted": sorted(document["predicted"])}
            for document in documents.values()
        ]
        return Scored(label_f1([row["gold"] for row in rows], [row["predicted"] for row in rows]), rows)
