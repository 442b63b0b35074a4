"""Babelon: the TSV in which the Monarch Initiative's ontologies keep their translations.

One translation a row; columns as in https://github.com/monarch-initiative/babelon (schema/babelon.yaml). The files of
the Human Phenotype Ontology are written by spreadsheets, so that a value may stand in double quotes.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.knowledge.licenses import agreed_license
from kbioxlm.dataset_scripts.knowledge.open_tables import (
    NameRow,
    compact_id,
    names_table,
    no_relations,
    no_semantic_types,
    wanted_language,
)
from kbioxlm.dataset_scripts.knowledge.sources import Provenance, SourceTables
from kbioxlm.dataset_scripts.knowledge.text_files import checked, file_stem, open_text

REQUIRED_COLUMNS = (
    *("source_language", "source_value", "subject_id", "predicate_id"),
    *("translation_language", "translation_value"),
)
STATUSES = ("OFFICIAL", "UNDER_REVIEW", "CANDIDATE", "NOT_TRANSLATED")
_TERM_TYPES = {
    **dict.fromkeys(("label", "prefLabel"), "label"),
    **dict.fromkeys(("hasExactSynonym", "exactSynonym", "altLabel"), "exact"),
}
_METADATA = re.compile(r"# ?(\w+):\s*(\S.*)")


@dataclass
class BabelonSource:
    """A babelon file, plain or `.gz`.

    Attributes:
        path: the file.
        license: its licence; needed if the metadata before the header names none.
        languages: ISO 639-1 codes to keep; None means all, and then a language that is not known is an error.
        statuses: values of `translation_status` to keep, the most trusted first. A row without status counts as
            CANDIDATE, as in the schema.
        left_out: what the last `read` left out, and how often.
    """

    path: str | Path
    license: str | None = None
    languages: tuple[str, ...] | None = None
    statuses: tuple[str, ...] = ("OFFICIAL", "CANDIDATE")
    left_out: Counter[str] = field(default_factory=Counter, init=False, compare=False)

    def read(self) -> SourceTables:
        """Labels and exact synonyms, in the source language and the translations; labels are preferred.

        Raises:
            InputError: file that is missing or damaged, no licence, a header without the columns, or a row with
                another number of columns, without a subject, with an unknown status or language.
        """
        path = Path(self.path)
        digest = checked(path)
        self.left_out.clear()
        source = f"babelon:{file_stem(path)}"
        with open_text(path) as stream:
            metadata: dict[str, str] = {}
            rows = _rows(path, stream, metadata)
            header = next(rows, None)
            columns = _columns(path, header)
            license_ = agreed_license(path, [metadata.get("license", "")], self.license)
            bar = tqdm(rows, desc=path.name, unit=" rows", disable=None)
            names = names_table(self._names(path, columns, bar), source, license_)
        version = metadata.get("profile_version", metadata.get("source_version", ""))
        title = metadata.get("title", metadata.get("profile_id", ""))
        provenance = Provenance(source, license_, title, version, path.name, digest)
        return SourceTables(names, no_relations(), no_semantic_types(), {}, (provenance,))

    def _names(self, path: Path, columns: dict[str, int], rows: Iterable[tuple[int, list[str]]]) -> Iterator[NameRow]:
        told: set[tuple[str, str, str]] = set()
        for line, values in rows:
            if len(values) != len(columns):
                found = f"{len(values)} columns instead of {len(columns)}"
                raise InputError(path, found, "separate the columns of the header by tabs", line=line)
            row = {name: values[place].strip() for name, place in columns.items()}
            concept = compact_id(row["subject_id"])
            if not concept:
                raise InputError(path, "no subject_id", "give every row its concept, such as HP:0001250", line=line)
            term_type = _TERM_TYPES.get(re.split(r"[:/#]", row["predicate_id"])[-1])
            if term_type is None:
                self.left_out[f"predicate {row['predicate_id']}"] += 1
                continue
            original = (concept, term_type, row["source_value"])
            if row["source_value"] and original not in told:
                told.add(original)
                code = wanted_language(row["source_language"], self.languages, path, line)
                if code is not None:
                    yield NameRow(concept, code, row["source_value"], term_type, self._rank(term_type, 0))
            place = self._place(path, row, line)
            if place is not None:
                code = wanted_language(row["translation_language"], self.languages, path, line)
                if code is None:
                    self.left_out["other language"] += 1
                else:
                    yield NameRow(concept, code, row["translation_value"], term_type, self._rank(term_type, place))

    def _place(self, path: Path, row: dict[str, str], line: int) -> int | None:
        """How much the translation is trusted (0 is most), None if it is left out."""
        status = row.get("translation_status") or "CANDIDATE"
        precision = row.get("translation_precision") or "EXACT"
        if status not in STATUSES:
            raise InputError(path, f"unknown translation_status {shown(status)}", f"give {','.join(STATUSES)}", line)
        if status not in self.statuses:
            self.left_out[f"status {status}"] += 1
        elif precision != "EXACT":
            self.left_out[f"precision {precision}"] += 1
        elif not row["translation_value"]:
            self.left_out["empty translation"] += 1
        else:
            return self.statuses.index(status)
        return None

    def _rank(self, term_type: str, place: int) -> int:
        return place if term_type == "label" else len(self.statuses) + place


def babelon_columns(header: list[str]) -> bool:
    """Whether a header is that of a babelon file."""
    return set(REQUIRED_COLUMNS) <= set(header)


def _rows(path: Path, stream: Iterator[str], metadata: dict[str, str]) -> Iterator[tuple[int, list[str]]]:
    """The header, then the rows, each with the line it begins on; `metadata` is filled before the header."""
    comments = 0
    first = ""
    for first in stream:
        if not first.startswith("#"):
            break
        comments += 1
        if entry := _METADATA.match(first):
            metadata[entry[1]] = entry[2].strip().strip("'\"")
    reader = csv.reader(chain([first], stream), delimiter="\t", strict=True)
    begin = comments + 1
    try:
        for row in reader:
            if row:
                yield begin, row
            begin = comments + 1 + reader.line_num
    except csv.Error as error:
        found = f"not well-formed tab-separated text ({error})"
        remedy = "put a value that begins with a quote in double quotes and double those inside"
        raise InputError(path, found, remedy, line=begin) from error


def _columns(path: Path, header: tuple[int, list[str]] | None) -> dict[str, int]:
    if header is None:
        raise InputError(path, "no header", f"give the columns {', '.join(REQUIRED_COLUMNS)}")
    line, names = header
    columns = {name.strip(): place for place, name in enumerate(names)}
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if missing:
        raise InputError(path, f"no column {missing[0]!r} in {shown(names)}", "give a babelon file", line=line)
    if len(columns) < len(names):
        raise InputError(path, f"a column is named twice in {shown(names)}", "name every column once", line=line)
    return columns
