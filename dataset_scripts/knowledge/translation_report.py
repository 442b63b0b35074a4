"""What a translation of a knowledge base came to: counts, stats.json and a section of the card."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from kbioxlm.common.errors import InputError, one_line, shown
from kbioxlm.dataset_scripts.folder import CARD, STATISTICS, markdown_table, write_statistics
from kbioxlm.dataset_scripts.knowledge.card import KnowledgeBaseStatistics, SourceRow, write_knowledge_base_card
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES
from kbioxlm.dataset_scripts.knowledge.review import Verdict
from kbioxlm.dataset_scripts.translation.protocol import Answer, SettingValue, Translator


@dataclass(frozen=True)
class Outcomes:
    """What became of the names (or phrases) asked for; `asked` is the sum of the next four.

    Attributes:
        agreed: both translators gave the same.
        reviewed: a person decided for a text.
        rejected: a person decided for none.
        open: in the review file, undecided.
        added: rows added; fewer than accepted where several names of a concept became one.
    """

    asked: int
    agreed: int
    reviewed: int
    rejected: int
    open: int
    added: int


@dataclass(frozen=True)
class TranslatorStatistics:
    """One of the two.

    Attributes:
        identity, settings: as the translator states them.
        answers: texts it had an answer for.
        chosen: how often a person decided for its answer.
    """

    identity: str
    settings: Mapping[str, SettingValue]
    answers: int
    chosen: int


@dataclass(frozen=True)
class TranslationStatistics:
    """As written to `translations` in stats.json. `reasons`: why answers were not accepted, and how often."""

    source: str
    target: str
    translators: tuple[TranslatorStatistics, TranslatorStatistics]
    names: Outcomes
    relation_names: Outcomes
    reasons: dict[str, int]


class Tally:
    """Counts while a knowledge base is translated.

    Attributes:
        licenses: of the added names.
        bilingual_concepts: concepts with names in two languages or more, the added ones included.
        added_phrases: relation phrases added.
    """

    def __init__(self) -> None:
        self.licenses: Counter[str] = Counter()
        self.bilingual_concepts = 0
        self.added_phrases = 0
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._reasons: Counter[str] = Counter()
        self._answers = [0, 0]
        self._chosen = [0, 0]

    def answers(self, *answers: Answer) -> None:
        """Count the answers of both translators to one text."""
        for number, answer in enumerate(answers):
            self._answers[number] += bool(answer)

    def agreed(self, kind: str) -> None:
        """Count an accepted answer."""
        self._outcomes[kind, "agreed"] += 1

    def disputed(self, kind: str, reason: str, verdict: Verdict) -> None:
        """Count what became of answers that were not accepted."""
        self._outcomes[kind, verdict.outcome] += 1
        self._reasons[reason] += 1
        for number, decision in enumerate(("1", "2")):
            self._chosen[number] += verdict.decision == decision

    def names(self, frame: pl.DataFrame, added: pl.DataFrame) -> None:
        """Count the names of some concepts and those added to them."""
        both = pl.concat([part.select("concept", "language") for part in (frame, added)])
        languages = both.unique().group_by("concept").len()
        self.bilingual_concepts += int((languages["len"] > 1).sum())
        self.licenses.update(added["license"].to_list())

    def statistics(self, source: str, target: str, translators: tuple[Translator, Translator]) -> TranslationStatistics:
        """The counts so far."""
        first, second = (
            TranslatorStatistics(one.identity, dict(one.settings), self._answers[number], self._chosen[number])
            for number, one in enumerate(translators)
        )
        return TranslationStatistics(
            source,
            target,
            (first, second),
            self._outcomes_of("name", self.licenses.total()),
            self._outcomes_of("relation", self.added_phrases),
            {reason: self._reasons[reason] for reason in sorted(self._reasons)},
        )

    def _outcomes_of(self, kind: str, added: int) -> Outcomes:
        agreed, reviewed, rejected, left = (
            self._outcomes[kind, outcome] for outcome in ("agreed", "reviewed", "rejected", "open")
        )
        return Outcomes(agreed + reviewed + rejected + left, agreed, reviewed, rejected, left, added)


def summary(statistics: TranslationStatistics) -> str:
    """The agreement in a few lines, to be printed."""
    lines = []
    for what, counts in (("names", statistics.names), ("relation phrases", statistics.relation_names)):
        share = f" ({counts.agreed / counts.asked:.1%})" if counts.asked else ""
        lines.append(
            f"{what}: {counts.asked:,} asked, {counts.agreed:,} agreed{share}, {counts.reviewed:,} reviewed, "
            f"{counts.rejected:,} rejected, {counts.open:,} open; {counts.added:,} added"
        )
    lines += [
        f"  {count:,}: {reason}" for reason, count in sorted(statistics.reasons.items(), key=lambda item: -item[1])
    ]
    return "\n".join(lines)


def write_report(
    knowledge_base: Path,
    draft: Path,
    statistics: TranslationStatistics,
    source_of_names: str,
    sources: Sequence[SourceRow],
    bilingual_concepts: int,
) -> None:
    """Write stats.json and the card of `draft`: the counts of `knowledge_base` with what the translation added."""
    path = knowledge_base / STATISTICS
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))
        for key, name, count in (
            ("names", statistics.target, statistics.names.added),
            ("sources", source_of_names, statistics.names.added),
            ("relation_names", statistics.target, statistics.relation_names.added),
        ):
            if count:
                counts[key] = dict(sorted({**counts[key], name: counts[key].get(name, 0) + count}.items()))
        counts["bilingual_concepts"] = bilingual_concepts
        counts["translations"] = [*counts.get("translations", []), dataclasses.asdict(statistics)]
        # counts that folders of earlier versions do not have
        fields = {field.name: counts.get(field.name, 0) for field in dataclasses.fields(KnowledgeBaseStatistics)}
        write_knowledge_base_card(draft, KnowledgeBaseStatistics(**fields), sources)
        sections = "\n\n".join(_section(translation) for translation in counts["translations"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(path, f"not the statistics of a knowledge base ({shown(error)})", "build it again") from error
    write_statistics(draft, counts)
    with (draft / CARD).open("a", encoding="utf-8") as stream:
        stream.write(f"\n{sections}\n")


def _section(translation: Mapping[str, Any]) -> str:
    source, target = ENGLISH_NAMES[translation["source"]], ENGLISH_NAMES[translation["target"]]
    fields = [field.name for field in dataclasses.fields(Outcomes)]
    return "\n\n".join(
        [
            f"## Translation from {source} into {target}",
            f"Two translators were asked for {target} names. Kept are the answers on which both agree (term type "
            "`MT`) and those that a person chose (`MT-reviewed`), under the licence of the name that was translated.",
            markdown_table(
                ("", *fields),
                [
                    (what, *(translation[key][field] for field in fields))
                    for what, key in (("names", "names"), ("relation phrases", "relation_names"))
                ],
            ),
            markdown_table(
                ("translator", "answers", "chosen in review", "settings"),
                [
                    (one["identity"], one["answers"], one["chosen"], _cell(one["settings"]))
                    for one in translation["translators"]
                ],
            ),
        ]
    )


def _cell(settings: Mapping[str, SettingValue]) -> str:
    text = ", ".join(f"{key}: {value}" for key, value in settings.items() if value not in (None, ""))
    return one_line(text).replace("|", "\\|")
