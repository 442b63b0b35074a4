"""From a row with the columns `text`, `id` and `lang` to a document: the same for all formats that have rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.readers.documents import Document

LANGUAGE_KEYS = ("lang", "language")


def document_of(
    row: Mapping[str, Any], place: str | Path, name: str, number: int, language: str | None, text_key: str = "text"
) -> Document:
    """The document of a row. A row without id is called by its part and number.

    Args:
        place: the file, for error messages.
        name: the part's name.
        number: of the line or row, from 1.
        language: of rows that do not say theirs.

    Raises:
        InputError: a text or language that is no string, an id that is neither string nor whole number, no language.
    """
    text = row[text_key]
    if not isinstance(text, str):
        raise InputError(place, f"{text_key!r} is not a text: {shown(text)}", "write a string", line=number)
    found = next((row[key] for key in LANGUAGE_KEYS if row.get(key) is not None), language)
    if found is None:
        remedy = "add it, or say --language for all texts without it"
        raise InputError(place, f"no 'lang' beside {shown(text[:80])}", remedy, line=number)
    if not isinstance(found, str):
        raise InputError(place, f"'lang' is not a string: {shown(found)}", "write a code such as en", line=number)
    name_of_row = row.get("id")
    if name_of_row is None or name_of_row == "":
        name_of_row = f"{name}:{number}"
    elif not isinstance(name_of_row, str | int) or isinstance(name_of_row, bool):
        found_id = f"'id' is neither a string nor a whole number: {shown(name_of_row)}"
        raise InputError(place, found_id, "write a string", line=number)
    return Document(str(name_of_row), found, text)


def require_language(document: Document, languages: tuple[str, ...], place: str | Path, number: int) -> Document:
    """`document`, if its language is one of `languages`.

    Raises:
        InputError: it is not.
    """
    if document.language not in languages:
        raise InputError(
            place,
            f"language {shown(document.language)} is not one of {','.join(languages)}",
            "add it to --languages or leave the text out",
            line=number,
        )
    return document
