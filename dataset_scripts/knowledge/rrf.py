"""Reading the UMLS's rich release format: MRCONSO, MRREL and MRSTY.

One row a line, columns separated by `|` with one more `|` at the end, never quoted (UMLS Reference Manual,
section "Metathesaurus Rich Release Format").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_lines
from kbioxlm.dataset_scripts.knowledge.languages import ISO_OF_UMLS

MRCONSO_COLUMNS = (
    *("CUI", "LAT", "TS", "LUI", "STT", "SUI", "ISPREF", "AUI", "SAUI", "SCUI", "SDUI"),
    *("SAB", "TTY", "CODE", "STR", "SRL", "SUPPRESS", "CVF"),
)
MRREL_COLUMNS = (
    *("CUI1", "AUI1", "STYPE1", "REL", "CUI2", "AUI2", "STYPE2", "RELA"),
    *("RUI", "SRUI", "SAB", "SL", "RG", "DIR", "SUPPRESS", "CVF"),
)
MRSTY_COLUMNS = ("CUI", "TUI", "STN", "STY", "ATUI", "CVF")


class Name(NamedTuple):
    """One atom of MRCONSO. `rank` orders the names of a concept in one language, the preferred one first."""

    concept: str
    language: str
    name: str
    source: str
    term_type: str
    rank: tuple[bool, bool, bool]


class Relation(NamedTuple):
    """One line of MRREL, to be read as the sentence `subject relation object`."""

    subject: str
    relation: str
    object: str
    source: str


@dataclass(frozen=True)
class RichReleaseFiles:
    """The three files of a folder in rich release format, plain or `.gz`."""

    names: Path
    relations: Path
    semantic_types: Path

    @classmethod
    def of_folder(cls, folder: str | Path) -> RichReleaseFiles:
        """Find the files in `folder`.

        Raises:
            InputError: the folder or one of the files is missing.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(
                folder, "no such folder", "give the folder that holds MRCONSO.RRF, MRREL.RRF and MRSTY.RRF"
            )
        return cls(*(_find(folder, table) for table in ("MRCONSO", "MRREL", "MRSTY")))


def _find(folder: Path, table: str) -> Path:
    for name in (f"{table}.RRF", f"{table}.RRF.gz"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(folder / f"{table}.RRF", "no such file", f"put {table}.RRF or {table}.RRF.gz into the folder")


def read_names(path: Path, languages: tuple[str, ...] | None = None) -> Iterator[Name]:
    """The names of MRCONSO that are not suppressible, in `languages` (ISO 639-1; None means all).

    Raises:
        InputError: a line with the wrong number of columns, without a concept or a name, or (when all languages
            are read) in a language that has no ISO 639-1 code here.
    """
    wanted = None if languages is None else set(languages)
    for line, row in _rows(path, MRCONSO_COLUMNS):
        concept, code, ts, _, stt, _, ispref, _, _, _, _, source, term_type, _, name, _, suppress, _ = row
        language = ISO_OF_UMLS.get(code)
        if language is None and wanted is None:
            raise InputError(
                path, f"unknown language {shown(code)} in column LAT", "choose known ones with --languages", line=line
            )
        if suppress != "N" or language is None or (wanted is not None and language not in wanted):
            continue
        name = " ".join(name.split())
        if not concept or not name:
            column = "STR" if concept else "CUI"
            raise InputError(path, f"column {column} is empty", "every line needs a concept and a name", line=line)
        yield Name(concept, language, name, source, term_type, (ts != "P", stt != "PF", ispref != "Y"))


def read_relations(path: Path) -> Iterator[Relation]:
    """The relations of MRREL that are not suppressible and join two concepts.

    The relation runs from the second concept of a line to the first: `CUI2 RELA CUI1`, or `CUI2 REL CUI1` where
    RELA is empty.

    Raises:
        InputError: a line with the wrong number of columns, or without a relation.
    """
    for line, row in _rows(path, MRREL_COLUMNS):
        first, _, _, rel, second, _, _, rela, _, _, source, _, _, _, suppress, _ = row
        if suppress != "N" or first == second or not first or not second:
            continue
        if not rela and not rel:
            raise InputError(path, "columns REL and RELA are both empty", "every line needs a relation", line=line)
        yield Relation(second, rela or rel, first, source)


def read_semantic_types(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs (concept, semantic type) of MRSTY, types as their TUI.

    Raises:
        InputError: a line with the wrong number of columns.
    """
    for _, row in _rows(path, MRSTY_COLUMNS):
        yield row[0], row[1]


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    expected = len(columns)
    for line, text in read_lines(path):
        row = text.split("|")
        if len(row) == expected + 1 and not row[-1]:
            row.pop()
        if len(row) != expected:
            found = text.removesuffix("|").count("|") + 1
            amount = "few" if found < expected else "many"
            raise InputError(
                path,
                f"too {amount} columns, {found} instead of {expected}: {shown(text)}",
                f"a line of this file has the columns {'|'.join(columns)}|",
                line=line,
            )
        yield line, row
