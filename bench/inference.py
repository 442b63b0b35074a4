"""Tagging beside transformers' own pipeline and beside int8 in onnxruntime: tokens a second, spans, time to an answer.

Same encoder, same classifier, same texts of uneven length in both languages, in turn. The shipped tagger says what the
spans are worth; an encoder of XLM-R base's shape with random weights, what larger models would gain.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from harness import Row, in_turn, less_is_better, more_is_better, report
from steps import BASE, THREADS
from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaForTokenClassification, pipeline

from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForTokenClassification
from kbioxlm.training.device import has_fast_bfloat16

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "spaces" / "models" / "bilingual"
TEXTS = 48  # of each language
LONGEST = 480  # pieces of a text: transformers' pipeline cuts nothing and cannot read more than 512
BATCHES = {1: 1.5, 32: 2.0}  # and the goal
ROUNDS = {"small": 5, "base": 3}
OURS, EXACT, BFLOAT16 = "ours", "float32", "bfloat16"
PEER = "transformers.pipeline"
Tagged = list[list[tuple[int, int, str]]]
ANSWER = """
import time, torch
start = time.perf_counter()
from transformers import pipeline
ner = pipeline("biomedical-ner", model="{model}", trust_remote_code=True)
ner("Losartan lowers blood pressure. 氯沙坦可降低血压。")
print(time.perf_counter() - start)
"""


def texts_of(data: Path, tokenizer: Any) -> list[str]:
    """Texts of both languages in turn, as long as they are."""
    chosen: dict[str, list[str]] = {}
    for language in ("en", "zh"):
        with gzip.open(data / "corpora" / f"{language}.jsonl.gz", "rt", encoding="utf-8") as lines:
            found = (json.loads(line)["text"] for line in lines)
            short = (text for text in found if 0 < len(tokenizer(text, verbose=False)["input_ids"]) <= LONGEST)
            chosen[language] = [next(short) for _ in range(TEXTS)]
    return [text for pair in zip(*chosen.values(), strict=True) for text in pair]


def write_models(folder: Path, shape: dict[str, int] | None) -> None:
    """The same tagger twice: `ours`, and `peer` as transformers knows it; the shipped one without a shape."""
    if shape is None:
        ours = KBioXLMForTokenClassification.from_pretrained(SHIPPED, use_crf=False)
    else:
        torch.manual_seed(13)
        config = KBioXLMConfig.from_pretrained(SHIPPED, use_crf=False, **shape)
        ours = KBioXLMForTokenClassification(config)
    known = XLMRobertaConfig().to_dict()
    config = {key: value for key, value in ours.config.to_dict().items() if key in known and key != "model_type"}
    peer = XLMRobertaForTokenClassification(XLMRobertaConfig(**config))
    peer.load_state_dict(ours.state_dict())
    for name, model in (("ours", ours), ("peer", peer)):
        model.float().save_pretrained(folder / name)
        AutoTokenizer.from_pretrained(SHIPPED, config=ours.config).save_pretrained(folder / name)


def our_spans(ner: Any, texts: Sequence[str], batch_size: int) -> Tagged:
    """What ours finds."""
    return [
        [(entity["start"], entity["end"], entity["entity_group"]) for entity in found]
        for found in ner(texts, batch_size=batch_size)
    ]


def peers_spans(peer: Any, texts: Sequence[str]) -> Tagged:
    """What transformers' finds, less what begins with I-: ours reads strict IOB2, its aggregation does not."""
    tagged: Tagged = []
    for text, pieces in zip(texts, peer(list(texts), aggregation_strategy="none"), strict=True):
        spans: list[tuple[int, int, str]] = []
        last, on = -2, False
        for piece in pieces:  # those with a tag other than O
            prefix, _, label = piece["entity"].partition("-")
            end = piece["end"]
            start = end - len(text[piece["start"] : end].lstrip())
            if piece["word"] == "▁":  # a space alone, whatever characters it is given
                last = piece["index"] if piece["index"] == last + 1 else last
                continue
            if prefix == "I" and on and piece["index"] == last + 1 and spans[-1][2] == label:
                spans[-1] = (spans[-1][0], end, label)
            else:
                on = prefix == "B"
                if on:
                    spans.append((start, end, label))
            last = piece["index"]
        tagged.append(spans)
    return tagged


def agreement(first: Tagged, second: Tagged) -> float:
    """F1 of the spans of one against those of the other."""
    sets = [{(i, *span) for i, spans in enumerate(tagged) for span in spans} for tagged in (first, second)]
    return 2 * len(sets[0] & sets[1]) / max(1, sum(map(len, sets)))


