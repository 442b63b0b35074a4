"""The card of a data set of article pairs."""

from __future__ import annotations

from pathlib import Path

from kbioxlm.dataset_scripts.encyclopaedia.settings import ArticleSettings, ArticleStatistics
from kbioxlm.dataset_scripts.folder import markdown_table, write_card
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES

_INTRODUCTION = """# Encyclopaedia articles in several languages

Articles of Wikipedia about biomedicine, each beside the article about the same in another language, for examples on
the level of passages (KBioXLM, section 3.1.4).

The texts are those of Wikipedia's authors, under the [Creative Commons Attribution-ShareAlike 4.0 International
License](https://creativecommons.org/licenses/by-sa/4.0/), and so is this data set. They were cleaned of markup, tables,
references and the like. The authors of an article are named in its history, which its title (`L_title`) leads to:
`https://L.wikipedia.org/wiki/TITLE`."""


def write_article_card(folder: Path, settings: ArticleSettings, statistics: ArticleStatistics) -> None:
    """Write the card of `statistics`."""
    editions = statistics.editions
    walks = [
        (
            counts.dump,
            ", ".join(counts.roots),
            ", ".join(map(str, counts.categories)),
            counts.categories_excluded,
            counts.category_articles,
        )
        for counts in editions.values()
    ]
    texts = [
        (language, counts.wanted, counts.missing, counts.failed, counts.short, counts.articles, counts.characters)
        for language, counts in editions.items()
    ]
    links = [
        (f"{settings.languages[0]} and {language}", *(counts[key] for key in _LINKS))
        for language, counts in statistics.links.items()
    ]
    missing = [
        f"Categories of the list of roots that the {language} edition does not have: {', '.join(counts.roots_missing)}."
        for language, counts in editions.items()
        if counts.roots_missing
    ]
    body = "\n\n".join(
        [
            _INTRODUCTION,
            f"{statistics.rows:,} rows; {statistics.off_topic:,} articles left out as off topic"
            f"{_scored_by(settings)}, {statistics.incomplete:,} because not enough of their languages were left. "
            "`left_out.tsv` lists them all.",
            f"Categories were followed down to depth {settings.depth}. Kept were pairs of which they gave "
            f"{'one article or both' if settings.either else 'both articles'}.",
            *missing,
            markdown_table(
                ("dump", "roots", "categories by depth", "not entered (on the list)", "articles in them"), walks
            ),
            markdown_table(("editions", *_LINKS.values()), links),
            markdown_table(
                ("language", "in pairs", "not in the pages", "not cleaned", "too short", "articles", "characters"),
                texts,
            ),
        ]
    )
    front_matter = {
        "language": list(settings.languages),
        "license": "cc-by-sa-4.0",
        "pretty_name": "Biomedical encyclopaedia articles, "
        + " and ".join(ENGLISH_NAMES.get(language, language) for language in settings.languages),
        "tags": ["biomedical", "Wikipedia", "comparable corpus"],
    }
    write_card(folder, front_matter, ("articles",), body)


_LINKS = {"pairs": "pairs", "mutual": "linked both ways", "unresolved": "links to nothing", "conflicts": "conflicts"}


def _scored_by(settings: ArticleSettings) -> str:
    if settings.tagger is not None:
        return f" (tagged share of the text under {settings.threshold:g})"
    if settings.knowledge_base is not None:
        return f" (share of the text in names of the knowledge base under {settings.threshold:g})"
    return " (none were scored)"
