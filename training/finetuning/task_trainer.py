"""The Trainer that fine-tunes for a task: scores on dev, a learning rate for the head, the run's arguments."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainingArguments

from kbioxlm.training.device import trainer_device
from kbioxlm.training.finetuning.encoders import encoder_of
from kbioxlm.training.finetuning.tasks.task import PreparedData, Scored, Task

if TYPE_CHECKING:
    from kbioxlm.training.finetuning.recipe import FinetuneRecipe


def training_arguments(recipe: FinetuneRecipe, work: Path, windows: int) -> TrainingArguments:
    """The arguments of a run over `windows` training rows that keeps its checkpoints in `work`."""
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


class TaskTrainer(Trainer):
    """Trainer with the task's F1 on dev, and a learning rate of its own for everything above the encoder."""

    optimizer: Any
    control: Any

    def __init__(self, *, task: Task, dev: PreparedData, head_learning_rate: float, **options: Any):
        super().__init__(**options, eval_dataset=dev.rows)
        self.task = task
        self.dev = dev
        self.head_learning_rate = head_learning_rate

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW over three groups: encoder with and without weight decay, head without."""
        if self.optimizer is None:
            model = self.model if model is None else model
            encoder = {id(parameter) for parameter in encoder_of(model).parameters()}
            decayed = set(self.get_decay_parameter_names(model))
            groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    is_head = id(parameter) not in encoder
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
        """F1, precision and recall on dev, in 0 to 100."""
        result = self.scored(self.dev).figures
        metrics = {f"{metric_key_prefix}_{name}": result[name] for name in ("f1", "precision", "recall")}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def scored(self, prepared: PreparedData) -> Scored:
        """The answers of the model as it is now."""
        return self.task.evaluate(self.model, prepared, 2 * self.args.per_device_train_batch_size, self.args.bf16)
