"""What a person is asked about translated rows, and what they decided: two files of JSON lines in one folder.

`rows.jsonl` is written anew by every run of `translate`. To `decisions.jsonl` lines are only ever added, by the review
page or by hand; the last line of a row counts.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_json_lines, written_beside
from kbioxlm.dataset_scripts.benchmarks.translation.defects import WEIGHTS, Defect, risk

ROWS = "rows.jsonl"
DECISIONS = "decisions.jsonl"
SAMPLE = "sample"
Status = Literal["open", "changed", "accepted", "corrected", "dropped"]
_CHOICES = ("accept", "correct", "drop", "open")
_KEYS = ("key", "decision", "translation", "source", "at")


@dataclass(frozen=True)
class ReviewRow:
    """A row that is put up for review.

    Attributes:
        key: `config/split/id` of the source.
        why: `defects`, or `sample` for one without any that was drawn to be checked.
        risk: see `defects.risk`.
        source, translation: marked texts, and their languages.
        labels: of each number.
    """

    key: str
    why: str
    risk: float
    defects: tuple[Defect, ...]
    source_language: str
    target_language: str
    source: str
    translation: str
    labels: tuple[str, ...]


class Decision(NamedTuple):
    """What a person decided on a row.

    Attributes:
        decision: `accept` the translation as it is offered, `correct` it to `translation`, `drop` the row, or leave it
            `open` after all.
        translation: the marked text that was accepted or is to be used; may be left out for `accept` and `drop`.
        source: the marked source text that was decided on; None for any.
        line: in the file.
    """

    decision: str
    translation: str | None = None
    source: str | None = None
    line: int = 0


def status_of(source: str, translation: str, decision: Decision | None) -> Status:
    """What became of a row whose marked texts are `source` and `translation`.

    It is `changed`, and waits for a person, if it was decided on when its source, or what was accepted, was another.
    """
    if decision is None or decision.decision == "open":
        return "open"
    if decision.source is not None and decision.source != source:
        return "changed"
    if decision.decision == "drop":
        return "dropped"
    if decision.decision == "correct":
        return "corrected"
    return "accepted" if decision.translation in (None, translation) else "changed"


class ReviewFolder:
    """The two files of a folder."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.rows_file = self.path / ROWS
        self.decisions_file = self.path / DECISIONS

    def write_rows(self, rows: Iterable[ReviewRow]) -> None:
        """Replace the rows by `rows`, the riskiest first."""
        with written_beside(self.rows_file) as draft, draft.open("w", encoding="utf-8", newline="\n") as stream:
            for row in sorted(rows, key=lambda row: (-row.risk, row.key)):
                record = dataclasses.asdict(row)
                record["defects"] = [one._asdict() for one in row.defects]
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")

    def rows(self) -> list[ReviewRow]:
        """The rows, the riskiest first.

        Raises:
            InputError: no such file, or lines that are no rows.
        """
        if not self.rows_file.is_file():
            raise InputError(self.rows_file, "no such file", "name a folder that `translate` was given as --review")
        if self.rows_file.stat().st_size == 0:
            return []
        names = tuple(field.name for field in dataclasses.fields(ReviewRow))
        return [_row(self.rows_file, line, record) for line, record in read_json_lines(self.rows_file, names)]

    def decisions(self) -> dict[str, Decision]:
        """The last decision on each row, by key.

        Raises:
            InputError: a line that is no decision.
        """
        if not self.decisions_file.is_file() or self.decisions_file.stat().st_size == 0:
            return {}
        found: dict[str, Decision] = {}
        for line, record in read_json_lines(self.decisions_file, ("key", "decision")):
            found[str(record["key"])] = _decision(self.decisions_file, line, record)
        return found

    def decide(self, key: str, decision: Decision) -> None:
        """Add a line, on the disk when this returns; nothing of it stays if there is no room for all of it.

        Any number of processes may do so at once.
        """
        record = {
            "key": key,
            "decision": decision.decision,
            "translation": decision.translation,
            "source": decision.source,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        content = json.dumps({name: value for name, value in record.items() if value is not None}, ensure_ascii=False)
        self.path.mkdir(parents=True, exist_ok=True)
        with self.decisions_file.open("ab+", buffering=0) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # given back when the file is closed
            size = stream.seek(0, os.SEEK_END)
            if size:
                stream.seek(size - 1)
                if stream.read(1) != b"\n":  # a hand that ended without a line end
                    content = "\n" + content
            line = f"{content}\n".encode()
            try:
                while line:
                    line = line[stream.write(line) :]
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(size)
                raise


def _row(path: Path, line: int, record: Mapping[str, Any]) -> ReviewRow:
    try:
        defects = tuple(
            Defect(one["name"], one["message"], tuple(map(int, one["numbers"]))) for one in record["defects"]
        )
        texts = {name: record[name] for name in ("key", "why", "source_language", "target_language")}
        row = ReviewRow(
            **texts, risk=risk(defects), defects=defects, source=record["source"], translation=record["translation"],
            labels=tuple(record["labels"]),
        )  # fmt: skip
        strings = (*texts.values(), row.source, row.translation, *row.labels, *(one.message for one in defects))
        if all(isinstance(text, str) for text in strings) and all(one.name in WEIGHTS for one in defects):
            return row
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise InputError(path, f"not a row under review: {shown(dict(record))}", "run `translate` again", line=line)


def _decision(path: Path, line: int, record: Mapping[str, Any]) -> Decision:
    unknown = [name for name in record if name not in _KEYS]
    if unknown:
        raise InputError(path, f"unknown key {shown(unknown[0])}", f"the keys are {', '.join(_KEYS)}", line=line)
    decision, translation, source = (record.get(name) for name in ("decision", "translation", "source"))
    if decision not in _CHOICES:
        raise InputError(path, f"decision {shown(decision)}", f"write one of {', '.join(_CHOICES)}", line=line)
    for name, value in (("translation", translation), ("source", source)):
        if value is not None and not isinstance(value, str):
            raise InputError(path, f"{name} {shown(value)} is no text", "write it as a string", line=line)
    if decision == "correct" and not (translation or "").strip():
        raise InputError(path, "correct, but no translation", 'add "translation", with markers', line=line)
    return Decision(decision, translation, source, line)
