"""A knowledge base as the corpora use it: arrays that any number of processes can share from one file each.

Concepts and relations are numbers inside and ids outside. Of 4 million names and 10 million relations only what is
asked for becomes Python objects.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge.name_table import NameTable
from kbioxlm.dataset_scripts.knowledge.store_parts import Parts, Phrases, open_parts, parts_of, save_parts
from kbioxlm.dataset_scripts.knowledge.store_tables import (
    NameColumns,
    read_names,
    read_phrases,
    read_relations,
    sorted_relations,
)

REMEMBERED = 1 << 16


class KnowledgeBase:
    """Names and relations in some languages: get one with `load`, `open` or `of`.

    A concept is known if it has a name in one of the languages. Lists that are given back are shared; leave them as
    they are.

    Attributes:
        languages: ISO 639-1 codes, in the order that was asked.
        phrases: (relation, language) → the phrase that says it.
    """

    def __init__(self, parts: Parts):
        self.languages = parts.languages
        self.phrases = parts.phrases
        self._parts = parts
        self._places = {language: place for place, language in enumerate(parts.languages)}
        self._cells = parts.cells.data
        self._subjects = parts.subjects.data
        self._objects = parts.objects.data
        self._relations = parts.relations.data
        self._remembered_names = lru_cache(REMEMBERED)(self._decoded_names)
        self._find = lru_cache(REMEMBERED)(parts.concept_index.find)

    @classmethod
    def load(cls, folder: str | Path, languages: tuple[str, ...]) -> KnowledgeBase:
        """Read the Parquet shards of `folder`, names in `languages` alone and in running case (`RunningCase`).

        Raises:
            InputError: not a knowledge base folder, or a language without a single name.
        """
        if not Path(folder).is_dir():
            raise InputError(folder, "no such folder", "build one with knowledge_base.py build")
        names = read_names(folder, languages)
        relations = read_relations(folder, names.concepts)
        return cls(parts_of(languages, names, relations, read_phrases(folder, languages)))

    @classmethod
    def of(
        cls,
        languages: tuple[str, ...],
        names: Mapping[str, Mapping[str, Sequence[str]]],
        relations: Mapping[str, Mapping[str, Sequence[str]]],
        phrases: Phrases,
    ) -> KnowledgeBase:
        """A small knowledge base from dictionaries.

        Args:
            names: language → concept → names as in running text, the preferred one first, none twice.
            relations: subject → object → relations between them.
        """
        rows = [
            (concept, place, name)
            for concept in sorted({concept for known in names.values() for concept in known})
            for place, language in enumerate(languages)
            for name in names.get(language, {}).get(concept, ())
        ]
        concepts = sorted({concept for concept, _, _ in rows})
        places = {concept: place for place, concept in enumerate(concepts)}
        ids = sorted({relation for objects in relations.values() for known in objects.values() for relation in known})
        facts = [
            (places[subject], places[object_], ids.index(relation))
            for subject, objects in relations.items()
            for object_, known in objects.items()
            for relation in known
            if subject in places and object_ in places
        ]
        columns = np.array(facts, np.int32).reshape(-1, 3).T
        table = NameColumns(
            pa.array(concepts, pa.large_string()),
            np.array([places[row[0]] for row in rows], np.int32),
            np.array([row[1] for row in rows], np.uint8),
            pa.array([row[2] for row in rows], pa.large_string()),
        )
        facts_sorted = sorted_relations(columns[0], columns[1], columns[2], ids)
        return cls(parts_of(languages, table, facts_sorted, dict(phrases)))

    @classmethod
    def open(cls, folder: str | Path) -> KnowledgeBase:
        """What `save` wrote to `folder`, memory-mapped: in milliseconds, and shared between processes.

        Raises:
            InputError: not such a folder, one of another version, or a missing or damaged file.
        """
        return cls(open_parts(Path(folder)))

    def save(self, folder: str | Path) -> None:
        """Write it to `folder` for `open`; an earlier one there is replaced.

        Raises:
            InputError: something else is there.
        """
        save_parts(self._parts, Path(folder))

    def name_table(self) -> NameTable:
        """All names as columns. The strings are those of the knowledge base, not copies."""
        parts = self._parts
        sizes = np.diff(parts.cells)
        filled = np.flatnonzero(sizes)
        concept, language = np.divmod(np.arange(len(sizes)), len(self.languages))
        preferred = np.zeros(len(parts.names), np.bool_)
        preferred[parts.cells[filled]] = True
        return NameTable(
            self.languages,
            parts.concepts.arrow(),
            np.repeat(concept.astype(np.int32), sizes),
            np.repeat(language.astype(np.uint8), sizes),
            preferred,
            parts.names.arrow(),
        )

    def names_of(self, concept: str, language: str) -> list[str]:
        """The names of `concept` in `language`, which must be one of `languages`: the preferred one first.

        None if it is not known.
        """
        return self._remembered_names(concept, language)

    def concepts(self, language: str) -> Iterator[str]:
        """The concepts with a name in `language`, sorted."""
        sizes = np.diff(self._parts.cells)[self._places[language] :: len(self.languages)]
        return map(self._parts.concepts.__getitem__, np.flatnonzero(sizes).tolist())

    def relations_of(self, subject: str) -> Mapping[str, list[str]]:
        """Object → relations from `subject` to it; both sorted."""
        parts, found = self._parts, self._find(subject)
        objects: dict[str, list[str]] = {}
        if found >= 0:
            for row in range(self._subjects[found], self._subjects[found + 1]):
                relation = parts.relation_ids[self._relations[row]]
                objects.setdefault(parts.concepts[self._objects[row]], []).append(relation)
        return objects

    def relations_among(self, concepts: Iterable[str]) -> dict[tuple[str, str], list[str]]:
        """(subject, object) → relations, sorted, for all pairs of `concepts` that have any.

        Cheap however many relations a concept has with others.
        """
        places = {place: concept for concept in concepts if (place := self._find(concept)) >= 0}
        objects = sorted(places)
        found: dict[tuple[str, str], list[str]] = {}
        for subject in places:
            for row in self._rows_with(subject, objects):
                object_ = places.get(self._objects[row])
                if object_ is not None:
                    relation = self._parts.relation_ids[self._relations[row]]
                    found.setdefault((places[subject], object_), []).append(relation)
        return found

    def _rows_with(self, subject: int, objects: Sequence[int]) -> Iterator[int]:
        """The relations of `subject` with any of `objects`, which are sorted; of a few, all."""
        start, end = self._subjects[subject], self._subjects[subject + 1]
        if end - start <= len(objects):
            yield from range(start, end)
            return
        for object_ in objects:
            start = bisect_left(self._objects, object_, start, end)
            while start < end and self._objects[start] == object_:
                yield start
                start += 1

    def _decoded_names(self, concept: str, language: str) -> list[str]:
        place, found = self._places[language], self._parts.concept_index.find(concept)
        if found < 0:
            return []
        cell = found * len(self.languages) + place
        return self._parts.names.between(self._cells[cell], self._cells[cell + 1])
