"""The data set card of a corpora folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kbioxlm.dataset_scripts.corpora.rows import LEVELS, LevelCounts
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings, CorporaStatistics
from kbioxlm.dataset_scripts.folder import markdown_table, write_card
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES

_INTRODUCTION = """# Knowledge-anchored multilingual biomedical corpora

Texts cut into segments (`monolingual`), copies with names of concepts replaced by their names in another language
(`entity`), segments with the facts between their concepts told in another language (`fact`), and pairs of
segments from articles that exist in several languages (`passage`), after KBioXLM (arXiv 2311.11564, section 3.1).
The concepts of `held_out` are paired across languages in none of them.

The texts keep the licences of their sources. Offsets count Unicode code points; the end is exclusive.
"""

MOST_RELATIONS = 20


def write_corpora_card(folder: Path, settings: CorporaSettings, statistics: CorporaStatistics) -> None:
    """Write README.md with the figures of the corpora."""
    levels = statistics.levels
    tables: list[tuple[Sequence[str], Sequence[Sequence[object]]]] = [
        (
            ("level", "language", "rows", "characters", "entities a row", "replaced a row"),
            [
                (level, language, rows, counts.characters[language], *_means(counts))
                for level, counts in levels.items()
                for language, rows in sorted(counts.rows.items())
            ],
        ),
        (
            ("level", "language", "entities replaced into it"),
            [
                (level, language, count)
                for level, counts in levels.items()
                for language, count in sorted(counts.replaced_into.items())
            ],
        ),
        (("relation told", "times"), levels["fact"].relations.most_common(MOST_RELATIONS)),
        (("passage relation", "rows"), sorted(levels["passage"].passage_relations.items())),
    ]
    texts = ", ".join(f"{count:,} {ENGLISH_NAMES[code]}" for code, count in statistics.documents.items())
    held = ", ".join(f"{count:,} {split}" for split, count in statistics.held_out.items()) or "none"
    body = "\n\n".join(
        [
            _INTRODUCTION.rstrip(),
            f"Texts read: {texts}; {statistics.repeated_segments:,} segments left out as repetitions. "
            f"Seed {settings.seed}. Held-out concepts: {held}. Means are over all languages of a level.",
            *(markdown_table(header, rows) for header, rows in tables if rows),
        ]
    )
    front_matter = {
        "language": sorted(settings.languages),
        "license": "other",
        "pretty_name": "Knowledge-anchored multilingual biomedical corpora",
        "task_categories": ["fill-mask"],
        "tags": ["biomedical", "code-switching", "cross-lingual", "pretraining"],
    }
    write_card(folder, front_matter, (*LEVELS, "held_out"), body)


def _means(counts: LevelCounts) -> tuple[str, str]:
    rows = sum(counts.rows.values())
    return (
        f"{sum(number * times for number, times in counts.entities_per_row.items()) / rows:.1f}",
        f"{sum(number * times for number, times in counts.replaced_per_row.items()) / rows:.1f}",
    )
