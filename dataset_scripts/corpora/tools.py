"""What turns texts into rows: knowledge base, matcher, translations. Compiled once, then opened by every worker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kbioxlm.common.files import write_json
from kbioxlm.dataset_scripts.corpora.counting import TokenCounter
from kbioxlm.dataset_scripts.corpora.fact_level import FactTeller
from kbioxlm.dataset_scripts.corpora.held_out import HeldOut, blocked_concepts, hold_out
from kbioxlm.dataset_scripts.corpora.segments import Segmenter
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings
from kbioxlm.dataset_scripts.corpora.translations import Translations
from kbioxlm.dataset_scripts.corpora.work import placed
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.matcher import NameMatcher
from kbioxlm.dataset_scripts.matching.rules import read_rules

_KNOWLEDGE_BASE = "knowledge_base"
_MATCHER = "matcher"
_HELD_OUT = "held_out.json"


def compile_tools(knowledge_base: Path, folder: Path, settings: CorporaSettings) -> None:
    """Write to `folder` the knowledge base and the matcher as arrays, and draw the held-out concepts.

    Raises:
        InputError: no knowledge base, a language without names, bad rules, too few concepts to hold out, no tokenizer.
    """
    if settings.tokenizer is not None:
        TokenCounter(settings.tokenizer)  # what cannot be loaded should end the run before it begins
    known = KnowledgeBase.load(knowledge_base, settings.languages)
    matcher = NameMatcher.build(known.name_table(), read_rules(settings.rules))
    held_out = hold_out(known, matcher, settings.hold_out, settings.seed)
    blocked = blocked_concepts(known, (row.concept for row in held_out))
    with placed(folder) as draft:
        draft.mkdir()
        known.save(draft / _KNOWLEDGE_BASE)
        matcher.save(draft / _MATCHER)
        write_json(draft / _HELD_OUT, {"rows": held_out, "blocked": sorted(blocked)})


def read_held_out(folder: Path) -> list[HeldOut]:
    """The concepts that `compile_tools` drew."""
    return [HeldOut(*row) for row in _held_out(folder)["rows"]]


def _held_out(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / _HELD_OUT).read_text(encoding="utf-8"))
    return values


@dataclass(frozen=True)
class Tools:
    """What a worker makes rows with."""

    knowledge_base: KnowledgeBase
    matcher: NameMatcher
    translations: Translations
    settings: CorporaSettings

    @cached_property
    def segmenter(self) -> Segmenter:
        """For texts."""
        return Segmenter(self.matcher, self.settings.budgets())

    @cached_property
    def passage_segmenter(self) -> Segmenter:
        """For passages: two of its segments share a sequence."""
        return Segmenter(self.matcher, {code: chars // 2 for code, chars in self.settings.budgets().items()})

    @cached_property
    def teller(self) -> FactTeller:
        """Of facts."""
        settings = self.settings
        return FactTeller(self.knowledge_base, self.translations, settings.fact_language, settings.max_facts)

    @cached_property
    def counter(self) -> TokenCounter:
        """Of tokens."""
        return TokenCounter(self.settings.tokenizer)


_opened: dict[tuple[object, ...], Tools] = {}


def open_tools(folder: Path, settings: CorporaSettings) -> Tools:
    """The tools of `folder`, opened once a process."""
    key = (folder, folder.stat().st_mtime_ns, repr(settings))
    if key not in _opened:
        _opened.clear()
        known = KnowledgeBase.open(folder / _KNOWLEDGE_BASE)
        matcher = NameMatcher.open(folder / _MATCHER)
        translations = Translations(known, frozenset(_held_out(folder)["blocked"]))
        _opened[key] = Tools(known, matcher, translations, settings)
    return _opened[key]


def close_tools() -> None:
    """Let go of the tools that are open in this process."""
    _opened.clear()
