"""Named entities of texts in any language and of any length, as a pipeline of transformers.

    pipeline("biomedical-ner", model=…, trust_remote_code=True)

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from transformers import Pipeline

from .configuration_kbioxlm import custom_pipelines

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


class BiomedicalNerPipeline(Pipeline):
    """Entities with exact offsets and a probability, from a `KBioXLMForTokenClassification`.

    A text longer than the model is read in overlapping windows, each piece from the window that shows most of what
    stands around it. Windows of all texts share batches, like lengths together; nothing is computed for padding. The
    same text gives the same entities, whatever stands beside it, but for the last digits of `score`.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # pipeline() has put classes in the place of their names, which no JSON file can hold
        self.model.config.custom_pipelines = custom_pipelines()

    def __call__(self, inputs: str | Iterable[str], batch_size: int = 32, **kwargs: Any) -> list[Any]:
        """The entities of one text, or of each of several.

        Args:
            inputs: a text, or texts.
            batch_size: windows that the model reads at once.

        Returns:
            for one text a list, for several a list of lists of
            `{"entity_group", "score", "word", "start", "end"}`: the label, the least probability that the CRF gives
            the label of any of its pieces, the words, and where they stand in code points, end exclusive.

        Raises:
            TypeError: something that is no text, or an argument that there is not.
        """
        if kwargs:
            raise TypeError(f"biomedical-ner takes batch_size, not {', '.join(sorted(kwargs))}")
        single = isinstance(inputs, str)
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"text {number} is {text!r:.80}: give strings")
        with self.device_placement(), self.get_inference_context()():
            found = self.postprocess(self._forward(self.preprocess(texts), batch_size))
        return found[0] if single else found

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if kwargs:
            raise TypeError(f"biomedical-ner takes no {', '.join(sorted(kwargs))}")
        return {}, {}, {}

    def preprocess(self, texts: Sequence[str]) -> dict[str, Any]:
        """Texts to pieces and windows."""
        config, tokenizer = self.model.config, self.tokenizer
        room = config.max_position_embeddings - config.pad_token_id - 1 - 2  # between <s> and </s>
        pieces = pieces_of(tokenizer, texts)
        windows = [
            Window(number, first, last)
            for number, text in enumerate(pieces)
            if text.ids
            for first, last in cuts(len(text.ids), text.borders, room)
        ]
        return {"texts": texts, "pieces": pieces, "windows": windows}

    def _forward(self, model_inputs: dict[str, Any], batch_size: int = 32) -> dict[str, Any]:
        """Tags of each window's pieces with their probabilities, None for pieces without characters."""
        pieces, windows = model_inputs["pieces"], model_inputs["windows"]
        order = sorted(range(len(windows)), key=lambda i: (windows[i].last - windows[i].first, i))
        read: list[list[tuple[str, float] | None]] = [[] for _ in windows]
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            for number, tags in zip(chosen, self._read([windows[i] for i in chosen], pieces), strict=True):
                read[number] = tags
        return {**model_inputs, "read": read}

    def _read(self, windows: Sequence[Window], pieces: Sequence[Text]) -> Iterator[list[tuple[str, float] | None]]:
        model, tokenizer = self.model, self.tokenizer
        width = max(window.last - window.first for window in windows) + 2
        shape = (len(windows), width)
        ids, labelled = torch.full(shape, model.config.pad_token_id), torch.zeros(shape, dtype=torch.bool)
        attention = torch.zeros(shape, dtype=torch.long)
        for row, (number, first, last) in enumerate(windows):
            text = pieces[number]
            ids[row, : last - first + 2] = torch.tensor(
                [tokenizer.cls_token_id, *text.ids[first:last], tokenizer.sep_token_id]
            )
            attention[row, : last - first + 2] = 1
            labelled[row, 1 : last - first + 1] = torch.tensor([start < end for start, end in text.offsets[first:last]])
        logits = model(input_ids=ids.to(model.device), attention_mask=attention.to(model.device)).logits
        labelled = labelled.to(logits.device)
        paths = model.decode(logits.float(), labelled)
        probabilities = tag_probabilities(model, logits.float(), labelled).cpu()
        names = model.config.id2label
        for row, path in enumerate(paths):
            positions = labelled[row].nonzero().squeeze(1)
            tags: list[tuple[str, float] | None] = [None] * (windows[row].last - windows[row].first)
            for position, tag in zip(positions.tolist(), path, strict=True):
                tags[position - 1] = (names[int(tag)], float(probabilities[row, position, tag]))
            yield tags

    def postprocess(self, model_outputs: dict[str, Any]) -> list[list[dict[str, Any]]]:
        """Windows to entities, text by text."""
        texts, pieces = model_outputs["texts"], model_outputs["pieces"]
        merged = merge(model_outputs["windows"], model_outputs["read"], [len(text.ids) for text in pieces])
        return [
            list(entities(text, parts.offsets, tags)) for text, parts, tags in zip(texts, pieces, merged, strict=True)
        ]


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


def tag_probabilities(model: Any, logits: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
    """Probability of each tag at each labelled piece, (batch, sequence, tags): marginals of the CRF, or a softmax."""
    if model.crf is None:
        return torch.softmax(logits, dim=-1)
    return model.crf.marginals(logits, labelled)


__all__ = ["BiomedicalNerPipeline"]
