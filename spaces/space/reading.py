"""What the Space does with texts: the same for its pages and its API."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .alignment import aligned
from .batch import Document, documents_of
from .knowledge import KnowledgeBase, agreed
from .refusal import RefusedError
from .settings import Settings
from .tagger import Entity, Tagger, clean

AT_ONCE = 16  # documents between two moves of the progress bar


class Reading:
    """Models, a knowledge base and limits together.

    Attributes:
        settings: as it was told.
        tagger: the model.
        other: the one to compare it with, if any.
        knowledge: the knowledge base.
    """

    def __init__(self, settings: Settings):
        """Load everything that `settings` names.

        Raises:
            RefusedError: something that is not there.
        """
        self.settings = settings
        self.knowledge = KnowledgeBase(settings.knowledge_base)
        self.tagger = Tagger(settings.model)
        self.other = Tagger(settings.compare) if settings.compare else None
        models = [self.tagger, self.other] if self.other else [self.tagger]
        self.labels = sorted({label for model in models for label in model.labels})

    def ner(self, text: str, parallel: str) -> dict[str, Any]:
        """Entities of a text, and of a parallel one if it is not blank, with their concepts and aligned.

        Raises:
            RefusedError: no text, or too much.
        """
        text = self._taken(text)
        second = self._taken(parallel) if not isinstance(parallel, str) or parallel.strip() else ""
        found = self.tagger.entities([text, second])
        first, other = (self._linked(entities) for entities in found)
        pairs = []
        if first and other:
            cosines = self.tagger.vectors(text, first) @ self.tagger.vectors(second, other).T
            pairs = [asdict(pair) for pair in aligned(first, other, _ids, cosines)]
        return {
            "model": self.tagger.name, "text": text, "entities": first, "parallel": second,
            "parallel_entities": other, "pairs": pairs, "knowledge_base": self.knowledge.told(),
        }  # fmt: skip

    def compare(self, text: str) -> dict[str, Any]:
        """Entities that two models find in a text; `shared` says of each whether the other finds the same.

        Raises:
            RefusedError: no text, too much, or no second model.
        """
        if self.other is None:
            raise RefusedError("no_compare")
        text = self._taken(text)
        [first], [second] = self.tagger.entities([text]), self.other.entities([text])
        sides = {}
        for name, mine, theirs in (("first", first, second), ("second", second, first)):
            others = {_place(entity) for entity in theirs}
            sides[name] = [{**entity, "shared": _place(entity) in others} for entity in mine]
        return {"text": text, "first_model": self.tagger.name, "second_model": self.other.name, **sides}

    def batch(
        self, path: Path, formats: Iterable[str], folder: Path, moved: Callable[[int, int], None]
    ) -> tuple[list[Document], list[Path]]:
        """The documents of an uploaded file, which is deleted, with entities and the concepts that are certain.

        Args:
            path: the file.
            formats: those to write the documents in.
            folder: gets a folder with a file for each format.
            moved: told documents done and all documents, again and again.

        Returns:
            the documents, and the files that were written.

        Raises:
            RefusedError: a file that is not read, or a format that there is not.
        """
        try:
            self._check(formats)
            documents = documents_of(path, self.settings)
        finally:
            with suppress(OSError):
                path.unlink()
                path.parent.rmdir()  # gradio makes one for each upload
        for start in range(0, len(documents), AT_ONCE):
            moved(start, len(documents))
            some = documents[start : start + AT_ONCE]
            for document, entities in zip(some, self.tagger.entities([one["text"] for one in some]), strict=True):
                certain = [agreed(self.knowledge.find(entity["word"])) for entity in entities]
                document["entities"] = [
                    {**entity, "concept": concept} if concept else entity
                    for entity, concept in zip(entities, certain, strict=True)
                ]
        moved(len(documents), len(documents))
        made = Path(tempfile.mkdtemp(dir=folder))
        written = []
        for format in formats:
            written.append(made / f"entities{self.tagger.formats[format]}")
            written[-1].write_bytes(self.tagger.export(documents, format))
        return documents, written

    def _check(self, formats: Iterable[str]) -> None:
        for format in formats:
            if format not in self.tagger.formats:
                raise RefusedError("batch_format", format=repr(format)[:40], choices=", ".join(self.tagger.formats))

    def _taken(self, text: object) -> str:
        if not isinstance(text, str):
            raise RefusedError("not_text", found=type(text).__name__)
        if not text.strip():
            raise RefusedError("no_text")
        if len(text) > self.settings.characters:
            raise RefusedError("too_long", length=len(text), limit=self.settings.characters)
        return clean(text)

    def _linked(self, entities: list[Entity]) -> list[Entity]:
        return [
            {**entity, "concepts": [concept.told() for concept in self.knowledge.find(entity["word"])]}
            for entity in entities
        ]


def _ids(entity: Entity) -> frozenset[str]:
    return frozenset(concept["concept"] for concept in entity["concepts"])


def _place(entity: Entity) -> tuple[int, int, str]:
    return entity["start"], entity["end"], entity["entity_group"]
