"""The file in which a person decides between two translations, and which every run reads and writes anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

from kbioxlm.common.errors import InputError, one_line, shown
from kbioxlm.common.files import read_lines, written_beside
from kbioxlm.dataset_scripts.translation.protocol import Answer

HEADER = ("kind", "id", "source_name", "answer_1", "answer_2", "reason", "decision", "flag")
NONE = "-"
GONE = "gone"
_CHANGED = "changed, decided on: "
Outcome = Literal["open", "reviewed", "rejected"]


class Question(NamedTuple):
    """What is translated: a name of a concept, or the phrase of a relation."""

    kind: Literal["name", "relation"]
    id: str
    text: str


class Verdict(NamedTuple):
    """What became of a question; `text` is "" unless it was reviewed to be one."""

    outcome: Outcome
    text: str = ""
    decision: str = ""


@dataclass(frozen=True)
class _Row:
    question: Question
    answers: tuple[str, str]
    reason: str
    decision: str
    flag: str


class Review:
    """The review file of one run: decisions of the earlier one, rows of the new one in the order of the questions.

    A decision is applied while its row is as it was decided on. If the answers have changed, the row is flagged
    with the answers that were decided on, and the decision waits until a person clears the flag. Decided rows whose
    question did not come up stay at the end, flagged `gone`, and come back by themselves.
    """

    def __init__(self, decided: dict[Question, _Row], stream: TextIO):
        self._decided = decided
        self._stream = stream
        stream.write("\t".join(HEADER) + "\n")

    def verdict(self, question: Question, first: Answer, second: Answer, reason: str) -> Verdict:
        """Write the row of a question whose answers were not accepted, and say what was decided."""
        question = question._replace(text=one_line(question.text))
        answers = (one_line(first or ""), one_line(second or ""))
        row = self._decided.pop(question, None)
        if row is None:
            self._write(_Row(question, answers, reason, "", ""))
            return Verdict("open")
        flag = _flag(row, answers)
        self._write(replace(row, answers=answers, reason=reason, flag=flag))
        if flag:
            return Verdict("open")
        if row.decision == NONE:
            return Verdict("rejected", decision=NONE)
        text = {"1": answers[0], "2": answers[1]}.get(row.decision, row.decision)
        return Verdict("reviewed", text, row.decision)

    def finish(self) -> None:
        """Write the decided rows that were not asked for."""
        for row in sorted(self._decided.values(), key=lambda row: row.question):
            self._write(replace(row, flag=row.flag or GONE))

    def _write(self, row: _Row) -> None:
        cells = (*row.question, *row.answers, row.reason, row.decision, row.flag)
        self._stream.write("\t".join(cells) + "\n")


@contextmanager
def reviewed(path: str | Path) -> Iterator[Review]:
    """The review at `path`, which is replaced when the block ends well.

    Raises:
        InputError: another header, a line that is not a row, a decision for an empty answer, or a question twice.
    """
    decided = _read(Path(path)) if Path(path).exists() else {}
    with written_beside(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as stream:
        review = Review(decided, stream)
        yield review
        review.finish()


def _read(path: Path) -> dict[Question, _Row]:
    """The rows with a decision, by question."""
    decided: dict[Question, _Row] = {}
    for line, text in read_lines(path):
        cells = text.removeprefix("\ufeff").split("\t")
        if line == 1:
            if tuple(cells) != HEADER:
                raise InputError(path, f"header {shown(text)}", f"begin with the columns {', '.join(HEADER)}", line=1)
            continue
        row = _row(path, line, text, cells)
        if not row.decision:
            continue
        if row.question in decided:
            raise InputError(path, f"{shown(row.question.text)} is decided twice", "keep one of the rows", line=line)
        decided[row.question] = row
    return decided


def _row(path: Path, line: int, text: str, cells: list[str]) -> _Row:
    if len(cells) in (len(HEADER) - 1, len(HEADER) - 2):  # an editor may trim the ends of lines
        cells = cells + [""] * (len(HEADER) - len(cells))
    if len(cells) != len(HEADER):
        raise InputError(
            path, f"{len(cells)} columns: {shown(text)}", f"write the {len(HEADER)} columns of the header", line=line
        )
    kind, key, source_name, first, second, reason, decision, flag = cells
    decision, flag = one_line(decision), flag.strip()
    if kind not in ("name", "relation") or not key or not source_name:
        raise InputError(
            path, f"not the row of a name or relation: {shown(text)}", "change the last two columns only", line=line
        )
    if flag and flag != GONE and not flag.startswith(_CHANGED):
        raise InputError(path, f"flag {shown(flag)}", "leave column flag as it is, or clear it to confirm", line=line)
    if {"1": first, "2": second}.get(decision) == "":
        raise InputError(
            path,
            f"decision {decision}, but answer {decision} is empty",
            f"write the other number, a text of your own, or {NONE} for none",
            line=line,
        )
    question = Question("name" if kind == "name" else "relation", key, source_name)
    return _Row(question, (first, second), reason, decision, flag)


def _flag(row: _Row, answers: tuple[str, str]) -> str:
    """The flag of a decided row, now that its question came up with `answers`."""
    if row.flag == f"{_CHANGED}{_pair(answers)}":
        return ""
    if row.flag.startswith(_CHANGED):
        return row.flag
    return "" if row.answers == answers else f"{_CHANGED}{_pair(row.answers)}"


def _pair(answers: tuple[str, str]) -> str:
    return " ¦ ".join(answers).strip()
