"""OBO flat files, parsed by fastobo (the parser under pronto).

fastobo keeps strictly to OBO 1.4 and gives up the whole file for one clause, while released ontologies have malformed
cross-references, dates and definitions. It is therefore shown only the clauses that are needed here; every other line
is blank to it, so that the line numbers of its errors are those of the file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import fastobo
from tqdm import tqdm

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.knowledge.ontology import Ontology, Term, release, short_name
from kbioxlm.dataset_scripts.knowledge.text_files import open_bytes, open_text

_HEADER_TAGS = (b"format-version:", b"data-version:", b"ontology:")
_STATEMENT = re.compile(r'property_value:\s*(\S+)\s+(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_FRAME_TAGS = (b"id:", b"name:", b"synonym:", b"is_a:", b"relationship:", b"is_obsolete:")
_KNOWN_FRAMES = (b"[Term]", b"[Typedef]")


def read_flat(path: Path) -> Ontology:
    """The ontology in an OBO file that was `checked`. Nothing that it imports is read.

    Raises:
        InputError: not OBO, or a malformed clause among those that are needed.
    """
    ontology = Ontology()
    for relation, value in _header_statements(path):
        ontology.describe(relation, value)
    with open_bytes(path) as stream:
        try:
            frames = fastobo.iter(cast(BinaryIO, _Needed(stream)), ordered=True, threads=1)
            _read_header(ontology, frames.header())
            for frame in tqdm(frames, desc=path.name, unit=" frames", disable=None):
                if isinstance(frame, fastobo.term.TermFrame):
                    _read_term(ontology.term(str(frame.id)), frame)
                else:
                    _read_relation(ontology, frame)
        except SyntaxError as error:
            raise InputError(
                path,
                f"not OBO 1.4: {error.msg} in {shown((error.text or '').strip())}",
                "mend the line, or write the file again with `robot convert`",
                line=error.lineno,
            ) from error
    return ontology


def _header_statements(path: Path) -> Iterator[tuple[str, str]]:
    """The properties in the header, also those that releases write against the rules (an address with a datatype)."""
    with open_text(path) as stream:
        for line in stream:
            if line.startswith("["):
                return
            if found := _STATEMENT.match(line):
                yield found[1], found[3] or re.sub(r"\\(.)", r"\1", found[2])


def _read_header(ontology: Ontology, header: Iterable) -> None:
    for clause in header:
        if clause.raw_tag() == "data-version":
            ontology.version = release(clause.version)
        elif clause.raw_tag() == "ontology":
            ontology.name = short_name(clause.ontology)


def _read_term(term: Term, frame: Iterable) -> None:
    for clause in frame:
        match clause.raw_tag():
            case "name":
                term.label = term.label or clause.name
            case "synonym":
                synonym = clause.synonym
                term.synonyms.append((synonym.scope, synonym.desc))
            case "xref":
                term.xrefs.append(str(clause.xref.id))
            case "is_a":
                term.parents.append(str(clause.term))
            case "relationship":
                term.relations.append((str(clause.typedef), str(clause.term)))
            case "is_obsolete":
                term.obsolete = clause.obsolete


def _read_relation(ontology: Ontology, frame: fastobo.typedef.TypedefFrame) -> None:
    for clause in frame:
        if clause.raw_tag() == "name":
            ontology.relation_labels[str(frame.id)] = clause.name


class _Needed(io.RawIOBase):
    """A file's needed lines as a stream of bytes, the others blank."""

    def __init__(self, stream: BinaryIO):
        self._lines = _needed_lines(stream)
        self._buffer = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._buffer) < size and (line := next(self._lines, None)) is not None:
            self._buffer += line
        part, self._buffer = self._buffer[:size], self._buffer[size:]
        return part


def _needed_lines(stream: Iterable[bytes]) -> Iterator[bytes]:
    in_header, in_known_frame = True, False
    for line in stream:
        text = line.removeprefix(b"\xef\xbb\xbf").strip()
        if text.startswith(b"["):
            in_header, in_known_frame = False, text.split(b"!")[0].strip() in _KNOWN_FRAMES
            needed = in_known_frame
        elif in_header:
            needed = text.startswith(_HEADER_TAGS) or not _is_clause(text)
        else:
            about_umls = text.startswith(b"xref:") and text[5:].lstrip().upper().startswith(b"UMLS")
            needed = in_known_frame and (about_umls or text.startswith(_FRAME_TAGS) or not _is_clause(text))
        yield text + b"\n" if needed else b"\n"


def _is_clause(text: bytes) -> bool:
    return not text or text.startswith(b"!") or b":" in text
