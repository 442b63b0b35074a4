"""A tagger at work without torch: a folder that `train.py export` wrote, onnxruntime, tokenizers and numpy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file
from kbioxlm.viterbi_kbioxlm import viterbi
from kbioxlm.windows_kbioxlm import Text, Window, entities, merge, pieces_of, windows_of

MODEL, INT8, DECODER = "model.onnx", "model_int8.onnx", "decoder.json"
PADDING = 0.1  # the most of a batch that may be padding


class Crf(NamedTuple):
    """Scores of label sequences, and which of them are no IOB2.

    Attributes:
        start, end: (tags,).
        transitions: (tags, tags), [from, to].
        forbidden_start: (tags,), bool: tags that no text begins with.
        forbidden: (tags, tags), bool, [from, to].
    """

    start: np.ndarray
    end: np.ndarray
    transitions: np.ndarray
    forbidden_start: np.ndarray
    forbidden: np.ndarray

    @classmethod
    def of(cls, values: dict[str, Any]) -> Crf:
        """From `decoder.json`."""
        scores = [np.array(values[name], np.float32) for name in cls._fields[:3]]
        return cls(*scores, *(np.array(values[name], bool) for name in cls._fields[3:]))

    def decode(self, emissions: np.ndarray, lengths: list[int]) -> list[list[int]]:
        """The best tags of each sequence that are IOB2; emissions: (steps, tags, batch)."""
        start = np.where(self.forbidden_start, -np.inf, self.start).astype(np.float32)
        transitions = np.where(self.forbidden, -np.inf, self.transitions).astype(np.float32)
        return viterbi(emissions, start, self.end, transitions, lengths)

    def marginals(self, emissions: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """The probability of each tag at each step; (steps, tags, batch), to the same."""
        scores = emissions.astype(np.float64)
        forward, backward = np.empty_like(scores), np.empty_like(scores)
        forward[0] = scores[0] + self.start[:, None]
        for step in range(1, len(scores)):
            forward[step] = _log_sum(forward[step - 1][:, None] + self.transitions[:, :, None], 0) + scores[step]
        last = np.array(lengths) - 1
        backward[-1] = self.end[:, None]
        for step in range(len(scores) - 2, -1, -1):
            after = (backward[step + 1] + scores[step + 1])[None]  # (1, to, batch)
            inner = _log_sum(self.transitions[:, :, None] + after, 1)
            backward[step] = np.where(step < last, inner, self.end[:, None])
        paths = forward + backward
        return np.exp(paths - _log_sum(paths, 1)[:, None])


def _log_sum(values: np.ndarray, axis: int) -> np.ndarray:
    greatest = values.max(axis=axis, keepdims=True)
    return np.squeeze(greatest, axis) + np.log(np.exp(values - greatest).sum(axis=axis))


class OnnxTagger:
    """Finds entities with an exported tagger, as `pipeline("biomedical-ner")` does with the one it was made of.

    Args:
        folder: that `train.py export` wrote.
        threads: of onnxruntime; None: as many as there are cores.
        int8: read the quantised model instead of the one in float32.

    Raises:
        InputError: no exported tagger there, or no onnxruntime.
    """

    def __init__(self, folder: str | Path, threads: int | None = None, int8: bool = True):
        folder = Path(folder)
        try:
            decoder = json.loads(require_file(folder / DECODER).read_text(encoding="utf-8"))
            self.labels = [str(label) for label in decoder["labels"]]
            self._special = [int(decoder["special"][name]) for name in ("cls", "sep", "pad")]
            self._room = int(decoder["longest"]) - 2
            self._crf = None if decoder["crf"] is None else Crf.of(decoder["crf"])
            found = decoder["task"]
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(folder / DECODER, f"cannot be read ({error!r})", "export the model again") from error
        if found != "ner":
            raise InputError(folder, f"was exported from a model of task {shown(found)}", "name an exported tagger")
        self._tokenizer = _Tokenizer(require_file(folder / "tokenizer.json"))
        self._session = session_of(folder / (INT8 if int8 else MODEL), threads)

    def predict(self, texts: Iterable[str], batch_size: int = 32) -> list[list[dict[str, Any]]]:
        """The entities of each text.

        Args:
            texts: of any length and language.
            batch_size: windows that the model reads at once, at most; windows of other lengths are read apart.

        Returns:
            a list of lists of `{"entity_group", "score", "word", "start", "end"}`, as the pipeline gives them.
        """
        texts = list(texts)
        pieces = pieces_of(self._tokenizer, texts)
        windows = windows_of(pieces, self._room)
        read: list[list[tuple[str, float] | None]] = [[] for _ in windows]
        for chosen in batches([window.last - window.first for window in windows], batch_size):
            for number, tags in zip(chosen, self._read([windows[i] for i in chosen], pieces), strict=True):
                read[number] = tags
        merged = merge(windows, read, [len(text.ids) for text in pieces])
        return [
            list(entities(text, parts.offsets, tags)) for text, parts, tags in zip(texts, pieces, merged, strict=True)
        ]

    def _read(self, windows: Sequence[Window], pieces: Sequence[Text]) -> Iterator[list[tuple[str, float] | None]]:
        cls, sep, pad = self._special
        rows = [[cls, *pieces[number].ids[first:last], sep] for number, first, last in windows]
        logits = run(self._session, rows, pad)
        labelled = [
            [place for place, (start, end) in enumerate(pieces[number].offsets[first:last], 1) if start < end]
            for number, first, last in windows
        ]
        lengths = [len(places) for places in labelled]
        emissions = np.zeros((max(1, *lengths) if lengths else 1, len(self.labels), len(windows)), np.float32)
        for row, places in enumerate(labelled):
            emissions[: len(places), :, row] = logits[row, places]
        paths, probabilities = self._decoded(emissions, lengths)
        for row, (places, path) in enumerate(zip(labelled, paths, strict=True)):
            tags: list[tuple[str, float] | None] = [None] * (windows[row].last - windows[row].first)
            for step, (place, tag) in enumerate(zip(places, path, strict=True)):
                tags[place - 1] = (self.labels[tag], float(probabilities[step, tag, row]))
            yield tags

    def _decoded(self, emissions: np.ndarray, lengths: list[int]) -> tuple[list[list[int]], np.ndarray]:
        if self._crf is not None:
            return self._crf.decode(emissions, lengths), self._crf.marginals(emissions, lengths)
        best = emissions.argmax(axis=1).T.tolist()
        probabilities = np.exp(emissions - _log_sum(emissions, 1)[:, None])
        return [row[:length] for row, length in zip(best, lengths, strict=True)], probabilities


class _Tokenizer:
    """A `tokenizer.json` with the calls of transformers' tokenizers that `pieces_of` makes."""

    def __init__(self, path: Path):
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises nothing more special
            raise InputError(path, f"is no tokenizer ({error})", "export the model again") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.unk_token_id: int | None = self._tokenizer.token_to_id("<unk>")

    def __call__(self, texts: list[str], **_: Any) -> dict[str, Any]:
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return {"input_ids": [one.ids for one in encoded], "offset_mapping": [one.offsets for one in encoded]}

    def convert_tokens_to_ids(self, piece: str) -> int | None:
        """The id of `piece`, of the unknown piece where there is none."""
        found = self._tokenizer.token_to_id(piece)
        return self.unk_token_id if found is None else found


