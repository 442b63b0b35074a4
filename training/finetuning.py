"""Fine-tuning a tagger for NER: encoder and CRF, the best epoch chosen on source-language dev data."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from transformers import Trainer, TrainingArguments, set_seed

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import write_json, written_beside
from kbioxlm.common.recipe import Recipe
from kbioxlm.training.device import trainer_device
from kbioxlm.training.ner import NerData, carve_dev, check_disjoint, check_labels, iob2_tags, load_ner
from kbioxlm.training.plots import loss_curve
from kbioxlm.training.runs import REPORT, fingerprint, finished_report, refuse_to_replace, resume_point, work_folder
from kbioxlm.training.spans import IGNORED
from kbioxlm.training.tagger import Prepared, check_checkpoint, check_length, load_tagger, pad, prepare, score


class FinetuneRecipe(Recipe):
    """What `train.py finetune` does. NER sources are IOB files or `folder:config[:split]`."""

    checkpoint: str = Field(description="folder or Hub id of an XLM-R or KBioXLM checkpoint, with its tokenizer")
    train: str = Field(description="NER source; its train split unless it names another")
    dev: str | None = Field(default=None, description="NER source, its validation split; null: carved from train")
    dev_share: float = Field(default=0.1, gt=0, lt=1, description="share of train's documents in a carved dev set")
    tests: dict[str, str] = Field(default={}, description="name: NER source; its test split unless it names another")
    output: Path = Field(description="folder of the fine-tuned model")
    epochs: PositiveInt = 10
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 5e-5
    head_learning_rate: PositiveFloat = Field(default=1e-3, description="of the classifier and the CRF")
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: NonNegativeFloat = 0.01
    max_length: PositiveInt = Field(default=256, ge=8, description="positions in a window; longer text is windowed")
    seed: int = 13
    bf16: bool | None = Field(default=None, description="bfloat16 autocast; null: where the machine is fast at it")
    use_crf: bool = True
    allow_shared_documents: bool = Field(default=False, description="let tests share document ids with train or dev")


def finetune(recipe: FinetuneRecipe) -> dict[str, Any]:
    """Fine-tune, keep the epoch that is best on dev, score the tests, save everything to `recipe.output`.

    A run that was killed goes on from its last epoch; a finished one with the same recipe and the same inputs
    is not run again.

    Returns:
        the content of `report.json`: `dev` and `tests` hold the scores of `scores.strict_f1`.

    Raises:
        InputError: anything wrong with the recipe or its data, before training starts.
    """
    started = time.perf_counter()
    refuse_to_replace(recipe.checkpoint, recipe.output)
    check_checkpoint(recipe.checkpoint)
    train, dev, tests = _load(recipe)
    identity = {
        "recipe": json.loads(recipe.model_dump_json()),
        "inputs": {
            "checkpoint": fingerprint(recipe.checkpoint), "train": train.fingerprint, "dev": dev.fingerprint,
            **{f"tests.{name}": test.fingerprint for name, test in tests.items()},
        },
    }  # fmt: skip
    finished = finished_report(recipe.output, identity)
    if finished is not None:
        return finished

    set_seed(recipe.seed)
    tags = iob2_tags(train.labels)
    model, tokenizer = load_tagger(recipe.checkpoint, tags, recipe.use_crf)
    check_length("recipe", recipe.max_length, model.config)
    tag_ids = {tag: i for i, tag in enumerate(tags)}
    train_prepared = prepare(train, tokenizer, recipe.max_length, tag_ids)
    dev_prepared = prepare(dev, tokenizer, recipe.max_length)
    work = work_folder(recipe.output)
    resumed = resume_point(work, identity)
    trainer = _TaggerTrainer(
        model=model,
        args=_arguments(recipe, work, len(train_prepared.windows)),
        train_dataset=[{"input_ids": w.input_ids, "labels": w.labels} for w in train_prepared.windows],
        data_collator=_Collator(model.config.pad_token_id),
        dev=dev_prepared,
        head_learning_rate=recipe.head_learning_rate,
    )
    trainer.train(resume_from_checkpoint=resumed)

    def scored(prepared: Prepared) -> dict[str, Any]:
        return {"source": prepared.data.source, **score(model, prepared, 2 * recipe.batch_size, trainer.args.bf16)}

    best = trainer.state.best_model_checkpoint
    steps_an_epoch = math.ceil(len(train_prepared.windows) / recipe.batch_size)
    report = {
        "task": "ner",
        **identity,
        "seed": recipe.seed,
        "labels": list(train.labels),
        "train": {
            "source": train.source, "n": len(train.sentences), "documents": len(train.documents),
            "entities": sum(len(sentence.entities) for sentence in train.sentences),
            "inexpressible": train_prepared.inexpressible,
        },
        "best_epoch": int(best.rsplit("-", 1)[1]) // steps_an_epoch if best else recipe.epochs,
        "dev": scored(dev_prepared),
        "tests": {name: scored(prepare(test, tokenizer, recipe.max_length)) for name, test in tests.items()},
        "seconds": round(time.perf_counter() - started, 1),
        "history": trainer.state.log_history,
    }  # fmt: skip
    with written_beside(recipe.output) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        loss_curve(trainer.state.log_history, draft / "loss.png", f"Fine-tuning on {train.source}")
        write_json(draft / REPORT, report)
    shutil.rmtree(work)
    return report


def _load(recipe: FinetuneRecipe) -> tuple[NerData, NerData, dict[str, NerData]]:
    """Train, dev and test data, checked against each other."""
    train = load_ner(recipe.train, "train")
    if not train.labels:
        raise InputError(train.source, "no sentence has an entity", "give annotated data")
    if recipe.dev is None:
        train, dev = carve_dev(train, recipe.dev_share, recipe.seed)
    else:
        dev = load_ner(recipe.dev, "validation")
    tests = {name: load_ner(source, "test") for name, source in recipe.tests.items()}
    language, dev_language = train.sentences[0].language, dev.sentences[0].language
    if language and dev_language and language != dev_language:
        raise InputError(
            dev.source, f"the dev set is in {dev_language}, training is in {language}",
            "choose the checkpoint on data in the language of training",
        )  # fmt: skip
    for data in (dev, *tests.values()):
        check_labels(data, train.labels)
    if not recipe.allow_shared_documents:
        check_disjoint(train, dev, tests.values())
    return train, dev, tests


def _arguments(recipe: FinetuneRecipe, work: Path, windows: int) -> TrainingArguments:
    steps = math.ceil(windows / recipe.batch_size) * recipe.epochs
    return TrainingArguments(
        output_dir=str(work),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=math.ceil(recipe.warmup_ratio * steps),
        weight_decay=recipe.weight_decay,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_steps=max(1, steps // 100),
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        greater_is_better=True,
        seed=recipe.seed,
        remove_unused_columns=False,
        report_to="none",
        **trainer_device(recipe.bf16),
    )


class _Collator:
    """Pads a batch of windows to its longest: ids and labels (batch, sequence)."""

    def __init__(self, pad_token_id: int):
        self.pad_token_id = pad_token_id

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        return {
            "input_ids": pad([row["input_ids"] for row in rows], self.pad_token_id),
            "attention_mask": pad([[1] * len(row["input_ids"]) for row in rows], 0),
            "labels": pad([row["labels"] for row in rows], IGNORED),
        }


class _TaggerTrainer(Trainer):
    """Trainer with strict F1 on dev, and a learning rate of its own for everything above the encoder."""

    optimizer: Any
    control: Any

    def __init__(self, *, dev: Prepared, head_learning_rate: float, **options: Any):
        super().__init__(**options, eval_dataset=dev.windows)
        self.dev = dev
        self.head_learning_rate = head_learning_rate

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW over three groups: encoder with and without weight decay, head without."""
        if self.optimizer is None:
            model = self.model if model is None else model
            prefix = f"{model.base_model_prefix}."
            decayed = set(self.get_decay_parameter_names(model))
            groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    is_head = not name.startswith(prefix)
                    groups.setdefault((is_head, name in decayed and not is_head), []).append(parameter)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, model)
            self.optimizer = kind(
                [
                    {
                        "params": parameters,
                        "lr": self.head_learning_rate if is_head else self.args.learning_rate,
                        "weight_decay": self.args.weight_decay if decays else 0.0,
                    }
                    for (is_head, decays), parameters in groups.items()
                ],
                **options,
            )
        return self.optimizer

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
        """Strict F1, precision and recall on dev, in 0 to 100."""
        result = score(self.model, self.dev, 2 * self.args.per_device_train_batch_size, self.args.bf16)
        metrics = {f"{metric_key_prefix}_{name}": result[name] for name in ("f1", "precision", "recall")}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
