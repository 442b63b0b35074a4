"""Adapters: what LoRA changes of an encoder, and the head above it, in a small folder of their own.

The folder is in the format of peft (`adapter_config.json`, `adapter_model.safetensors`), with the configuration of the
whole model, its tokenizer and the report of its run beside it. The head is saved as a whole (`modules_to_save`):
it is new, there is nothing to adapt.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from pydantic import Field, PositiveFloat, PositiveInt
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import write_json, written_beside
from kbioxlm.common.recipe import Recipe
from kbioxlm.training.finetuning.encoders import encoder_of
from kbioxlm.training.runs import REPORT, checkpoint_fingerprint, refuse_to_replace

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


class LoraSettings(Recipe):
    """Low-rank adaptation (Hu et al., 2022): the encoder stays as it is, and learns a product of two thin matrices.

    The paper fine-tunes all weights and has none of this.
    """

    r: PositiveInt = Field(default=16, description="rank of the products")
    alpha: PositiveFloat = Field(default=32.0, description="they are scaled by alpha / r")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="of what goes into them")
    targets: list[str] | None = Field(
        default=None, description="ends of names of linear layers, such as query; null: all in the encoder's layers"
    )


def is_adapter(checkpoint: str) -> bool:
    """Whether a folder holds an adapter, and no model that stands alone."""
    return (Path(checkpoint) / _CONFIG).is_file()


def add_adapter(model: PreTrainedModel, settings: LoraSettings) -> PeftModel:
    """`model` with low-rank matrices beside linear layers of its encoder: they and the head are trained, nothing else.

    One of the two matrices starts at 0, so that the model gives what it gave before; the other is drawn from
    torch's generator.

    Raises:
        InputError: a target that no layer's name ends in.
    """
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # a float does as well
        lora_dropout=settings.dropout,
        target_modules=_target_layers(model, settings.targets),
        modules_to_save=_heads(model),
    )
    adapted = get_peft_model(model, config)
    # With a base, peft looks at each checkpoint of a run for its vocabulary, on the Hub if need be.
    adapted.peft_config["default"].base_model_name_or_path = None
    return adapted


def save_adapter(model: PeftModel, folder: Path, base: str) -> dict[str, Any]:
    """Write the adapter, and the configuration of the whole model, to `folder`.

    Args:
        base: the checkpoint that the adapter is for.

    Returns:
        what the run's report says of it: `base`, its fingerprint, and how many parameters the adapter has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    save_file({name: tensor.contiguous().cpu() for name, tensor in weights.items()}, folder / _WEIGHTS)
    config = model.peft_config["default"].to_dict() | {"base_model_name_or_path": base, "inference_mode": True}
    write_json(folder / _CONFIG, {key: sorted(v) if isinstance(v, set) else v for key, v in config.items()})
    model.config.to_json_file(folder / "config.json", use_diff=False)
    parameters = sum(tensor.numel() for tensor in weights.values())
    return {"base": base, "base_fingerprint": checkpoint_fingerprint(base), "parameters": parameters}


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder.

    Attributes:
        base: the checkpoint that it is for.
        task: the task that it was trained for.
        config: the configuration of the whole model, as a dict.
        recipe: of the run that made it, as a dict.
    """

    folder: str
    base: str
    task: Any
    config: dict[str, Any]
    recipe: dict[str, Any]

    @property
    def labels(self) -> list[str]:
        """The labels, or tags, of its head, in the order of its logits."""
        named = {int(number): label for number, label in self.config["id2label"].items()}
        return [named[number] for number in sorted(named)]

    @property
    def markers(self) -> tuple[str, ...]:
        """Pieces that were added to the base's vocabulary."""
        return tuple(self.recipe["entity_markers"])

    @property
    def convert_pickle(self) -> bool:
        """Whether the base may be a pickle."""
        return bool(self.recipe["convert_pickle"])

    def put_on(self, model: PreTrainedModel, name: str = "default", trainable: bool = False) -> PeftModel:
        """`model`, its base with a head of its kind, with this adapter, called `name`.

        Raises:
            InputError: weights that are missing, damaged or of another shape.
        """
        try:
            adapted = PeftModel.from_pretrained(model, self.folder, adapter_name=name, is_trainable=trainable)
            with safe_open(Path(self.folder) / _WEIGHTS, "pt") as file:
                saved = set(file.keys())
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise InputError(
                self.folder, f"does not fit {self.base} ({error})", "train it again, or restore its base"
            ) from error
        needed = _saved_names(adapted, name)
        if needed != saved:
            other = sorted(needed ^ saved)
            raise InputError(
                self.folder, f"{len(other)} weights are missing or unknown, such as {other[0]}", "train it again"
            )
        adapted.peft_config[name].base_model_name_or_path = None  # as in `add_adapter`
        return adapted