def session_of(path: Path, threads: int | None = None) -> Any:
    """A model opened by onnxruntime, on the CPU.

    Raises:
        InputError: no such file, one that is no model, or no onnxruntime.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("onnxruntime", "is not installed", "pip install onnxruntime") from error

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3  # errors; it warns of shapes that are not known before the first batch
    try:
        return onnxruntime.InferenceSession(
            require_file(path),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers={"SkipLayerNormFusion"},  # on a CPU the fused kernel takes longer than both it replaces
        )
    except InputError:
        raise
    except Exception as error:  # its exceptions have no common class that is public
        raise InputError(path, f"cannot be opened by onnxruntime ({error})", "export the model again") from error


def run(session: Any, rows: Sequence[Sequence[int]], pad: int) -> np.ndarray:
    """The logits of `rows` of input ids, which are padded to the longest."""
    ids = np.full((len(rows), max(len(row) for row in rows)), pad, np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Places in `lengths` in batches of at most `batch_size`, like lengths together, hardly anything of them padding.

    A CPU gains nothing from larger batches that it could lose to padding.
    """
    chosen: list[int] = []
    total = 0
    for place in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        filled = (len(chosen) + 1) * lengths[place]
        if chosen and (len(chosen) == batch_size or filled - total - lengths[place] > PADDING * filled):
            yield chosen
            chosen, total = [], 0
        chosen.append(place)
        total += lengths[place]
    if chosen:
        yield chosen
