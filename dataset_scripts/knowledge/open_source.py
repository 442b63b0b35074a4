"""Which reader a file of open knowledge needs."""

from __future__ import annotations

from pathlib import Path

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file
from kbioxlm.dataset_scripts.knowledge.babelon import BabelonSource, babelon_columns
from kbioxlm.dataset_scripts.knowledge.obo import OboSource
from kbioxlm.dataset_scripts.knowledge.own_tsv import NAME_COLUMNS, TsvSource, header_columns
from kbioxlm.dataset_scripts.knowledge.sources import KnowledgeSource
from kbioxlm.dataset_scripts.knowledge.text_files import checked

_REMEDY = (
    "give an ontology (.obo, or .json as OBO Graphs), a babelon table, or a table with the columns "
    f"{', '.join(NAME_COLUMNS)}"
)


def open_source(
    path: str | Path, license: str | None = None, languages: tuple[str, ...] | None = None
) -> KnowledgeSource:
    """The reader of a file, chosen by its name and, for tables, by its header.

    Args:
        path: `.obo`, `.json` or `.tsv`, plain or `.gz`. The relations of a table of our own `NAME.tsv` are read from
            `NAME.relations.tsv` beside it, if that is there.
        license: of the file; needed where it does not state its own.
        languages: to keep, of a table; None means all. An ontology has names in one language.

    Raises:
        InputError: no such file, or a file of another kind.
    """
    path = require_file(path)
    name = path.name.removesuffix(".gz")
    if name.endswith((".obo", ".json")):
        return OboSource(path, license)
    if name.endswith((".owl", ".ofn", ".rdf", ".ttl", ".xml")):
        remedy = "write it as OBO with `robot convert --input FILE --output FILE.obo`"
        raise InputError(path, "an ontology in a format that is not read", remedy)
    if not name.endswith((".tsv", ".txt")):
        raise InputError(path, f"a file of unknown kind {shown(path.suffix)}", _REMEDY)
    return _table(path, name, license, languages)


def _table(path: Path, name: str, license_: str | None, languages: tuple[str, ...] | None) -> KnowledgeSource:
    checked(path)
    columns = header_columns(path)
    if babelon_columns(columns) or name.endswith(".babelon.tsv"):
        return BabelonSource(path, license_, languages)
    if not set(NAME_COLUMNS) <= set(columns):
        raise InputError(path, f"a table with the columns {shown(columns)}", _REMEDY, line=1)
    stem = name.rsplit(".", 1)[0]
    beside = (path.with_name(f"{stem}.relations.tsv{ending}") for ending in ("", ".gz"))
    relations = next((candidate for candidate in beside if candidate.is_file()), None)
    return TsvSource(path, relations, license_, languages)
