"""What a pretraining recipe says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from kbioxlm.common.recipe import Recipe
from kbioxlm.training.models.starting_points import ModelShape
from kbioxlm.training.pretraining.features import LEVELS
from kbioxlm.training.pretraining.trackers import TrackerName

_FREE = {"cache", "least_coverage", "save_steps", "workers", "report_to", "push_to_hub", "hub_private", "card"}


class CardSection(Recipe):
    """What the model card says that nobody can work out from the run."""

    license: str | None = Field(default=None, description="of the weights, as the Hub writes it: apache-2.0, other, …")
    data: str | None = Field(default=None, description="the texts and knowledge, where they are from, their licences")
    limits: str | None = Field(default=None, description="what the model should not be used for")
    citation: str | None = Field(default=None, description="how to cite this model, beside the method's paper")


class PretrainRecipe(Recipe):
    """What `train.py pretrain` does. A batch is what an optimizer step sees, on however many devices."""

    output: Path = Field(description="folder of the pretrained model")
    corpora: Path = Field(description="folder written by aligned_corpora.py")
    cache: Path | None = Field(default=None, description="folder of encoded texts; null: beside the corpora")
    checkpoint: str | None = Field(default=None, description="folder or Hub id to start from, with its tokenizer")
    tokenizer: str | None = Field(default=None, description="tokenizer of a model from scratch")
    shape: ModelShape | None = Field(default=None, description="shape of a model from scratch")
    mlm_vocab_size: PositiveInt | None = Field(
        default=None, description="rows of the reduced MLM head: the corpora's most frequent pieces; null: all pieces"
    )
    mlm_vocabulary: Path | None = Field(
        default=None, description="instead of mlm_vocab_size: what train.py vocabulary wrote"
    )
    shares: dict[str, PositiveFloat] = Field(description=f"share of the pieces by level; levels are {LEVELS}")
    steps: PositiveInt = Field(description="optimizer steps")
    batch_size: PositiveInt | None = Field(default=None, description="examples in a batch, as the paper counts them")
    batch_pieces: PositiveInt | None = Field(
        default=None,
        validate_default=True,
        description="instead of batch_size: pieces in a batch, on average, however long examples are",
    )
    micro_batch: PositiveInt | None = Field(
        default=None, description="most examples that a device takes at once; null: its whole part of the batch"
    )
    learning_rate: PositiveFloat = Field(description="peak; rises linearly, then falls linearly to 0")
    warmup_steps: NonNegativeInt
    weight_decay: NonNegativeFloat = 0.01
    max_gradient_norm: PositiveFloat = Field(default=1.0, description="longer gradients are cut to this norm")
    max_length: PositiveInt = Field(default=128, ge=8, description="pieces in an example")
    mask_rate: float = Field(default=0.15, gt=0, lt=1, description="share of monolingual pieces masked (A.1)")
    aligned_mask_rate: float = Field(default=0.15, gt=0, lt=1, description="share of aligned pieces masked (3.1.2)")
    max_entity_pieces: PositiveInt = Field(default=3, description="longest entity masked on monolingual text (A.1)")
    seed: int = 13
    least_coverage: float = Field(
        default=0.95, ge=0, le=1,
        description="share of a language's pieces that the tokenizer must know and the MLM head must have a row for",
    )  # fmt: skip
    bf16: bool | None = Field(default=None, description="bfloat16 autocast; null: where the machine is fast at it")
    attn_implementation: str | None = Field(
        default=None, description="sdpa, flash_attention_2, flex_attention, eager; null: what the model chooses"
    )
    gradient_checkpointing: bool = Field(default=False, description="compute activations twice to keep fewer of them")
    torch_compile: bool = Field(default=False, description="compile the model; the first steps take minutes")
    save_steps: PositiveInt = Field(default=500, description="a killed run goes on from the last multiple of this")
    logging_steps: PositiveInt | None = Field(default=None, description="steps of a log entry; null: steps / 100")
    workers: NonNegativeInt = Field(default=0, description="processes beside each training process that prepare data")
    report_to: list[TrackerName] = Field(default=[], description="tensorboard, trackio: follow the run while it runs")
    push_to_hub: str | None = Field(default=None, description="owner/name: upload the model there when it is finished")
    hub_private: bool = Field(default=True, description="whether a repository that is made there is private")
    card: CardSection = CardSection()

    def decisive(self) -> dict[str, Any]:
        """The keys that decide what is learnt; a run goes on, or is finished, whatever the others are."""
        return self.model_dump(mode="json", exclude=_FREE)

    @field_validator("shares")
    @classmethod
    def _known_levels(cls, shares: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(shares) - set(LEVELS))
        if unknown or not shares:
            raise ValueError(f"levels among {', '.join(LEVELS)}, not {', '.join(unknown) or 'none'}")
        return {level: shares[level] for level in LEVELS if level in shares}

    @field_validator("mlm_vocabulary")
    @classmethod
    def _one_vocabulary(cls, path: Path | None, others: ValidationInfo) -> Path | None:
        if path is not None and others.data.get("mlm_vocab_size") is not None:
            raise ValueError("one of mlm_vocab_size and mlm_vocabulary")
        return path

    @field_validator("batch_pieces")
    @classmethod
    def _one_size(cls, pieces: int | None, others: ValidationInfo) -> int | None:
        if "batch_size" in others.data and (pieces is None) == (others.data["batch_size"] is None):
            raise ValueError("one of batch_size and batch_pieces")
        return pieces
