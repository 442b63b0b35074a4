"""Scoring checkpoints: fine-tuned models on test sets, encoders with the probes of cross-lingual alignment."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, PositiveInt
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import write_json
from kbioxlm.common.recipe import Recipe
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.device import has_fast_bfloat16
from kbioxlm.training.evaluation.probes import (
    held_out_pairs,
    masked_name_translation,
    name_retrieval,
    parallel_sources,
    seen_pairs,
    sentence_retrieval,
)
from kbioxlm.training.finetuning.encoders import check_length
from kbioxlm.training.finetuning.tasks.data import unknown_labels
from kbioxlm.training.finetuning.tasks.registry import TaskName, make_task
from kbioxlm.training.finetuning.tasks.task import Task
from kbioxlm.training.models.checkpoints import check_checkpoint
from kbioxlm.training.models.tokenizer import load_tokenizer
from kbioxlm.training.plots import f1_bars
from kbioxlm.training.runs import REPORT, fingerprint


class Probes(Recipe):
    """What the probes of alignment are run on, beside the held-out names of the corpora."""

    seen_names: PositiveInt = Field(default=1000, description="names pretraining has seen that are masked, at most")
    parallel: dict[str, tuple[str, str]] = Field(
        default={}, description="name: NER sources in two languages with document ids in common"
    )
    parallel_dev: PositiveInt = Field(default=300, description="documents on which the layer is chosen, at most")


class EvaluateRecipe(Recipe):
    """What `train.py evaluate` does."""

    task: TaskName = Field(default="ner", description="what the checkpoint was fine-tuned for, for `tests`")
    checkpoint: str = Field(description="folder or Hub id; a fine-tuned model for `tests`, any encoder for the probes")
    output: Path = Field(description="folder of the report")
    tests: dict[str, str] = Field(default={}, description="name: source; its test split unless it names another")
    negative_label: str | None = Field(default="0", description="relation: the label that is left out of F1, if any")
    corpora: Path | None = Field(default=None, description="aligned corpora folder, for the names it holds out")
    knowledge_base: Path | None = Field(default=None, description="the corpora's, for names pretraining has seen")
    languages: tuple[str, str] = Field(default=("en", "zh"), description="languages of the seen names")
    probes: Probes = Probes()
    batch_size: PositiveInt = 64
    max_length: PositiveInt = Field(default=256, ge=8, description="positions in a window; longer text is windowed")
    seed: int = 13
    bf16: bool | None = Field(default=None, description="bfloat16 autocast; null: where the machine is fast at it")


def evaluate(recipe: EvaluateRecipe) -> dict[str, Any]:
    """Run everything `recipe` names and write `report.json`, and `f1.png` where there are tests, to its output.

    Returns:
        the content of `report.json`: `tests` as of `evaluate_tests`, `probes` as of `run_probes`.

    Raises:
        InputError: nothing to run, anything wrong with a source, or an output that holds a model.
    """
    started = time.perf_counter()
    if not recipe.tests and recipe.corpora is None and not recipe.probes.parallel:
        raise InputError("recipe", "names nothing to run", "give tests, corpora or probes.parallel")
    if recipe.output.is_file() or (recipe.output / "config.json").exists():
        raise InputError(recipe.output, "is not a folder for reports", "name a folder of its own as output")
    report: dict[str, Any] = {
        "task": "evaluation",
        "recipe": json.loads(recipe.model_dump_json()),
        "inputs": {"checkpoint": fingerprint(recipe.checkpoint)},
        "seed": recipe.seed,
    }
    options: dict[str, Any] = {"batch_size": recipe.batch_size, "max_length": recipe.max_length, "bf16": recipe.bf16}
    if recipe.tests:
        task = make_task(recipe.task, negative_label=recipe.negative_label)
        report |= {"metric": task.metric, "counted": task.counted}
        report["tests"] = evaluate_tests(task, recipe.checkpoint, recipe.tests, **options)
    sources = (recipe.knowledge_base, recipe.corpora, recipe.languages)
    report["probes"] = run_probes(recipe.checkpoint, recipe.probes, *sources, recipe.seed, **options)
    report["seconds"] = round(time.perf_counter() - started, 1)
    if recipe.tests:
        scores = {recipe.checkpoint: {name: row["f1"] for name, row in report["tests"].items()}}
        f1_bars(scores, recipe.output / "f1.png", report["metric"])
    write_json(recipe.output / REPORT, report)
    return report


def evaluate_tests(
    task: Task,
    checkpoint: str,
    tests: Mapping[str, str],
    batch_size: int = 64,
    max_length: int = 256,
    bf16: bool | None = None,
) -> dict[str, dict[str, Any]]:
    """The scores of a fine-tuned model on test sets.

    Returns:
        for each name in `tests` its `source` and the figures of the task.

    Raises:
        InputError: no model of this task there, or a test set that cannot be used or has labels it does not know.
    """
    model, tokenizer = task.load_model(checkpoint)
    check_length("recipe", max_length, model)
    loaded = {name: task.load(source, "test") for name, source in tests.items()}
    for data in loaded.values():
        for problem in (*task.problems(data), *unknown_labels(data, task.labels_of_model(model))):
            raise problem
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    autocast = has_fast_bfloat16() if bf16 is None else bf16
    results = {}
    for name, data in loaded.items():
        scored = task.evaluate(model, task.prepare(data, tokenizer, max_length), batch_size, autocast)
        results[name] = {"source": data.source, **scored.figures}
    return results


def run_probes(
    checkpoint: str | Path,
    probes: Probes,
    knowledge_base: Path | None,
    corpora: Path | None,
    languages: tuple[str, str],
    seed: int,
    batch_size: int = 64,
    max_length: int = 256,
    bf16: bool | None = None,
) -> dict[str, dict[str, Any]]:
    """Run the probes of alignment on the encoder of a checkpoint.

    Returns:
        with `corpora`, `name_retrieval` and `masked_names` on the names they hold out; with `knowledge_base` too,
        `masked_names_seen` on other names of it; `sentence_retrieval/NAME` for each of `probes.parallel`. Their
        figures are those of the module `probes`. Masked names need a head for masked pieces and are left out for
        a checkpoint without one.

    Raises:
        InputError: no encoder there, or a source that cannot be read.
    """
    if corpora is None and not probes.parallel:
        return {}
    model, tokenizer, has_head = _load_for_probes(str(checkpoint))
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    autocast = has_fast_bfloat16() if bf16 is None else bf16
    results: dict[str, dict[str, Any]] = {}
    if corpora is not None:
        test, dev = held_out_pairs(corpora)
        results["name_retrieval"] = name_retrieval(model, tokenizer, test, dev, batch_size, bf16=autocast)
        if has_head:
            results["masked_names"] = masked_name_translation(model, tokenizer, test, batch_size, autocast)
        if has_head and knowledge_base is not None:
            seen = seen_pairs(knowledge_base, corpora, languages, probes.seen_names, seed)
            results["masked_names_seen"] = masked_name_translation(model, tokenizer, seen, batch_size, autocast)
    for name, (first, second) in probes.parallel.items():
        test, dev = parallel_sources(first, second, probes.parallel_dev, seed)
        results[f"sentence_retrieval/{name}"] = sentence_retrieval(
            model, tokenizer, test, dev, batch_size, max_length, autocast
        )
    return results


def _load_for_probes(checkpoint: str) -> tuple[KBioXLMForPreTraining, PreTrainedTokenizerBase, bool]:
    """Model, tokenizer, and whether the checkpoint holds a head for masked pieces."""
    check_checkpoint(checkpoint)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # heads may be missing; encoder weights are checked here
    try:
        model, info = KBioXLMForPreTraining.from_pretrained(
            checkpoint, output_loading_info=True, dtype=torch.float32, use_safetensors=True
        )
        tokenizer = load_tokenizer(checkpoint, model.config)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(checkpoint, f"cannot be loaded ({error})", "name a checkpoint with its tokenizer") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    missing = sorted(key for key in info["missing_keys"] if key.startswith(f"{model.base_model_prefix}."))
    if missing:
        raise InputError(
            checkpoint, f"{len(missing)} encoder weights are missing, such as {missing[0]}",
            "name an XLM-R or KBioXLM checkpoint",
        )  # fmt: skip
    return model, tokenizer, not any(key.startswith("lm_head.") for key in info["missing_keys"])
