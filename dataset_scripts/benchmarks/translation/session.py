"""What a reviewer sees and does, apart from how it is drawn: which rows, in which order, and decisions on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.translation.checks import text_defects
from kbioxlm.dataset_scripts.benchmarks.translation.defects import Defect
from kbioxlm.dataset_scripts.benchmarks.translation.markers import parsed
from kbioxlm.dataset_scripts.benchmarks.translation.readings import Reading, problems, read
from kbioxlm.dataset_scripts.benchmarks.translation.review import (
    SAMPLE,
    Decision,
    ReviewFolder,
    ReviewRow,
    Status,
    status_of,
)

ANY = "any"
UNDECIDED = ("open", "changed")


@dataclass(frozen=True)
class Filter:
    """Which rows are gone through.

    Attributes:
        show: `open`, `decided` or `all`.
        defect: the name of one, `sample` for rows without any, or ANY.
        least_risk: from 0 to 1.
    """

    show: str = "open"
    defect: str = ANY
    least_risk: float = 0.0


class RefusedError(Exception):
    """A decision that cannot be taken as it is; its message says why."""


class Session:
    """The rows of a review folder with the decisions on them, which are read anew whenever their files change.

    It holds nothing that is not on the disk, so that any number of pages may show it at once.

    Raises:
        InputError: no rows in the folder, or files that cannot be read.
    """

    def __init__(self, folder: str | Path):
        self._folder = ReviewFolder(folder)
        self._stamps: tuple[object, ...] = ()
        self._rows: dict[str, ReviewRow] = {}
        self._decisions: dict[str, Decision] = {}
        self._refresh()
        if not self._rows:
            raise InputError(self._folder.rows_file, "no row in it", "there is nothing to review")

    def row(self, key: str) -> ReviewRow | None:
        """The row of a key, None if it is not under review any more."""
        self._refresh()
        return self._rows.get(key)

    def status(self, key: str) -> Status:
        """What became of a row."""
        row = self._rows[key]
        return status_of(row.source, row.translation, self._decisions.get(key))

    def chosen_text(self, key: str) -> str:
        """The marked text of a row as it would be used: corrected, or as it is offered."""
        decision = self._decisions.get(key)
        if self.status(key) == "corrected" and decision is not None and decision.translation:
            return decision.translation
        return self._rows[key].translation

    def line(self, key: str) -> int:
        """The line of the last decision on a row, 0 if there is none: a later one has another."""
        decision = self._decisions.get(key)
        return decision.line if decision is not None else 0

    def decided_text(self, key: str) -> str | None:
        """The marked text of the last decision, which may be of another translation than the one offered now."""
        decision = self._decisions.get(key)
        return decision.translation if decision is not None else None

    def counts(self) -> Counter[str]:
        """Rows by status."""
        self._refresh()
        return Counter(self.status(key) for key in self._rows)

    def defect_names(self) -> list[str]:
        """The names to filter by, the most frequent first."""
        self._refresh()
        names = Counter(name for row in self._rows.values() for name in {one.name for one in row.defects})
        found = sorted(names, key=lambda name: (-names[name], name))
        return [ANY, *found, *([SAMPLE] if any(row.why == SAMPLE for row in self._rows.values()) else [])]

    def queue(self, wanted: Filter) -> list[str]:
        """Keys of the rows that pass `wanted`, the riskiest first."""
        self._refresh()
        return [key for key in self._rows if self._passes(key, wanted)]

    def neighbour(self, key: str | None, wanted: Filter, step: int) -> str | None:
        """The row before (`step` -1) or behind (1) `key` in the queue; 0 is `key` itself, if it is in it.

        Where `key` is not in the queue, the one that stood behind it; at an end, the last one. None if the queue is
        empty.
        """
        queue = self.queue(wanted)
        if not queue:
            return None
        if key in queue:
            return queue[min(max(queue.index(key) + step, 0), len(queue) - 1)]
        order = {one: place for place, one in enumerate(self._rows)}
        behind = [one for one in queue if order[one] > order.get(key or "", -1)]
        if step < 0:
            before = [one for one in queue if one not in behind]
            return before[-1] if before else queue[0]
        return behind[0] if behind else queue[-1]

    def read(self, key: str, text: str) -> tuple[Reading, list[str], list[Defect]]:
        """An edited text, why it cannot be used, and what else is to be seen in it."""
        row = self._rows[key]
        reading = read(text, row.labels, row.target_language)
        plain = parsed(row.source)[0]
        noticed = text_defects(plain, reading.projection.text, row.source_language, row.target_language)
        return reading, problems(reading, row.labels), [*reading.projection.defects, *noticed]

    def decide(self, key: str, decision: str, text: str, seen: int) -> None:
        """Write a decision to the disk.

        Args:
            decision: `accept`, `correct`, `drop` or `open`.
            text: the marked text that the person sees.
            seen: `line` when the row was shown to them.

        Raises:
            RefusedError: somebody else has decided since, an edited text is accepted, an unedited one corrected, or
                the text is not usable.
        """
        self._refresh()
        row = self._rows.get(key)
        if row is None:
            raise RefusedError("This row is not under review any more.")
        if self.line(key) != seen:
            raise RefusedError(f"Meanwhile this row is {self.status(key)}, by another page. Once more overrules that.")
        edited = text.strip() != row.translation.strip()
        if decision == "accept" and edited:
            raise RefusedError("The text was edited: save it as a correction (c), or reset it (r).")
        if decision == "correct" and not edited:
            raise RefusedError("The text is the one that is offered: accept it (a), or edit it (e).")
        if decision in ("accept", "correct"):
            reasons = problems(read(text, row.labels, row.target_language), row.labels)
            if reasons:
                raise RefusedError(f"This cannot be used: {'; '.join(reasons)}.")
        kept = {"accept": row.translation, "correct": text}.get(decision)
        self._folder.decide(key, Decision(decision, kept, row.source))

    def _passes(self, key: str, wanted: Filter) -> bool:
        row = self._rows[key]
        if wanted.show != "all" and (wanted.show == "open") != (self.status(key) in UNDECIDED):
            return False
        names = {one.name for one in row.defects} | ({SAMPLE} if row.why == SAMPLE else set())
        return row.risk >= wanted.least_risk and (wanted.defect == ANY or wanted.defect in names)

    def _refresh(self) -> None:
        stamps = tuple(_stamp(path) for path in (self._folder.rows_file, self._folder.decisions_file))
        if stamps != self._stamps:
            rows = {row.key: row for row in self._folder.rows()}
            self._rows, self._decisions = rows, self._folder.decisions()
            self._stamps = stamps


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
