"""Names and relation phrases of a knowledge base translated by two translators that must agree.

KBioXLM extends the UMLS in this way (paper, section 3.1.1: UMLS_trans).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl
from tqdm import tqdm

from kbioxlm.common.errors import InputError, one_line, shown
from kbioxlm.dataset_scripts.folder import copy_other_configs, dataset_folder, read_table
from kbioxlm.dataset_scripts.knowledge.agreement import doubt
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES
from kbioxlm.dataset_scripts.knowledge.review import Question, Review, reviewed
from kbioxlm.dataset_scripts.knowledge.translation_report import Tally, TranslationStatistics, write_report
from kbioxlm.dataset_scripts.knowledge.translation_tables import (
    NamesReader,
    NamesWriter,
    write_phrases,
    write_sources,
)
from kbioxlm.dataset_scripts.translation.cache import AnswerCache
from kbioxlm.dataset_scripts.translation.protocol import Translator
from kbioxlm.dataset_scripts.translation.run import PATIENCE, Patience, translate_all

AGREED = "MT"
REVIEWED = "MT-reviewed"
_SOURCE_PREFIX = "translation:"


@dataclass(frozen=True)
class TranslationSettings:
    """What is translated, by whom, and where the files are.

    Attributes:
        knowledge_base: folder with the configs of docs/knowledge-base.md.
        output: folder to write, with the same configs.
        source, target: ISO 639-1 codes.
        translators: two of different identity.
        review: tab-separated file of the disagreements; read if it exists, then written anew.
        cache: SQLite file of all answers; may be shared by any runs.
        concepts: `missing`, those without a name in the target language, or `all`.
        names: of a concept, its `preferred` source name or `all` of them.
        limit: the most names, and the most relation phrases, that are asked for; None for all.
        patience: how long a failing translator is tried again.
    """

    knowledge_base: Path
    output: Path
    source: str
    target: str
    translators: tuple[Translator, Translator]
    review: Path
    cache: Path
    concepts: Literal["missing", "all"] = "missing"
    names: Literal["preferred", "all"] = "preferred"
    limit: int | None = None
    patience: Patience = PATIENCE

    @property
    def source_of_names(self) -> str:
        """The value of column `source` of translated names."""
        return _SOURCE_PREFIX + "+".join(translator.identity for translator in self.translators)


class _Accepted(NamedTuple):
    text: str
    term_type: str


def translate_knowledge_base(settings: TranslationSettings) -> TranslationStatistics:
    """Write `settings.output`, the knowledge base with its accepted translations, and `settings.review`.

    Answers are in `settings.cache` as soon as they come, so that a run after a kill goes on where it was. The same
    knowledge base, cache and review file give the same bytes.

    Raises:
        InputError: settings that cannot be, a folder that is no knowledge base, a malformed review file, a damaged
            cache, or a translator that fails for good.
    """
    _check(settings)
    tally = Tally()
    with (
        AnswerCache(settings.cache) as cache,
        reviewed(settings.review) as review,
        dataset_folder(settings.output) as draft,
    ):
        reader = NamesReader(settings.knowledge_base)
        phrases = _phrase_questions(settings)
        total = sum(asked["name"].n_unique() for _, asked in _chunks(reader, settings)) + _distinct(phrases)
        if total == 0:
            _check_source(reader, settings)
        with tqdm(total=2 * total, desc="translations", unit=" answers") as bar:
            judge = _Judge(settings, cache, review, tally, bar.update)
            _translate_names(reader, draft, settings, judge, tally)
            accepted = [(question.id, answer.text) for question, answer in judge(phrases) if answer is not None]
        tally.added_phrases = len(accepted)
        copy_other_configs(settings.knowledge_base, draft, ("names", "relation_names", "sources"))
        write_phrases(settings.knowledge_base, draft, settings.target, accepted)
        sources = write_sources(
            settings.knowledge_base, draft, settings.source_of_names, _title(settings), tally.licenses
        )
        statistics = tally.statistics(settings.source, settings.target, settings.translators)
        write_report(
            settings.knowledge_base, draft, statistics, settings.source_of_names, sources, tally.bilingual_concepts
        )
    return statistics


class _Judge:
    """Asks both translators and says which answers are accepted."""

    def __init__(
        self,
        settings: TranslationSettings,
        cache: AnswerCache,
        review: Review,
        tally: Tally,
        progress: Callable[[int], object],
    ):
        self._settings = settings
        self._cache = cache
        self._review = review
        self._tally = tally
        self._progress = progress

    def __call__(self, questions: list[Question]) -> Iterator[tuple[Question, _Accepted | None]]:
        texts = [question.text for question in questions]
        settings = self._settings
        first, second = (
            translate_all(
                translator, texts, settings.source, settings.target, self._cache, self._progress, settings.patience
            )
            for translator in settings.translators
        )
        for question, one, other in zip(questions, first, second, strict=True):
            self._tally.answers(one, other)
            reason = doubt(question.text, one, other, settings.source, settings.target)
            if not reason:
                self._tally.agreed(question.kind)
                yield question, _Accepted(one_line(one or ""), AGREED)
                continue
            verdict = self._review.verdict(question, one, other, reason)
            self._tally.disputed(question.kind, reason, verdict)
            yield question, _Accepted(verdict.text, REVIEWED) if verdict.outcome == "reviewed" else None


def _chunks(reader: NamesReader, settings: TranslationSettings) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Names of some concepts, and of these the names to translate: `concept`, `name`, `license`, preferred first."""
    left = settings.limit
    for frame in reader.concepts():
        asked = frame.filter(pl.col("language") == settings.source, ~pl.col("source").str.starts_with(_SOURCE_PREFIX))
        if settings.concepts == "missing":
            asked = asked.join(frame.filter(pl.col("language") == settings.target), on="concept", how="anti")
        if settings.names == "preferred":
            asked = asked.filter(pl.col("preferred"))
        asked = (
            asked.group_by("concept", "name")
            .agg(pl.col("preferred").any(), pl.col("license").unique().sort().str.join(" AND "))
            .sort("concept", ~pl.col("preferred"), "name")
        )
        if left is not None:
            asked = asked.head(left)
            left -= asked.height
        yield frame, asked


