"""The level of the baseline `XLM-R + BT` (paper, section 5.2): monolingual text beside its machine translation.

The paper does not describe its back-translated data, and none is published. Here, every row is a segment of the
monolingual level and, as `text_pair`, its sentences as a translator puts them into another language. No entity is
marked: nothing but the translator aligns the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from kbioxlm.common.errors import InputError, one_line, shown
from kbioxlm.dataset_scripts.corpora.fact_level import WITHOUT_SPACES
from kbioxlm.dataset_scripts.corpora.rows import BACK_TRANSLATION, ROW, Row, to_table
from kbioxlm.dataset_scripts.corpora.segmentation import sentence_spans
from kbioxlm.dataset_scripts.folder import (
    CARD,
    STATISTICS,
    ShardWriter,
    copy_other_configs,
    dataset_folder,
    markdown_table,
    read_batches,
    require_replaceable,
    write_card,
    write_statistics,
)
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES
from kbioxlm.dataset_scripts.translation.cache import AnswerCache
from kbioxlm.dataset_scripts.translation.protocol import Answer, SettingValue, Translator
from kbioxlm.dataset_scripts.translation.run import PATIENCE, Patience, translate_all

_SOURCE_LEVEL = "monolingual"
_HEADING = "## Back-translation"
_ROWS_AT_ONCE = 2_000  # whose sentences are put into batches of like length together


@dataclass(frozen=True)
class Direction:
    """Texts in `source` are translated into `target` (ISO 639-1 codes)."""

    source: str
    target: str
    translator: Translator


@dataclass(frozen=True)
class BackTranslationSettings:
    """What is translated, by whom, and where the files are.

    Attributes:
        corpora: folder written by `aligned_corpora.py build`.
        output: folder to write: `corpora` and the level.
        directions: no two from one language.
        cache: SQLite file of all answers; may be shared by any runs.
        limit: the most rows of a direction, drawn by seed and id; None for all.
        seed: decides which.
        patience: how long a failing translator is tried again.
    """

    corpora: Path
    output: Path
    directions: tuple[Direction, ...]
    cache: Path
    limit: int | None = None
    seed: int = 0
    patience: Patience = PATIENCE


@dataclass
class DirectionStatistics:
    """What came of a direction, as written to `back_translation` in stats.json.

    Attributes:
        translator, settings: as the translator states them.
        segments: rows of the monolingual level that were translated.
        rows: rows written; segments without any translated sentence give none.
        sentences: sentences of these segments.
        translated: those with a translation. One that the translator gave back as it was has none.
    """

    source: str
    target: str
    translator: str
    settings: Mapping[str, SettingValue] = field(default_factory=dict)
    segments: int = 0
    rows: int = 0
    sentences: int = 0
    translated: int = 0


def back_translate(settings: BackTranslationSettings) -> list[DirectionStatistics]:
    """Write `settings.output`: all configs of the corpora as they are, and `back_translation`.

    Answers are in `settings.cache` as soon as they come, so that a run after a kill goes on where it was. The same
    corpora and answers give the same bytes.

    Raises:
        InputError: settings that cannot be, a folder without a monolingual level, no rows in a language, a damaged
            cache, a translator that fails for good or that has no answer for any sentence.
    """
    _check(settings)
    chosen = {one.source: _chosen(settings, one.source) for one in settings.directions}
    found = []
    with AnswerCache(settings.cache) as cache, dataset_folder(settings.output) as draft:
        writer = ShardWriter(draft / BACK_TRANSLATION, ROW)
        for direction in settings.directions:
            ids = chosen[direction.source]
            label = f"{direction.source} → {direction.target}"
            with tqdm(total=len(ids), desc=label, unit=" segments") as bar:
                found.append(_translated(settings, direction, ids, cache, writer, bar))
        writer.close()
        copy_other_configs(settings.corpora, draft, (BACK_TRANSLATION,))
        _write_report(settings.corpora, draft, found)
    return found


def _chosen(settings: BackTranslationSettings, language: str) -> frozenset[str]:
    """Ids of the rows in `language` that are translated."""
    ids = [
        id_
        for batch in read_batches(settings.corpora, _SOURCE_LEVEL, ("id", "language"))
        for id_, code in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        if code == language
    ]
    if not ids:
        raise InputError(
            settings.corpora, f"no monolingual rows in language {shown(language)}", "name a language of its texts"
        )
    if settings.limit is not None and len(ids) > settings.limit:
        ids.sort(key=lambda id_: (blake2b(f"{settings.seed}\0{id_}".encode(), digest_size=8).digest(), id_))
        ids = ids[: settings.limit]
    return frozenset(ids)


def _translated(
    settings: BackTranslationSettings,
    direction: Direction,
    ids: frozenset[str],
    cache: AnswerCache,
    writer: ShardWriter,
    bar: tqdm[Any],
) -> DirectionStatistics:
    source, target, translator = direction.source, direction.target, direction.translator
    counts = DirectionStatistics(source, target, translator.identity, dict(translator.settings))
    asked = _progress(bar)
    for segments in _segments(settings.corpora, source, ids):
        sentences = [[text[start:end] for start, end in sentence_spans(text)] for _, text in segments]
        flat = [sentence for of_one in sentences for sentence in of_one]
        answers = iter(translate_all(translator, flat, source, target, cache, asked, settings.patience))
        rows = []
        for (id_, _), of_one in zip(segments, sentences, strict=True):
            pairs = [(one, answer) for one in of_one if (answer := _usable(one, next(answers))) is not None]
            counts.sentences += len(of_one)
            counts.translated += len(pairs)
            if pairs:
                originals, translations = zip(*pairs, strict=True)
                text, pair = _joined(originals, source), _joined(translations, target)
                rows.append(Row(id_, BACK_TRANSLATION, source, text, pair))
        if rows:
            writer.write(to_table(rows))
        counts.segments += len(segments)
        counts.rows += len(rows)
        bar.update(len(segments))
    if not counts.rows:
        raise InputError(
            translator.identity, f"no answer for any of {counts.sentences:,} sentences in {source}",
            f"choose a translator from {source} into {target}",
        )  # fmt: skip
    return counts


def _progress(bar: tqdm[Any]) -> Callable[[int], None]:
    """Shows how many sentences were answered; a bar of segments alone would stand still for minutes."""
    total = 0

    def asked(number: int) -> None:
        nonlocal total
        total += number
        bar.set_postfix_str(f"{total:,} sentences")

    return asked


def _segments(corpora: Path, language: str, ids: frozenset[str]) -> Iterator[list[tuple[str, str]]]:
    """Id and text of the chosen rows, some at a time, in the order of the corpora."""
    found: list[tuple[str, str]] = []
    for batch in read_batches(corpora, _SOURCE_LEVEL, ("id", "language", "text")):
        for id_, code, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if code == language and id_ in ids:
                found.append((id_, text))
                if len(found) == _ROWS_AT_ONCE:
                    yield found
                    found = []
    if found:
        yield found


def _usable(sentence: str, answer: Answer) -> str | None:
    """The answer on one line, where it is a translation."""
    text = one_line(answer or "")
    return text if text and text != one_line(sentence) else None


def _joined(sentences: tuple[str, ...], language: str) -> str:
    return ("" if language in WITHOUT_SPACES else " ").join(sentences)


def _check(settings: BackTranslationSettings) -> None:
    if not (settings.corpora / STATISTICS).is_file():
        raise InputError(
            settings.corpora, f"no {STATISTICS} in it", "give a folder written by aligned_corpora.py build"
        )
    if settings.output.resolve() == settings.corpora.resolve():
        raise InputError(settings.output, "is the corpora folder that is read", "give another folder to write")
    require_replaceable(settings.output)
    if settings.output.resolve() == settings.cache.resolve().parent:
        raise InputError(settings.output, "the cache is in it", "put it beside it, not in it")
    sources = [direction.source for direction in settings.directions]
    for direction in settings.directions:
        for language in (direction.source, direction.target):
            if language not in ENGLISH_NAMES:
                raise InputError(
                    "directions",
                    f"unknown language {shown(language)}",
                    f"give one of {','.join(sorted(ENGLISH_NAMES))}",
                )
        if direction.source == direction.target:
            raise InputError("directions", f"{direction.source} into itself", "give two languages")
        if sources.count(direction.source) > 1:
            raise InputError(
                "directions", f"texts in {direction.source} are to be translated twice", "give one target a language"
            )
    if not sources:
        raise InputError("directions", "none", "name at least one, such as en-zh")


def _write_report(corpora: Path, draft: Path, found: list[DirectionStatistics]) -> None:
    """stats.json and the card of the corpora, with what was added."""
    try:
        statistics = json.loads((corpora / STATISTICS).read_text(encoding="utf-8"))
        _, header, body = (corpora / CARD).read_text(encoding="utf-8").split("---\n", 2)
        front_matter = yaml.safe_load(header)
        configs = [entry["config_name"] for entry in front_matter.pop("configs")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise InputError(
            corpora, f"its {STATISTICS} or {CARD} cannot be read ({shown(str(error))})", "build it again"
        ) from error
    write_statistics(draft, {**statistics, BACK_TRANSLATION: [asdict(one) for one in found]})
    kept = body.partition(f"\n{_HEADING}\n")[0].strip()
    configs = [name for name in configs if name != BACK_TRANSLATION]
    write_card(draft, front_matter, [*configs, BACK_TRANSLATION], f"{kept}\n\n{_section(found)}")


def _section(found: list[DirectionStatistics]) -> str:
    rows = [
        (
            f"{ENGLISH_NAMES[one.source]} → {ENGLISH_NAMES[one.target]}", one.translator.replace("|", "\\|"),
            one.segments, one.rows, one.sentences, one.translated,
        )
        for one in found
    ]  # fmt: skip
    return "\n\n".join(
        [
            _HEADING,
            "`back_translation`: segments of `monolingual`, their sentences translated one by one as `text_pair`. A "
            "sentence without a translation is in neither text. Names that are held out may be paired here: a "
            "translator knows them. `stats.json` has the settings of the translators.",
            markdown_table(("", "translator", "segments", "rows", "sentences", "translated"), rows),
        ]
    )
