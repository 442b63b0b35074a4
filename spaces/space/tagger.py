"""The model at work: entities of a text, and where its encoder places them."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import pipeline

from .refusal import RefusedError

Entity = dict[str, Any]
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` as it can be sent and written: half a surrogate pair becomes U+FFFD. No offset moves."""
    return _SURROGATES.sub("\ufffd", text)


class Tagger:
    """A token classifier of KBioXLM, used by one thread at a time.

    Attributes:
        name: of the model, to be shown.
        labels: the kinds of entities that it knows, in alphabetical order.
        formats: in which documents are written, and the suffix of each.
    """

    def __init__(self, model: str):
        """Load `model`, a folder or a Hub id.

        Raises:
            RefusedError: it cannot be loaded as a "biomedical-ner" pipeline.
        """
        try:
            self._pipeline = pipeline("biomedical-ner", model=model, trust_remote_code=True)
        except (OSError, KeyError, ValueError) as error:
            raise RefusedError("setting_model", value=model, reason=" ".join(str(error).split())[:300]) from error
        self._lock = threading.Lock()
        self.name = Path(model).name if os.path.isdir(model) else model  # noqa: PTH112 - a Hub id is no path
        self.labels = sorted({tag.partition("-")[2] for tag in self._pipeline.model.config.id2label.values()} - {""})
        self.formats: dict[str, str] = self._pipeline.formats

    def entities(self, texts: Sequence[str]) -> list[list[Entity]]:
        """What the pipeline finds in each text."""
        with self._lock:
            found: list[list[Entity]] = self._pipeline(list(texts))
        return found

    def export(self, documents: Sequence[dict[str, Any]], format: str) -> bytes:
        """Documents in one of `formats`."""
        content: bytes = self._pipeline.export(documents, format)
        return content

    def vectors(self, text: str, entities: Sequence[Entity]) -> torch.Tensor:
        """The mean of the encoder's hidden states over the pieces of each entity, less that of its text, of length 1.

        They are those of the middle layer: of the last one, the classes are all that is left of much. The mean of the
        text is what its language and its topic give to all pieces alike.

        A text longer than the model is read in the pipeline's windows; an entity is taken from the first of them that
        holds all of it.

        Returns:
            (entities, hidden size); zeros for an entity that no window holds.
        """
        ner = self._pipeline
        model, tokenizer = ner.model, ner.tokenizer
        vectors = torch.zeros(len(entities), model.config.hidden_size)
        read = ner.preprocess([text])
        offsets = read["pieces"][0].offsets if read["pieces"] else []
        places = [
            [i for i, (start, end) in enumerate(offsets) if start < entity["end"] and entity["start"] < end]
            for entity in entities
        ]
        done: set[int] = set()
        with self._lock, torch.inference_mode():
            for _, first, last in read["windows"]:
                inside = [
                    number for number, pieces in enumerate(places)
                    if number not in done and pieces and first <= pieces[0] and pieces[-1] < last
                ]  # fmt: skip
                if not inside:
                    continue
                ids = [tokenizer.cls_token_id, *read["pieces"][0].ids[first:last], tokenizer.sep_token_id]
                batch = torch.tensor([ids], device=model.device)
                layers = model.base_model(
                    input_ids=batch, attention_mask=torch.ones_like(batch), output_hidden_states=True
                ).hidden_states
                hidden = layers[(len(layers) - 1) // 2][0].float()
                hidden = hidden - hidden[1:-1].mean(0)
                for number in inside:
                    rows = [piece - first + 1 for piece in places[number]]
                    vectors[number] = hidden[rows].mean(0).cpu()
                    done.add(number)
        return torch.nn.functional.normalize(vectors, dim=-1)
