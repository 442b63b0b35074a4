"""A tagger in the shape of the authors' recipe, on transformers and pytorch-crf alone.

Sentences are padded; a word is the mean of its pieces; encoder, linear layer and CRF over words; every epoch is scored
on the dev set and saved, and the best one is loaded again for the tests.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchcrf import CRF
from transformers import (
    PreTrainedTokenizerBase,
    XLMRobertaConfig,
    XLMRobertaModel,
    get_linear_schedule_with_warmup,
    set_seed,
)

from kbioxlm.dataset_scripts.benchmarks.iob import Sentence
from kbioxlm.training.finetuning.ner import iob2_tags, load_ner
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.finetuning.scores import strict_f1
from kbioxlm.training.finetuning.spans import unit_tags
from kbioxlm.training.finetuning.tasks.data import carve_dev
from kbioxlm.training.models.tokenizer import load_tokenizer


class PaddedTagger(nn.Module):
    """Encoder, mean over the pieces of each word, linear layer, CRF."""

    def __init__(self, encoder: XLMRobertaModel, tags: int):
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(encoder.config.hidden_dropout_prob)
        self.classifier = nn.Linear(encoder.config.hidden_size, tags)
        self.crf = CRF(tags, batch_first=True)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """Emissions (batch, words, tags) of pieces (batch, pieces); means: (batch, words, pieces), rows sum to 1."""
        hidden = self.encoder(input_ids, attention_mask).last_hidden_state
        return self.classifier(self.dropout(means @ hidden))


class Batches:
    """Sentences as padded batches, in an order that is given.

    Args:
        width: pieces of every batch; None: the longest of each.
    """

    def __init__(
        self,
        sentences: tuple[Sentence, ...],
        tokenizer: PreTrainedTokenizerBase,
        tags: list[str],
        max_length: int,
        width: int | None,
    ):
        self.pad_token_id, self.width = tokenizer.pad_token_id, width
        words = [[sentence.text[start:end] for start, end in sentence.units] for sentence in sentences]
        encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=width or max_length)
        self.ids = encoded["input_ids"]
        self.words = [encoded.word_ids(row) for row in range(len(words))]
        self.gold = [unit_tags(sentence.entities, sentence.units) for sentence in sentences]
        self.labels = [[tags.index(tag) for tag in row] for row in self.gold]

    def of(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """Input ids, attention mask, means; labels and mask of the words that were not cut off."""
        pieces = self.width or max(len(self.ids[row]) for row in rows)
        counts = [1 + max((word for word in self.words[row] if word is not None), default=0) for row in rows]
        ids = torch.full((len(rows), pieces), self.pad_token_id)
        means = torch.zeros(len(rows), max(counts), pieces)
        labels = torch.zeros(len(rows), max(counts), dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(self.ids[row])] = torch.tensor(self.ids[row])
            places = [piece for piece, word in enumerate(self.words[row]) if word is not None]
            means[place, [self.words[row][piece] for piece in places], places] = 1.0
            labels[place, : counts[place]] = torch.tensor(self.labels[row][: counts[place]])
        means /= means.sum(dim=2, keepdim=True).clamp(min=1.0)
        mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
        attention = (ids != self.pad_token_id).long()
        return {"input_ids": ids, "attention_mask": attention, "means": means, "labels": labels, "mask": mask}


def finetune_padded(recipe: FinetuneRecipe, shape: dict[str, int | float], width: int | None) -> tuple[float, float]:
    """Fine-tune as `recipe` says, and leave a checkpoint an epoch in its output.

    Args:
        shape: arguments of XLMRobertaConfig for the checkpoint's encoder.
        width: see `Batches`.

    Returns:
        strict F1 on dev and on the only test, of the epoch that is best on dev.
    """
    train, dev = carve_dev(load_ner(recipe.train, "train"), recipe.dev_share, recipe.seed)
    [test] = [load_ner(source, "test") for source in recipe.tests.values()]
    set_seed(recipe.seed)
    tags = iob2_tags(train.labels)
    tokenizer = load_tokenizer(recipe.checkpoint)
    encoder = XLMRobertaModel.from_pretrained(
        recipe.checkpoint, config=XLMRobertaConfig(**shape), add_pooling_layer=False
    )
    model = PaddedTagger(encoder, len(tags))
    batches = {
        name: Batches(data.examples, tokenizer, tags, recipe.max_length, width)
        for name, data in {"train": train, "dev": dev, "test": test}.items()
    }
    plain = [p for name, p in model.encoder.named_parameters() if "bias" in name or "LayerNorm" in name]
    decayed = [p for name, p in model.encoder.named_parameters() if not ("bias" in name or "LayerNorm" in name)]
    head = [*model.classifier.parameters(), *model.crf.parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "lr": recipe.learning_rate, "weight_decay": recipe.weight_decay},
            {"params": plain, "lr": recipe.learning_rate, "weight_decay": 0.0},
            {"params": head, "lr": recipe.head_learning_rate, "weight_decay": 0.0},
        ]
    )
    count = len(train.examples)
    steps = math.ceil(count / recipe.batch_size) * recipe.epochs
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(recipe.warmup_ratio * steps), steps)
    best, best_epoch = -1.0, 0
    recipe.output.mkdir(parents=True)
    for epoch in range(recipe.epochs):
        model.train()
        order = torch.randperm(count).tolist()
        for first in range(0, count, recipe.batch_size):
            batch = batches["train"].of(order[first : first + recipe.batch_size])
            emissions = model(batch["input_ids"], batch["attention_mask"], batch["means"])
            loss = -model.crf(emissions, batch["labels"], batch["mask"], reduction="token_mean")
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        found = _f1(model, batches["dev"], tags, 2 * recipe.batch_size)
        save_file(model.state_dict(), _checkpoint(recipe.output, epoch))
        if found > best:
            best, best_epoch = found, epoch
    model.load_state_dict(load_file(_checkpoint(recipe.output, best_epoch)))
    return best, _f1(model, batches["test"], tags, 2 * recipe.batch_size)


def _checkpoint(output: Path, epoch: int) -> Path:
    return output / f"epoch-{epoch}.safetensors"


@torch.no_grad()
def _f1(model: PaddedTagger, batches: Batches, tags: list[str], batch_size: int) -> float:
    model.eval()
    predicted: list[list[str]] = []
    for first in range(0, len(batches.ids), batch_size):
        rows = list(range(first, min(first + batch_size, len(batches.ids))))
        batch = batches.of(rows)
        emissions = model(batch["input_ids"], batch["attention_mask"], batch["means"])
        for row, path in zip(rows, model.crf.decode(emissions, batch["mask"]), strict=True):
            found = [tags[tag] for tag in path]
            predicted.append(found + ["O"] * (len(batches.gold[row]) - len(found)))
    return strict_f1(batches.gold, predicted)["f1"]
