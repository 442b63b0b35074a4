"""The card of a pretrained model: README.md with what it is, what it saw, what it cost and what it must not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from kbioxlm.dataset_scripts.folder import markdown_table
from kbioxlm.training.pretraining.progress import OBJECTIVES
from kbioxlm.training.pretraining.recipe import CardSection

_NOT_STATED = "Not stated in the recipe (key `{}`)."
_LIMITS = (
    "An encoder for further training, not a medical device. What it predicts is no medical advice. It has the gaps "
    "and biases of its texts, and was measured on nothing but the losses below unless other cards say so."
)
METHOD = """@inproceedings{geng-etal-2023-kbioxlm,
  title = {{KBioXLM}: A Knowledge-anchored Biomedical Multilingual Pretrained Language Model},
  author = {Geng, Lei and Yan, Xu and Cao, Ziqiang and Li, Juntao and Li, Wenjie and Li, Sujian and Zhou, Xinjie and
            Yang, Yang and Zhang, Jun},
  booktitle = {Findings of the Association for Computational Linguistics: EMNLP 2023},
  year = {2023},
  url = {https://arxiv.org/abs/2311.11564}
}"""


def model_card(report: dict[str, Any], section: CardSection, repository: str | None = None, further: str = "") -> str:
    """The text of the card.

    Args:
        report: the content of `report.json`.
        section: what the recipe says for the card.
        repository: where on the Hub the model will be.
        further: Markdown between the training and the limits.
    """
    recipe, hardware, last = report["recipe"], report["hardware"], report["history"][-1]
    base = recipe["checkpoint"]
    on_hub = base is not None and "checkpoint" in report["inputs"] and report["inputs"]["checkpoint"] == base
    shown_recipe = {key: _without_folders(key, value, on_hub) for key, value in recipe.items() if value is not None}
    tasks = ["masked words and entities"]
    tasks += ["masked relations"] if "fact" in recipe["shares"] else []
    tasks += ["the relation of two passages"] if "passage" in recipe["shares"] else []
    header = {
        "license": section.license,
        "language": report["languages"],
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "base_model": base if on_hub else None,
        "tags": ["biomedical", "multilingual", "cross-lingual", "knowledge", "xlm-roberta"],
    }
    header = {key: value for key, value in header.items() if value is not None}
    name = Path(recipe["output"]).name
    place = repository or name
    start = "random weights" if base is None else f"`{base if on_hub else Path(base).name}`"
    corpora = markdown_table(
        ("level", "share of the pieces", "examples"),
        [
            (level, f"{share / sum(recipe['shares'].values()):.1%}", report["examples"][level])
            for level, share in recipe["shares"].items()
        ],
    )
    objectives = markdown_table(
        ("objective", "loss", "accuracy"),
        [
            (objective, f"{last[f'{objective}_loss']:.3f}", f"{last[f'{objective}_accuracy']:.3f}")
            for objective in OBJECTIVES
            if f"{objective}_accuracy" in last
        ],
    )
    used = last.get("model_flops_utilisation")
    speed = f"{report['pieces'] / max(report['training_seconds'], 0.1):,.0f} pieces a second"
    if used is not None:
        speed += f", model-flops utilisation {used:.1%} at the end"
    mean = f"{report['batch']['examples']:,} examples, {report['batch']['pieces']:,.0f} pieces on average"
    return f"""---
{yaml.safe_dump(header, allow_unicode=True, sort_keys=False).rstrip()}
---

# {name}

An XLM-R encoder of {report["parameters"]:,} parameters, pretrained by [KBioXLM](https://arxiv.org/abs/2311.11564)'s
method from {start}. It learnt to predict {", ".join(tasks)}.

```python
from transformers import AutoModel, AutoTokenizer

model = AutoModel.from_pretrained("{place}", trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained("{place}", config=model.config)
```

## Data

{section.data or _NOT_STATED.format("card.data")}

{report["pieces"]:,} pieces in {recipe["steps"]:,} steps; a batch has {mean}.

{corpora}

## Training

{report["training_seconds"] / 3600:.2f} hours on {hardware["processes"]} × {hardware["device"]},
{hardware["precision"]}: {speed}. Seed {report["seed"]}. Over the last {last["steps"]:,} of the steps:

{objectives}

`loss.png` has the curves, `report.json` every figure. The recipe:

```yaml
{yaml.safe_dump(shown_recipe, allow_unicode=True, sort_keys=False).rstrip()}
```
{further and chr(10) + further.strip() + chr(10)}
## Limits

{section.limits or _LIMITS}

## Licence and citation

Licence: {section.license or _NOT_STATED.format("card.license")}

{(section.citation.strip() + chr(10) + chr(10)) if section.citation else ""}The method:

```bibtex
{METHOD}
```
"""


def _without_folders(key: str, value: Any, on_hub: bool) -> Any:
    """Names of local folders without the folders that they are in, which are nobody's business."""
    if key in ("output", "corpora", "tokenizer", "mlm_vocabulary") or (key == "checkpoint" and not on_hub):
        return Path(value).name
    return value
