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
from kbioxlm.modeling_encoder_kbioxlm import (
    ExplicitAttention,
    KBioXLMDropout,
    PackedBatch,
    attention_by_runs,
    attention_kernel,
    blocks_of,
    draw_mask,
    round_size,
)
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
    if kernel == "explicit":
        monkeypatch.setattr(KBioXLMModel, "_arithmetic", lambda self, device: (torch.float32, True))
        kernel = "runs"
    monkeypatch.setattr(modeling_kbioxlm, "attention_kernel", lambda config, device: kernel)


@pytest.mark.parametrize("kernel", ["runs", "explicit", "nested", "flash"])
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
    leaves = [torch.randn(14, 3, 4, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)]
    blocks = blocks_of(((2, 7),), torch.device("cpu"), torch.float64)
    torch.manual_seed(5)
    found = ExplicitAttention.apply(*leaves, blocks, 0.4, 0.5)
    torch.manual_seed(5)
    kept, factor = draw_mask(torch.Size((6, 7, 7)), 0.4, torch.float64)
    assert 0 < kept.sum() < kept.numel()
    query, key, value = (leaf.view(2, 7, 3, 4).transpose(1, 2) for leaf in leaves)
    weights = torch.softmax(0.5 * query @ key.transpose(2, 3), dim=-1) * kept.view(2, 3, 7, 7) * factor
    expected = (weights @ value).transpose(1, 2).reshape(14, 3, 4)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad(found, leaves, upstream), torch.autograd.grad(expected, leaves, upstream), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


RUNS = ((3, 2), (1, 5), (2, 16), (1, 17), (1, 21))  # blocks of 16 (filled up) and 21 (filled up)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.bfloat16, 0.03)])
def test_attention_of_filled_up_blocks_is_that_of_each_sequence(dtype: torch.dtype, tolerance: float) -> None:
    """With rows behind the pieces that nobody reads; gradients too."""
    pieces, rows = sum(count * length for count, length in RUNS), 90
    generator = torch.Generator().manual_seed(0)
    exact = [torch.randn(rows, 2, 8, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)]
    coarse = [leaf.detach().to(dtype).requires_grad_() for leaf in exact]
    blocks = blocks_of(RUNS, torch.device("cpu"), dtype)
    assert [(block.shape, block.pieces) for block in blocks] == [((6, 16), 43), ((2, 21), 38)]
    found = ExplicitAttention.apply(*coarse, blocks, 0.0, 0.3)
    query, key, value = exact
    packed = PackedBatch((1, rows), None, None, pieces, 0, "runs", RUNS, (), None, 21)
    expected = attention_by_runs(query, key, value, packed, 0.0, 0.3)
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)
    assert not found[pieces:].any()
    upstream = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad(found, coarse, upstream.to(dtype)),
        torch.autograd.grad(expected, exact, upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours.double(), theirs, atol=tolerance, rtol=tolerance)


def test_few_sizes_are_near_every_number() -> None:
    sizes = [round_size(rows) for rows in range(1, 5000)]
    assert all(rows <= size <= max(rows + 1, rows * 1.15) for rows, size in enumerate(sizes, 1))
    assert len(set(sizes)) < 100
    assert [round_size(rows) for rows in (1, 8, 16, 17, 128, 129, 4096, 4097)] == [1, 8, 16, 18, 128, 144, 4096, 4608]


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_training_in_bfloat16_computes_what_float32_does(mask: list[list[int]], config: KBioXLMConfig) -> None:
    """Rows are added to a round number, attention is explicit, the head computes tiles in bfloat16."""
    batch = batch_of(mask)
    batch["labels"] = (batch["input_ids"] % 119).masked_fill(
        (batch["input_ids"] % 2 == 0) | (batch["attention_mask"] == 0), -100
    )
    results = []
    for autocast in (False, True):
        torch.manual_seed(0)
        model = KBioXLMForPreTraining(config).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            outputs = model(**batch)
        outputs.loss.backward()
        gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append((outputs.loss.float(), gradients))
    (expected, reference), (found, gradients) = results
    assert found != expected
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.01)
    assert float(F.cosine_similarity(gradients, reference, dim=0)) > 0.999
    assert abs(float(gradients.norm() / reference.norm()) - 1) < 0.02


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("dropout", [1e-7, 2e-5, 0.1, 0.5, 0.9, 1 - 2e-5])
def test_masks_keep_the_share_that_they_should(dropout: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    mask, factor = draw_mask(torch.Size((301, 333)), dropout, dtype)
    assert mask.dtype == dtype
    assert ((mask == 0) | (mask == 1)).all()
    share, deviation = 1 - dropout, (dropout * (1 - dropout) / mask.numel()) ** 0.5
    assert abs(float(mask.double().mean()) - share) < 5 * deviation + 2**-17
    assert abs(factor * share - 1) < 2**-15 / share
    torch.manual_seed(1)
    assert torch.equal(draw_mask(mask.shape, dropout, dtype)[0], mask)  # the seed decides
    neighbours = (mask[:, 1:] * mask[:, :-1]).double().mean()
    assert abs(float(neighbours) - share**2) < 10 * deviation + 2**-16


def test_masks_are_the_same_in_every_dtype_and_of_any_size() -> None:
    for elements in (1, 3, 4, 5):
        masks = []
        for dtype in (torch.float32, torch.bfloat16):
            torch.manual_seed(2)
            masks.append(draw_mask(torch.Size((elements,)), 0.5, dtype)[0].float())
        assert torch.equal(*masks)


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

    def draw(shape: torch.Size, dropout: float, dtype: torch.dtype) -> tuple[torch.Tensor, float]:
        probabilities.append(dropout)
        return draw_mask(shape, dropout, dtype)

    monkeypatch.setattr(modeling_encoder_kbioxlm, "draw_mask", draw)
    model(**batch_of(MASKS["right"]))
    assert probabilities == [0.3] * 2  # two layers; all lengths are in one block
    model.eval()(**batch_of(MASKS["right"]))
    assert len(probabilities) == 2
