"""Where names and texts come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kbioxlm.dataset_scripts.corpora.statistics import NameSource
from kbioxlm.dataset_scripts.folder import read_table


def content_digest(path: str | Path) -> str:
    """A digest of a file, or of the names and contents of all files in a folder."""
    path = Path(path)
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        with file.open("rb") as stream:
            digest.update(f"{file.relative_to(path)} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def name_sources(knowledge_base: Path) -> list[NameSource]:
    """The sources of a knowledge base's names, as its config `sources` tells them.

    Raises:
        InputError: a damaged folder.
    """
    if not (knowledge_base / "sources").is_dir():
        return []
    columns = ("source", "license", "title", "version")
    return [NameSource(**row) for row in read_table(knowledge_base, "sources", columns).to_pylist()]
