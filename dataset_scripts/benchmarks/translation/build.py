"""An annotated data set in another language (paper, section 4, figure 3): from marked texts to a data set folder."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import islice

from tqdm import tqdm

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.translation.assembly import (
    SplitCounts,
    assembled,
    check_decision,
    output_config,
    used_reading,
)
from kbioxlm.dataset_scripts.benchmarks.translation.card import (
    Machine,
    SampleCounts,
    SourceSplit,
    TranslationReport,
    write_report,
)
from kbioxlm.dataset_scripts.benchmarks.translation.examination import Answered, Examined, examine
from kbioxlm.dataset_scripts.benchmarks.translation.markers import marked
from kbioxlm.dataset_scripts.benchmarks.translation.meaning import meaning_defects
from kbioxlm.dataset_scripts.benchmarks.translation.names import KnownNames
from kbioxlm.dataset_scripts.benchmarks.translation.pieces import joined, pieces_of
from kbioxlm.dataset_scripts.benchmarks.translation.readings import Reading, read
from kbioxlm.dataset_scripts.benchmarks.translation.review import (
    SAMPLE,
    Decision,
    ReviewFolder,
    ReviewRow,
    Status,
    status_of,
)
from kbioxlm.dataset_scripts.benchmarks.translation.settings import DatasetTranslation, check_settings
from kbioxlm.dataset_scripts.benchmarks.translation.sources import Row, Split, read_splits
from kbioxlm.dataset_scripts.folder import ShardWriter, dataset_folder
from kbioxlm.dataset_scripts.translation.cache import AnswerCache
from kbioxlm.dataset_scripts.translation.protocol import Translator
from kbioxlm.dataset_scripts.translation.run import translate_all


def translate_dataset(settings: DatasetTranslation) -> TranslationReport:
    """Write `settings.output` with the rows that are used, and `settings.review` with those to be looked at.

    Answers are in `settings.cache` as soon as they come, so that a run after a kill goes on where it was. The same
    data, cache, knowledge base and decisions give the same bytes.

    Raises:
        InputError: settings or data that cannot be used, a decision that cannot be applied, a damaged cache, or a
            translator that fails for good.
    """
    check_settings(settings)
    splits = _limited(read_splits(settings.data, settings.source), settings.limit)
    _check_configs(splits, settings)
    folder = ReviewFolder(settings.review)
    decisions = folder.decisions()
    rows = [row for split in splits for row in split.rows]
    _check_corrections(folder, decisions, rows, settings.target)
    names = None
    if settings.knowledge_base is not None:
        names = KnownNames.load(settings.knowledge_base, settings.source, settings.target)
    with AnswerCache(settings.cache) as cache:
        examined = examine(_answered(rows, settings, cache), settings.source, settings.target, names)
        if settings.checker is not None:
            examined = _compared(examined, settings.checker, settings, cache)
    _check_accepted(folder, decisions, examined)
    folder.write_rows(_under_review(examined, decisions, settings))
    outcomes = {
        one.row.key: used_reading(one, decisions.get(one.row.key), settings.threshold, settings.target)
        for one in examined
    }
    counts: dict[str, dict[str, SplitCounts]] = {}
    with dataset_folder(settings.output) as draft:
        for split in splits:
            config = output_config(split.config, settings.source, settings.target)
            table, counted = assembled(split, [outcomes[row.key] for row in split.rows], settings.target)
            writer = ShardWriter(draft / config / split.name, table.schema)
            writer.write(table)
            writer.close()
            counts.setdefault(config, {})[split.name] = counted
        report = _report(settings, splits, counts, examined, outcomes, decisions)
        write_report(draft, report)
    return report


def _answered(rows: Sequence[Row], settings: DatasetTranslation, cache: AnswerCache) -> list[Answered]:
    pieces = [pieces_of(row, settings.piece) for row in rows]
    texts = [piece.text for of_row in pieces for piece in of_row]
    with tqdm(total=len(set(texts)), desc="translations", unit=" texts") as bar:
        found = iter(
            translate_all(
                settings.translator, texts, settings.source, settings.target, cache, bar.update, settings.patience
            )
        )
    answered = []
    for row, of_row in zip(rows, pieces, strict=True):
        answers = list(islice(found, len(of_row)))
        whole = all(answer is not None and answer.strip() for answer in answers)
        source = marked(row.text, [(one.start, one.end) for one in row.enclosed])
        answered.append(Answered(row, source, joined(of_row, answers, settings.target), whole))
    return answered


def _compared(
    examined: Sequence[Examined], checker: Translator, settings: DatasetTranslation, cache: AnswerCache
) -> list[Examined]:
    """The rows with what the checker says of them; those without a translation are not asked about."""
    pairs = [(one.row.text, one.reading.projection.text) for one in examined]
    asked = [place for place, (_, text) in enumerate(pairs) if text.strip()]
    wanted = [pairs[place] for place in asked]
    with tqdm(total=len(set(wanted)), desc="verdicts", unit=" texts") as bar:
        found = meaning_defects(checker, wanted, settings.source, settings.target, cache, bar.update, settings.patience)
    verdicts = dict(zip(asked, found, strict=True))
    return [
        one.with_defects([verdict]) if (verdict := verdicts.get(place)) is not None else one
        for place, one in enumerate(examined)
    ]


def _under_review(
    examined: Sequence[Examined], decisions: Mapping[str, Decision], settings: DatasetTranslation
) -> list[ReviewRow]:
    """Rows with a defect, those of the sample, and those that a person has decided on already."""
    return [
        ReviewRow(
            one.row.key, "defects" if one.defects else SAMPLE, one.risk, one.defects, settings.source, settings.target,
            one.source, one.reading.marked, one.row.labels,
        )
        for one in examined
        if one.defects or _is_drawn(one.row.key, settings) or one.row.key in decisions
    ]  # fmt: skip


def _is_drawn(key: str, settings: DatasetTranslation) -> bool:
    """Whether a row belongs to the sample; it does not depend on the other rows."""
    digest = blake2b(f"{settings.seed}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) < settings.sample * 2**64


def _report(
    settings: DatasetTranslation,
    splits: Sequence[Split],
    counts: dict[str, dict[str, SplitCounts]],
    examined: Sequence[Examined],
    outcomes: Mapping[str, tuple[Status, Reading | None]],
    decisions: Mapping[str, Decision],
) -> TranslationReport:
    defects: Counter[str] = Counter()
    reviewed: Counter[str] = Counter()
    sampled: Counter[str] = Counter()
    under_review: Counter[str] = Counter()
    for one in examined:
        status = outcomes[one.row.key][0]
        decided = status not in ("open", "changed")
        names = {defect.name for defect in one.defects}
        defects.update(names)
        reviewed.update(names if decided else ())
        drawn = not one.defects and _is_drawn(one.row.key, settings)
        if drawn:
            sampled.update({"drawn": 1, "reviewed": decided, "wrong": status in ("corrected", "dropped")})
        if one.defects or drawn or one.row.key in decisions:
            under_review[status] += 1
    sources: dict[str, dict[str, SourceSplit]] = {}
    for split in splits:
        config = output_config(split.config, settings.source, settings.target)
        sources.setdefault(config, {})[split.name] = SourceSplit(split.origin, split.license, split.fingerprint)
    checker = settings.checker
    return TranslationReport(
        source=settings.source,
        target=settings.target,
        translator=Machine(settings.translator.identity, dict(settings.translator.settings)),
        checker=None if checker is None else Machine(checker.identity, dict(checker.settings)),
        knowledge_base=None if settings.knowledge_base is None else settings.knowledge_base.name,
        threshold=settings.threshold,
        sample=settings.sample,
        seed=settings.seed,
        splits=counts,
        sources=sources,
        defects=dict(sorted(defects.items(), key=lambda item: (-item[1], item[0]))),
        reviewed={name: reviewed[name] for name in sorted(defects)},
        sampled=SampleCounts(sampled["drawn"], sampled["reviewed"], sampled["wrong"]),
        under_review=under_review.total(),
        open=under_review["open"] + under_review["changed"],
        changed=under_review["changed"],
        gone=len(decisions.keys() - outcomes.keys()),
    )


def _check_configs(splits: Sequence[Split], settings: DatasetTranslation) -> None:
    known: dict[str, str] = {}
    for split in splits:
        config = output_config(split.config, settings.source, settings.target)
        if known.setdefault(config, split.config) != split.config:
            raise InputError(
                "--data", f"{known[config]} and {split.config} would both become {config}", "translate them one by one"
            )
    output = settings.output.resolve()
    for split in splits:
        if split.place.resolve() == output:
            raise InputError(settings.output, "is the data set that is read", "give another folder to write")


def _check_corrections(
    folder: ReviewFolder, decisions: Mapping[str, Decision], rows: Sequence[Row], target: str
) -> None:
    for row in rows:
        decision = decisions.get(row.key)
        if decision is not None and decision.decision == "correct" and decision.translation is not None:
            source = marked(row.text, [(one.start, one.end) for one in row.enclosed])
            if decision.source in (None, source):
                reading = read(decision.translation, row.labels, target)
                check_decision(str(folder.decisions_file), decision, reading, row.labels)


def _check_accepted(folder: ReviewFolder, decisions: Mapping[str, Decision], examined: Sequence[Examined]) -> None:
    for one in examined:
        decision = decisions.get(one.row.key)
        if decision is not None and status_of(one.source, one.reading.marked, decision) == "accepted":
            check_decision(str(folder.decisions_file), decision, one.reading, one.row.labels)


def _limited(splits: Sequence[Split], limit: int | None) -> list[Split]:
    if limit is None:
        return list(splits)
    return [dataclasses.replace(split, table=split.table.slice(0, limit), rows=split.rows[:limit]) for split in splits]