def merged(adapted: PeftModel) -> PreTrainedModel:
    """The model that an adapter and its base make together, all of which can be trained."""
    return adapted.merge_and_unload().requires_grad_(True)


def read_adapter(folder: str) -> Adapter:
    """The adapter in `folder`.

    Raises:
        InputError: files that are missing or damaged, a base that is not there or has changed since.
    """
    path = Path(folder)
    try:
        base = json.loads((path / _CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
        report = json.loads((path / REPORT).read_text(encoding="utf-8"))
        recipe, made_for = report["recipe"], report["adapter"]["base_fingerprint"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            folder, f"is no adapter of `train.py finetune` ({error})", f"keep its {_CONFIG} and {REPORT} together"
        ) from error
    if not (path / _WEIGHTS).is_file():
        raise InputError(folder, f"the folder has no {_WEIGHTS}", "train it again; weights are read from safetensors")
    found = checkpoint_fingerprint(base)
    if found != made_for:
        raise InputError(
            folder, f"was trained on {base} when its fingerprint was {made_for}; it is {found} now",
            "put that checkpoint back, or train the adapter again",
        )  # fmt: skip
    return Adapter(folder, base, report["task"], PretrainedConfig.get_config_dict(folder)[0], recipe)


def merge_adapter(folder: str, output: str | Path) -> None:
    """Write the adapter in `folder`, merged into its base, to `output`: a model that stands alone.

    Raises:
        InputError: as `read_adapter`, or an output that is or holds the adapter or something that is no model.
    """
    from kbioxlm.training.finetuning.tasks.registry import make_task  # the tasks load adapters themselves

    output = Path(output)
    refuse_to_replace(folder, output)
    if output.exists() and (output.is_file() or (any(output.iterdir()) and not (output / "config.json").is_file())):
        raise InputError(output, "exists and is no model", "name a new folder as output")
    model, tokenizer = make_task(read_adapter(folder).task).load_model(folder)
    with written_beside(output) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)


def _target_layers(model: PreTrainedModel, ends: list[str] | None) -> list[str]:
    """Full names of the linear layers in the layers of the encoder, those alone that end in one of `ends`."""
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and re.search(r"\.\d+\.", name) and name.startswith(model.base_model_prefix)
    ]
    if ends is None:
        return layers
    known = sorted({re.sub(r".*\.\d+\.", "", name) for name in layers})
    for end in ends:
        if not any(f".{name}".endswith(f".{end}") for name in layers):
            raise InputError("recipe", f"lora.targets has {shown(end)}, no layer's name ends in it", ", ".join(known))
    return [name for name in layers if any(f".{name}".endswith(f".{end}") for end in ends)]


def _heads(model: PreTrainedModel) -> list[str]:
    """Names of what stands above the encoder, and of the encoder's pooler, which heads are fed from."""
    above = [
        name
        for name, module in model.named_children()
        if name != model.base_model_prefix and next(module.parameters(), None) is not None
    ]
    return above + (["pooler"] if getattr(encoder_of(model), "pooler", None) is not None else [])


def _saved_names(adapted: PeftModel, name: str) -> set[str]:
    """What the weights of the adapter called `name` are called in its file; its base may bear others beside it."""
    own = re.compile(rf"(\.modules_to_save)?\.{re.escape(name)}(?=\.)")
    kinds = tuple(f".{kind}.{name}." for kind in ("lora_A", "lora_B", "modules_to_save"))
    return {own.sub("", key) for key in adapted.state_dict() if any(kind in key for kind in kinds)}
