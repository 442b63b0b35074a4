"""The knowledge base: which concepts a name stands for, and what they are called in both languages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfApi, snapshot_download

from .refusal import RefusedError

COLUMNS = ("concept", "language", "name", "preferred", "source", "license")


@dataclass
class Concept:
    """One concept.

    Attributes:
        id: as in the knowledge base.
        names: the preferred one of each language.
        origins: the sources of its names, each with its licence.
    """

    id: str
    names: dict[str, str] = field(default_factory=dict)
    origins: list[tuple[str, str]] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As the API gives it."""
        sources = [{"source": source, "license": license} for source, license in self.origins]
        return {"concept": self.id, "names": self.names, "sources": sources}


class KnowledgeBase:
    """A folder, or a data set of the Hub, that `knowledge_base.py build` has written.

    Attributes:
        concepts: by id.
        sources: rows of its table of sources: source, license, title, version.
        digest: the start of the SHA-256 of its names, which tells two states of it apart.
        date: of the data set on the Hub; empty for a folder.
    """

    def __init__(self, place: str):
        """Read the names and the sources of `place`.

        Raises:
            RefusedError: there is none, or it lacks a table or a column.
        """
        try:
            folder, self.date = _folder(place)
            names = sorted((folder / "names").glob("*.parquet"))
            if not names:
                raise OSError("no names/*.parquet")
            table = pa.concat_tables([pq.read_table(path, columns=list(COLUMNS)) for path in names])
            tables = [pq.read_table(path) for path in sorted((folder / "sources").glob("*.parquet"))]
        except (OSError, ValueError, KeyError) as error:
            raise RefusedError("setting_knowledge", value=place, reason=" ".join(str(error).split())[:300]) from error
        self.sources: list[dict[str, Any]] = [row for table in tables for row in table.to_pylist()]
        self.digest = hashlib.sha256(b"".join(path.read_bytes() for path in names)).hexdigest()[:12]
        self.concepts: dict[str, Concept] = {}
        self._ids: dict[str, list[str]] = {}
        for row in table.to_pylist():
            self._add(row)

    def _add(self, row: dict[str, Any]) -> None:
        concept = self.concepts.setdefault(row["concept"], Concept(row["concept"]))
        if row["preferred"]:
            concept.names[row["language"]] = row["name"]
        if (row["source"], row["license"]) not in concept.origins:
            concept.origins.append((row["source"], row["license"]))
        ids = self._ids.setdefault(folded(row["name"]), [])
        if row["concept"] not in ids:
            ids.append(row["concept"])

    def find(self, words: str) -> list[Concept]:
        """The concepts of which `words` is a name, without regard to case and to runs of spaces.

        More than one: the name is ambiguous, and nothing here decides which is meant.
        """
        return [self.concepts[id] for id in self._ids.get(folded(words), ())]

    def told(self) -> dict[str, Any]:
        """What it is, as the API gives it."""
        kept = ("source", "license", "title", "version")
        return {
            "concepts": len(self.concepts), "digest": self.digest, "date": self.date,
            "versions": sorted({row["version"] for row in self.sources if row.get("version")}),
            "sources": [{key: row.get(key) or "" for key in kept} for row in self.sources],
        }  # fmt: skip


def folded(name: str) -> str:
    """A name as it is looked up."""
    return " ".join(name.casefold().split())


def agreed(concepts: Iterable[Concept]) -> str:
    """The id of the one concept; empty if there is none, or more than one."""
    ids = [concept.id for concept in concepts]
    return ids[0] if len(ids) == 1 else ""


def _folder(place: str) -> tuple[Path, str]:
    if Path(place).is_dir():
        return Path(place), ""
    patterns = ["names/*.parquet", "sources/*.parquet"]
    folder = snapshot_download(place, repo_type="dataset", allow_patterns=patterns)
    changed = HfApi().dataset_info(place, revision=Path(folder).name).last_modified
    return Path(folder), changed.date().isoformat() if changed else ""
