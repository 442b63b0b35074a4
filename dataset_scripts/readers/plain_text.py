"""Plain text: documents with blank lines between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import read_lines
from kbioxlm.dataset_scripts.readers.documents import Document

DOCUMENT_LIMIT = 64 << 20  # characters


def read_plain_text(
    path: str | Path, name: str, languages: tuple[str, ...], language: str | None = None
) -> Iterator[Document]:
    """The documents of a text file, plain, `.gz` or `.bz2`: one or more lines each, kept as they are.

    A document is called by the part's name and the number of its first line.

    Raises:
        InputError: as `read_lines`; no language, or one that is not of `languages`; a document without end.
    """
    if language is None or language not in languages:
        found = "plain text does not say its language" if language is None else f"--language {language} is not asked"
        raise InputError(path, found, f"say --language with one of {','.join(languages)}")
    lines: list[str] = []
    first = length = 0
    for number, line in read_lines(path):
        if line.strip():
            first = first if lines else number
            lines.append(line)
            length += len(line)
            if length > DOCUMENT_LIMIT:
                found = f"a document of more than {DOCUMENT_LIMIT:,} characters"
                raise InputError(path, found, "put a blank line between documents", line=first)
        elif lines:
            yield Document(f"{name}:{first}", language, "\n".join(lines))
            lines, length = [], 0
    if lines:
        yield Document(f"{name}:{first}", language, "\n".join(lines))
