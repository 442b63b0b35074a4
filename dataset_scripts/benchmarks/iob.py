"""Annotated sentences, and the IOB files they come in.

An IOB file has one unit a line, `unit<TAB>tag`; a blank line ends a sentence; `-DOCSTART-<TAB>id` begins a
document. Units are words, or characters where the writing puts no spaces between words; tags are IOB2.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kbioxlm.common.errors import InputError, Report, refuse, shown
from kbioxlm.common.files import read_lines

_DOCUMENT = "-DOCSTART-"


class Span(NamedTuple):
    """A labelled stretch of text: code points, end exclusive."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Sentence:
    """A sentence with its entities, and the units on which predictions are scored.

    Attributes:
        id: `document/n`, n counted from 0 within the document.
        document: the document's id; parallel documents have the same id in every language.
        text: the sentence as plain text.
        entities: in the order of the text, not overlapping.
        units: `(start, end)` of every unit in `text`.
        language: ISO 639-1, or empty where it is not known.
        repaired_units: indices of the units whose tag was an `I-` that continued nothing and now begins an entity.
    """

    id: str
    document: str
    text: str
    entities: tuple[Span, ...]
    units: tuple[tuple[int, int], ...]
    language: str = ""
    repaired_units: tuple[int, ...] = ()


@dataclass
class IobFile:
    """What `read_iob` found: sentences, and the lines whose tag was repaired."""

    sentences: list[Sentence] = field(default_factory=list)
    repaired_lines: list[int] = field(default_factory=list)


class _Row(NamedTuple):
    unit: str
    tag: str
    repaired: bool


def read_iob(
    path: str | Path,
    spaced: bool | None = None,
    language: str = "",
    repair: bool = False,
    report: Report = refuse,
) -> IobFile:
    """Read an IOB file.

    Args:
        path: the file, plain or `.gz`.
        spaced: join units by one space (True) or by nothing (False). None: by nothing if most of the
            file's letters are Chinese characters.
        language: written into every sentence.
        repair: let an `I-` tag that continues nothing begin an entity, and list its line in
            `repaired_lines`, its unit in the sentence's `repaired_units`. The published ADE files hold some,
            where a drug's name is the first word of an adverse effect: `lithium B-Drug, toxicity I-ADE`.
        report: what is done with what is wrong with a line or a document; by default it is raised.

    Raises:
        InputError: missing, empty or unreadable file; a line that is not `unit<TAB>tag`; a tag that is not
            IOB2; an `I-` tag that continues nothing (unless `repair`); units before the first document; a
            document without units or with an id that came before.
    """
    path = Path(path)
    result = IobFile()
    blocks: list[tuple[str, list[_Row]]] = []
    rows: list[_Row] = []
    document, document_line, filled = "", 0, True
    known: set[str] = set()
    previous = "O"
    for number, line in read_lines(path):
        line = line.removeprefix("\ufeff") if number == 1 else line
        if not line.strip():
            rows, previous = [], "O"
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) != 2 or not all(columns):
            found = f"{shown(line)} is not `unit<TAB>tag`"
            report(InputError(path, found, "write two columns parted by a tab", line=number))
            continue
        unit, tag = line.split("\t")[0], columns[1]
        if unit == _DOCUMENT:
            _check_filled(path, document, document_line, filled, report)
            if tag in known:
                found = f"document id {shown(tag)} appears again"
                report(InputError(path, found, "make ids unique", line=number))
            known.add(tag)
            document, document_line, filled = tag, number, False
            rows, previous = [], "O"
            continue
        if not known:
            found = f"{shown(unit)} stands before any document"
            report(InputError(path, found, "begin with a line `-DOCSTART-<TAB>id`", line=number))
            known.add("")  # said once
        repaired = _checked_tag(path, number, tag, previous, repair, report)
        if repaired != tag:
            result.repaired_lines.append(number)
        if not rows:
            blocks.append((document, rows))
            filled = True
        rows.append(_Row(unit, repaired, repaired != tag))
        previous = repaired
    _check_filled(path, document, document_line, filled, report)
    if not blocks:
        raise InputError(path, "no sentence in the file", "write `unit<TAB>tag` lines under `-DOCSTART-<TAB>id`")
    if spaced is None:
        spaced = not _mostly_chinese(row.unit for _, rows in blocks for row in rows)
    counts: dict[str, int] = {}
    for document, rows in blocks:
        n = counts.get(document, 0)
        counts[document] = n + 1
        result.sentences.append(_sentence(document, n, rows, " " if spaced else "", language))
    return result


def _check_filled(path: Path, document: str, line: int, filled: bool, report: Report) -> None:
    if not filled:
        report(InputError(path, f"document {shown(document)} has no units", "fill it or take it out", line=line))


def _checked_tag(path: Path, number: int, tag: str, previous: str, repair: bool, report: Report) -> str:
    """`tag`, or the tag it is read as."""
    if tag == "O":
        return tag
    prefix, dash, label = tag.partition("-")
    if prefix not in ("B", "I") or not dash or not label:
        report(InputError(path, f"tag {shown(tag)} is not IOB2", "use O, B-LABEL or I-LABEL", line=number))
        return "O"
    if prefix == "B" or previous in (f"B-{label}", f"I-{label}"):
        return tag
    if not repair:
        found = f"tag {shown(tag)} after {shown(previous)} continues nothing"
        report(InputError(path, found, f"write B-{label} here", line=number))
    return f"B-{label}"


def _mostly_chinese(units: Iterable[str]) -> bool:
    letters = chinese = 0
    for unit in units:
        for character in unit:
            if character.isalpha():
                letters += 1
                chinese += unicodedata.name(character, "").startswith("CJK UNIFIED")
    return 2 * chinese > letters


def _sentence(document: str, n: int, rows: list[_Row], joiner: str, language: str) -> Sentence:
    units: list[tuple[int, int]] = []
    position = 0
    for unit, *_ in rows:
        units.append((position, position + len(unit)))
        position += len(unit) + len(joiner)
    return Sentence(
        id=f"{document}/{n}",
        document=document,
        text=joiner.join(row.unit for row in rows),
        entities=spans_of_tags([row.tag for row in rows], units),
        units=tuple(units),
        language=language,
        repaired_units=tuple(index for index, row in enumerate(rows) if row.repaired),
    )


def spans_of_tags(tags: Sequence[str], units: Sequence[tuple[int, int]]) -> tuple[Span, ...]:
    """The entities of strict IOB2 `tags` (one per unit): `B-X` and the `I-X` that follow it at once.

    An `I-X` that continues nothing belongs to no entity.
    """
    spans: list[Span] = []
    open_span: Span | None = None
    for tag, (start, end) in zip(tags, units, strict=True):
        prefix, _, label = tag.partition("-")
        if prefix == "I" and open_span is not None and open_span.label == label:
            open_span = Span(open_span.start, end, label)
            continue
        if open_span is not None:
            spans.append(open_span)
        open_span = Span(start, end, label) if prefix == "B" else None
    if open_span is not None:
        spans.append(open_span)
    return tuple(spans)
