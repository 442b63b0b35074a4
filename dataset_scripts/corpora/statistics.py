"""What came of a corpora build, as written to stats.json and shown in the card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kbioxlm.dataset_scripts.corpora.rows import LevelCounts


@dataclass(frozen=True)
class TextSource:
    """One source of texts.

    Attributes:
        name: its last part, without the folders of this machine.
        documents: texts used, by language.
        files: name → SHA-256, for what was read from files.
    """

    name: str
    documents: dict[str, int]
    files: dict[str, str]


@dataclass(frozen=True)
class NameSource:
    """One source of the knowledge base's names and the terms of its use."""

    source: str
    license: str
    title: str
    version: str


@dataclass(frozen=True)
class CorporaStatistics:
    """What a corpora folder holds.

    Attributes:
        documents: texts used, by language.
        revised_documents: texts left out because a later part of their source replaces or withdraws them.
        repeated_segments: segments left out because the same text had been met before.
        levels: level → counts.
        replaced_before_balance: language → entities that were replaced into it before rows were left out.
        mixture: level → rows, and tokens by language; empty if there is none.
        held_out: split → number of concepts.
        token_unit: what was counted as a token.
        texts, names: where texts and names come from.
    """

    documents: dict[str, int]
    revised_documents: int
    repeated_segments: int
    levels: dict[str, LevelCounts]
    replaced_before_balance: dict[str, int]
    mixture: dict[str, dict[str, Any]]
    held_out: dict[str, int]
    token_unit: str
    texts: list[TextSource]
    names: list[NameSource]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "levels": {level: counts.as_dict() for level, counts in self.levels.items()}}
