"""The stages of a corpora build as datatrove pipeline steps, which any of its executors runs.

A stage has a list of units of work; task r of n takes every n-th from the r-th on. A unit's result is one file or
folder that is renamed into place, and depends on nothing but the unit, so the number of tasks decides nothing and what
stands is not made again.
"""

from __future__ import annotations

import errno
import json
import os
import re
import uuid
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from datatrove.pipeline.base import PipelineStep

from kbioxlm.common.cli import FULL
from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.corpora.blocks import MANIFEST, read_block, read_part, removed_documents, write_removed
from kbioxlm.dataset_scripts.corpora.fact_level import translation_facts
from kbioxlm.dataset_scripts.corpora.passage_level import passage_rows
from kbioxlm.dataset_scripts.corpora.readers import read_article_pairs
from kbioxlm.dataset_scripts.corpora.selection import Selection, select
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings
from kbioxlm.dataset_scripts.corpora.shards import MIXTURE, write_level_shard, write_mixture_shard
from kbioxlm.dataset_scripts.corpora.tools import compile_tools, open_tools
from kbioxlm.dataset_scripts.corpora.units import write_block, write_level
from kbioxlm.dataset_scripts.corpora.work import WorkFolder
from kbioxlm.dataset_scripts.folder import shard_name
from kbioxlm.dataset_scripts.readers.documents import Part

Unit = TypeVar("Unit")
_WROTE_LESS = re.compile(r"\d+ requested and \d+ written")


class Stage(PipelineStep, Generic[Unit]):
    """A pipeline step that makes units.

    Args:
        units: all of the stage; those that are made already are left out.
        settings: of the corpora.
    """

    type = "corpora"
    name: ClassVar[str]

    def __init__(self, work: WorkFolder, units: Sequence[Unit], settings: CorporaSettings):
        super().__init__()
        self.work = work
        self.settings = settings
        self.units = [unit for unit in units if not self.result(unit).exists()]

    @abstractmethod
    def result(self, unit: Unit) -> Path:
        """The file or folder that stands when `unit` is made."""

    @abstractmethod
    def make(self, unit: Unit) -> None:
        """Make `unit`."""

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Make the units of task `rank`."""
        for unit in self.units[rank::world_size]:
            try:
                with self.track_time(unit="unit"):
                    self.make(unit)
            except InputError as error:
                _leave(error, self.work.failures)
                raise
            except OSError as error:
                cause = with_cause(error)
                _leave(cause, self.work.failures)
                if cause is error:
                    raise
                raise cause from error
            self.stat_update("units", unit="task")
        yield from ()


def with_cause(error: OSError) -> OSError:
    """`error`, or that of a full disk in place of numpy's, which does not say why it wrote less than it should."""
    if error.errno is None and _WROTE_LESS.fullmatch(str(error)):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return error


def _leave(error: InputError | OSError, folder: Path) -> None:
    """Write down an error that the user can do something about, for a run that cannot see the task raise it."""
    if isinstance(error, InputError):
        place, *others = error.__reduce__()[1]
        failure: dict[str, Any] = {"parts": [str(place), *others]}
    elif error.errno in FULL:
        failure = {"errno": error.errno, "filename": str(error.filename or "output")}
    else:
        return
    try:
        folder.mkdir(exist_ok=True)
        (folder / f"{uuid.uuid4().hex}.json").write_text(json.dumps(failure), encoding="utf-8")
    except OSError:
        pass  # the disk is full: the log of the task says so


@dataclass(frozen=True)
class CompileUnit:
    """Knowledge base, matcher and held-out concepts, from the knowledge base's folder."""

    knowledge_base: Path


@dataclass(frozen=True)
class PartUnit:
    """A part, read once and cut into blocks in a folder."""

    part: Part
    folder: Path


