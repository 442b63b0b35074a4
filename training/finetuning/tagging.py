"""Tagging plain text with a fine-tuned checkpoint."""

from __future__ import annotations

import json

from kbioxlm.dataset_scripts.benchmarks.iob import Sentence
from kbioxlm.training.device import has_fast_bfloat16
from kbioxlm.training.finetuning.encoders import longest_input
from kbioxlm.training.finetuning.ner import NerData
from kbioxlm.training.finetuning.tagger import load_tagger, predict, prepare
from kbioxlm.training.pretraining.features import word_spans


def tag_texts(checkpoint: str, texts: list[str]) -> list[str]:
    """The entities of each text as a JSON object: `text`, and `entities` with start, end, label and the words.

    Args:
        checkpoint: folder or Hub id of a fine-tuned tagger.
        texts: in any language; text longer than the model is read in overlapping windows.
    """
    model, tokenizer = load_tagger(checkpoint)
    sentences = tuple(Sentence(str(i), str(i), text, (), tuple(word_spans(text)), "") for i, text in enumerate(texts))
    data = NerData("command line", "", sentences)
    found = predict(model, prepare(data, tokenizer, longest_input(model)), bf16=has_fast_bfloat16())
    return [
        json.dumps(
            {
                "text": text,
                "entities": [
                    {"start": span.start, "end": span.end, "label": span.label, "word": text[span.start : span.end]}
                    for span in spans
                ],
            },
            ensure_ascii=False,
        )
        for text, spans in zip(texts, found, strict=True)
    ]
