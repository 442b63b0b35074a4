"""How near exported graphs are to the model they were made of, and how fast: logits, F1, milliseconds."""

from __future__ import annotations

import itertools
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import TokenClassifierOutput

from kbioxlm.training.finetuning.batching import padded_inputs
from kbioxlm.training.finetuning.encoders import encoder_of
from kbioxlm.training.finetuning.tasks.task import Task
from kbioxlm.training.models.onnx_tagger import batches, run

PIECES = 64  # of the windows that are timed
_PARITY_WINDOWS = 256
_TIMED_SECONDS, _TIMED_ROUNDS = 8.0, 3


class OnnxModel(nn.Module):
    """A graph in the place of the model that it was made of: only the logits come from elsewhere."""

    base_model_prefix = "encoder"

    def __init__(self, model: PreTrainedModel, session: Any):
        super().__init__()
        self.config, self.device, self.encoder = model.config, torch.device("cpu"), encoder_of(model)
        self.decode = getattr(model, "decode", None)
        self._session = session

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> TokenClassifierOutput:
        """The graph's logits."""
        inputs = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        return TokenClassifierOutput(logits=torch.from_numpy(self._session.run(None, inputs)[0]))


def scores(task: Task, model: Any, sessions: dict[str, Any], prepared: Any) -> dict[str, Any]:
    """`n`, and the F1 of the model and of each graph, in float32."""
    answers = {"pytorch": task.evaluate(model, prepared, 32, False)}
    answers |= {name: task.evaluate(OnnxModel(model, one), prepared, 32, False) for name, one in sessions.items()}
    pairs = {name: zip(answers["pytorch"].predictions, one.predictions, strict=True) for name, one in answers.items()}
    return {
        "n": answers["pytorch"].figures["n"],
        "f1": {name: one.figures["f1"] for name, one in answers.items()},
        "same": {name: sum(a["predicted"] == b["predicted"] for a, b in both) for name, both in pairs.items()},
    }


def parity(model: PreTrainedModel, sessions: dict[str, Any], rows: list[list[int]], pad: int) -> dict[str, Any]:
    """How far the logits of each graph are from the model's, at most and on average, in absolute value.

    Args:
        rows: input ids; so many of them as are enough are compared.
    """
    rows = rows[:: max(1, len(rows) // _PARITY_WINDOWS)][:_PARITY_WINDOWS]
    greatest, count = 0.0, 0
    found = {name: {"largest": 0.0, "mean": 0.0} for name in sessions}
    for chosen in batches([len(row) for row in rows], 32):
        batch = [rows[i] for i in chosen]
        with torch.inference_mode():
            reference = model(**padded_inputs(batch, pad)).logits.numpy()
        inside = np.ones(reference.shape, bool)
        if reference.ndim == 3:  # of pieces, not of texts
            inside &= (np.arange(reference.shape[1]) < np.array([[len(row)] for row in batch]))[:, :, None]
        greatest, count = max(greatest, float(np.abs(reference[inside]).max())), count + int(inside.sum())
        for name, session in sessions.items():
            apart = np.abs(run(session, batch, pad) - reference)[inside]
            found[name]["largest"] = max(found[name]["largest"], float(apart.max()))
            found[name]["mean"] += float(apart.sum())
    for figures in found.values():
        figures["mean"] /= count
    return {"windows": len(rows), "logits": count, "greatest_logit": greatest, **found}


def latency(model: PreTrainedModel, sessions: dict[str, Any], pad: int, pieces: int, threads: int) -> dict[str, Any]:
    """The median time of a batch of 1 and of 32 windows, with each engine in turn.

    Returns:
        `threads`, `pieces` of a window, `processor`, and for each engine `{"1": ms, "32": ms}`.
    """
    random = np.random.default_rng(0)

    def torch_model(rows: list[list[int]], pad: int) -> None:
        with torch.inference_mode():
            model(**padded_inputs(rows, pad))

    engines: dict[str, Callable[[list[list[int]], int], Any]] = {"pytorch": torch_model}
    engines |= {name: partial(run, session) for name, session in sessions.items()}
    found: dict[str, dict[str, float]] = {name: {} for name in engines}
    for size in (1, 32):
        rows = random.integers(pad + 1, encoder_of(model).config.vocab_size, (size, pieces)).tolist()
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        begun = time.perf_counter()
        for number in itertools.count():
            for name, engine in engines.items():
                started = time.perf_counter()
                engine(rows, pad)
                if number:  # the first call prepares the engine
                    seconds[name].append(time.perf_counter() - started)
            if number >= _TIMED_ROUNDS and (number == 50 or time.perf_counter() - begun > _TIMED_SECONDS):
                break
        for name, values in seconds.items():
            found[name][str(size)] = round(1000 * statistics.median(values), 3)
    return {"threads": threads, "pieces": pieces, "processor": _processor(), "milliseconds": found}


def _processor() -> str:
    """What the timings were taken on, and whether it multiplies 8-bit numbers by itself."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "")
    return (name or platform.machine()) + (", VNNI" if "vnni" in text else "")


def random_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, length: int) -> list[list[int]]:
    """Input ids of windows of random pieces, for a comparison without texts."""
    random = np.random.default_rng(0)
    pieces = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
    sizes = random.integers(1, length - 1, 64)
    return [[tokenizer.cls_token_id, *random.choice(pieces, size).tolist(), tokenizer.sep_token_id] for size in sizes]
