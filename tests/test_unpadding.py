"""Padding is not computed, and what is computed does not change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import XLMRobertaModel

from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import (
    KBioXLMForPreTraining,
    KBioXLMForSequenceClassification,
    KBioXLMForTokenClassification,
    KBioXLMModel,
)

MASKS = {
    "right": [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]],
    "left": [[1, 1, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1]],
    "gaps": [[1, 0, 1, 1, 1], [1, 1, 0, 0, 1], [1, 1, 1, 0, 1], [1, 1, 0, 1, 0]],
    "an empty row": [[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]],
    "no padding": [[1] * 5] * 4,
}


@pytest.fixture
def config(tiny_sizes: dict[str, Any]) -> KBioXLMConfig:
    return KBioXLMConfig(
        **tiny_sizes, initializer_range=0.3, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )


def build(cls: Any, config: KBioXLMConfig) -> Any:
    torch.manual_seed(0)
    return cls(config).eval()


def batch_of(mask: list[list[int]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    attention_mask = torch.tensor(mask)
    ids = torch.randint(5, 119, attention_mask.shape, generator=generator)
    return {"input_ids": ids.masked_fill(attention_mask == 0, 1), "attention_mask": attention_mask}


def theirs(model: KBioXLMModel, batch: dict[str, torch.Tensor], **more: Any) -> torch.Tensor:
    """What transformers' own encoder computes with the same weights."""
    reference = XLMRobertaModel(model.config).eval()
    reference.load_state_dict(model.state_dict())
    return reference(**batch, **more).last_hidden_state


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_hidden_states_are_those_of_xlm_roberta(mask: list[list[int]], config: KBioXLMConfig) -> None:
    model, batch = build(KBioXLMModel, config), batch_of(mask)
    real = batch["attention_mask"].bool()
    found = model(**batch)
    torch.testing.assert_close(found.last_hidden_state[real], theirs(model, batch)[real], atol=1e-5, rtol=1e-5)
    assert not found.last_hidden_state[~real].any()
    torch.testing.assert_close(found.pooler_output, model.pooler(found.last_hidden_state))


def test_positions_and_embeddings_may_be_given(config: KBioXLMConfig) -> None:
    model, batch = build(KBioXLMModel, config), batch_of(MASKS["right"])
    real = batch["attention_mask"].bool()
    positions = torch.tensor([[9, 8, 7, 6, 5]])
    expected = theirs(model, batch, position_ids=positions)
    found = model(**batch, position_ids=positions).last_hidden_state
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-5)
    embedded = {
        "inputs_embeds": model.get_input_embeddings()(batch["input_ids"]),
        "attention_mask": batch["attention_mask"],
        "token_type_ids": torch.zeros_like(batch["input_ids"]),
    }
    torch.testing.assert_close(
        model(**embedded).last_hidden_state[real], theirs(model, embedded)[real], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    "cls", [KBioXLMForPreTraining, KBioXLMForTokenClassification, KBioXLMForSequenceClassification]
)
def test_loss_and_gradients_are_those_of_padded_batches(cls: Any, config: KBioXLMConfig) -> None:
    batch = batch_of(MASKS["right"])
    labels = (batch["input_ids"] % 3).masked_fill(batch["attention_mask"] == 0, -100)
    if cls is KBioXLMForSequenceClassification:
        labels = labels[:, 0]
    results = []
    for attention in ("sdpa", "eager"):  # eager attention keeps padding
        model = build(cls, config)
        model.set_attn_implementation(attention)
        loss = model(**batch, labels=labels).loss
        loss.backward()
        results.append((loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (found, gradients), (expected, reference) = results
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert gradients.keys() == reference.keys()
    for name, gradient in reference.items():
        torch.testing.assert_close(gradients[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_layers_see_no_padding(config: KBioXLMConfig) -> None:
    model, batch = build(KBioXLMModel, config), batch_of(MASKS["right"])
    shapes = []
    model.encoder.layer[1].register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    model(**batch)
    model(**batch, output_hidden_states=True)
    model(**batch_of(MASKS["no padding"]))
    assert shapes == [(1, 12, 32), (4, 5, 32), (1, 20, 32)]


def test_one_sequence_does_not_see_another(config: KBioXLMConfig) -> None:
    model, batch = build(KBioXLMModel, config), batch_of(MASKS["right"])
    together = model(**batch).last_hidden_state
    for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        alone = model(input_ids=batch["input_ids"][row : row + 1, :length]).last_hidden_state
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=1e-5)
