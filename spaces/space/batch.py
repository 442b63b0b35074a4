"""Uploaded files: what is in them, and which are not read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .refusal import RefusedError
from .settings import Settings
from .tagger import clean

Document = dict[str, Any]
SUFFIXES = (".txt", ".jsonl", ".pubtator")
_PACKED = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"Rar!")


def documents_of(path: Path, settings: Settings) -> list[Document]:
    """The documents, `{"id", "text"}`, of a file.

    Nothing is unpacked. `.txt` has one document a line, known by the line's number; blank lines are passed over.

    Raises:
        RefusedError: of another kind, too large, packed, not UTF-8, or a line (which is named) that is not right.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise RefusedError("file_kind")
    try:
        size = path.stat().st_size
        if size > settings.upload:
            raise RefusedError("file_large", size=size, limit=settings.upload)
        content = path.read_bytes()
    except OSError as error:
        raise RefusedError("file_gone") from error
    reader = {".txt": _plain, ".jsonl": _json_lines, ".pubtator": _pubtator}[path.suffix.lower()]
    found: dict[str, Document] = {}
    for line, name, text in reader(_lines(content)):
        if len(found) == settings.documents:
            raise RefusedError("file_documents", line=line, limit=settings.documents)
        if len(text) > settings.characters:
            raise RefusedError("file_long", line=line, length=len(text), limit=settings.characters)
        if name in found:
            raise RefusedError("file_twice", line=line, id=repr(name)[:60])
        found[name] = {"id": name, "text": clean(text)}
    if not found:
        raise RefusedError("file_empty")
    return list(found.values())


def _lines(content: bytes) -> list[tuple[int, str]]:
    if content.startswith(_PACKED):
        raise RefusedError("file_packed")
    lines = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if b"\0" in line:
            raise RefusedError("file_binary", line=number)
        try:
            lines.append((number, line.decode("utf-8").rstrip("\r")))
        except UnicodeDecodeError as error:
            raise RefusedError("file_encoding", line=number) from error
    return lines


def _plain(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str, str]]:
    for number, line in lines:
        if line.strip():
            yield number, str(number), line


def _json_lines(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str, str]]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RefusedError("file_json", line=number) from error
        if not isinstance(row, dict):
            raise RefusedError("file_json", line=number)
        name, text = row.get("id"), row.get("text")
        if isinstance(name, bool) or not isinstance(name, (str, int)) or name == "":
            raise RefusedError("file_key", line=number, key="id")
        if not isinstance(text, str):
            raise RefusedError("file_key", line=number, key="text")
        yield number, clean(str(name)), text


def _pubtator(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str, str]]:
    """Title and abstract with a line break between them, which takes the place of the space that the format counts."""
    begun: dict[str, tuple[int, str, str]] = {}
    for number, line in lines:
        fields = line.split("|", 2)
        if not line.strip():
            yield from begun.values()
            begun = {}
        elif len(fields) == 3 and fields[0].strip() and fields[1] == "t" and not begun:
            begun[fields[0]] = (number, fields[0], fields[2])
        elif len(fields) == 3 and fields[1] == "a" and fields[0] in begun:
            first, name, title = begun[fields[0]]
            begun[fields[0]] = (first, name, f"{title}\n{fields[2]}" if fields[2] else title)
        elif not (begun and line.split("\t")[0] in begun and "\t" in line):
            raise RefusedError("file_pubtator", line=number)
    yield from begun.values()
