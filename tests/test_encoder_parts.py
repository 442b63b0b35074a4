"""Attention kernels, the positions that are read, and dropout, each beside its definition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from kbioxlm import modeling_encoder_kbioxlm, modeling_kbioxlm
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_encoder_kbioxlm import DroppingAttention, KBioXLMDropout, attention_kernel, draw_mask
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining, KBioXLMModel

MASKS = {
    "right": [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]],
    "gaps": [[1, 0, 1, 1, 1], [0, 1, 0, 0, 1], [1, 1, 1, 0, 1], [1, 1, 0, 1, 0]],
    "an empty row": [[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]],
    "no padding": [[1] * 5] * 4,
}


@pytest.fixture
def config(tiny_sizes: dict[str, Any]) -> KBioXLMConfig:
    return KBioXLMConfig(**tiny_sizes, initializer_range=0.3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def batch_of(mask: list[list[int]]) -> dict[str, torch.Tensor]:
    attention_mask = torch.tensor(mask)
    ids = torch.randint(5, 119, attention_mask.shape, generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids.masked_fill(attention_mask == 0, 1), "attention_mask": attention_mask}


def flash(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: None, **options: Any
) -> tuple[torch.Tensor, None]:
    """What the variable-length path of FlashAttention computes, sequence by sequence, in transformers' shapes.

    (1, heads, pieces, head size) each, to (1, pieces, heads, head size).
    """
    offsets = options["cu_seq_lens_q"]
    assert mask is None
    assert not options["is_causal"]
    assert offsets.dtype == torch.int32
    assert torch.equal(offsets, options["cu_seq_lens_k"])
    lengths = offsets.diff().tolist()
    assert options["max_length_q"] == options["max_length_k"] == max(lengths)
    parts = zip(*(tensor.split(lengths, dim=2) for tensor in (query, key, value)), strict=True)
    contexts = [F.scaled_dot_product_attention(q, k, v, scale=options["scaling"]) for q, k, v in parts]
    return torch.cat(contexts, dim=2).transpose(1, 2), None


def through(kernel: str, monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    """Let `model` compute attention by `kernel`, whatever the device."""
    if kernel == "flash":
        # what set_attn_implementation does where the package is installed
        monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "flash_attention_2", flash)
        for module in model.modules():
            if hasattr(module, "config"):
                module.config._attn_implementation_internal = "flash_attention_2"
    monkeypatch.setattr(modeling_kbioxlm, "attention_kernel", lambda config, device: kernel)


@pytest.mark.parametrize("kernel", ["runs", "nested", "flash"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_kernels_compute_what_eager_attention_does(
    kernel: str, mask: list[list[int]], config: KBioXLMConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(mask)
    batch["labels"] = (batch["input_ids"] % 119).masked_fill(
        (batch["input_ids"] % 2 == 0) | (batch["attention_mask"] == 0), -100
    )
    results = []
    for attention in ("eager", kernel):
        torch.manual_seed(0)
        model = KBioXLMForPreTraining(config).train()
        if attention == "eager":
            model.set_attn_implementation("eager")
        else:
            through(kernel, monkeypatch, model)
        loss = model(**batch).loss
        loss.backward()
        results.append((loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (expected, reference), (found, gradients) = results
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert gradients.keys() == reference.keys()
    for name, gradient in reference.items():
        torch.testing.assert_close(gradients[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_the_kernel_follows_from_attention_and_device(config: KBioXLMConfig) -> None:
    devices = [torch.device(name) for name in ("cpu", "cuda", "mps")]
    found = {}
    for attention in ("sdpa", "eager", "flex_attention", "flash_attention_2", "flash_attention_3"):
        config._attn_implementation_internal = attention
        found[attention] = [attention_kernel(config, device) for device in devices]
    assert found == {
        "sdpa": ["runs", "nested", None],
        "eager": [None] * 3,
        "flex_attention": [None] * 3,
        "flash_attention_2": ["flash"] * 3,
        "flash_attention_3": ["flash"] * 3,
    }


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_the_last_layer_is_computed_where_it_is_read(mask: list[list[int]], config: KBioXLMConfig) -> None:
    torch.manual_seed(0)
    model, batch = KBioXLMModel(config).eval(), batch_of(mask)
    wanted = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    wanted[0, 2] = wanted[2, 0] = wanted[2, 1] = wanted[3, 1] = True
    whole = model(**batch).last_hidden_state
    shapes = []
    for layer in model.encoder.layer:
        layer.intermediate.register_forward_hook(lambda _, inputs, __: shapes.append(inputs[0].shape[1]))
    found = model(**batch, wanted=wanted)
    pieces = int(batch["attention_mask"].sum())
    read = wanted.clone()
    read[:, 0] = True  # by the pooler
    read &= batch["attention_mask"].bool()
    assert shapes == [pieces, int(read.sum())]
    torch.testing.assert_close(found.last_hidden_state[read], whole[read], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.pooler_output, model.pooler(whole), atol=1e-6, rtol=1e-5)


def test_compiled_and_exported_models_keep_their_padding(config: KBioXLMConfig) -> None:
    torch.manual_seed(0)
    model, batch = KBioXLMModel(config).eval(), batch_of(MASKS["right"])
    real = batch["attention_mask"].bool()
    expected = model(**batch).last_hidden_state[real]
    compiled = torch.compile(model, backend="eager", fullgraph=False)
    torch.testing.assert_close(compiled(**batch).last_hidden_state[real], expected, atol=1e-5, rtol=1e-5)
    exported = torch.export.export(model, (), batch, strict=False).module()
    torch.testing.assert_close(exported(**batch).last_hidden_state[real], expected, atol=1e-5, rtol=1e-5)


def test_attention_drops_the_probabilities_that_were_drawn() -> None:
    """Against the definition with the same draws, gradients included."""
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(2, 3, 7, 4, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)]
    torch.manual_seed(5)
    found = DroppingAttention.apply(*leaves, 0.4, 0.5)
    torch.manual_seed(5)
    kept, factor = draw_mask(torch.Size((6, 7, 7)), 0.4)
    assert 0 < kept.sum() < kept.numel()
    query, key, value = leaves
    weights = torch.softmax(0.5 * query @ key.transpose(2, 3), dim=-1) * kept.view(2, 3, 7, 7) * factor
    expected = weights @ value
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad(found, leaves, upstream), torch.autograd.grad(expected, leaves, upstream), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_dropout_drops_and_scales_and_its_gradient_with_it() -> None:
    torch.manual_seed(0)
    hidden = torch.rand(40, 30).add_(1).requires_grad_()
    layer = KBioXLMDropout(0.25)
    dropped = layer(hidden)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], hidden[kept] / 0.75)
    (gradient,) = torch.autograd.grad(dropped.sum(), hidden)
    torch.testing.assert_close(gradient, kept / 0.75)
    assert not torch.equal(layer(hidden), dropped)
    assert layer.eval()(hidden) is hidden or torch.equal(layer(hidden), hidden)
    assert torch.equal(KBioXLMDropout(0.0)(hidden), hidden)
    assert not KBioXLMDropout(1.0)(hidden).any()


@pytest.mark.parametrize("dropout", [1e-7, 0.1, 0.5, 0.9])
def test_masks_keep_the_share_that_they_should(dropout: float) -> None:
    torch.manual_seed(1)
    mask, factor = draw_mask(torch.Size((301, 333)), dropout)
    share, deviation = 1 - dropout, (dropout * (1 - dropout) / mask.numel()) ** 0.5
    assert abs(float(mask.float().mean()) - share) < 5 * deviation + 2**-17
    assert abs(factor * share - 1) < 2**-15 / share
    torch.manual_seed(1)
    assert torch.equal(draw_mask(mask.shape, dropout)[0], mask)  # the seed decides
    neighbours = (mask[:, 1:] & mask[:, :-1]).float().mean()
    assert abs(float(neighbours) - share**2) < 10 * deviation + 2**-16


def test_training_drops_and_the_seed_decides(tiny_sizes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model, batch = KBioXLMModel(KBioXLMConfig(**tiny_sizes)).train(), batch_of(MASKS["right"])
    assert not [name for name, module in model.named_modules() if type(module) is nn.Dropout]
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(model(**batch).last_hidden_state)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_attention_on_a_cpu_drops_through_our_own_kernel(
    tiny_sizes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = KBioXLMModel(KBioXLMConfig(**tiny_sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.3)).train()
    probabilities = []
    draw = modeling_encoder_kbioxlm.draw_mask
    monkeypatch.setattr(
        modeling_encoder_kbioxlm,
        "draw_mask",
        lambda shape, dropout: (probabilities.append(dropout), draw(shape, dropout))[1],
    )
    model(**batch_of(MASKS["right"]))
    assert probabilities == [0.3] * 2 * 3  # two layers, three lengths
    model.eval()(**batch_of(MASKS["right"]))
    assert len(probabilities) == 6
