"""The phrase with which a relation is said in each language."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_lines
from kbioxlm.dataset_scripts.knowledge.languages import UMLS_OF_ISO

SHIPPED = Path(__file__).with_name("relation_names.tsv")
HEADER = ("relation", "language", "name")
RelationNames = dict[tuple[str, str], str]


def read_relation_names(path: str | Path) -> RelationNames:
    """Phrases by (relation, language) from a tab-separated file with the header `relation language name`.

    Raises:
        InputError: another header, a line that does not have three filled columns, an unknown language, or a
            relation named twice in one language.
    """
    names: RelationNames = {}
    for line, text in read_lines(path):
        row = tuple(cell.strip() for cell in text.split("\t"))
        if line == 1:
            if row != HEADER:
                raise InputError(
                    path, f"header {shown(text)}", "begin with the columns relation, language, name", line=1
                )
            continue
        if len(row) != len(HEADER) or not all(row):
            raise InputError(
                path, f"not three filled columns: {shown(text)}", "write relation, language, name", line=line
            )
        relation, language, name = row
        if language not in UMLS_OF_ISO:
            raise InputError(
                path, f"unknown language {shown(language)}", "write an ISO 639-1 code such as zh", line=line
            )
        if (relation, language) in names:
            raise InputError(
                path, f"{relation} is named twice in {language}", "keep one phrase a relation and language", line=line
            )
        names[relation, language] = name
    return names


def relation_names(
    relations: Iterable[str], languages: Iterable[str], extra: str | Path | None = None
) -> RelationNames:
    """Phrases of `relations` in `languages`: those of `extra` over the shipped ones.

    A relation without an English phrase is read out (`has_active_moiety` becomes "has active moiety"); in any
    other language it stays without one.
    """
    known = read_relation_names(SHIPPED) | (read_relation_names(extra) if extra is not None else {})
    names: RelationNames = {}
    for relation in set(relations):
        for language in languages:
            name = known.get((relation, language))
            if name is None and language == "en":
                name = relation.replace("_", " ")
            if name is not None:
                names[relation, language] = name
    return names
