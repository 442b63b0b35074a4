"""From a knowledge base, texts and article pairs to the corpora folder."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import require_file
from kbioxlm.dataset_scripts.corpora.blocks import (
    block_path,
    part_file,
    part_key,
    read_manifest,
    read_removed,
    removed_in,
)
from kbioxlm.dataset_scripts.corpora.card import write_corpora_card
from kbioxlm.dataset_scripts.corpora.execution import Execution, Run, started
from kbioxlm.dataset_scripts.corpora.progress import progress
from kbioxlm.dataset_scripts.corpora.provenance import content_digest, name_sources
from kbioxlm.dataset_scripts.corpora.rows import HELD_OUT, LEVELS
from kbioxlm.dataset_scripts.corpora.selection import Selection, read_selection
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings
from kbioxlm.dataset_scripts.corpora.shards import read_counts, shard_count
from kbioxlm.dataset_scripts.corpora.stages import (
    BlockUnit,
    CompileUnit,
    FindRevisions,
    MakeRows,
    PartUnit,
    PassageUnit,
    Prepare,
    RowUnit,
    Select,
    Stage,
    TranslationUnit,
    WriteMixture,
    WriteShards,
)
from kbioxlm.dataset_scripts.corpora.statistics import CorporaStatistics, TextSource
from kbioxlm.dataset_scripts.corpora.tools import close_tools, read_held_out
from kbioxlm.dataset_scripts.corpora.work import WorkFolder, work_folder
from kbioxlm.dataset_scripts.folder import dataset_folder, require_replaceable, write_rows, write_statistics
from kbioxlm.dataset_scripts.readers.documents import Part
from kbioxlm.dataset_scripts.readers.sources import parts

FORMAT = 1  # of the work folder; another one makes an unfinished run start anew


def build_corpora(
    knowledge_base: str | Path,
    texts: Sequence[str | Path],
    output: str | Path,
    settings: CorporaSettings,
    pairs: str | Path | None = None,
    execution: Execution = Execution(),  # noqa: B008  # immutable
) -> CorporaStatistics:
    """Write the corpora folder `output`: monolingual, entity, fact and passage examples, and the held-out names.

    An unfinished run leaves a work folder beside `output`; run again with the same settings it goes on from there.
    The bytes written depend on neither that nor `execution`.

    Args:
        knowledge_base: folder written by `build_knowledge_base`.
        texts: sources of texts (`readers.sources`), in the order in which they count.
        pairs: JSON-lines file or data set folder of article pairs; without it the passage level has no rows.

    Raises:
        InputError: an input that is missing or malformed, an executor that cannot be used, a worker that died.
        OSError: no room for the output.
    """
    output = require_replaceable(output)
    sources = [_Source(text, tuple(parts(text, settings.languages, settings.text_language))) for text in texts]
    if pairs is not None and not Path(pairs).is_dir():
        require_file(pairs)
    key = {
        "format": FORMAT,
        "settings": asdict(settings),
        "rules": content_digest(settings.rules),
        "knowledge base": content_digest(knowledge_base),
        "pairs": None if pairs is None else content_digest(pairs),
        "tokenizer": None if settings.tokenizer is None else content_digest(settings.tokenizer),
    }
    with (
        work_folder(output, key, remove_drafts=execution.executor != "slurm") as work,
        started(execution, work.failures) as run,
    ):
        try:
            return _Build(work, settings, execution, run).build(Path(knowledge_base), sources, pairs, output)
        finally:
            close_tools()


@dataclass(frozen=True)
class _Source:
    specification: str | Path
    parts: tuple[Part, ...]


class _Build:
    """One run through all stages."""

    def __init__(self, work: WorkFolder, settings: CorporaSettings, execution: Execution, run: Run):
        self._work = work
        self._settings = settings
        self._execution = execution
        self._run = run

    def build(
        self, knowledge_base: Path, sources: Sequence[_Source], pairs: str | Path | None, output: Path
    ) -> CorporaStatistics:
        """Run all stages and put the result in the place of `output`."""
        all_parts = [part for source in sources for part in source.parts]
        folders = [self._work.documents / part_key(part) for part in all_parts]
        self._work = replace(self._work, version=_digest(folder.name for folder in folders))
        read = [PartUnit(part, folder) for part, folder in zip(all_parts, folders, strict=True)]
        self._stage(Prepare(self._work, [CompileUnit(knowledge_base), *read], self._settings))
        self._stage(FindRevisions(self._work, [tuple(folders)], self._settings))
        removed = read_removed(self._work.revisions)
        units = self._blocks(folders, removed)
        if self._settings.translation_facts:
            units.append(TranslationUnit(self._work.rows / "translation facts"))
        units.append(PassageUnit(self._work.rows / "passages", None if pairs is None else Path(pairs)))
        rows = tuple(unit.folder for unit in units)
        self._stage(MakeRows(self._work, units[::-1], self._settings))  # the longest units stand at the end
        self._stage(Select(self._work, [rows], self._settings))
        selection = read_selection(self._work.selection)
        if not selection.rows["monolingual"]:
            shutil.rmtree(self._work.documents)  # nothing to go on from
            names = ", ".join(str(source.specification) for source in sources)
            raise InputError(names, "no text in any object", "give texts that are not blank")
        self._write_shards(selection, rows)
        statistics = self._statistics(knowledge_base, sources, folders, removed, selection)
        self._finish(statistics, output)
        return statistics

    def _blocks(self, folders: Sequence[Path], removed: dict[tuple[int, int], Path]) -> list[RowUnit]:
        units: list[RowUnit] = []
        for part, folder in enumerate(folders):
            for block in range(len(read_manifest(folder).languages)):
                mask = removed.get((part, block))
                name = f"{folder.name}-{block:05d}" + (f"-{mask.stem.rpartition('-')[2]}" if mask else "")
                units.append(BlockUnit(self._work.rows / name, block_path(folder, block), mask))
        return units

    def _write_shards(self, selection: Selection, rows: tuple[Path, ...]) -> None:
        shards = [(level, number) for level in LEVELS for number in range(shard_count(selection.rows[level]))]
        self._stage(WriteShards(self._work, shards, self._settings, rows))
        if self._settings.mixture:
            numbers = range(shard_count(sum(selection.mixed_rows.values())))
            self._stage(WriteMixture(self._work, list(numbers), self._settings, selection))

    def _stage(self, stage: Stage[Any]) -> None:
        """Run the units of `stage` that are missing."""
        if not stage.units:
            return
        results = [stage.result(unit) for unit in stage.units]
        tasks = self._execution.tasks_for(len(stage.units))
        # marks of finished tasks hold for the same units in the same tasks alone
        logs = self._work.logs / f"{stage.name}-{_digest([str(tasks), *map(str, results)])}"
        with progress(stage.name, results):
            self._run(stage, tasks, logs)

    def _statistics(
        self,
        knowledge_base: Path,
        sources: Sequence[_Source],
        folders: Sequence[Path],
        removed: dict[tuple[int, int], Path],
        selection: Selection,
    ) -> CorporaStatistics:
        remaining = iter(enumerate(folders))
        texts = []
        revised = 0
        for source in sources:
            languages: Counter[str] = Counter()
            files = {}
            for part, (number, folder) in zip(source.parts, remaining, strict=False):
                manifest = read_manifest(folder)
                for block, documents in enumerate(manifest.languages):
                    languages.update(documents)
                    if (number, block) in removed:
                        revised += removed_in(removed[number, block], languages, block_path(folder, block))
                if manifest.sha256:
                    files[(part_file(part) or Path(part.name)).name] = manifest.sha256
            texts.append(TextSource(Path(source.specification).name, dict(sorted(languages.items())), files))
        levels = {level: read_counts(self._work.counts / level) for level in LEVELS}
        for level, counts in levels.items():
            counts.tokens.update(selection.tokens[level])
        mixture = {
            level: {"rows": selection.mixed_rows[level], "tokens": selection.mixed_tokens[level]}
            for level in LEVELS
            if self._settings.mixture
        }
        totals: Counter[str] = Counter()
        for text in texts:
            totals.update(text.documents)
        held_out = read_held_out(self._work.compiled)
        return CorporaStatistics(
            documents=dict(sorted(totals.items())),
            revised_documents=revised,
            repeated_segments=selection.repeated_segments,
            levels=levels,
            replaced_before_balance=selection.replaced_into,
            mixture=mixture,
            held_out=dict(sorted(Counter(row.split for row in held_out).items())),
            token_unit=self._settings.token_unit(),
            texts=texts,
            names=name_sources(knowledge_base),
        )

    def _finish(self, statistics: CorporaStatistics, output: Path) -> None:
        draft = self._work.output
        write_rows(draft / "held_out", HELD_OUT, read_held_out(self._work.compiled))
        write_statistics(draft, statistics.as_dict())
        write_corpora_card(draft, self._settings, statistics)
        with dataset_folder(output) as place:
            place.rmdir()
            draft.rename(place)


def _digest(names: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(names).encode(), digest_size=8).hexdigest()
