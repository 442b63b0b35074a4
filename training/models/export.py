"""A fine-tuned model for other runtimes: an ONNX folder, and a report of how near it is to the model and how fast."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import write_json, written_beside
from kbioxlm.dataset_scripts.folder import CARD
from kbioxlm.modeling_kbioxlm import iob2_forbidden
from kbioxlm.training.finetuning.encoders import longest_input
from kbioxlm.training.finetuning.tasks.data import unknown_labels
from kbioxlm.training.finetuning.tasks.registry import make_task
from kbioxlm.training.finetuning.tasks.task import Task
from kbioxlm.training.models.cards import card_of
from kbioxlm.training.models.checkpoints import check_checkpoint
from kbioxlm.training.models.onnx_graph import export_graph, quantise, require_onnx
from kbioxlm.training.models.onnx_tagger import DECODER, INT8, MODEL, session_of
from kbioxlm.training.models.parity import PIECES, latency, parity, random_rows, scores
from kbioxlm.training.runs import REPORT, checkpoint_fingerprint, finished_report, refuse_to_replace


def export(checkpoint: str, output: Path, tests: Sequence[str] = (), threads: int | None = None) -> dict[str, Any]:
    """Write `model.onnx`, `model_int8.onnx`, all that decoding needs, a report and a card to `output`.

    Args:
        checkpoint: folder or Hub id of a fine-tuned model; an adapter is merged into its base first.
        tests: sources whose F1 is taken with the model and with both graphs; without any, logits are compared
            on random pieces.
        threads: that are timed; None: as many as there are cores.

    Returns:
        the content of `report.json`: `parity`, `tests` and `latency` are those of the functions below.

    Raises:
        InputError: no fine-tuned model there, a test set that does not fit it, an output that is something else,
            or packages that are missing.
    """
    require_onnx()
    refuse_to_replace(checkpoint, output)
    check_checkpoint(checkpoint)
    finished_report(output, {})  # what is no run of ours is not replaced
    own = _report_of(checkpoint)
    task = task_of_checkpoint(checkpoint, own)
    loaded = {_name_of(source): task.load(source, "test") for source in tests}
    if len(loaded) < len(tests):
        raise InputError("--test", f"two sources are both called {_twice(tests)}", "give each once")
    model, tokenizer = task.load_model(checkpoint)
    model.eval()
    for data in loaded.values():
        for problem in (*task.problems(data), *unknown_labels(data, task.labels_of_model(model))):
            raise problem
    threads = threads or len(os.sched_getaffinity(0))
    longest = longest_input(model)
    length = min(longest, int((own.get("recipe") or {}).get("max_length", 256)))
    prepared = {name: task.prepare(data, tokenizer, length) for name, data in loaded.items()}
    rows = [row["input_ids"] for one in prepared.values() for row in one.rows] or random_rows(model, tokenizer, length)
    with written_beside(output) as draft:
        draft.mkdir()
        export_graph(model, draft / MODEL)
        quantise(draft / MODEL, draft / INT8)
        model.config.to_json_file(draft / "config.json", use_diff=False)
        tokenizer.save_pretrained(draft)
        write_json(draft / DECODER, decoder_of(model, tokenizer, task))
        sessions = {"onnx": session_of(draft / MODEL, threads), "int8": session_of(draft / INT8, threads)}
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            report: dict[str, Any] = {
                "task": "export",
                "inputs": {"checkpoint": checkpoint_fingerprint(checkpoint)}
                | {f"tests.{name}": data.fingerprint for name, data in loaded.items()},
                "checkpoint": Path(checkpoint).name if Path(checkpoint).exists() else checkpoint,
                "parity": parity(model, sessions, rows, tokenizer.pad_token_id),
                "tests": {
                    name: {"source": loaded[name].source, **scores(task, model, sessions, one)}
                    for name, one in prepared.items()
                },
                "metric": task.metric,
                "counted": task.counted,
                "latency": latency(model, sessions, tokenizer.pad_token_id, min(PIECES, longest), threads),
                "files": {path.name: path.stat().st_size for path in sorted(draft.glob("*.onnx*"))},
                "run": {key: value for key, value in own.items() if key != "history"},
            }
        finally:
            torch.set_num_threads(before)
        write_json(draft / REPORT, report)
        (draft / CARD).write_text(card_of(report, output.name), encoding="utf-8")
    return report


def task_of_checkpoint(checkpoint: str, report: dict[str, Any]) -> Task:
    """The task that a checkpoint was fine-tuned for, by its run's report or else its configuration.

    Raises:
        InputError: it is no fine-tuned model.
    """
    if report.get("task") in ("ner", "relation", "document"):
        recipe = report.get("recipe") or {}
        return make_task(report["task"], negative_label=recipe.get("negative_label", "0"))
    config = PretrainedConfig.get_config_dict(checkpoint)[0]
    kind = (config.get("architectures") or [""])[0]
    if kind.endswith("ForTokenClassification") or config.get("model_type") == "encoder-tagger":
        return make_task("ner")
    if kind.endswith("ForSequenceClassification"):
        return make_task("document" if config.get("problem_type") == "multi_label_classification" else "relation")
    raise InputError(checkpoint, f"is {shown(kind or config.get('model_type'))}", "name a fine-tuned model")


def _report_of(checkpoint: str) -> dict[str, Any]:
    path = Path(checkpoint) / REPORT
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise InputError(path, f"is no report of a run ({error})", "restore it, or remove it") from error


def _name_of(source: str) -> str:
    """`folder:config` is called config, a file by its name."""
    return Path(source).stem if Path(source).is_file() else source.split(":", 1)[-1].replace(":", "-")


def _twice(tests: Sequence[str]) -> str:
    names = [_name_of(source) for source in tests]
    return next(name for name in names if names.count(name) > 1)


def decoder_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task) -> dict[str, Any]:
    """What stands between logits and answers: labels, special pieces, the length of a window, the CRF's scores."""
    config = model.config
    labels = [str(config.id2label[number]) for number in sorted(config.id2label)]
    crf = getattr(model, "crf", None)
    decoder: dict[str, Any] = {
        "task": task.name,
        "labels": labels,
        "special": {name: getattr(tokenizer, f"{name}_token_id") for name in ("cls", "sep", "pad")},
        "longest": longest_input(model),
        "crf": None,
    }
    if crf is not None:
        start, transitions = iob2_forbidden(labels)
        decoder["crf"] = {name: getattr(crf, name).tolist() for name in ("start", "end", "transitions")}
        decoder["crf"] |= {"forbidden_start": start.tolist(), "forbidden": transitions.tolist()}
    return decoder
