"""Texts in JSON lines: `{"id", "lang", "text"}`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kbioxlm.common.files import read_json_lines
from kbioxlm.dataset_scripts.readers.documents import Document
from kbioxlm.dataset_scripts.readers.fields import document_of, require_language


def read_documents(
    path: str | Path, name: str, languages: tuple[str, ...], language: str | None = None
) -> Iterator[Document]:
    """The texts of a JSON-lines file, plain, `.gz` or `.bz2`. `language` stands in for a missing "lang".

    Raises:
        InputError: as `read_json_lines` and `document_of`; a language that is not one of `languages`.
    """
    for line, row in read_json_lines(path, required=("text",)):
        yield require_language(document_of(row, path, name, line, language), languages, path, line)
