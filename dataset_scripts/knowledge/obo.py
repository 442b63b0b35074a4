"""Ontologies of the OBO Foundry as a source: labels, synonyms, relations and the UMLS concepts they refer to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.knowledge.licenses import agreed_license
from kbioxlm.dataset_scripts.knowledge.obo_flat import read_flat
from kbioxlm.dataset_scripts.knowledge.obo_graph import read_graphs
from kbioxlm.dataset_scripts.knowledge.ontology import (
    SCOPES,
    name_rows,
    refuse_cycles,
    relation_rows,
    umls_concepts,
)
from kbioxlm.dataset_scripts.knowledge.open_tables import names_table, no_semantic_types, relations_table
from kbioxlm.dataset_scripts.knowledge.sources import Provenance, SourceTables
from kbioxlm.dataset_scripts.knowledge.text_files import checked, file_stem


@dataclass
class OboSource:
    """An OBO flat file (`.obo`) or OBO Graphs JSON (`.json`), plain or `.gz`.

    Attributes:
        path: the file.
        license: its licence; needed if the header does not state it.
        language: ISO 639-1 code of the names; the formats mark none.
        scopes: scopes of synonyms to keep, the closest to the label first.
        left_out: what the last `read` left out, and how often.
    """

    path: str | Path
    license: str | None = None
    language: str = "en"
    scopes: tuple[str, ...] = ("EXACT",)
    left_out: Counter[str] = field(default_factory=Counter, init=False, compare=False)

    def read(self) -> SourceTables:
        """Names and relations of the terms that are in use; imported ontologies are not fetched.

        Raises:
            InputError: a file that is missing, damaged or not of its format, that states no licence, in which a
                term is a kind of itself, or without a single label; a scope that is none.
        """
        path = Path(self.path)
        for scope in self.scopes:
            if scope not in SCOPES:
                raise InputError("scopes", f"unknown scope {shown(scope)}", f"give some of {', '.join(SCOPES)}")
        self.left_out.clear()
        is_json = path.name.removesuffix(".gz").endswith(".json")
        digest = checked(path, line_limit=None) if is_json else checked(path)
        ontology = read_graphs(path) if is_json else read_flat(path)
        license_ = agreed_license(path, ontology.licenses, self.license)
        concepts = ontology.concepts()
        if not concepts:
            raise InputError(path, "no term with a label", "give an ontology in OBO or OBO Graphs JSON")
        refuse_cycles(path, concepts)
        if obsolete := sum(term.obsolete for term in ontology.terms.values()):
            self.left_out["obsolete terms"] = obsolete
        source = (ontology.name or file_stem(path)).upper()
        names = names_table(name_rows(concepts, self.language, self.scopes), source, license_)
        relations = relations_table(relation_rows(ontology, self.left_out), source)
        provenance = Provenance(source, license_, ontology.title, ontology.version, path.name, digest)
        return SourceTables(names, relations, no_semantic_types(), umls_concepts(concepts), (provenance,))
