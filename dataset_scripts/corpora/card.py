"""The data set card of a corpora folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from kbioxlm.dataset_scripts.corpora.rows import LEVELS, LevelCounts
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings
from kbioxlm.dataset_scripts.corpora.shards import MIXTURE
from kbioxlm.dataset_scripts.corpora.statistics import CorporaStatistics
from kbioxlm.dataset_scripts.folder import markdown_table, write_card
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES

_INTRODUCTION = """# Knowledge-anchored multilingual biomedical corpora

Texts cut into segments (`monolingual`), copies with names of concepts replaced by their names in another language
(`entity`), segments with the facts between their concepts told in another language (`fact`), and pairs of
segments from articles that exist in several languages (`passage`), after KBioXLM (arXiv 2311.11564, section 3.1).
The concepts of `held_out` are paired across languages in none of them.

The texts and the names keep the licences of their sources. Offsets count Unicode code points; the end is exclusive.
"""

MOST_RELATIONS = 20
Table = tuple[Sequence[str], Sequence[Sequence[object]]]


def write_corpora_card(folder: Path, settings: CorporaSettings, statistics: CorporaStatistics) -> None:
    """Write README.md: what the corpora hold, where it comes from, and under which terms."""
    sections = [
        _INTRODUCTION.rstrip(),
        _summary(settings, statistics),
        "## Size",
        *_tables(_size_tables(statistics)),
        f"Tokens are {statistics.token_unit}, in both texts of a row; the language is that of `text`.",
        "## Content",
        *_tables(_content_tables(statistics)),
        "## Provenance",
        *_tables(_provenance_tables(statistics)),
        "## Settings",
        *_tables([(("setting", "value"), _settings(settings))]),
    ]
    front_matter = {
        "language": sorted(settings.languages),
        "license": "other",
        "pretty_name": "Knowledge-anchored multilingual biomedical corpora",
        "task_categories": ["fill-mask"],
        "tags": ["biomedical", "code-switching", "cross-lingual", "pretraining"],
    }
    configs = (*LEVELS, *((MIXTURE,) if settings.mixture else ()), "held_out")
    write_card(folder, front_matter, configs, "\n\n".join(sections))


def _tables(tables: Sequence[Table]) -> list[str]:
    return [markdown_table(header, rows) for header, rows in tables if rows]


def _summary(settings: CorporaSettings, statistics: CorporaStatistics) -> str:
    texts = ", ".join(f"{count:,} {ENGLISH_NAMES[code]}" for code, count in statistics.documents.items())
    held = ", ".join(f"{count:,} {split}" for split, count in statistics.held_out.items()) or "none"
    revised = (
        f", {statistics.revised_documents:,} texts as revised or withdrawn" if statistics.revised_documents else ""
    )
    return (
        f"Texts used: {texts}; left out were {statistics.repeated_segments:,} segments as repetitions{revised}. "
        f"Seed {settings.seed}. Held-out concepts: {held}."
    )


def _size_tables(statistics: CorporaStatistics) -> list[Table]:
    levels = statistics.levels
    rows: list[Sequence[object]] = [
        (level, language, count, counts.tokens[language], counts.characters[language])
        for level, counts in levels.items()
        for language, count in sorted(counts.rows.items())
    ]
    mixture = statistics.mixture.items()
    return [
        (("level", "language", "rows", "tokens", "characters"), rows),
        (
            ("mixture of", "rows", "tokens"),
            [(level, share["rows"], sum(share["tokens"].values())) for level, share in mixture if share["rows"]],
        ),
    ]


def _content_tables(statistics: CorporaStatistics) -> list[Table]:
    levels = statistics.levels
    before = statistics.replaced_before_balance
    return [
        (
            ("level", "entities a row", "replaced a row"),
            [(level, *_means(counts)) for level, counts in levels.items() if counts.rows],
        ),
        (
            ("level", "language", "entities replaced into it", "before the balance"),
            [
                (level, language, count, before[language] if level == "entity" else "")
                for level, counts in levels.items()
                for language, count in sorted(counts.replaced_into.items())
            ],
        ),
        (("relation told", "times"), _most_common(levels["fact"].relations)),
        (("passage relation", "rows"), sorted(levels["passage"].passage_relations.items())),
    ]


def _most_common(counter: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:MOST_RELATIONS]


def _provenance_tables(statistics: CorporaStatistics) -> list[Table]:
    texts: list[Sequence[object]] = [
        (
            text.name,
            ", ".join(f"{count:,} {language}" for language, count in text.documents.items()),
            next(iter(text.files.values())) if len(text.files) == 1 else f"{len(text.files)} files, see stats.json",
        )
        for text in statistics.texts
    ]
    names: list[Sequence[object]] = [
        (source.source, source.title, source.version, source.license) for source in statistics.names
    ]
    return [
        (("source of texts", "texts", "SHA-256"), texts),
        (("source of names", "title", "version", "licence"), names),
    ]


def _settings(settings: CorporaSettings) -> list[tuple[str, object]]:
    values: dict[str, object] = {
        **{field.name: getattr(settings, field.name) for field in fields(settings)},
        "languages": ",".join(settings.languages),
        "max_chars": ", ".join(f"{code}={chars}" for code, chars in settings.budgets().items()),
        "tokenizer": settings.tokenizer and Path(settings.tokenizer).name,
        "rules": settings.rules.name,
    }
    return [(name, "–" if value is None else str(value)) for name, value in values.items()]


def _means(counts: LevelCounts) -> tuple[str, str]:
    rows = sum(counts.rows.values())
    return (
        f"{sum(number * times for number, times in counts.entities_per_row.items()) / rows:.1f}",
        f"{sum(number * times for number, times in counts.replaced_per_row.items()) / rows:.1f}",
    )
