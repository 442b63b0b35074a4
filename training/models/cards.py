"""The card of a fine-tuned model or of an export, from the report of its run: text, and `model-index` for the Hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from kbioxlm.training.models.shareable import without_folders
from kbioxlm.training.pretraining.model_card import METHOD
from kbioxlm.training.pretraining.recipe import CardSection
from kbioxlm.training.runs import checkpoint_fingerprint
from kbioxlm.training.tables import markdown_rows

ENGINES = {"pytorch": "PyTorch, float32", "onnx": "ONNX, float32", "int8": "ONNX, int8"}
_TASKS = {  # of a fine-tuned model: the Hub's name of the task, ours, and what it does
    "ner": ("token-classification", "named entity recognition", "finds the names of entities in biomedical text"),
    "relation": ("text-classification", "relation extraction", "says how the two marked entities of a text relate"),
    "document": ("text-classification", "document classification", "gives biomedical documents their labels"),
}
_USES = {
    "model": """```python
from transformers import pipeline

{name} = pipeline("{pipeline}", model="{place}", trust_remote_code=True)
{name}("The patient took losartan.")
```""",
    "adapter": """The folder is a LoRA adapter in the format of peft. `python train.py merge-adapter FOLDER OUTPUT` of
the KBioXLM repository makes one model of it and its base.""",
    "export": """```python
from kbioxlm.training.models.onnx_tagger import OnnxTagger

OnnxTagger("{place}").predict(["The patient took losartan."])  # a folder; onnxruntime, tokenizers and numpy alone
```

Any runtime for ONNX reads `model.onnx`: int64 `input_ids` and `attention_mask`, (batch, sequence) each, to `logits`.
`decoder.json` has the labels, the special pieces and what decoding needs beside the logits.""",
}
_INTENDED = """Research on biomedical text in several languages: text like that it was trained on, in the language of
its labels or, with the losses that the table shows, in another. What it answers is to be checked by people who know
the field.

