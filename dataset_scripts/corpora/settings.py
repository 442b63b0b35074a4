"""How corpora are made, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kbioxlm.dataset_scripts.corpora.rows import LevelCounts
from kbioxlm.dataset_scripts.matching.matcher import STOP_NAMES

DEFAULT_MAX_CHARS = 400
UNSPACED_MAX_CHARS = 150
UNSPACED_LANGUAGES = frozenset({"ja", "ko", "zh"})


@dataclass(frozen=True)
class CorporaSettings:
    """How corpora are made.

    Attributes:
        languages: ISO 639-1 codes; the first two are those of the held-out names.
        seed: decides everything that is drawn.
        max_chars: language → the most characters of a segment, where the default does not fit. The two segments
            of a passage example, which share a sequence, get half of it each.
        text_language: of texts that do not say theirs.
        hold_out: number of concepts whose names are never paired.
        passages: number of passage examples at most.
        translation_facts: add every name beside its translation to the fact level.
        stop_names: file of names that are never matched.
    """

    languages: tuple[str, ...]
    seed: int = 0
    max_chars: Mapping[str, int] = field(default_factory=dict)
    text_language: str | None = None
    hold_out: int = 0
    passages: int = 30_000
    translation_facts: bool = False
    stop_names: Path = STOP_NAMES

    def budgets(self) -> dict[str, int]:
        """Language → the most characters of a segment."""
        return {
            code: self.max_chars.get(code, UNSPACED_MAX_CHARS if code in UNSPACED_LANGUAGES else DEFAULT_MAX_CHARS)
            for code in self.languages
        }


@dataclass(frozen=True)
class CorporaStatistics:
    """What a corpora folder holds, as written to its stats.json.

    Attributes:
        documents: texts read, by language.
        repeated_segments: segments left out because the same text had been met before.
        levels: level → counts.
        held_out: split → number of concepts.
    """

    documents: dict[str, int]
    repeated_segments: int
    levels: dict[str, LevelCounts]
    held_out: dict[str, int]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        levels = {level: counts.as_dict() for level, counts in self.levels.items()}
        return {
            "documents": self.documents,
            "repeated_segments": self.repeated_segments,
            "levels": levels,
            "held_out": self.held_out,
        }
