"""Named entity recognition: encoder and CRF, strict entity-level F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import Report, refuse
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, Span, spans_of_tags
from kbioxlm.training.finetuning.batching import pad, padded_inputs
from kbioxlm.training.finetuning.ner import NerData, entity_labels, iob2_tags, load_ner
from kbioxlm.training.finetuning.scores import strict_f1
from kbioxlm.training.finetuning.spans import IGNORED, unit_tags
from kbioxlm.training.finetuning.tagger import Prepared, load_tagger, predict, prepare
from kbioxlm.training.finetuning.tasks.task import Scored, Task


@dataclass(frozen=True, kw_only=True)
class NerTask(Task):
    """Entities in sentences. Predictions hold `{"start", "end", "label"}`, as the units of the source cut them."""

    name = "ner"
    metric = "strict entity-level micro-F1"
    counted = "sentences"

    use_crf: bool = True

    def load(self, source: str, split: str, report: Report = refuse) -> NerData:
        """Sentences with entities, from an IOB file or `folder:config[:split]`; see `ner.load_ner`."""
        return load_ner(source, split, report)

    def new_model(self, checkpoint: str, labels: Sequence[str]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """A tagger with the IOB2 tags of `labels`."""
        return load_tagger(checkpoint, iob2_tags(labels), self.use_crf, self.convert_pickle)

    def load_model(self, checkpoint: str, merge: bool = True) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """A fine-tuned tagger."""
        return load_tagger(checkpoint, merge=merge)

    def labels_of_model(self, model: PreTrainedModel) -> list[str]:
        """The entity labels of its tags."""
        return entity_labels(model.config.id2label)

    def prepare(
        self,
        data: NerData,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        labels: Sequence[str] | None = None,
    ) -> Prepared:
        """Windows of pieces with their tags."""
        tag_ids = None if labels is None else {tag: i for i, tag in enumerate(iob2_tags(labels))}
        return prepare(data, tokenizer, max_length, tag_ids)

    def collate(self, rows: list[dict[str, Any]], pad_token_id: int) -> dict[str, torch.Tensor]:
        """Ids and tags, (batch, sequence) each."""
        inputs = padded_inputs([row["input_ids"] for row in rows], pad_token_id)
        return {**inputs, "labels": pad([row["labels"] for row in rows], IGNORED)}

    def evaluate(self, model: Any, prepared: Prepared, batch_size: int, bf16: bool) -> Scored:
        """Strict F1 on units (see `scores.strict_f1`), and the entities that no tags of the pieces can express."""
        sentences = prepared.data.examples
        found = predict(model, prepared, batch_size, bf16)
        gold = [unit_tags(sentence.entities, sentence.units) for sentence in sentences]
        predicted = [unit_tags(spans, sentence.units) for spans, sentence in zip(found, sentences, strict=True)]
        predictions = [
            {"id": s.id, "document": s.document, "gold": _entities(g, s), "predicted": _entities(p, s)}
            for s, g, p in zip(sentences, gold, predicted, strict=True)
        ]
        return Scored({**strict_f1(gold, predicted), "inexpressible": prepared.inexpressible}, predictions)

    def summary(self, prepared: Prepared) -> dict[str, Any]:
        """How many entities there are, and how many that no tags of the pieces can express."""
        entities = sum(len(sentence.entities) for sentence in prepared.data.examples)
        return {"entities": entities, "inexpressible": prepared.inexpressible}


def _entities(tags: Sequence[str], sentence: Sentence) -> list[dict[str, Any]]:
    spans: tuple[Span, ...] = spans_of_tags(tags, sentence.units)
    return [span._asdict() for span in spans]
