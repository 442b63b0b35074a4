"""Fine-tuning beside the peers: the CRF alone, then a tagger on ADE as a whole."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from crf import crf_rows
from harness import Row, in_own_process, less_is_better, more_is_better, report

BENCHMARKS = Path(__file__).parents[1] / "dataset_scripts" / "translated_benchmarks.py"
THREADS = 2
PIECES = 4000
SHAPE: dict[str, int | float] = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "initializer_range": 0.05,  # from scratch
}
SETTINGS: dict[str, Any] = {
    "epochs": 3, "batch_size": 32, "learning_rate": 5e-4, "head_learning_rate": 2e-3, "max_length": 128, "bf16": False,
}  # fmt: skip
PADDINGS: dict[str, int | None] = {"padded to the longest": None, "padded to 128": 128}
SEEDS = (13, 14, 15)
EQUAL = 0.97  # of the peer's F1: seeds of one contestant alone lie further apart


def encoder_from_scratch(folder: str, train: str) -> dict[str, int | float]:
    """Write an encoder and its tokenizer, learnt from the training text, and give its shape."""
    import torch

    from kbioxlm.training.finetuning.ner import load_ner
    from kbioxlm.training.models.starting_points import ModelShape, model_of_shape
    from kbioxlm.training.models.tokenizer import learn

    torch.manual_seed(13)
    tokenizer = learn([sentence.text for sentence in load_ner(train, "train").examples], PIECES)
    model = model_of_shape(ModelShape(**SHAPE), tokenizer)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    keys = ("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "vocab_size", "pad_token_id")
    return SHAPE | {key: getattr(model.config, key) for key in keys}


def timed(function: Callable[[], tuple[float, float]]) -> tuple[float, float, float, float]:
    """Seconds by the clock, seconds of processor time, F1 on dev, F1 on test."""
    import torch

    torch.set_num_threads(THREADS)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    dev, test = function()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, dev, test


def ours(recipe: dict[str, Any]) -> tuple[float, float, float, float]:
    """`train.py finetune`."""
    from kbioxlm.training.finetuning.recipe import FinetuneRecipe
    from kbioxlm.training.finetuning.run import finetune

    def run() -> tuple[float, float]:
        found = finetune(FinetuneRecipe(**recipe))
        return found["dev"]["f1"], found["tests"]["en"]["f1"]

    return timed(run)


def peers(recipe: dict[str, Any], shape: dict[str, int | float], width: int | None) -> tuple[float, ...]:
    """The same recipe in the authors' shape."""
    from padded_tagger import finetune_padded

    from kbioxlm.training.finetuning.recipe import FinetuneRecipe

    return timed(lambda: finetune_padded(FinetuneRecipe(**recipe), shape, width))


def ade_rows(data: Path) -> tuple[list[Row], dict[str, str]]:
    """ADE in English from a random encoder: training with a dev set carved from it, and the English test set."""
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/benchmarks:ade_en"
        build = [BENCHMARKS, "build", "--source", data / "kbioxlm_benchmarks", "--output", f"{folder}/benchmarks"]
        subprocess.run([sys.executable, *map(str, build)], check=True, stdout=sys.stderr)
        shape, _ = in_own_process(encoder_from_scratch, f"{folder}/encoder", source)
        recipe = SETTINGS | {"checkpoint": f"{folder}/encoder", "train": source, "tests": {"en": source}}
        results: dict[str, list[tuple[float, ...]]] = {name: [] for name in ("ours", *PADDINGS)}
        for seed in SEEDS:
            seeded = recipe | {"seed": seed}
            print(f"fine-tuning on ADE, ours, seed {seed}", file=sys.stderr)
            results["ours"].append(in_own_process(ours, seeded | {"output": f"{folder}/ours-{seed}"})[0])
            for name, width in PADDINGS.items():
                if width is not None and seed != SEEDS[0]:
                    continue  # the same sums as padded to the longest, which is asked for its F1
                print(f"fine-tuning on ADE, {name}, seed {seed}", file=sys.stderr)
                output = {"output": f"{folder}/{name}-{seed}"}
                results[name].append(in_own_process(peers, seeded | output, shape, width)[0])
    seconds, processor, _, f1 = ({name: [run[i] for run in runs] for name, runs in results.items()} for i in range(4))
    rows = []
    for name in PADDINGS:
        rows += [
            less_is_better("ADE, training and scoring", "s", median(seconds["ours"]), median(seconds[name]), name, 2.0),
            less_is_better("ADE, processor time", "s", median(processor["ours"]), median(processor[name]), name),
        ]
    padded = "padded to the longest"
    rows.append(more_is_better("ADE, F1, mean of three seeds", "", mean(f1["ours"]), mean(f1[padded]), padded, EQUAL))
    said = {f"ADE, F1 of {name}, seeds {SEEDS}": f"{mean(f1[name]):.2f} ± {stdev(f1[name]):.2f}"
            for name in ("ours", padded)}  # fmt: skip
    return rows, said


def main() -> int:
    """Measure all; the whole of fine-tuning only with the real data."""
    rows, notes = crf_rows()
    folder = os.environ.get("KBIOXLM_REAL_DATA")
    if folder and Path(folder).is_dir():
        of_ade, said = ade_rows(Path(folder))
        rows += of_ade
        notes |= said
    else:
        print("fine-tuning on ADE needs the real data: set KBIOXLM_REAL_DATA to its folder", file=sys.stderr)
    report("finetuning", rows, notes)
    for note, values in notes.items():
        print(f"{note}: {values}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
