"""OBO Graphs JSON (https://github.com/geneontology/obographs): nodes and edges.

Read with `json`: fastobo refuses a whole file for one free-text cross-reference, an empty property or a synonym of
another kind, all of which occur in releases, and takes several times as long.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.knowledge.ontology import Ontology, Term, release, short_name
from kbioxlm.dataset_scripts.knowledge.open_tables import compact_id
from kbioxlm.dataset_scripts.knowledge.text_files import open_text

_Kind = TypeVar("_Kind", str, bool, list, dict)


def read_graphs(path: Path) -> Ontology:
    """The ontology in a file of OBO Graphs that was `checked`; the header is that of the first graph.

    Raises:
        InputError: not JSON, or not of the form of OBO Graphs.
    """
    ontology = Ontology()
    graphs = _get(path, _parsed(path), "graphs", list, "the file")
    if not graphs:
        raise InputError(path, "no graph in 'graphs'", "give an ontology in OBO Graphs JSON")
    for place, graph in enumerate(graphs):
        where = f"graphs[{place}]"
        if place == 0:
            _read_header(path, ontology, _is_a(path, graph, dict, where))
        for node in _get(path, graph, "nodes", list, where):
            _read_node(path, ontology, node)
        for edge in _get(path, graph, "edges", list, where):
            _read_edge(path, ontology, edge)
    return ontology


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with open_text(path) as stream:
            return _is_a(path, json.load(stream), dict, "the file")
    except json.JSONDecodeError as error:
        raise InputError(path, f"not JSON: {error.msg}", "fetch the file again", line=error.lineno) from error
    except RecursionError as error:
        raise InputError(path, "JSON that is nested too deeply", "give an ontology in OBO Graphs JSON") from error


def _read_header(path: Path, ontology: Ontology, graph: dict[str, Any]) -> None:
    meta = _get(path, graph, "meta", dict, "graphs[0]")
    ontology.name = short_name(_get(path, graph, "id", str, "graphs[0]"))
    ontology.version = release(_get(path, meta, "version", str, "graphs[0].meta"))
    for statement in _get(path, meta, "basicPropertyValues", list, "graphs[0].meta"):
        ontology.describe(*(_get(path, statement, key, str, "graphs[0].meta") for key in ("pred", "val")))


def _read_node(path: Path, ontology: Ontology, node: Any) -> None:
    identifier = compact_id(_identifier(path, node, "id", "a node"))
    where = f"node {identifier}"
    label = _get(path, node, "lbl", str, where)
    kind = _get(path, node, "type", str, where)
    if kind == "PROPERTY":
        ontology.relation_labels[identifier] = label
    elif kind in ("CLASS", ""):
        meta = _get(path, node, "meta", dict, where)
        term = ontology.term(identifier)
        term.label = term.label or label
        term.obsolete = _get(path, meta, "deprecated", bool, where)
        for synonym in _get(path, meta, "synonyms", list, where):
            scope = _get(path, synonym, "pred", str, where).rsplit("#", 1)[-1]
            text = _get(path, synonym, "val", str, where)
            term.synonyms.append((scope.removeprefix("has").removesuffix("Synonym").upper(), text))
        term.xrefs += [_get(path, xref, "val", str, where) for xref in _get(path, meta, "xrefs", list, where)]


def _read_edge(path: Path, ontology: Ontology, edge: Any) -> None:
    subject, relation, object_ = (compact_id(_identifier(path, edge, key, "an edge")) for key in ("sub", "pred", "obj"))
    term = ontology.terms.get(subject)
    if term is not None:
        _add_edge(term, relation, object_)


def _add_edge(term: Term, relation: str, object_: str) -> None:
    if relation == "is_a":
        term.parents.append(object_)
    else:
        term.relations.append((relation, object_))


def _identifier(path: Path, record: Any, key: str, where: str) -> str:
    value = _get(path, record, key, str, where)
    if not value:
        raise InputError(path, f"no {key!r} in {where}: {shown(record)}", f"give every one its {key!r}")
    return value


def _get(path: Path, record: Any, key: str, kind: type[_Kind], where: str) -> _Kind:
    """A value, empty where the record has none or null."""
    value = _is_a(path, record, dict, where).get(key)
    return kind() if value is None else _is_a(path, value, kind, f"{key!r} of {where}")


def _is_a(path: Path, value: Any, kind: type[_Kind], where: str) -> _Kind:
    if not isinstance(value, kind):
        found = f"{where} is {shown(value)}, not a {kind.__name__}"
        raise InputError(path, found, "give an ontology in OBO Graphs JSON")
    return value
