"""Pretraining on the four kinds of text: stage 1 on monolingual text, stage 2 with the three tasks (3.1, A.1)."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments, set_seed

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import write_json, written_beside
from kbioxlm.common.recipe import Recipe
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.checkpoints import check_checkpoint
from kbioxlm.training.device import trainer_device
from kbioxlm.training.examples import MaskedExamples, PaddingCollator
from kbioxlm.training.features import LEVELS, load_level
from kbioxlm.training.masking import MaskingRule
from kbioxlm.training.plots import loss_curve
from kbioxlm.training.runs import REPORT, fingerprint, finished_report, refuse_to_replace, resume_point, work_folder
from kbioxlm.training.starting_points import ModelShape, frequent_pieces, model_of_checkpoint, model_of_shape
from kbioxlm.training.tokenizer import load_tokenizer


class PretrainRecipe(Recipe):
    """What `train.py pretrain` does."""

    output: Path = Field(description="folder of the pretrained model")
    corpora: Path = Field(description="folder written by aligned_corpora.py")
    checkpoint: str | None = Field(default=None, description="folder or Hub id to start from, with its tokenizer")
    tokenizer: str | None = Field(default=None, description="tokenizer of a model from scratch")
    shape: ModelShape | None = Field(default=None, description="shape of a model from scratch")
    mlm_vocab_size: PositiveInt | None = Field(
        default=None, description="rows of the reduced MLM head: the corpora's most frequent pieces; null: all pieces"
    )
    shares: dict[str, PositiveFloat] = Field(description=f"share of the examples by level; levels are {LEVELS}")
    steps: PositiveInt = Field(description="optimizer steps")
    batch_size: PositiveInt = Field(description="examples in a step")
    learning_rate: PositiveFloat = Field(description="peak; rises linearly, then falls linearly to 0")
    warmup_steps: NonNegativeInt
    weight_decay: NonNegativeFloat = 0.01
    max_length: PositiveInt = Field(default=128, ge=8, description="pieces in an example")
    mask_rate: float = Field(default=0.15, gt=0, lt=1, description="share of monolingual pieces masked (A.1)")
    aligned_mask_rate: float = Field(default=0.15, gt=0, lt=1, description="share of aligned pieces masked (3.1.2)")
    max_entity_pieces: PositiveInt = Field(default=3, description="longest entity masked on monolingual text (A.1)")
    seed: int = 13
    bf16: bool | None = Field(default=None, description="bfloat16 autocast; null: where the machine is fast at it")
    save_steps: PositiveInt = Field(default=500, description="a killed run goes on from the last multiple of this")
    workers: NonNegativeInt = Field(default=0, description="loader processes beside the training process")

    @field_validator("shares")
    @classmethod
    def _known_levels(cls, shares: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(shares) - set(LEVELS))
        if unknown or not shares:
            raise ValueError(f"levels among {', '.join(LEVELS)}, not {', '.join(unknown) or 'none'}")
        return {level: shares[level] for level in LEVELS if level in shares}


def pretrain(recipe: PretrainRecipe) -> dict[str, Any]:
    """Pretrain as `recipe` says and write model, tokenizer, loss plot and report to its output.

    A run that was killed goes on from its last checkpoint; a finished one with the same recipe and the same
    inputs is not run again.

    Returns:
        the content of `report.json`.

    Raises:
        InputError: anything wrong with the recipe or its inputs, before training starts.
    """
    started = time.perf_counter()
    identity = {
        "recipe": json.loads(recipe.model_dump_json()),
        "inputs": {
            name: fingerprint(path)
            for name, path in (
                ("corpora", recipe.corpora), ("checkpoint", recipe.checkpoint), ("tokenizer", recipe.tokenizer),
            )
            if path is not None
        },
    }  # fmt: skip
    finished = finished_report(recipe.output, identity)
    if finished is not None:
        return finished
    set_seed(recipe.seed)
    tokenizer = _load_tokenizer(recipe)
    levels = {level: load_level(recipe.corpora, level) for level in recipe.shares}
    model = _load_model(recipe, tokenizer, levels)
    reduced = model.lm_head.token_ids
    rule = masking_rule(recipe, tokenizer, np.arange(len(tokenizer)) if reduced is None else reduced.numpy())
    examples = MaskedExamples(
        levels, recipe.shares, recipe.steps, recipe.batch_size, recipe.seed, rule, tokenizer, recipe.max_length
    )
    work = work_folder(recipe.output)
    resumed = resume_point(work, identity)
    trainer = _PretrainTrainer(
        model=model,
        args=_arguments(recipe, work),
        train_dataset=examples,
        data_collator=PaddingCollator(tokenizer.pad_token_id),
    )
    trainer.train(resume_from_checkpoint=resumed)
    seconds = time.perf_counter() - started
    report = {
        "task": "pretraining",
        **identity,
        "seed": recipe.seed,
        "parameters": model.num_parameters(),
        "examples": {level: int((examples.plan[:, 0] == i).sum()) for i, level in enumerate(levels)},
        "pieces": trainer.state.num_input_tokens_seen,
        "seconds": round(seconds, 1),
        "training_seconds": round(trainer.state.log_history[-1].get("train_runtime", seconds), 1),
        "history": trainer.state.log_history,
    }
    with written_beside(recipe.output) as draft:
        trainer.model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        loss_curve(trainer.state.log_history, draft / "loss.png", f"Pretraining on {', '.join(levels)}")
        write_json(draft / REPORT, report)
    shutil.rmtree(work)
    return report


class _PretrainTrainer(Trainer):
    """Trainer that logs the three losses of equation 4 beside their sum."""

    _parts = ("entity_loss", "relation_loss", "passage_loss")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False  # each loss is a mean over its own positions
        self._sums = dict.fromkeys(self._parts, 0.0)
        self._count = 0

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        outputs = model(**inputs)
        for part in self._parts:
            self._sums[part] += float(outputs[part].detach())
        self._count += 1
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs and self._count:
            logs |= {part: round(self._sums[part] / self._count, 4) for part in self._parts}
            self._sums, self._count = dict.fromkeys(self._parts, 0.0), 0
        super().log(logs, *args, **kwargs)


def masking_rule(
    recipe: PretrainRecipe, tokenizer: PreTrainedTokenizerBase, predictable: NDArray[np.int64]
) -> MaskingRule:
    """The rule of `recipe`; random replacements come from the input ids `predictable`, special ones left out."""
    return MaskingRule(
        mask_id=tokenizer.mask_token_id,
        random_ids=np.setdiff1d(predictable, tokenizer.all_special_ids),
        rate=recipe.mask_rate,
        aligned_rate=recipe.aligned_mask_rate,
        max_entity_pieces=recipe.max_entity_pieces,
    )


def _arguments(recipe: PretrainRecipe, work: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(work),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        optim="adamw_torch_fused",
        train_sampling_strategy="sequential",  # the plan is the order
        logging_steps=max(1, recipe.steps // 100),
        save_steps=recipe.save_steps,
        save_total_limit=1,
        seed=recipe.seed,
        include_num_input_tokens_seen="non_padding",
        remove_unused_columns=False,
        dataloader_num_workers=recipe.workers,
        report_to="none",
        **trainer_device(recipe.bf16),
    )


def _load_tokenizer(recipe: PretrainRecipe) -> PreTrainedTokenizerBase:
    if (recipe.checkpoint is None) == (recipe.shape is None):
        raise InputError("recipe", "needs one of `checkpoint` and `shape`", "give what to start from, or a new shape")
    source = recipe.checkpoint or recipe.tokenizer
    if source is None:
        raise InputError(
            "recipe", "key 'tokenizer' is missing", "a model from scratch needs one; see train.py tokenizer"
        )
    if recipe.checkpoint is not None:
        refuse_to_replace(recipe.checkpoint, recipe.output)
        check_checkpoint(recipe.checkpoint)
        if recipe.tokenizer is not None:
            raise InputError("recipe", "key 'tokenizer' stands beside `checkpoint`, which has its own", "leave it out")
    return load_tokenizer(source, None if recipe.checkpoint is None else KBioXLMConfig.from_pretrained(source))


def _load_model(
    recipe: PretrainRecipe, tokenizer: PreTrainedTokenizerBase, levels: dict[str, datasets.Dataset]
) -> KBioXLMForPreTraining:
    if recipe.shape is not None:
        model = model_of_shape(recipe.shape, tokenizer)
    else:
        model = model_of_checkpoint(str(recipe.checkpoint))
    if len(tokenizer) > model.config.vocab_size:
        raise InputError(
            str(recipe.checkpoint), f"the tokenizer has {len(tokenizer)} pieces, the model {model.config.vocab_size}",
            "put the model's own tokenizer beside it",
        )  # fmt: skip
    positions = model.config.max_position_embeddings - model.config.pad_token_id - 1
    if recipe.max_length > positions:
        raise InputError(
            "recipe", f"max_length {recipe.max_length} exceeds the model's {positions} positions", "lower max_length"
        )
    if recipe.mlm_vocab_size is not None and model.config.mlm_vocab_size not in (None, recipe.mlm_vocab_size):
        raise InputError(
            "recipe", f"mlm_vocab_size is {recipe.mlm_vocab_size}, the checkpoint's head has "
            f"{model.config.mlm_vocab_size} rows already", "leave mlm_vocab_size out",
        )  # fmt: skip
    if recipe.mlm_vocab_size is not None and model.config.mlm_vocab_size is None:
        model.reduce_mlm_head(torch.from_numpy(frequent_pieces(levels, recipe.mlm_vocab_size, tokenizer)))
    return model