Out of scope: diagnosis, treatment and any other decision about a patient; texts that identify patients, unless those
who run it have the right to read them; other kinds of text, entities or labels than those it was trained on."""
_LIMITS = """It knows its labels and nothing else, misses some of what they name and finds some that is not there: the
table says how often, on texts of one kind. It has the gaps and biases of its texts and labels. It is no medical device,
and what it answers is no medical advice."""
_NOT_STATED = "Not stated (`train.py push` takes `--{}`)."


def card_of(
    report: dict[str, Any],
    name: str,
    section: CardSection | None = None,
    place: str | None = None,
    precision: str = "",
) -> str:
    """The text of the card.

    Args:
        report: the content of `report.json`, of `finetune` or of `export`.
        name: of the folder.
        section: what its owner says beside it.
        place: where on the Hub the model will be.
        precision: a sentence on how its weights are stored.
    """
    section = section or CardSection()
    report = without_folders(report)
    run = report["run"] if report["task"] == "export" else report
    task = _TASKS.get(run.get("task", ""), ("", "a task of its own", "labels biomedical text"))
    kind = "export" if report["task"] == "export" else "adapter" if "adapter" in report else "model"
    pipeline = "biomedical-ner" if run.get("task") == "ner" else "text-classification"
    use = _USES[kind].format(place=place or name, pipeline=pipeline, name="ner" if run.get("task") == "ner" else "read")
    if kind == "export" and run.get("task") != "ner":
        use = use.split("```\n\n", 1)[1]
    parts = [
        f"---\n{card_data(report, section).to_yaml().strip()}\n---",
        f"# {name}",
        _first_sentences(report, run, task),
        use,
        f"## Training data\n\n{section.data or _NOT_STATED.format('data')}\n\n{_data(run)}".rstrip(),
        f"## Metrics\n\n{_metrics(report, run)}",
        _training(run),
        precision,
        f"## Intended use\n\n{_INTENDED}",
        f"## Limits\n\n{section.limits or _LIMITS}",
        f"## Licence and citation\n\nLicence: {section.license or _NOT_STATED.format('license')}",
        section.citation.strip() if section.citation else "",
        f"The method:\n\n```bibtex\n{METHOD}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def card_data(report: dict[str, Any], section: CardSection) -> ModelCardData:
    """The front matter, with every test of the report in `model-index`."""
    run = report["run"] if report["task"] == "export" else report
    recipe = run.get("recipe", {})
    kind = _TASKS.get(run.get("task", ""), ("", "", ""))
    base = recipe.get("checkpoint")
    results = eval_results(report)
    data = {
        "license": section.license,
        "language": languages_of(report),
        "library_name": "onnx" if report["task"] == "export" else "peft" if "adapter" in report else "transformers",
        "pipeline_tag": kind[0] or None,
        "base_model": base if base is not None and run.get("inputs", {}).get("checkpoint") == base else None,
        "tags": ["biomedical", "multilingual", "cross-lingual", "knowledge", "xlm-roberta"],
        "metrics": ["f1"] if results else None,
        "model_name": Path(recipe.get("output") or report.get("checkpoint") or "kbioxlm").name if results else None,
        "eval_results": results or None,
    }
    return ModelCardData(**{key: value for key, value in data.items() if value})  # type: ignore[arg-type]


def eval_results(report: dict[str, Any]) -> list[EvalResult]:
    """Every test of a report of `finetune` or `export`, as the Hub's `model-index` holds them."""
    run = report["run"] if report["task"] == "export" else report
    task_type, task_name, _ = _TASKS.get(run.get("task", ""), ("other", "", ""))
    cells = {f"{name}": cell for name, cell in run.get("tests", {}).items()}
    results = [(name, cell["source"], cell["f1"], cell["n"], "") for name, cell in cells.items()]
    if report["task"] == "export":
        results += [
            (name, cell["source"], f1, cell["n"], f" ({ENGINES[engine]})")
            for name, cell in report["tests"].items()
            for engine, f1 in cell["f1"].items()
            if engine != "pytorch"
        ]
    metric, counted = (report.get(key) or run.get(key) for key in ("metric", "counted"))
    seed = {"seed": run["seed"]} if "seed" in run else {}
    return [
        EvalResult(
            task_type=task_type,
            task_name=task_name,
            dataset_type=_dataset(source)[0],
            dataset_name=_dataset(source)[1] or name,
            dataset_config=_dataset(source)[1],
            dataset_split=_dataset(source)[2],
            metric_type="f1",
            metric_name=f"{metric}{engine}",
            metric_value=round(f1, 2),
            metric_args={"n": n, "counted": counted, **seed},
        )
        for name, source, f1, n, engine in results
    ]


def _dataset(source: str) -> tuple[str, str | None, str]:
    """Name, configuration and split of a source, without the folder it was in here."""
    place, _, rest = without_folders(source).partition(":")
    config, _, split = rest.partition(":")
    on_hub = place.count("/") == 1 and not place.startswith((".", "runs/")) and not Path(place).exists()
    return place if on_hub else config or place, config or None, split or "test"


def languages_of(report: dict[str, Any]) -> list[str]:
    """The languages that a report says, or that the names of its sources end in."""
    run = report["run"] if report["task"] == "export" else report
    if "languages" in run:
        return list(run["languages"])
    cells = [run.get("train", {}), *run.get("tests", {}).values(), *report.get("tests", {}).values()]
    sources = [source for cell in cells for source in str(cell.get("source", "")).split(" + ")]
    found = [re.search(r"_([a-z]{2})(?:_original)?(?::\w+)?$", source) for source in sources]
    return list(dict.fromkeys(match[1] for match in found if match))


