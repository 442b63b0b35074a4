from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torchcrf import CRF

from kbioxlm.modeling_kbioxlm import KBioXLMCRF, iob2_forbidden

pytestmark = pytest.mark.filterwarnings("ignore:where received a uint8 condition")  # pytorch-crf's own

LABELS = ["O", "B-Drug", "I-Drug", "B-ADE", "I-ADE"]


def random_crf(num_tags: int, seed: int) -> KBioXLMCRF:
    generator = torch.Generator().manual_seed(seed)
    crf = KBioXLMCRF(num_tags)
    for parameter in crf.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return crf


def score(crf: KBioXLMCRF, emissions: torch.Tensor, tags: tuple[int, ...]) -> torch.Tensor:
    """Score of `tags` under `emissions` (pieces, tags), straight from the definition."""
    total = crf.start[tags[0]] + crf.end[tags[-1]]
    for emission, tag in zip(emissions, tags, strict=True):
        total = total + emission[tag]
    for before, after in itertools.pairwise(tags):
        total = total + crf.transitions[before, after]
    return total


def all_sequences(num_tags: int, length: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(num_tags), repeat=length))


def random_batch(
    batch: int, sequence: int, num_tags: int, seed: int, prefix: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Emissions, tags (-100 outside the mask) and a ragged mask, a prefix of each row or any pattern."""
    generator = torch.Generator().manual_seed(seed)
    emissions = 2 * torch.randn(batch, sequence, num_tags, generator=generator)
    tags = torch.randint(num_tags, (batch, sequence), generator=generator)
    if prefix:
        lengths = torch.randint(1, sequence + 1, (batch, 1), generator=generator)
        mask = torch.arange(sequence) < lengths
    else:
        mask = torch.rand(batch, sequence, generator=generator) < 0.6
    return emissions, tags.masked_fill(~mask, -100), mask


@pytest.mark.parametrize("seed", range(5))
def test_likelihood_equals_enumeration(seed: int) -> None:
    crf = random_crf(3, seed)
    emissions, tags, mask = random_batch(6, 5, 3, seed, prefix=False)
    losses = crf(emissions, tags, mask)
    for row in range(len(mask)):
        on = mask[row]
        if not on.any():
            assert losses[row] == 0
            continue
        e, y = emissions[row, on], tuple(tags[row, on].tolist())
        scores = torch.stack([score(crf, e, other) for other in all_sequences(3, len(y))])
        torch.testing.assert_close(losses[row], scores.logsumexp(0) - score(crf, e, y))


def test_gradients_equal_those_of_enumeration() -> None:
    crf = random_crf(3, 0)
    emissions, tags, mask = random_batch(4, 4, 3, 0, prefix=False)
    leaves = [emissions.requires_grad_(), *crf.parameters()]
    ours = torch.autograd.grad(crf(emissions, tags, mask).sum(), leaves)
    total = torch.zeros(())
    for e, y, on in zip(emissions, tags, mask, strict=True):
        if on.any():
            scores = torch.stack([score(crf, e[on], other) for other in all_sequences(3, int(on.sum()))])
            total = total + scores.logsumexp(0) - score(crf, e[on], tuple(y[on].tolist()))
    for found, expected in zip(ours, torch.autograd.grad(total, leaves), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert (ours[0][~mask] == 0).all()


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_decoding_equals_enumeration(seed: int, constrained: bool) -> None:
    crf = random_crf(5, seed)
    emissions, _, mask = random_batch(4, 4, 5, seed, prefix=False)
    forbidden_start, forbidden = iob2_forbidden(LABELS)
    decoded = crf.decode(emissions, mask, *((forbidden_start, forbidden) if constrained else ()))
    for row in range(len(mask)):
        on = mask[row]
        allowed = [
            y
            for y in all_sequences(5, int(on.sum()))
            if not constrained
            or not y
            or not (forbidden_start[y[0]] or any(forbidden[a, b] for a, b in itertools.pairwise(y)))
        ]
        best = max(allowed, key=lambda y: float(score(crf, emissions[row, on], y).detach()) if y else 0.0)
        assert decoded[row] == list(best)


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_pytorch_crf(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    num_tags, batch, sequence = (int(torch.randint(2, 12, (), generator=generator)) for _ in range(3))
    crf = random_crf(num_tags, seed)
    peer = CRF(num_tags, batch_first=True)
    peer.start_transitions.data, peer.end_transitions.data = crf.start.data, crf.end.data
    peer.transitions.data = crf.transitions.data
    emissions, tags, mask = random_batch(batch, 4 * sequence, num_tags, seed, prefix=True)
    expected = -peer(emissions, tags.masked_fill(~mask, 0), mask, reduction="none")
    torch.testing.assert_close(crf(emissions, tags, mask), expected, atol=1e-4, rtol=1e-4)
    assert crf.decode(emissions, mask) == peer.decode(emissions, mask)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_pytorch_crf_where_labelled_pieces_lie_apart(seed: int) -> None:
    """Gaps are left out: the same as handing only the labelled pieces to pytorch-crf, row by row."""
    crf = random_crf(4, seed)
    peer = CRF(4, batch_first=True)
    peer.start_transitions.data, peer.end_transitions.data = crf.start.data, crf.end.data
    peer.transitions.data = crf.transitions.data
    emissions, tags, mask = random_batch(9, 20, 4, seed, prefix=False)
    losses, decoded = crf(emissions, tags, mask), crf.decode(emissions, mask)
    for row, on in enumerate(mask):
        e, y = emissions[row, on][None], tags[row, on][None]
        torch.testing.assert_close(losses[row], -peer(e, y), atol=1e-4, rtol=1e-4)
        assert decoded[row] == peer.decode(e)[0]


def test_untrained_crf_is_a_softmax_over_each_piece() -> None:
    emissions, tags, mask = random_batch(5, 8, 4, 0, prefix=False)
    losses = KBioXLMCRF(4)(emissions, tags, mask)
    pieces = F.cross_entropy(emissions.flatten(0, 1), tags.flatten(), reduction="none").view(5, 8)
    torch.testing.assert_close(losses, pieces.sum(dim=1))


def test_rows_without_labelled_pieces() -> None:
    crf = random_crf(3, 0)
    emissions, tags, mask = random_batch(3, 6, 3, 0, prefix=True)
    mask[1] = False
    tags[1] = -100
    emissions.requires_grad_()
    losses = crf(emissions, tags, mask)
    assert losses[1] == 0
    losses.sum().backward()
    assert emissions.grad is not None
    assert torch.isfinite(emissions.grad).all()
    assert (emissions.grad[1] == 0).all()
    decoded = crf.decode(emissions, mask)
    assert [len(tags) for tags in decoded] == mask.sum(dim=1).tolist()

    nothing = torch.zeros_like(mask)
    assert crf(emissions, torch.full_like(tags, -100), nothing).tolist() == [0, 0, 0]
    assert crf.decode(emissions, nothing) == [[], [], []]


def test_padding_and_unlabelled_pieces_change_nothing() -> None:
    crf = random_crf(4, 1)
    emissions, tags, mask = random_batch(4, 7, 4, 1, prefix=True)
    wide = torch.full((4, 15, 4), 9.0)
    wide_tags, wide_mask = torch.full((4, 15), -100), torch.zeros(4, 15, dtype=torch.bool)
    wide[:, 1::2], wide_tags[:, 1::2], wide_mask[:, 1::2] = emissions, tags, mask
    torch.testing.assert_close(crf(wide, wide_tags, wide_mask), crf(emissions, tags, mask))
    assert crf.decode(wide, wide_mask) == crf.decode(emissions, mask)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_computes_in_float32_whatever_comes_in(dtype: torch.dtype) -> None:
    emissions, tags, mask = random_batch(4, 30, 5, 0, prefix=False)
    emissions = emissions.to(dtype)
    crf = random_crf(5, 0).to(dtype)
    expected = random_crf(5, 0).to(dtype).float()(emissions.float(), tags, mask)
    losses = crf(emissions, tags, mask)
    assert losses.dtype == torch.float32
    assert torch.equal(losses, expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(crf(emissions, tags, mask), expected)
    assert random_crf(5, 0).double()(emissions.double(), tags, mask).dtype == torch.float64


def test_long_sequences_stay_finite() -> None:
    crf = random_crf(9, 0)
    emissions, tags, mask = random_batch(2, 514, 9, 0, prefix=True)
    emissions = (50 * emissions).requires_grad_()
    losses = crf(emissions, tags, mask)
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert (losses > -1e-3).all()
    assert emissions.grad is not None
    assert torch.isfinite(emissions.grad).all()


def test_iob2_constraints() -> None:
    start, forbidden = iob2_forbidden(LABELS)
    assert [LABELS[i] for i in start.nonzero().flatten()] == ["I-Drug", "I-ADE"]
    ruled_out = {(LABELS[a], LABELS[b]) for a, b in forbidden.nonzero().tolist()}
    assert ruled_out == {
        ("O", "I-Drug"),
        ("O", "I-ADE"),
        ("B-Drug", "I-ADE"),
        ("I-Drug", "I-ADE"),
        ("B-ADE", "I-Drug"),
        ("I-ADE", "I-Drug"),
    }


@pytest.mark.parametrize("labels", [["LABEL_0", "LABEL_1"], ["O", "I-X", "I-Y"], ["O", "B-X"]])
def test_labels_that_are_not_iob2_stand_free(labels: list[str]) -> None:
    start, forbidden = iob2_forbidden(labels)
    assert not start.any()
    assert not forbidden.any()


def test_constraints_hold_where_emissions_pull_the_other_way() -> None:
    crf = KBioXLMCRF(len(LABELS))
    emissions = torch.zeros(1, 4, len(LABELS))
    emissions[0, :, LABELS.index("I-Drug")] = 5.0
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert [LABELS[i] for i in crf.decode(emissions, mask)[0]] == ["I-Drug"] * 4
    constrained = crf.decode(emissions, mask, *iob2_forbidden(LABELS))[0]
    assert [LABELS[i] for i in constrained] == ["B-Drug", "I-Drug", "I-Drug", "I-Drug"]