def _translate_names(
    reader: NamesReader, draft: Path, settings: TranslationSettings, judge: _Judge, tally: Tally
) -> None:
    writer = NamesWriter(draft, reader.schema)
    for frame, asked in _chunks(reader, settings):
        questions = [Question("name", concept, name) for concept, name in asked.select("concept", "name").iter_rows()]
        accepted = [
            (question.id, answer.text, answer.term_type, license_)
            for (question, answer), license_ in zip(judge(questions), asked["license"], strict=True)
            if answer is not None
        ]
        added = _added(frame, accepted, settings)
        tally.names(frame, added)
        writer.write(frame, added)
    writer.close()


def _added(
    frame: pl.DataFrame, accepted: list[tuple[str, str, str, str]], settings: TranslationSettings
) -> pl.DataFrame:
    """Rows of the names table for `accepted` (concept, name, term type, license); none that `frame` has already.

    The first of a concept is preferred if it has no other name in the target language. A name that came of several
    has the licences of all, and counts as reviewed if one of them was.
    """
    known = frame.filter(pl.col("language") == settings.target)
    columns = dict.fromkeys(("concept", "name", "term_type", "license"), pl.String())
    rows = pl.DataFrame(accepted, schema=columns, orient="row")
    rows = (
        rows.group_by("concept", "name", maintain_order=True)
        .agg(pl.col("term_type").max(), pl.col("license").unique().sort().str.join(" AND "))
        .join(known.select("concept", "name"), on=["concept", "name"], how="anti", maintain_order="left")
    )
    return rows.with_columns(
        language=pl.lit(settings.target),
        preferred=pl.col("concept").is_first_distinct() & ~pl.col("concept").is_in(known["concept"].implode()),
        source=pl.lit(settings.source_of_names),
        license=pl.when(pl.col("license") == "").then(pl.lit("")).otherwise(pl.col("license") + " (translated)"),
    )


def _phrase_questions(settings: TranslationSettings) -> list[Question]:
    """The relations with a phrase in the source language and none in the target language."""
    table = read_table(settings.knowledge_base, "relation_names", ("relation", "language", "name"))
    rows = list(zip(*(column.to_pylist() for column in table.itercolumns()), strict=True))
    known = {relation for relation, language, _ in rows if language == settings.target}
    missing = sorted(
        (relation, name) for relation, language, name in rows if language == settings.source and relation not in known
    )
    return [Question("relation", relation, name) for relation, name in islice(missing, settings.limit)]


def _distinct(questions: list[Question]) -> int:
    return len({question.text for question in questions})


def _title(settings: TranslationSettings) -> str:
    return "translations on which " + " and ".join(one.identity for one in settings.translators) + " agree, or reviewed"


def _check(settings: TranslationSettings) -> None:
    for language in (settings.source, settings.target):
        if language not in ENGLISH_NAMES:
            raise InputError(
                "languages", f"unknown language {shown(language)}", f"give one of {','.join(sorted(ENGLISH_NAMES))}"
            )
    if settings.source == settings.target:
        raise InputError("languages", f"{settings.source} into itself", "give two languages")
    if not settings.knowledge_base.is_dir():
        raise InputError(settings.knowledge_base, "no such folder", "build one with knowledge_base.py build")
    if settings.output.resolve() == settings.knowledge_base.resolve():
        raise InputError(settings.output, "is the knowledge base that is read", "give another folder to write")
    if settings.output.resolve() in (settings.review.resolve().parent, settings.cache.resolve().parent):
        raise InputError(settings.output, "the review file or the cache is in it", "put them beside it, not in it")
    first, second = settings.translators
    if first.identity == second.identity:
        raise InputError(
            "translators", f"both are {first.identity}", "give two that are independent: other models or other data"
        )


def _check_source(reader: NamesReader, settings: TranslationSettings) -> None:
    if not any((frame["language"] == settings.source).any() for frame in reader.concepts()):
        raise InputError(
            settings.knowledge_base, f"no names in language {settings.source!r}", "build it with that language"
        )
