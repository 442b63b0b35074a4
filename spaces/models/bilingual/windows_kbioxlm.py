"""Between texts and the windows that a tagger reads: pieces with their characters, cuts, tags as entities again.

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code. It needs neither
torch nor transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

Tag = TypeVar("Tag")
_SURROGATES = re.compile("[\ud800-\udfff]")
_WRITTEN_WITHOUT_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


class Text(NamedTuple):
    """A text in pieces.

    Attributes:
        ids: of its pieces, without special ones.
        offsets: of each piece, (start, end) in code points of the text, without surrounding space; (n, n) where
            nothing is left.
        borders: pieces that begin a word, where a window may begin or end.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    borders: list[int]


class Window(NamedTuple):
    """Consecutive pieces of a text that the model reads at once.

    Attributes:
        text: which one.
        first: its first piece.
        last: the piece behind its last one.
    """

    text: int
    first: int
    last: int


def pieces_of(tokenizer: Any, texts: Sequence[str]) -> list[Text]:
    """Tokenise `texts`, with offsets into the original strings.

    Half of a surrogate pair, which no tokenizer takes, is read as U+FFFD.
    """
    if not texts:
        return []
    encoded = tokenizer(
        [_SURROGATES.sub("\ufffd", text) for text in texts],
        add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False, verbose=False,
    )  # fmt: skip
    space = tokenizer.convert_tokens_to_ids("▁")
    found = []
    for text, ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        # A metaspace that was put before the first character is given that character's offsets.
        spans = [
            (end, end) if piece == space and piece != tokenizer.unk_token_id else trimmed(text, start, end)
            for piece, (start, end) in zip(ids, offsets, strict=True)
        ]
        borders = [i for i, (start, end) in enumerate(spans) if start < end and begins_word(text, start)]
        found.append(Text(list(ids), spans, borders))
    return found


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without surrounding space; (end, end) where nothing else is in it."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def begins_word(text: str, start: int) -> bool:
    """Whether a word may begin at this character, which is no space."""
    if start == 0 or text[start - 1].isspace():
        return True
    pair = text[start - 1 : start + 1]
    return bool(_WRITTEN_WITHOUT_SPACES.search(pair)) or not pair.isalnum()


def cuts(pieces: int, borders: Sequence[int], room: int) -> list[tuple[int, int]]:
    """`(first, last)` of windows of at most `room` pieces that together cover all pieces.

    Windows begin and end at `borders` where they can, and overlap by about a quarter.
    """
    if pieces <= room:
        return [(0, pieces)]
    found = []
    first = 0
    while first + room < pieces:
        last = max((border for border in borders if first < border <= first + room), default=first + room)
        found.append((first, last))
        reach = last - room // 4
        first = max((border for border in borders if first < border <= reach), default=max(first + 1, reach))
    return [*found, (first, pieces)]


def windows_of(pieces: Sequence[Text], room: int) -> list[Window]:
    """The windows of all texts, of at most `room` pieces each; a text without pieces has none."""
    return [
        Window(number, first, last)
        for number, text in enumerate(pieces)
        if text.ids
        for first, last in cuts(len(text.ids), text.borders, room)
    ]


def merge(
    windows: Sequence[tuple[int, int, int]], read: Sequence[Sequence[Tag | None]], lengths: Sequence[int]
) -> list[list[Tag | None]]:
    """One tag a piece, from the window in which the piece has most context on its poorer side.

    Args:
        windows: all windows of all texts: text, first piece, the piece behind the last.
        read: the tag of each piece of each window, None for a piece without one.
        lengths: pieces of each text.
    """
    tags: list[list[Tag | None]] = [[None] * length for length in lengths]
    context = [[-1.0] * length for length in lengths]
    for (text, first, last), of_window in zip(windows, read, strict=True):
        for piece, tag in enumerate(of_window, first):
            left = float("inf") if first == 0 else piece - first
            right = float("inf") if last == lengths[text] else last - 1 - piece
            if tag is not None and min(left, right) > context[text][piece]:
                context[text][piece] = min(left, right)
                tags[text][piece] = tag
    return tags


def entities(
    text: str, offsets: Sequence[tuple[int, int]], tags: Sequence[tuple[str, float] | None]
) -> Iterator[dict[str, Any]]:
    """The entities of tagged pieces, read as strict IOB2: an `I-X` that continues nothing belongs to none."""
    label, score, first, last = "", 1.0, 0, 0

    def entity() -> dict[str, Any]:
        return {"entity_group": label, "score": score, "word": text[first:last], "start": first, "end": last}

    for (start, end), tag in zip(offsets, tags, strict=True):
        if tag is None:
            continue
        prefix, _, name = tag[0].partition("-")
        if prefix == "I" and label == name and label:
            score, last = min(score, tag[1]), end
            continue
        if label:
            yield entity()
        label = name if prefix == "B" else ""
        score, first, last = tag[1], start, end
    if label:
        yield entity()


__all__ = ["Text", "Window", "begins_word", "cuts", "entities", "merge", "pieces_of", "windows_of"]
