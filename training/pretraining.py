"""Pretraining on the four kinds of text: stage 1 on monolingual text, stage 2 with the three tasks (3.1, A.1)."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from tqdm import tqdm
from transformers import (
    PretrainedConfig,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    set_seed,
)

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import write_json, written_beside
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.device import trainer_device
from kbioxlm.training.features import LEVELS, encode_rows, load_level
from kbioxlm.training.masking import IGNORED, MaskingRule, mask_example
from kbioxlm.training.plots import loss_curve
from kbioxlm.training.recipe import Recipe
from kbioxlm.training.runs import REPORT, fingerprint, finished_report, resume_point, work_folder
from kbioxlm.training.schedule import Pool, plan_batches
from kbioxlm.training.tagger import check_checkpoint
from kbioxlm.training.tokenizer import load_tokenizer


class ModelShape(Recipe):
    """The shape of a model that is trained from scratch; everything else is as in XLM-R."""

    hidden_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    intermediate_size: PositiveInt
    max_position_embeddings: PositiveInt = 514
    hidden_dropout_prob: float = Field(default=0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(default=0.1, ge=0, lt=1)
    initializer_range: PositiveFloat = Field(default=0.02, description="standard deviation of the initial weights")


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
    examples = MaskedExamples(
        levels, recipe, tokenizer, np.arange(len(tokenizer)) if reduced is None else reduced.numpy()
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


class MaskedExamples(torch.utils.data.Dataset):
    """The examples of a whole run in order; the draw of an example's masks depends on the seed and its place alone."""

    def __init__(
        self,
        levels: dict[str, datasets.Dataset],
        recipe: PretrainRecipe,
        tokenizer: PreTrainedTokenizerBase,
        piece_ids: NDArray[np.int64],
    ):
        """`piece_ids`: `(rows,)` input ids that the MLM head can predict."""
        pools = [
            Pool(_bytes(rows), np.asarray(rows["language"]), recipe.shares[level]) for level, rows in levels.items()
        ]
        self.plan = plan_batches(pools, recipe.steps, recipe.batch_size, recipe.seed)
        self._levels = [(level != "monolingual", rows) for level, rows in levels.items()]
        self._tokenizer = tokenizer
        self._recipe = recipe
        self._rule = MaskingRule(
            mask_id=tokenizer.mask_token_id,
            random_ids=np.setdiff1d(piece_ids, tokenizer.all_special_ids),
            rate=recipe.mask_rate,
            aligned_rate=recipe.aligned_mask_rate,
            max_entity_pieces=recipe.max_entity_pieces,
        )

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: list[int]) -> list[dict[str, Any]]:
        chosen = [self._levels[level] for level, _ in self.plan[places]]
        rows = [rows[int(row)] for (_, rows), (_, row) in zip(chosen, self.plan[places], strict=True)]
        examples = []
        for place, (aligned, _), encoded in zip(
            places, chosen, encode_rows(rows, self._tokenizer, self._recipe.max_length), strict=True
        ):
            rng = np.random.default_rng((self._recipe.seed, place))
            masked = mask_example(encoded.input_ids, encoded.units, encoded.kinds, aligned, self._rule, rng)
            examples.append(
                {
                    "input_ids": masked.input_ids,
                    "labels": masked.labels,
                    "relation_labels": masked.relation_labels,
                    "passage_labels": encoded.passage_label,
                }
            )
        return examples


def _bytes(rows: datasets.Dataset) -> NDArray[np.int64]:
    """UTF-8 bytes of each row, `(rows,)`: about proportional to its pieces, in Latin script and Chinese alike."""
    sizes = np.zeros(len(rows), dtype=np.int64)
    for column in ("text", "text_pair"):
        sizes += pc.fill_null(pc.binary_length(rows.data.column(column)), 0).to_numpy()
    return sizes


class PaddingCollator:
    """Pads the examples of a batch to its longest: all but `passage_labels` become (batch, sequence)."""

    def __init__(self, pad_token_id: int):
        self._fill = {"input_ids": pad_token_id, "labels": IGNORED, "relation_labels": IGNORED}

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        lengths = [len(example["input_ids"]) for example in examples]
        batch = {}
        for name, value in self._fill.items():
            padded = np.full((len(examples), max(lengths)), value, dtype=np.int64)
            for row, example in enumerate(examples):
                padded[row, : lengths[row]] = example[name]
            batch[name] = torch.from_numpy(padded)
        batch["attention_mask"] = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        batch["passage_labels"] = torch.tensor([example["passage_labels"] for example in examples])
        return batch


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
        check_checkpoint(recipe.checkpoint)
        if recipe.tokenizer is not None:
            raise InputError("recipe", "key 'tokenizer' stands beside `checkpoint`, which has its own", "leave it out")
    return load_tokenizer(source, None if recipe.checkpoint is None else KBioXLMConfig.from_pretrained(source))


def _load_model(
    recipe: PretrainRecipe, tokenizer: PreTrainedTokenizerBase, levels: dict[str, datasets.Dataset]
) -> KBioXLMForPreTraining:
    if recipe.shape is not None:
        config = KBioXLMConfig(
            **recipe.shape.model_dump(),
            vocab_size=len(tokenizer),
            bos_token_id=tokenizer.bos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        model = KBioXLMForPreTraining(config)
        _start_positions_as_waves(model.roberta.embeddings.position_embeddings, config)
    else:
        model = _load_checkpoint(str(recipe.checkpoint))
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
        model.reduce_mlm_head(torch.from_numpy(_frequent_pieces(levels, recipe.mlm_vocab_size, tokenizer)))
    return model


def _load_checkpoint(checkpoint: str) -> KBioXLMForPreTraining:
    try:
        if PretrainedConfig.get_config_dict(checkpoint)[0].get("model_type") == "kbioxlm":
            return KBioXLMForPreTraining.from_pretrained(checkpoint)
        return KBioXLMForPreTraining.from_xlm_roberta(checkpoint)
    except (OSError, ValueError) as error:
        raise InputError(checkpoint, f"cannot be loaded ({error})", "name an XLM-R or KBioXLM checkpoint") from error


def _start_positions_as_waves(positions: torch.nn.Embedding, config: KBioXLMConfig) -> None:
    """Start the learnt positions of a model from scratch as sinusoids of the initial weights' size.

    Attention to a neighbour is then one direction for all positions; from random vectors every pair of positions
    has to learn it alone, which short runs do not reach.
    """
    half = config.hidden_size // 2
    place = torch.arange(positions.num_embeddings, dtype=torch.float32)[:, None]  # (positions, 1)
    angle = place * torch.exp(-math.log(10_000.0) * torch.arange(half) / half)  # (positions, hidden / 2)
    waves = torch.cat([angle.sin(), angle.cos()], dim=1) * config.initializer_range * math.sqrt(2)
    with torch.no_grad():
        positions.weight.copy_(waves)
        positions.weight[config.pad_token_id] = 0


def _frequent_pieces(
    levels: dict[str, datasets.Dataset], size: int, tokenizer: PreTrainedTokenizerBase, batch_size: int = 1000
) -> NDArray[np.int64]:
    """The `size` most frequent pieces of the corpora, in order of their ids."""
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    for level, rows in levels.items():
        for first in tqdm(range(0, len(rows), batch_size), desc=f"counting pieces of {level}", unit="batch"):
            batch = rows[first : first + batch_size]
            texts = batch["text"] + [text for text in batch["text_pair"] if text is not None]
            for ids in tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]:
                counts += np.bincount(ids, minlength=len(tokenizer))
    return np.sort(np.argsort(-counts, kind="stable")[:size])
