"""Cutting texts into segments of whole sentences.

One rule set serves all languages, because biomedical text mixes them: a Chinese abstract cites "E. coli" and
"1.5 mg". A full stop is a boundary only if nothing speaks against it; a missed boundary costs nothing, since
sentences are packed again, while a false one would tear a name or a number apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kbioxlm.dataset_scripts.matching.folding import is_unspaced

Span = tuple[int, int]

_MARK = re.compile(r"[。！？｡][。！？｡!?…]*[”’」』）)\]\"']*|[!?]+[”’\")\]]*|\.+[”’\")\]]*|[\n\r\v\f\x85\u2028\u2029]+")
_ABBREVIATION = re.compile(
    r"al|approx|b\.i\.d|ca|cf|chap|co|dept|dr|eds?|eg|eqs?|esp|figs?|ibid|ie|inc|jr|ltd|max|min|mr|mrs|ms|mt|nos?|op|"
    r"pp?|prof|refs?|resp|spp?|sr|ssp|st|subsp|suppl|t\.i\.d|tab|temp|univ|var|viz|vols?|vs|yrs?|"
    r"jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec",
    re.IGNORECASE,
)
_LAST_WORD = re.compile(r"[^\s(\[{\"“‘]*$")
_DOTTED = re.compile(r"[^\W\d_](\.[^\W\d_])*")
_WORD_BEFORE = re.compile(r"[^\W\d_]{2,}[)\]\"”’]*$")
_SENTENCE_AHEAD = re.compile(r"[A-Z][a-z]|[\u3400-\u9fff]")
_LIST_NUMBER = re.compile(r"\s*[(（]?\d{1,2}$")
_GOOD_CUT = re.compile(r"\s|(?<=[，、；：,;])(?=\D)")


def sentence_spans(text: str) -> list[Span]:
    """Offsets of the sentences of `text`, without the whitespace between them; all else is in one of them."""
    spans = []
    start = 0
    for mark in _MARK.finditer(text):
        if _ends_sentence(text, start, mark):
            spans.append((start, mark.end()))
            start = mark.end()
    spans.append((start, len(text)))
    return [span for span in (_stripped(text, *span) for span in spans) if span[0] < span[1]]


def segment_spans(text: str, max_chars: int) -> list[Span]:
    """Offsets of segments: as many consecutive sentences as fit into `max_chars` characters.

    A sentence that does not fit alone is cut at whitespace or after a comma, failing that anywhere. Nothing but
    whitespace is lost.
    """
    segments: list[Span] = []
    for start, end in sentence_spans(text):
        for piece in _pieces(text, start, end, max_chars):
            if segments and piece[1] - segments[-1][0] <= max_chars:
                segments[-1] = (segments[-1][0], piece[1])
            else:
                segments.append(piece)
    return segments


def _pieces(text: str, start: int, end: int, max_chars: int) -> Iterator[Span]:
    while end - start > max_chars:
        cuts = [match.start() for match in _GOOD_CUT.finditer(text, start + 1, start + max_chars + 1)]
        cut = cuts[-1] if cuts else start + max_chars
        yield _stripped(text, start, cut)
        start = _stripped(text, cut, end)[0]
    if start < end:
        yield start, end


def _stripped(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _ends_sentence(text: str, start: int, mark: re.Match[str]) -> bool:
    """Whether `mark` ends the sentence that began at `start`."""
    first = mark.group()[0]
    if first in "。！？｡" or first.isspace() or mark.end() == len(text):
        return True
    before, after = text[mark.start() - 1 : mark.start()], text[mark.end()]
    if before and is_unspaced(before):
        return after.isspace() or is_unspaced(after) or first != "."
    if first in "!?":
        return after.isspace() or is_unspaced(after)
    word = _LAST_WORD.search(text, max(start, mark.start() - 40), mark.start())
    last = word.group() if word else ""
    if _ABBREVIATION.fullmatch(last) or _DOTTED.fullmatch(last):
        return False
    if not after.isspace():
        return bool(
            _WORD_BEFORE.search(text, max(start, mark.start() - 40), mark.start())
            and text[mark.start() - 1].islower()
            and _SENTENCE_AHEAD.match(text, mark.end())
        )
    if _LIST_NUMBER.fullmatch(text, start, mark.start()):
        return False
    ahead = text[mark.end() : mark.end() + 3].lstrip()[:1]
    if ahead.isdigit() and before.isspace() and text[max(0, mark.start() - 3) : mark.start()].rstrip()[-1:].isdigit():
        return False
    return not ahead.islower()