def _first_sentences(report: dict[str, Any], run: dict[str, Any], task: tuple[str, str, str]) -> str:
    base = run.get("recipe", {}).get("checkpoint")
    labels = ", ".join(f"`{label}`" for label in run.get("labels", []))
    text = f"A model for {task[1]}" + (f", fine-tuned from `{base}`" if base else "")
    text += f" by [KBioXLM](https://arxiv.org/abs/2311.11564)'s code. It {task[2]}"
    text += f": {labels}." if labels else "."
    if report["task"] == "export":
        sizes = ", ".join(f"`{name}` {size / 1e6:.1f} MB" for name, size in report["files"].items())
        text += f"\n\nExported from `{report['checkpoint']}` to ONNX: {sizes}."
    return text


def _data(run: dict[str, Any]) -> str:
    train = run.get("train")
    if not train:
        return ""
    shots = run["recipe"].get("shots")
    drawn = f", {shots} of its documents drawn with seed {run['seed']}" if shots else ""
    return (
        f"Labels: `{train['source']}`, {train['n']:,} examples of {train['documents']:,} documents{drawn}. The epoch "
        f"was chosen on `{run['dev']['source']}`."
    )


def _metrics(report: dict[str, Any], run: dict[str, Any]) -> str:
    parts = []
    if run.get("tests"):
        rows = [[str(run["metric"]), "F1", "precision", "recall", f"N ({run['counted']})"]]
        for name, cell in {"dev": run["dev"], **run["tests"]}.items():
            figures = [f"{cell[key]:.2f}" for key in ("f1", "precision", "recall")]
            rows.append([f"{name}: `{cell['source']}`", *figures, f"{cell['n']:,}"])
        parts.append("\n".join(markdown_rows(rows)) + f"\n\nSeed {run['seed']}, one run: no spread is known.")
    if report["task"] == "export":
        parts += [f"### {title}\n\n{text}" for title, text in _of_export(report).items()]
    return "\n\n".join(parts) or "Not measured."


def _of_export(report: dict[str, Any]) -> dict[str, str]:
    parity = report["parity"]
    rows = [["difference of logits", "largest", "mean"]]
    rows += [[ENGINES[key], *(f"{parity[key][kind]:.2e}" for kind in ("largest", "mean"))] for key in ("onnx", "int8")]
    said = f"{parity['logits']:,} logits of {parity['windows']} windows, of at most {parity['greatest_logit']:.2f}."
    found = {"Parity": "\n".join(markdown_rows(rows)) + f"\n\n{said}"}
    if report["tests"]:
        rows = [["F1", *ENGINES.values(), f"N ({report['counted']})", "same answers, int8"]]
        for name, cell in report["tests"].items():
            same = f"{cell['same']['int8'] / cell['n']:.1%}"
            rows.append([name, *(f"{cell['f1'][key]:.2f}" for key in ENGINES), f"{cell['n']:,}", same])
        found["F1 before and after"] = "\n".join(markdown_rows(rows))
    latency = report["latency"]
    rows = [["milliseconds", "batch 1", "batch 32", "pieces a second at 32"]]
    for key, cell in latency["milliseconds"].items():
        speed = f"{32000 * latency['pieces'] / cell['32']:,.0f}"
        rows.append([ENGINES[key], f"{cell['1']:.2f}", f"{cell['32']:.2f}", speed])
    said = (
        f"Medians for windows of {latency['pieces']} pieces on {latency['processor']}, threads: {latency['threads']}."
    )
    found["Latency"] = "\n".join(markdown_rows(rows)) + f"\n\n{said}"
    return found


def _training(run: dict[str, Any]) -> str:
    if not run.get("recipe"):
        return ""
    recipe = yaml.safe_dump(
        {key: value for key, value in run["recipe"].items() if value is not None}, allow_unicode=True, sort_keys=False
    ).rstrip()
    epochs = f"Best epoch {run['best_epoch']}, seed {run['seed']}." if "best_epoch" in run else ""
    return f"## Training\n\n{epochs} The recipe:\n\n```yaml\n{recipe}\n```"


def is_on_hub(base: str) -> bool:
    """Whether a checkpoint is an id on the Hub, and no folder here."""
    return checkpoint_fingerprint(base) == base and base.count("/") == 1 and not base.startswith((".", "/", "~"))
