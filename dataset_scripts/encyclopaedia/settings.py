"""What article pairs are made of, and what is counted on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.encyclopaedia.categories import EXCLUDED, ROOTS


@dataclass(frozen=True)
class ArticleSettings:
    """Everything that decides which article pairs are written.

    Attributes:
        editions: (language, folder with its dump files); the articles of the first are paired with those of the others.
        output: the data set folder.
        roots: categories where the walk begins; an edition without any takes the counterparts of the first's.
        excluded: categories that are not entered.
        depth: the most steps from a root down.
        either: keep a pair if the categories gave one of its articles; otherwise they must give both.
        complete: keep only articles that all editions have.
        minimal_characters: of a cleaned article.
        simplify: bring Chinese into simplified characters.
        knowledge_base: folder; articles are scored by the share of characters in its names.
        tagger: checkpoint, in place of a knowledge base; articles are scored by the share of characters it tags.
        threshold: articles whose mean score over their languages is lower are left out.
        workers: pieces of a dump that are read and cleaned at a time; changes nothing else.
        keep_steps: leave the intermediate results, for runs with other settings.
    """

    editions: tuple[tuple[str, Path], ...]
    output: Path
    roots: Path = ROOTS
    excluded: Path = EXCLUDED
    depth: int = 3
    either: bool = False
    complete: bool = False
    minimal_characters: int = 100
    simplify: bool = True
    knowledge_base: Path | None = None
    tagger: str | None = None
    threshold: float = 0.0
    workers: int = 1
    keep_steps: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be used.

        Raises:
            InputError: fewer than two editions, one twice, two kinds of score, a threshold without any, or numbers
                out of range.
        """
        languages = self.languages
        if len(languages) < 2 or len(set(languages)) < len(languages):
            raise InputError("--dump", f"languages {shown(','.join(languages))}", "give two or more, each once")
        if self.knowledge_base is not None and self.tagger is not None:
            raise InputError("--tagger", "articles would be scored twice", "give a knowledge base or a tagger")
        if self.threshold and self.knowledge_base is None and self.tagger is None:
            raise InputError("--threshold", "nothing to score articles with", "give a knowledge base or a tagger")
        for option, value, least, most in (
            ("--depth", self.depth, 0, 100),
            ("--threshold", self.threshold, 0, 1),
            ("--workers", self.workers, 1, 10_000),
            ("--minimal-characters", self.minimal_characters, 0, 10**9),
        ):
            if not least <= value <= most:
                raise InputError(option, shown(value), f"give a number from {least} to {most}")

    @property
    def languages(self) -> tuple[str, ...]:
        """Of the editions, in order."""
        return tuple(language for language, _ in self.editions)


@dataclass
class EditionCounts:
    """One edition, from its categories to its texts.

    Attributes:
        roots: title → page id.
        roots_missing: titles that are no category of the edition.
        categories: entered, by distance from the nearest root.
        wanted: articles in a pair.
        missing: of these, not in the pages of the dump, or there not as wikitext.
        failed: of these, wikitext that could not be cleaned.
        short: of these, texts with too few characters.
    """

    dump: str
    roots: dict[str, int]
    roots_missing: list[str]
    categories: list[int]
    categories_excluded: int
    category_articles: int
    wanted: int = 0
    missing: int = 0
    failed: int = 0
    short: int = 0
    articles: int = 0
    characters: int = 0


@dataclass
class ArticleStatistics:
    """What was counted, as written to stats.json.

    Attributes:
        links: for each language but the first, its pairs by language links: `pairs`, `mutual` (told by both
            editions), `unresolved` and `conflicts`.
        off_topic: articles left out for their score.
        rows: of the data set.
    """

    editions: dict[str, EditionCounts]
    links: dict[str, dict[str, int]] = field(default_factory=dict)
    off_topic: int = 0
    incomplete: int = 0
    rows: int = 0
