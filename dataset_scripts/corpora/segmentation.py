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

_BREAKS = r"\n\r\v\f\x85\u2028\u2029"
_CLOSING = r"”’」』）)\]\"'》】〕»"
# One set of characters comes first, so that the regular expression engine skips all others at once. The tails are
# possessive: what the last look-ahead refuses must not be tried again with a shorter tail.
_MARK = re.compile(
    rf"[。！？｡．.!?؟{_BREAKS}]"
    rf"(?:(?<=[。！？｡])[。！？｡!?…]*+[{_CLOSING}]*+"
    rf"|(?<=[{_BREAKS}])[{_BREAKS}]*+"
    rf"|(?<=[!?؟])[!?؟]*+[{_CLOSING}]*+"
    rf"|(?<=[.．])[.．]*+[{_CLOSING}]*+(?: [)\]])*+(?:\[\d[\d,;–\- ]*\])*+(?![0-9a-z,;:/%=_-]))"
)
_ALWAYS = frozenset("。！？｡\n\r\v\f\x85\u2028\u2029")
_ABBREVIATIONS_BY_LANGUAGE = {
    "en": """al approx assoc avg b.i.d b.sc bros ca cf chap co col corp dept dr drs ed eds eg eq eqs esp excl fig figs
        hosp hr hrs ibid ie inc incl inst jr ltd m.sc max min mr mrs ms mt nat natl no nos op p pharm.d ph.d pp prof
        ref refs resp sec sect ser sp spp sr ssp st subsp suppl t.i.d tab temp univ var viz vol vols vs wk yr yrs
        jan feb mar apr jun jul aug sep sept oct nov dec""",
    "es": "aprox dra ej núm pág págs sra srta",
    "de": "abb bzw evtl ggf inkl nr sog vgl",  # before nouns, which have a capital
    "fr": "éd env p.ex",
}
_ABBREVIATIONS = frozenset(" ".join(_ABBREVIATIONS_BY_LANGUAGE.values()).split())
_LONGEST_ABBREVIATION = max(map(len, _ABBREVIATIONS))
_LAST_WORD = re.compile(r"[^\s(\[{\"“‘]*+$")
_DOTTED = re.compile(r"[^\W\d_](\.[^\W\d_])*")
_WORD_BEFORE = re.compile(r"[^\W\d_]{2,}[)\]\"”’]*$")
_SENTENCE_AHEAD = re.compile(r"[A-Z][a-z]|[\u3400-\u9fff]")
_LIST_NUMBER = re.compile(r"\s*[(（]?\d{1,2}$")
_GOES_ON = frozenset(".,;:)]）")  # after a full stop and a space: ". . .", "etc. )"
_HAN_NUMBER = frozenset("一二三四五六七八九十")
_GOOD_CUT = re.compile(r"\s|(?<=[，、；：,;])(?=\D)")


class _Unspaced(dict[str, bool]):
    def __missing__(self, character: str) -> bool:
        self[character] = is_unspaced(character)
        return self[character]


_UNSPACED = _Unspaced()


def sentence_spans(text: str) -> list[Span]:
    """Offsets of the sentences of `text`, without the whitespace between them; all else is in one of them."""
    spans = []
    start = 0
    for mark in _MARK.finditer(text):
        stop, end = mark.span()
        if text[stop] in _ALWAYS or end == len(text) or _ends_sentence(text, start, stop, end):
            spans.append((start, end))
            start = end
    spans.append((start, len(text)))
    return [span for span in (_stripped(text, *span) for span in spans) if span[0] < span[1]]


def segment_spans(text: str, max_chars: int) -> list[Span]:
    """Offsets of segments: as many consecutive sentences as fit into `max_chars` characters.

    A sentence that does not fit alone is cut at whitespace or after a comma, failing that anywhere. Nothing but
    whitespace is lost.
    """
    segments: list[Span] = []
    for start, end in sentence_spans(text):
        for piece in _pieces(text, start, end, max_chars) if end - start > max_chars else ((start, end),):
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


def _ends_sentence(text: str, start: int, stop: int, end: int) -> bool:
    """Whether the mark at `stop`, followed by closing quotes and brackets up to `end`, ends the sentence."""
    first, after = text[stop], text[end]
    before = text[stop - 1 : stop]
    if first == "．":
        return bool(before) and _UNSPACED[before] and before not in _HAN_NUMBER
    if before and _UNSPACED[before]:
        return after.isspace() or _UNSPACED[after] or first != "."
    if first != ".":
        closed = text[end - 1] not in "!?؟"
        return (after.isspace() and not (closed and _ahead(text, end).islower())) or _UNSPACED[after]
    if _is_abbreviated(text, start, stop):
        return False
    if not after.isspace():
        return bool(
            before.islower()
            and _SENTENCE_AHEAD.match(text, end)
            and _WORD_BEFORE.search(text, max(start, stop - 40), stop)
        )
    ahead = _ahead(text, end)
    if ahead in _GOES_ON or ahead.islower() or _LIST_NUMBER.fullmatch(text, start, stop):
        return False
    return not (ahead.isdigit() and before.isspace() and text[max(0, stop - 3) : stop].rstrip()[-1:].isdigit())


def _ahead(text: str, end: int) -> str:
    return text[end : end + 3].lstrip()[:1]


def _is_abbreviated(text: str, start: int, stop: int) -> bool:
    """Whether an abbreviation ("vs") or initials ("E", "p.o") stand before the full stop at `stop`."""
    initials_possible = not text[max(0, stop - 2) : stop].isalpha()
    window = 40 if initials_possible else _LONGEST_ABBREVIATION + 1
    found = _LAST_WORD.search(text, max(start, stop - window), stop)
    word = found.group() if found else ""
    return word.lower() in _ABBREVIATIONS or _DOTTED.fullmatch(word) is not None
