"""Named entities of texts in any language and of any length, as a pipeline of transformers.

    pipeline("biomedical-ner", model=…, trust_remote_code=True)

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from transformers import Pipeline

from .configuration_kbioxlm import custom_pipelines
from .formats_kbioxlm import SUFFIXES, export
from .windows_kbioxlm import Text, Window, entities, merge, pieces_of, windows_of


class BiomedicalNerPipeline(Pipeline):
    """Entities with exact offsets and a probability, from a `KBioXLMForTokenClassification`.

    A text longer than the model is read in overlapping windows, each piece from the window that shows most of what
    stands around it. Windows of all texts share batches, like lengths together; nothing is computed for padding. The
    same text gives the same entities, whatever stands beside it, but for the last digits of `score`.

    Attributes:
        formats: in which `export` writes, and the suffix of a file in each.
    """

    formats = SUFFIXES
    export = staticmethod(export)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # pipeline() has put classes in the place of their names, which no JSON file can hold
        self.model.config.custom_pipelines = custom_pipelines()

    def __call__(self, inputs: str | Iterable[str], batch_size: int = 32, **kwargs: Any) -> list[Any]:
        """The entities of one text, or of each of several.

        Args:
            inputs: a text, or texts.
            batch_size: windows that the model reads at once.

        Returns:
            for one text a list, for several a list of lists of
            `{"entity_group", "score", "word", "start", "end"}`: the label, the least probability that the CRF gives
            the label of any of its pieces, the words, and where they stand in code points, end exclusive.

        Raises:
            TypeError: something that is no text, or an argument that there is not.
        """
        if kwargs:
            raise TypeError(f"biomedical-ner takes batch_size, not {', '.join(sorted(kwargs))}")
        single = isinstance(inputs, str)
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"text {number} is {text!r:.80}: give strings")
        with self.device_placement(), self.get_inference_context()():
            found = self.postprocess(self._forward(self.preprocess(texts), batch_size))
        return found[0] if single else found

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if kwargs:
            raise TypeError(f"biomedical-ner takes no {', '.join(sorted(kwargs))}")
        return {}, {}, {}

    def preprocess(self, texts: Sequence[str]) -> dict[str, Any]:
        """Texts to pieces and windows."""
        config, tokenizer = self.model.config, self.tokenizer
        room = config.max_position_embeddings - config.pad_token_id - 1 - 2  # between <s> and </s>
        pieces = pieces_of(tokenizer, texts)
        return {"texts": texts, "pieces": pieces, "windows": windows_of(pieces, room)}

    def _forward(self, model_inputs: dict[str, Any], batch_size: int = 32) -> dict[str, Any]:
        """Tags of each window's pieces with their probabilities, None for pieces without characters."""
        pieces, windows = model_inputs["pieces"], model_inputs["windows"]
        order = sorted(range(len(windows)), key=lambda i: (windows[i].last - windows[i].first, i))
        read: list[list[tuple[str, float] | None]] = [[] for _ in windows]
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            for number, tags in zip(chosen, self._read([windows[i] for i in chosen], pieces), strict=True):
                read[number] = tags
        return {**model_inputs, "read": read}

    def _read(self, windows: Sequence[Window], pieces: Sequence[Text]) -> Iterator[list[tuple[str, float] | None]]:
        model, tokenizer = self.model, self.tokenizer
        lengths = [window.last - window.first for window in windows]
        width = max(lengths)
        rows, shown = [], []
        for (number, first, last), length in zip(windows, lengths, strict=True):
            text = pieces[number]
            filling = [model.config.pad_token_id] * (width - length)
            rows.append([tokenizer.cls_token_id, *text.ids[first:last], tokenizer.sep_token_id, *filling])
            letters = (start < end for start, end in text.offsets[first:last])
            shown.append([False, *letters, False, *(False for _ in filling)])
        labelled = torch.tensor(shown)
        inside = torch.arange(width + 2) < torch.tensor(lengths).unsqueeze(1) + 2
        logits = model(
            input_ids=torch.tensor(rows).to(model.device), attention_mask=inside.long().to(model.device)
        ).logits.float()  # (batch, sequence, tags)
        labelled = labelled.to(logits.device)
        paths = model.decode(logits, labelled)
        chosen = torch.tensor([tag for path in paths for tag in path], dtype=torch.long, device=logits.device)
        probabilities = tag_probabilities(model, logits, labelled)[labelled].gather(1, chosen.unsqueeze(1)).squeeze(1)
        names = model.config.id2label
        told = zip(map(names.__getitem__, chosen.tolist()), probabilities.tolist(), strict=True)
        for row, length in zip(shown, lengths, strict=True):
            yield [next(told) if on else None for on in row[1 : length + 1]]

    def postprocess(self, model_outputs: dict[str, Any]) -> list[list[dict[str, Any]]]:
        """Windows to entities, text by text."""
        texts, pieces = model_outputs["texts"], model_outputs["pieces"]
        merged = merge(model_outputs["windows"], model_outputs["read"], [len(text.ids) for text in pieces])
        return [
            list(entities(text, parts.offsets, tags)) for text, parts, tags in zip(texts, pieces, merged, strict=True)
        ]


def tag_probabilities(model: Any, logits: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
    """Probability of each tag at each labelled piece, (batch, sequence, tags): marginals of the CRF, or a softmax."""
    if model.crf is None:
        return torch.softmax(logits, dim=-1)
    return model.crf.marginals(logits, labelled)


__all__ = ["BiomedicalNerPipeline"]
