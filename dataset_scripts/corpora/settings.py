"""How corpora are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kbioxlm.dataset_scripts.corpora.fact_level import FactLanguage
from kbioxlm.dataset_scripts.matching.rules import SHIPPED_RULES

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
        fact_language: in which facts are told (`FactTeller`).
        max_facts: the most facts of a segment; None tells them all.
        mixture: add a config with equal shares of monolingual and aligned data.
        tokenizer: file or Hub name of the tokenizer that counts tokens; None counts words, and characters of
            languages that do not set them apart.
        rules: file of the rules of matching.
    """

    languages: tuple[str, ...]
    seed: int = 0
    max_chars: Mapping[str, int] = field(default_factory=dict)
    text_language: str | None = None
    hold_out: int = 0
    passages: int = 30_000
    translation_facts: bool = False
    fact_language: FactLanguage = "other"
    max_facts: int | None = None
    mixture: bool = False
    tokenizer: str | None = None
    rules: Path = SHIPPED_RULES

    def budgets(self) -> dict[str, int]:
        """Language → the most characters of a segment."""
        return {
            code: self.max_chars.get(code, UNSPACED_MAX_CHARS if code in UNSPACED_LANGUAGES else DEFAULT_MAX_CHARS)
            for code in self.languages
        }

    def token_unit(self) -> str:
        """What is counted as a token."""
        if self.tokenizer is not None:
            return f"pieces of {Path(self.tokenizer).name}"
        return "words, and characters of languages that do not set words apart"