class Prepare(Stage[CompileUnit | PartUnit]):
    """The tools and the documents, which do not wait for each other."""

    name = "prepare"

    def result(self, unit: CompileUnit | PartUnit) -> Path:
        """The compiled tools, or the part's manifest."""
        return self.work.compiled if isinstance(unit, CompileUnit) else unit.folder / MANIFEST

    def make(self, unit: CompileUnit | PartUnit) -> None:
        """Compile the tools, or read a part."""
        if isinstance(unit, CompileUnit):
            compile_tools(unit.knowledge_base, self.work.compiled, self.settings)
        else:
            read_part(unit.part, unit.folder)


class FindRevisions(Stage[tuple[Path, ...]]):
    """The documents that later parts replace or withdraw, from the folders of all parts in their order."""

    name = "revisions"

    def result(self, unit: tuple[Path, ...]) -> Path:
        """The list of blocks with such documents."""
        return self.work.revisions / MANIFEST

    def make(self, unit: tuple[Path, ...]) -> None:
        """Mark the documents."""
        write_removed(removed_documents(unit), self.work.revisions)


@dataclass(frozen=True)
class BlockUnit:
    """A block of texts, with the mask of removed documents if there is one."""

    folder: Path
    block: Path
    removed: Path | None


@dataclass(frozen=True)
class PassageUnit:
    """The passages of article pairs; without a path there are none."""

    folder: Path
    pairs: Path | None


@dataclass(frozen=True)
class TranslationUnit:
    """Every name beside its translation."""

    folder: Path


RowUnit = BlockUnit | PassageUnit | TranslationUnit


class MakeRows(Stage[RowUnit]):
    """The rows of all levels, before any is left out."""

    name = "rows"

    def result(self, unit: RowUnit) -> Path:
        """The folder of the rows."""
        return unit.folder

    def make(self, unit: RowUnit) -> None:
        """Make the rows."""
        tools = open_tools(self.work.compiled, self.settings)
        if isinstance(unit, BlockUnit):
            write_block(read_block(unit.block, unit.removed), unit.folder, tools)
        elif isinstance(unit, TranslationUnit):
            write_level("fact", translation_facts(tools.knowledge_base, tools.translations), unit.folder, tools)
        elif unit.pairs is not None:
            pairs = partial(read_article_pairs, unit.pairs, self.settings.languages)
            rows = passage_rows(pairs, tools.passage_segmenter, self.settings.passages, self.settings.seed)
            write_level("passage", rows, unit.folder, tools)
        else:
            write_level("passage", (), unit.folder, tools)


class Select(Stage[tuple[Path, ...]]):
    """The choice among all rows, from the folders of all units in their order."""

    name = "select"

    def result(self, unit: tuple[Path, ...]) -> Path:
        """The selection."""
        return self.work.selection

    def make(self, unit: tuple[Path, ...]) -> None:
        """Select."""
        settings = self.settings
        select(unit, self.work.selection, settings.languages, settings.seed, settings.mixture)


class WriteShards(Stage[tuple[str, int]]):
    """Shards of the levels: `(level, number)`.

    Args:
        rows: folders of all units, in their order.
    """

    name = "shards"

    def __init__(
        self, work: WorkFolder, units: Sequence[tuple[str, int]], settings: CorporaSettings, rows: tuple[Path, ...]
    ):
        super().__init__(work, units, settings)
        self.rows = rows

    def result(self, unit: tuple[str, int]) -> Path:
        """The shard."""
        level, number = unit
        return self.work.output / level / shard_name(number)

    def make(self, unit: tuple[str, int]) -> None:
        """Write the shard."""
        write_level_shard(self.work, *unit, self.rows)


class WriteMixture(Stage[int]):
    """Shards of the mixture, by number.

    Args:
        selection: figures of the selection.
    """

    name = MIXTURE

    def __init__(self, work: WorkFolder, units: Sequence[int], settings: CorporaSettings, selection: Selection):
        super().__init__(work, units, settings)
        self.selection = selection

    def result(self, unit: int) -> Path:
        """The shard."""
        return self.work.output / MIXTURE / shard_name(unit)

    def make(self, unit: int) -> None:
        """Write the shard."""
        write_mixture_shard(self.work, self.selection, unit, self.settings.seed)
