"""The endpoints that programs call. Each refuses with the message that the pages show."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from .reading import Reading
from .refusal import RefusedError

Answer = TypeVar("Answer")


def answered(work: Callable[[], Answer], language: str) -> Answer:
    """What `work` returns.

    Raises:
        gradio.Error: with its message in `language`. Of a bug the log tells the kind and the place, not the text.
    """
    try:
        return work()
    except RefusedError as error:
        raise gr.Error(error.said(language), print_exception=False) from None


def add_api(reading: Reading, limits: dict[str, Any]) -> None:
    """Add `/ner`, `/compare` and `/about` to the blocks that are being built.

    Args:
        reading: what answers.
        limits: concurrency, as gradio's events take it.
    """

    def ner(text: str, parallel: str = "", language: str = "en") -> dict[str, Any]:
        """Entities of a text, and of the same text in another language, with their concepts, aligned.

        Args:
            text: English, Chinese or both.
            parallel: the same in another language; may be empty.
            language: of error messages, en or zh.

        Returns:
            model, text and parallel as they were read; entities and parallel_entities: entity_group, score, word,
            start, end (code points, end exclusive) and concepts (concept, names by language, sources); pairs: first and
            second (places in the two lists), by (concept or similarity), similarity; knowledge_base: what it is.
        """
        return answered(lambda: reading.ner(text, parallel), language)

    def compare(text: str, language: str = "en") -> dict[str, Any]:
        """What two models find in one text.

        Args:
            text: English, Chinese or both.
            language: of error messages, en or zh.

        Returns:
            text as it was read; first_model, second_model; first and second: their entities, each with shared, which
            says whether the other model finds the same words as the same type.
        """
        return answered(lambda: reading.compare(text), language)

    def about() -> dict[str, Any]:
        """The models, their types of entities, the formats, the limits and the knowledge base of this Space."""
        settings = reading.settings
        return {
            "model": reading.tagger.name, "compare": reading.other.name if reading.other else "",
            "labels": reading.labels, "formats": reading.tagger.formats, "knowledge_base": reading.knowledge.told(),
            "limits": {"characters": settings.characters, "upload": settings.upload, "documents": settings.documents},
        }  # fmt: skip

    for function in (ner, compare, about):
        gr.api(function, api_name=function.__name__, **limits)


logging.getLogger("httpx").setLevel(logging.WARNING)