def speed_rows(name: str, shape: dict[str, int] | None, texts: list[str]) -> tuple[list[Row], dict[str, Any]]:
    """Tokens a second at each size of batch."""
    notes: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_models(folder, shape)
        taggers: dict[str, Any] = {
            f"{OURS}, {dtype}": pipeline(
                "biomedical-ner", model=str(folder / "ours"), trust_remote_code=True, dtype=getattr(torch, dtype)
            )
            for dtype in ((EXACT, BFLOAT16) if has_fast_bfloat16() else (EXACT,))
        }
        peer = pipeline("token-classification", model=str(folder / "peer"), aggregation_strategy="simple")
        pieces = sum(len(peer.tokenizer(text)["input_ids"]) for text in texts)
        expected = peers_spans(peer, texts)
        for tagger, ner in taggers.items():
            notes[f"{name}, {tagger}: spans as {PEER}'s, F1"] = agreement(our_spans(ner, texts, 32), expected)
        rows = []
        for batch_size, goal in BATCHES.items():
            calls: dict[str, Callable[[], object]] = {
                tagger: lambda ner=ner: ner(texts, batch_size=batch_size)  # type: ignore[misc]  # noqa: B023
                for tagger, ner in taggers.items()
            }
            calls[PEER] = lambda: peer(texts, batch_size=batch_size)  # noqa: B023
            seconds = in_turn(calls, ROUNDS[name])
            rows += [
                more_is_better(
                    f"{name}, batch of {batch_size}, {tagger.partition(', ')[2]}", "tokens/s",
                    pieces / seconds[tagger], pieces / seconds[PEER], PEER, goal,
                )
                for tagger in taggers
            ]  # fmt: skip
    return rows, notes | {f"{name}: texts, tokens": [len(texts), pieces]}


def int8_rows(name: str, shape: dict[str, int] | None, texts: list[str]) -> list[Row]:
    """The exported tagger in int8 beside ours in PyTorch, both in float32 otherwise, with the CRF."""
    from kbioxlm.training.models.export import export
    from kbioxlm.training.models.onnx_tagger import OnnxTagger

    with tempfile.TemporaryDirectory() as made:
        source = SHIPPED
        if shape is not None:
            source = Path(made) / "source"
            torch.manual_seed(13)
            config = KBioXLMConfig.from_pretrained(SHIPPED, **shape)
            KBioXLMForTokenClassification(config).save_pretrained(source)
            AutoTokenizer.from_pretrained(SHIPPED, config=config).save_pretrained(source)
        export(str(source), Path(made) / "exported")
        quick = OnnxTagger(Path(made) / "exported", threads=THREADS)
        ner = pipeline("biomedical-ner", model=str(source), trust_remote_code=True)
        seconds = in_turn({"int8": lambda: quick.predict(texts), EXACT: lambda: ner(texts)}, ROUNDS[name])
    pieces = sum(len(ner.tokenizer(text)["input_ids"]) for text in texts)
    goal = None if shape is None else 2.5  # of the small one, half the time is not the model's
    return [
        more_is_better(
            f"{name}, batch of 32, int8 ONNX", "tokens/s", pieces / seconds["int8"], pieces / seconds[EXACT],
            "ours in float32", goal,
        )
    ]  # fmt: skip


def answer_row() -> Row:
    """Seconds from an imported torch to the first answer, in a process of its own."""
    seconds = sorted(
        float(subprocess.run([sys.executable, "-c", ANSWER.format(model=SHIPPED)], check=True, capture_output=True,
                             text=True).stdout)
        for _ in range(3)
    )  # fmt: skip
    return less_is_better("loading to the first answer", "s", seconds[1], 3.0, "the bar", 1.0)


def main() -> int:
    """Measure all."""
    folder = os.environ.get("KBIOXLM_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        print("the texts come from the real data: set KBIOXLM_REAL_DATA to its folder", file=sys.stderr)
        return 2
    torch.set_num_threads(THREADS)
    texts = texts_of(Path(folder), AutoTokenizer.from_pretrained(SHIPPED))
    rows, notes = [], {}
    for name, shape in (("small", None), ("base", BASE)):
        print(f"{name}: pipelines", file=sys.stderr)
        found, said = speed_rows(name, shape, texts)
        rows += found
        notes |= said
        print(f"{name}: int8", file=sys.stderr)
        rows += int8_rows(name, shape, texts)
    rows.append(answer_row())
    report("inference", rows, notes)
    for note, value in notes.items():
        print(f"{note}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
