"""An ontology as its readers give it, and the tables made of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge.open_tables import NameRow, one_to_one

SCOPES = ("EXACT", "NARROW", "BROAD", "RELATED")
_CUI = re.compile(r"UMLS(?:_?CUI)?:(C[0-9]{7})", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass
class Term:
    """A class of an ontology.

    Attributes:
        id: compact ("HP:0001250").
        label: "" where it has none.
        obsolete: withdrawn by its makers.
        synonyms: (scope, text), in the order of the file.
        xrefs: compact ids in other vocabularies.
        parents: ids of the classes that it is a kind of.
        relations: (id of the relation, id of the other class).
    """

    id: str
    label: str = ""
    obsolete: bool = False
    synonyms: list[tuple[str, str]] = field(default_factory=list)
    xrefs: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    relations: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Ontology:
    """A file of terms.

    Attributes:
        terms: by id, in the order of the file.
        relation_labels: label of a relation by its id.
        licenses: what the header says about the licence.
        name: short name ("hp"), "" where the header does not say.
        title: "" where the header does not say.
        version: "" where the header does not say.
    """

    terms: dict[str, Term] = field(default_factory=dict)
    relation_labels: dict[str, str] = field(default_factory=dict)
    licenses: list[str] = field(default_factory=list)
    name: str = ""
    title: str = ""
    version: str = ""

    def term(self, identifier: str) -> Term:
        """The term of that id, made where there was none."""
        return self.terms.setdefault(identifier, Term(identifier))

    def describe(self, relation: str, value: str) -> None:
        """Take over a statement of the header, if it is the licence or the title.

        The vocabularies of terms of use are abbreviated in many ways: `terms:license`, `dcterms-license`, the whole
        address.
        """
        kind = re.split(r"[/#:-]", relation)[-1]
        if kind == "license":
            self.licenses.append(value)
        elif kind == "title":
            self.title = value

    def concepts(self) -> dict[str, Term]:
        """The terms that are in use and have a label, by id."""
        return {key: term for key, term in self.terms.items() if term.label and not term.obsolete}


def name_rows(concepts: dict[str, Term], language: str, scopes: tuple[str, ...]) -> Iterator[NameRow]:
    """Labels (rank 0) and synonyms of the `scopes` (rank by their place there)."""
    ranks = {scope: place for place, scope in enumerate(scopes, start=1)}
    for term in concepts.values():
        yield NameRow(term.id, language, term.label, "label", 0)
        for scope, text in term.synonyms:
            if scope in ranks:
                yield NameRow(term.id, language, text, scope.lower(), ranks[scope])


def relation_rows(ontology: Ontology, left_out: Counter[str]) -> Iterator[tuple[str, str, str]]:
    """`isa` and the labelled relations between concepts of the ontology, each once.

    A relation is called by its label, with underscores for spaces. One without a label whose id is not a word
    ("RO:0002200") has no name that could be told, and is counted in `left_out`.
    """
    concepts = ontology.concepts()
    for term in concepts.values():
        told = [("isa", parent) for parent in term.parents if parent in concepts]
        for identifier, other in term.relations:
            if other not in concepts:
                continue
            label = "_".join(ontology.relation_labels.get(identifier, "").split())
            if label or _WORD.fullmatch(identifier):
                told.append((label or identifier, other))
            else:
                left_out[f"relation {identifier} without a label"] += 1
        yield from ((term.id, relation, other) for relation, other in dict.fromkeys(told))


def umls_concepts(concepts: dict[str, Term]) -> dict[str, str]:
    """Id → CUI, where no other term refers to the CUI and the term refers to no other CUI."""
    found = ((term.id, _CUI.fullmatch(xref)) for term in concepts.values() for xref in term.xrefs)
    return one_to_one((identifier, match[1].upper()) for identifier, match in found if match)


def refuse_cycles(path: Path, concepts: dict[str, Term]) -> None:
    """Pass if no concept is a kind of itself.

    Raises:
        InputError: some are, through `is_a`.
    """
    parents = {key: [parent for parent in term.parents if parent in concepts] for key, term in concepts.items()}
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        circle = " is_a ".join(reversed(error.args[1]))
        raise InputError(path, f"a circle of is_a: {circle}", "remove one of these lines") from error


def release(version: str) -> str:
    """The date in a version ("hp/releases/2024-04-26", an address with one), else the version itself."""
    found = re.search(r"\d{4}-\d{2}-\d{2}", version)
    return found[0] if found else version


def short_name(address: str) -> str:
    """`hp` of `http://purl.obolibrary.org/obo/hp.owl` or of `hp/hp-base`."""
    return re.split(r"[/#]", address.rstrip("/#"))[-1].split(".", 1)[0]
