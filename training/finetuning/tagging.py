"""Tagging plain text with a fine-tuned checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from kbioxlm.dataset_scripts.benchmarks.iob import Sentence
from kbioxlm.formats_kbioxlm import export
from kbioxlm.training.device import has_fast_bfloat16
from kbioxlm.training.finetuning.encoders import longest_input
from kbioxlm.training.finetuning.ner import NerData
from kbioxlm.training.finetuning.tagger import load_tagger, predict, prepare
from kbioxlm.training.pretraining.features import word_spans


def tag_texts(checkpoint: str, texts: Sequence[str], format: str = "jsonl") -> bytes:
    """Texts with their entities, in one of `formats_kbioxlm`'s formats; the first text is document 1.

    Args:
        checkpoint: folder or Hub id of a fine-tuned tagger on any encoder.
        texts: in any language; text longer than the model is read in overlapping windows.
    """
    model, tokenizer = load_tagger(checkpoint)
    sentences = tuple(Sentence(str(i), str(i), text, (), tuple(word_spans(text)), "") for i, text in enumerate(texts))
    data = NerData("command line", "", sentences)
    found = predict(model, prepare(data, tokenizer, longest_input(model)), bf16=has_fast_bfloat16())
    documents = (
        {"text": text, "entities": [
            {"entity_group": span.label, "start": span.start, "end": span.end} for span in spans
        ]}
        for text, spans in zip(texts, found, strict=True)
    )  # fmt: skip
    return export(documents, format)
