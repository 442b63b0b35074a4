"""Between spans of characters and tags of pieces: windows with labels for a tagger, and its tags as spans again.

Text is tokenised as it stands, without splitting it into units first. A piece is labelled by its characters;
long sentences are cut into overlapping windows, and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, Span, spans_of_tags
from kbioxlm.windows_kbioxlm import cuts as windows_between
from kbioxlm.windows_kbioxlm import merge
from kbioxlm.windows_kbioxlm import pieces_of as tokenised

IGNORED = -100
"""The label of positions that carry none: special tokens, and pieces that are nothing but a space."""


@dataclass(frozen=True)
class Pieces:
    """The pieces of one sentence, without special tokens.

    `offsets[i]` are the code points of piece i without surrounding space; `(n, n)` where nothing is left.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]


@dataclass(frozen=True)
class Window:
    """Consecutive pieces of a sentence as model input, with special tokens.

    Attributes:
        sentence: index of the sentence.
        first: index of the window's first piece in the sentence.
        input_ids: `<s>`, the pieces, `</s>`.
        labelled: whether a position carries a label, same length.
        labels: tag ids, `IGNORED` where there is none, same length.
    """

    sentence: int
    first: int
    input_ids: list[int]
    labelled: list[bool]
    labels: list[int]


def pieces_of(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Pieces]:
    """Tokenise `texts`, with offsets into the original strings.

    Raises:
        InputError: the tokenizer gives no offsets.
    """
    if not tokenizer.is_fast:
        raise InputError(tokenizer.name_or_path, "the tokenizer gives no character offsets", "use a fast tokenizer")
    return [Pieces(text.ids, text.offsets) for text in tokenised(tokenizer, texts)]


def tags_of_pieces(offsets: Sequence[tuple[int, int]], entities: Sequence[Span]) -> list[str | None]:
    """The IOB2 tag of each piece; None for a piece without characters.

    A piece belongs to the entity that holds most of its characters, the first of equals, and to none if most
    of its characters lie outside entities.
    """
    tags: list[str | None] = []
    previous: Span | None = None
    first = 0  # entities before this one end before the current piece
    for start, end in offsets:
        if start == end:
            tags.append(None)
            continue
        while first < len(entities) and entities[first].end <= start:
            first += 1
        best, best_overlap, outside = None, 0, end - start
        for entity in entities[first:]:
            if entity.start >= end:
                break
            overlap = min(end, entity.end) - max(start, entity.start)
            outside -= overlap
            if overlap > best_overlap:
                best, best_overlap = entity, overlap
        if best is None or outside > best_overlap:
            tags.append("O")
            previous = None
        else:
            tags.append(f"{'I' if best is previous else 'B'}-{best.label}")
            previous = best
    return tags


def spans_of_pieces(offsets: Sequence[tuple[int, int]], tags: Sequence[str | None]) -> tuple[Span, ...]:
    """The character spans of piece tags, read as strict IOB2; pieces without a tag are passed over."""
    tagged = [(span, tag) for span, tag in zip(offsets, tags, strict=True) if tag is not None]
    return spans_of_tags([tag for _, tag in tagged], [span for span, _ in tagged])


def unit_tags(spans: Sequence[Span], units: Sequence[tuple[int, int]]) -> list[str]:
    """The IOB2 tag of each unit: a unit belongs to a span that covers at least half of its characters."""
    tags = []
    previous: Span | None = None
    first = 0
    for start, end in units:
        while first < len(spans) and spans[first].end <= start:
            first += 1
        owner, owned = None, 0
        for span in spans[first:]:
            if span.start >= end:
                break
            overlap = min(end, span.end) - max(start, span.start)
            if overlap > owned and 2 * overlap >= end - start:
                owner, owned = span, overlap
        tags.append("O" if owner is None else f"{'I' if owner is previous else 'B'}-{owner.label}")
        previous = owner
    return tags


def inexpressible(sentences: Sequence[Sentence], pieces: Sequence[Pieces]) -> int:
    """How many entities are lost even if every piece is tagged rightly, because pieces reach across their borders."""
    lost = 0
    for sentence, piece in zip(sentences, pieces, strict=True):
        spans = spans_of_pieces(piece.offsets, tags_of_pieces(piece.offsets, sentence.entities))
        found = spans_of_tags(unit_tags(spans, sentence.units), sentence.units)
        lost += len(set(sentence.entities) - set(found))
    return lost


def windows_of(
    sentences: Sequence[Sentence],
    pieces: Sequence[Pieces],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    tag_ids: dict[str, int] | None = None,
) -> list[Window]:
    """Cut sentences into windows of at most `max_length` positions, special tokens included.

    A sentence that is too long becomes several windows that begin and end between units and overlap by about a
    quarter. With `tag_ids` (tag to id) windows carry labels; pieces of an entity that began before the window
    are left without one.
    """
    windows = []
    for index, (sentence, piece) in enumerate(zip(sentences, pieces, strict=True)):
        tags = tags_of_pieces(piece.offsets, sentence.entities)
        for first, last in cuts(piece.offsets, sentence.units, max_length - 2):
            labelled = [tag is not None for tag in tags[first:last]]
            labels = [IGNORED] * (last - first)
            if tag_ids is not None:
                inherited = first > 0
                for position, tag in enumerate(tags[first:last]):
                    if tag is None:
                        continue
                    inherited = inherited and tag.startswith("I-")
                    if not inherited:
                        labels[position] = tag_ids[tag]
            ids = [tokenizer.cls_token_id, *piece.ids[first:last], tokenizer.sep_token_id]
            windows.append(Window(index, first, ids, [False, *labelled, False], [IGNORED, *labels, IGNORED]))
    return windows


def cuts(offsets: Sequence[tuple[int, int]], units: Sequence[tuple[int, int]], room: int) -> list[tuple[int, int]]:
    """`(first, last)` of windows of at most `room` pieces that together cover all pieces.

    Windows begin and end at units where they can, and overlap by about a quarter.
    """
    starts = {start for start, _ in units}
    borders = [i for i, (start, end) in enumerate(offsets) if start < end and start in starts]
    return windows_between(len(offsets), borders, room)


def merge_windows(
    windows: Sequence[Window], predicted: Sequence[Sequence[str]], pieces: Sequence[Pieces]
) -> list[list[str | None]]:
    """One tag a piece, from the window in which the piece has most context on its poorer side.

    Args:
        windows: all windows of all sentences.
        predicted: the tags of each window's labelled positions.
        pieces: all sentences' pieces.
    """
    spread: list[list[str | None]] = []
    for window, window_tags in zip(windows, predicted, strict=True):
        rest = iter(window_tags)
        spread.append([next(rest) if labelled else None for labelled in window.labelled[1:-1]])
    places = [(window.sentence, window.first, window.first + len(window.input_ids) - 2) for window in windows]
    return merge(places, spread, [len(piece.ids) for piece in pieces])
