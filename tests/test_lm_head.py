"""The loss of the masked-language-model head in tiles, beside cross entropy of its logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from kbioxlm import modeling_lm_head_kbioxlm
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForMaskedLM, KBioXLMForPreTraining
from kbioxlm.modeling_lm_head_kbioxlm import KBioXLMLMHead, LinearCrossEntropy

ROWS = 40


@pytest.fixture(params=[7, 8, 40, 4096], ids=lambda size: f"tiles of {size}", autouse=True)
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modeling_lm_head_kbioxlm, "TILE", request.param)


def problem(scale: float = 1.0) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Hidden states, weight and bias in float64, and targets of three tasks: they overlap, repeat, and one is empty."""
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((9, 6), (ROWS, 6), (ROWS,))]
    targets = torch.randint(ROWS, (3, 9), generator=generator)
    targets[0, ::2] = targets[1, 5:] = targets[2] = -100
    targets[1, :3] = ROWS - 1
    return [(scale * leaf).requires_grad_() for leaf in leaves], targets


def reference(leaves: list[torch.Tensor], targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    hidden, weight, bias = leaves
    logits = hidden @ weight.t() + bias
    totals = torch.stack([F.cross_entropy(logits, rows, ignore_index=-100, reduction="sum") for rows in targets])
    return totals, (logits.argmax(dim=1) == targets).sum(dim=1)


@pytest.mark.parametrize("scale", [1.0, 100.0])  # logits up to some tens of thousands
def test_losses_hits_and_gradients_are_those_of_the_logits(scale: float) -> None:
    leaves, targets = problem(scale)
    totals, hits = LinearCrossEntropy.apply(*leaves, targets)
    expected, expected_hits = reference(leaves, targets)
    torch.testing.assert_close(totals, expected)
    assert totals[2] == 0
    assert torch.equal(hits, expected_hits)
    weights = torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64)
    for found, wanted in zip(
        torch.autograd.grad(totals @ weights, leaves), torch.autograd.grad(expected @ weights, leaves), strict=True
    ):
        torch.testing.assert_close(found, wanted)


def test_gradients_equal_finite_differences() -> None:
    leaves, targets = problem()
    assert torch.autograd.gradcheck(lambda *tensors: LinearCrossEntropy.apply(*tensors, targets)[0], leaves)


def test_right_predictions_are_counted() -> None:
    leaves, targets = problem()
    hidden, weight, bias = leaves
    best = (hidden @ weight.t() + bias).argmax(dim=1)
    targets[0] = best
    targets[1] = (best + 1) % ROWS
    assert LinearCrossEntropy.apply(*leaves, targets)[1].tolist() == [9, 0, 0]


def test_without_positions_losses_are_zero_and_differentiable() -> None:
    head = KBioXLMLMHead(KBioXLMConfig(vocab_size=ROWS, hidden_size=8, num_attention_heads=2))
    losses, hits = head.losses(torch.zeros(0, 8), torch.zeros(2, 0, dtype=torch.long))
    losses.sum().backward()
    assert losses.tolist() == hits.tolist() == [0, 0]
    assert head.decoder.weight.grad is not None
    assert not head.decoder.weight.grad.any()


def test_half_precision_errs_no_more_than_with_logits() -> None:
    """Under autocast, beside float64: gradients of what is rounded to bfloat16, and losses from float32 sums."""
    torch.manual_seed(0)
    head = KBioXLMLMHead(KBioXLMConfig(vocab_size=ROWS, hidden_size=64, num_attention_heads=2))
    hidden, targets = torch.randn(50, 64), torch.randint(ROWS, (1, 50))

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, head.decoder.weight)[0]

    exact_head = KBioXLMLMHead(KBioXLMConfig(vocab_size=ROWS, hidden_size=64, num_attention_heads=2)).double()
    exact_head.load_state_dict(head.state_dict())
    exact_loss = F.cross_entropy(exact_head(hidden.double()), targets[0])
    exact = torch.autograd.grad(exact_loss, exact_head.decoder.weight)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss = head.losses(hidden, targets)[0].sum()
        plain = F.cross_entropy(head(hidden).float(), targets[0])
    assert loss.dtype == torch.float32
    found, theirs = gradient(loss), gradient(plain)
    assert found.dtype == torch.float32
    assert abs((loss - exact_loss).item()) < 0.01
    assert (found - exact).abs().mean() < 1.5 * (theirs - exact).abs().mean()


@pytest.mark.parametrize("reduced", [False, True])
def test_training_and_evaluation_say_the_same(reduced: bool, tiny_sizes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = KBioXLMConfig(
        **tiny_sizes, initializer_range=0.3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        mlm_vocab_size=60 if reduced else None,
    )  # fmt: skip
    model = KBioXLMForPreTraining(config)
    ids = torch.randint(5, 119, (3, 9))
    labels, relations = ids.masked_fill(ids % 3 != 0, -100), ids.roll(1, 1).masked_fill(ids % 4 != 0, -100)
    batch = {
        "input_ids": ids,
        "labels": labels,
        "relation_labels": relations,
        "passage_labels": torch.tensor([0, 2, -100]),
    }
    results = []
    for mode in (True, False):
        outputs = model.train(mode)(**batch)
        model.zero_grad()
        outputs.loss.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        results.append((outputs, gradients))
    (training, gradients), (evaluation, expected) = results
    assert training.prediction_logits is None
    assert evaluation.prediction_logits is not None
    for part in ("loss", "entity_loss", "relation_loss", "passage_loss"):
        torch.testing.assert_close(training[part], evaluation[part])
    assert torch.equal(training.counted, evaluation.counted)
    assert torch.equal(training.correct, evaluation.correct)
    known = model.lm_head.rows(labels)[labels != -100] != -100
    assert training.counted.tolist()[0::2] == [int(known.sum()), 2]
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_logits_are_not_held_in_training(tiny_sizes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model, ids = KBioXLMForMaskedLM(KBioXLMConfig(**tiny_sizes)).train(), torch.randint(5, 119, (2, 6))
    calls = []
    model.lm_head.decoder.register_forward_hook(lambda *_: calls.append(1))
    assert model(ids, labels=ids).logits is None
    assert not calls
    assert model.eval()(ids, labels=ids).logits.shape == (12, 120)
