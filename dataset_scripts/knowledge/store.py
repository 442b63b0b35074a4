"""A knowledge base folder in memory, as the corpora use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.folder import read_table
from kbioxlm.dataset_scripts.knowledge.casing import RunningCase


@dataclass(frozen=True)
class KnowledgeBase:
    """Names and relations in some languages.

    Attributes:
        languages: the languages that were loaded, in the order asked.
        names: language → concept → its names as in running text (`RunningCase`), the preferred one first, the
            others sorted, none twice.
        relations: subject → object → relations between them, sorted.
        phrases: (relation, language) → the phrase that says it.
    """

    languages: tuple[str, ...]
    names: dict[str, dict[str, list[str]]]
    relations: dict[str, dict[str, list[str]]]
    phrases: dict[tuple[str, str], str]

    @classmethod
    def load(cls, folder: str | Path, languages: tuple[str, ...]) -> KnowledgeBase:
        """Read the parts of `folder` that are in `languages`.

        Raises:
            InputError: not a knowledge base folder, or a language without a single name.
        """
        if not Path(folder).is_dir():
            raise InputError(folder, "no such folder", "build one with knowledge_base.py build")
        names = _names(folder, languages)
        relations: dict[str, dict[str, list[str]]] = {}
        table = read_table(folder, "relations", ("subject", "relation", "object"))
        for subject, relation, object_ in _tuples(table):
            found = relations.setdefault(subject, {}).setdefault(object_, [])
            if relation not in found:
                found.append(relation)
        phrases = {
            (relation, language): name
            for relation, language, name in _tuples(
                read_table(folder, "relation_names", ("relation", "language", "name"))
            )
            if language in names
        }
        return cls(languages, names, relations, phrases)


def _names(folder: str | Path, languages: tuple[str, ...]) -> dict[str, dict[str, list[str]]]:
    rows: dict[str, list[tuple[str, str, bool]]] = {language: [] for language in languages}
    found = set()
    for concept, language, name, preferred in _tuples(
        read_table(folder, "names", ("concept", "language", "name", "preferred"))
    ):
        found.add(language)
        if language in rows:
            rows[language].append((concept, name, preferred))
    for language in languages:
        if not rows[language]:
            raise InputError(
                folder,
                f"no names in language {language!r}",
                f"build it with that language, or ask for others; it has {','.join(sorted(found))}",
            )
    return {language: _by_concept(rows[language], language) for language in languages}


def _by_concept(rows: list[tuple[str, str, bool]], language: str) -> dict[str, list[str]]:
    in_running_case = RunningCase((name for _, name, _ in rows), language)
    names: dict[str, list[str]] = {}
    for concept, name, _ in sorted(rows, key=lambda row: (row[0], not row[2], row[1])):
        name = in_running_case(name)
        known = names.setdefault(concept, [])
        if name not in known:
            known.append(name)
    return names


def _tuples(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.itercolumns()), strict=True)
