from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchcrf import CRF

from kbioxlm import modeling_crf_kbioxlm
from kbioxlm.modeling_crf_kbioxlm import KBioXLMCRF
from kbioxlm.modeling_kbioxlm import iob2_forbidden

pytestmark = pytest.mark.filterwarnings("ignore:where received a uint8 condition")  # pytorch-crf's own

LABELS = ["O", "B-Drug", "I-Drug", "B-ADE", "I-ADE"]


def random_crf(num_tags: int, seed: int) -> KBioXLMCRF:
    generator = torch.Generator().manual_seed(seed)
    crf = KBioXLMCRF(num_tags)
    for parameter in crf.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return crf


def peer_of(crf: KBioXLMCRF) -> CRF:
    """pytorch-crf with the same parameters."""
    peer = CRF(len(crf.start), batch_first=True)
    peer.start_transitions.data, peer.end_transitions.data = crf.start.data, crf.end.data
    peer.transitions.data = crf.transitions.data
    return peer


def score(crf: KBioXLMCRF, emissions: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    """Scores (n,) of sequences of tags (n, pieces) under emissions (pieces, tags), straight from the definition."""
    return (
        crf.start[tags[:, 0]]
        + emissions[torch.arange(len(emissions)), tags].sum(dim=1)
        + crf.transitions[tags[:, :-1], tags[:, 1:]].sum(dim=1)
        + crf.end[tags[:, -1]]
    )


def all_sequences(num_tags: int, length: int) -> torch.Tensor:
    """(sequences of tags, length)."""
    return torch.tensor(list(itertools.product(range(num_tags), repeat=length)))


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


@st.composite
def problems(draw: st.DrawFn) -> tuple[KBioXLMCRF, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A CRF, emissions, tags and a mask of any pattern, in float64: scores of any size, tags that cannot be reached."""
    num_tags, batch, sequence = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    crf = random_crf(num_tags, 0).double()
    for parameter in crf.parameters():
        size = draw(st.sampled_from([0.0, 1.0, 30.0, 1e4]))
        parameter.data = size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    if draw(st.booleans()):  # nothing leads to the last tag
        crf.start.data[-1] = crf.transitions.data[:, -1] = draw(st.sampled_from([-1e4, -1e8]))
    size = draw(st.sampled_from([0.0, 2.0, 100.0, 1e4]))
    emissions = size * torch.randn(batch, sequence, num_tags, generator=generator, dtype=torch.float64)
    mask = torch.rand(batch, sequence, generator=generator) < draw(st.sampled_from([0.0, 0.6, 1.0]))
    tags = torch.randint(num_tags, (batch, sequence), generator=generator)
    return crf, emissions.requires_grad_(), tags.masked_fill(~mask, -100), mask


def enumerated(
    crf: KBioXLMCRF, emissions: torch.Tensor, tags: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses (batch,) and marginals (batch, sequence, tags), from the scores of all sequences of tags."""
    losses, marginals = [], torch.zeros_like(emissions.detach())
    for row, on in enumerate(mask):
        if not on.any():
            losses.append(emissions[row].sum() * 0)
            continue
        sequences = all_sequences(len(crf.start), int(on.sum()))
        scores = score(crf, emissions[row, on], sequences)
        losses.append(scores.logsumexp(0) - score(crf, emissions[row, on], tags[row, on].unsqueeze(0))[0])
        indicators = F.one_hot(sequences, len(crf.start))  # (sequences of tags, labelled, tags)
        marginals[row, on] = torch.einsum("s,snt->nt", scores.softmax(0), indicators.to(scores)).detach()
    return torch.stack(losses), marginals


@settings(deadline=None, max_examples=100)
@given(problems())
def test_loss_gradients_and_marginals_equal_enumeration(
    problem: tuple[KBioXLMCRF, torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    crf, emissions, tags, mask = problem
    losses, (expected, marginals) = crf(emissions, tags, mask), enumerated(crf, emissions, tags, mask)
    torch.testing.assert_close(losses, expected, rtol=1e-11, atol=1e-6)
    assert (losses[~mask.any(dim=1)] == 0).all()
    torch.testing.assert_close(crf.marginals(emissions, mask), marginals, rtol=0, atol=1e-7)
    weights = torch.linspace(-1, 2, len(mask), dtype=torch.float64)
    leaves = [emissions, *crf.parameters()]
    gradients = torch.autograd.grad(losses @ weights, leaves)
    wanted = torch.autograd.grad(expected @ weights, leaves, allow_unused=True, materialize_grads=True)
    for found, gradient in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(found, gradient, rtol=0, atol=1e-6)
    assert (gradients[0][~mask] == 0).all()


@settings(deadline=None, max_examples=100)
@given(problems(), st.booleans())
def test_of_equally_good_paths_the_first_tags_are_taken_from_the_end_on(
    problem: tuple[KBioXLMCRF, torch.Tensor, torch.Tensor, torch.Tensor], coarse: bool
) -> None:
    crf, emissions, _, mask = problem
    crf, emissions = crf.float(), emissions.detach().float()
    for values in (emissions, *crf.parameters()):  # whole numbers: sums are exact, and equal ones abound
        values.data = values.data.clamp(-1e4, 1e4).div_(1e4 if coarse else 1).round_()
    decoded = crf.decode(emissions, mask)
    for row, on in enumerate(mask):
        if not on.any():
            assert decoded[row] == []
            continue
        sequences = all_sequences(len(crf.start), int(on.sum()))
        scores = score(crf, emissions[row, on], sequences)
        assert decoded[row] == min(sequences[scores == scores.max()].tolist(), key=lambda tags: tags[::-1])
        assert decoded[row] == peer_of(crf).decode(emissions[row, on].unsqueeze(0))[0]


@pytest.mark.parametrize("name", ["impossible by 1e4", "impossible", "forced", "emissions"])
def test_extreme_scores_give_what_is_right(name: str) -> None:
    """Exact in the limit: what cannot be is left out, what must be costs what it costs."""
    crf = random_crf(3, 2).double()
    emissions, tags, mask = random_batch(4, 40, 3, 2, prefix=True)
    emissions = emissions.double().requires_grad_()
    tags = tags.clamp(max=1)
    plain = KBioXLMCRF(2).double()
    plain.start.data, plain.end.data = crf.start.data[:2], crf.end.data[:2]
    plain.transitions.data = crf.transitions.data[:2, :2]
    expected = plain(emissions[:, :, :2], tags, mask)
    if name == "forced":  # every step costs 1e4, for all paths alike
        crf.transitions.data -= 1e4
        plain = random_crf(3, 2).double()
        expected = plain(emissions, tags, mask)
    elif name == "emissions":
        emissions = torch.cat([emissions[:, :, :2], torch.full_like(emissions[:, :, 2:], -1e4)], dim=2)
    else:
        out = -1e4 if name == "impossible by 1e4" else -torch.inf
        crf.start.data[2] = crf.transitions.data[:, 2] = out
    losses = crf(emissions, tags, mask)
    torch.testing.assert_close(losses, expected, rtol=1e-10, atol=1e-8)
    leaves = list(plain.parameters())
    for found, wanted in zip(
        torch.autograd.grad(losses.sum(), list(crf.parameters())),
        torch.autograd.grad(expected.sum(), leaves),
        strict=True,
    ):
        assert torch.isfinite(found).all()
        torch.testing.assert_close(found[(slice(len(wanted)),) * wanted.dim()], wanted, rtol=0, atol=1e-8)


@torch.no_grad()
@pytest.mark.parametrize(
    ("dtype", "spread", "is_log"),
    [
        *((torch.float64, spread, False) for spread in (0.0, 5.0, 40.0, 100.0)),
        (torch.float64, 300.0, True),
        *((torch.float32, spread, False) for spread in (0.0, 5.0, 10.0)),  # on devices without float64
        (torch.float32, 40.0, True),
    ],
)
def test_probabilities_and_logarithms_agree_as_far_as_probabilities_go(
    dtype: torch.dtype, spread: float, is_log: bool
) -> None:
    crf = random_crf(4, 1)
    for parameter in crf.parameters():
        parameter.data = spread / 4 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(3))
    emissions, _, mask = random_batch(6, 90, 4, 1, prefix=False)
    emissions = spread * emissions / emissions.abs().max()
    order = modeling_crf_kbioxlm._Order(mask)
    chain = modeling_crf_kbioxlm._Chain.of(order, emissions, crf.start, crf.end, crf.transitions)
    exact = modeling_crf_kbioxlm._on_logarithms(chain)
    chain = chain._replace(emissions=chain.emissions.to(dtype), transitions=chain.transitions.to(dtype))
    found = modeling_crf_kbioxlm._forward_backward(chain)
    assert found.is_log == is_log
    rtol, atol = (1e-12, 1e-11) if dtype == torch.float64 else (1e-3, 1e-3)
    torch.testing.assert_close(found.log_partition.double(), exact.log_partition, rtol=rtol, atol=atol)
    torch.testing.assert_close(found.unary.double(), exact.unary, rtol=rtol, atol=atol)
    weights = torch.rand(6, generator=torch.Generator().manual_seed(4)).double()
    pairs = [
        (modeling_crf_kbioxlm._summed_logs if p.is_log else modeling_crf_kbioxlm._summed_products)(
            p.left[:-1], p.kernel, p.right[1:], weights.to(p.left)
        )
        for p in (found, exact)
    ]
    torch.testing.assert_close(pairs[0].double(), pairs[1], rtol=rtol, atol=atol)


def test_devices_without_numpy_compute_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    kernels = torch.rand(2, 4, 4, generator=generator)
    factors = torch.rand(9, 2, 4, 5, generator=generator)
    results = []
    for library in (np, torch):
        inside, states = torch.ones(9, 2, 4, 5), torch.ones(9, 2, 4, 5)
        totals = torch.zeros(2, 2, 1, 5)
        arrays = (kernels, factors, inside, states, totals)
        modeling_crf_kbioxlm._recursion(library, 3, *(a.numpy() if library is np else a for a in arrays))
        results.append((inside[1:], states, totals))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("forbidden_by", [0.0, 800.0])  # the second is beyond what probabilities are used for
def test_gradients_equal_finite_differences(forbidden_by: float) -> None:
    crf = random_crf(3, 0).double()
    emissions, tags, mask = random_batch(3, 5, 3, 0, prefix=False)
    mask[2] = False
    tags = torch.where(mask, tags.clamp(min=1), -100)
    crf.transitions.data[:, 0] -= forbidden_by

    def losses(e: torch.Tensor, start: torch.Tensor, end: torch.Tensor, transitions: torch.Tensor) -> torch.Tensor:
        parameters = {"start": start, "end": end, "transitions": transitions}
        return torch.func.functional_call(crf, parameters, (e, tags, mask))

    leaves = [emissions.double().requires_grad_(), *(p.detach().clone().requires_grad_() for p in crf.parameters())]
    assert torch.autograd.gradcheck(losses, leaves)


def test_gradients_can_be_asked_for_again_but_not_differentiated() -> None:
    crf = random_crf(3, 0)
    emissions, tags, mask = random_batch(3, 5, 3, 0, prefix=False)
    loss = crf(emissions.requires_grad_(), tags, mask).sum()
    leaves = [emissions, *crf.parameters()]
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    for once, again in zip(first, torch.autograd.grad(loss, leaves, retain_graph=True), strict=True):
        assert torch.equal(once, again)
    with pytest.raises(NotImplementedError, match="no second derivative: call backward without create_graph"):
        torch.autograd.grad(loss, [emissions], create_graph=True)


@pytest.mark.parametrize("wrong", [-1, 3, 7, -100])
def test_tags_that_there_are_not_are_refused(wrong: int) -> None:
    emissions, tags, mask = random_batch(3, 5, 3, 0, prefix=True)
    tags[1, 0] = wrong
    with pytest.raises(ValueError, match="tags must be from 0 to 2 where mask is true"):
        KBioXLMCRF(3)(emissions, tags, mask)


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_decoding_equals_enumeration(seed: int, constrained: bool) -> None:
    crf = random_crf(5, seed)
    emissions, _, mask = random_batch(4, 4, 5, seed, prefix=False)
    forbidden_start, forbidden = iob2_forbidden(LABELS)
    decoded = crf.decode(emissions, mask, *((forbidden_start, forbidden) if constrained else ()))
    for row, on in enumerate(mask):
        if not on.any():
            assert decoded[row] == []
            continue
        sequences = all_sequences(5, int(on.sum()))
        scores = score(crf, emissions[row, on], sequences)
        if constrained:
            broken = forbidden_start[sequences[:, 0]] | forbidden[sequences[:, :-1], sequences[:, 1:]].any(dim=1)
            scores = scores.masked_fill(broken, -torch.inf)
        assert decoded[row] == sequences[scores.argmax()].tolist()


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_pytorch_crf(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    num_tags, batch, sequence = (int(torch.randint(2, 12, (), generator=generator)) for _ in range(3))
    crf = random_crf(num_tags, seed)
    peer = peer_of(crf)
    emissions, tags, mask = random_batch(batch, 4 * sequence, num_tags, seed, prefix=True)
    expected = -peer(emissions, tags.masked_fill(~mask, 0), mask, reduction="none")
    torch.testing.assert_close(crf(emissions, tags, mask), expected, atol=1e-4, rtol=1e-4)
    assert crf.decode(emissions, mask) == peer.decode(emissions, mask)


@pytest.mark.parametrize("num_tags", [2, 5, 17, 300])
def test_paths_are_those_of_pytorch_crf(num_tags: int) -> None:
    """Whatever is equal after rounding: coarse scores, and fine ones in sequences so long that sums are coarse."""
    crf = random_crf(num_tags, 0)
    for coarse in (False, True):
        emissions, _, mask = random_batch(8, 400 if num_tags < 100 else 12, num_tags, 1, prefix=True)
        if coarse:
            emissions = emissions.round()
            for parameter in crf.parameters():
                parameter.data.round_()
        assert crf.decode(emissions, mask) == peer_of(crf).decode(emissions, mask)


def test_errors_are_smaller_than_those_of_pytorch_crf() -> None:
    crf, (emissions, tags, mask) = random_crf(5, 0), random_batch(8, 512, 5, 0, prefix=True)
    exact = random_crf(5, 0).double()(emissions.double(), tags, mask)
    peers = -peer_of(crf)(emissions, tags.masked_fill(~mask, 0), mask, reduction="none")
    assert (crf(emissions, tags, mask) - exact).abs().max() < 0.2 * (peers - exact).abs().max()


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_pytorch_crf_where_labelled_pieces_lie_apart(seed: int) -> None:
    """Gaps are left out: the same as handing only the labelled pieces to pytorch-crf, row by row."""
    crf = random_crf(4, seed)
    peer = peer_of(crf)
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


@pytest.mark.parametrize("unlabelled", [9.0, torch.nan, torch.inf])
def test_padding_and_unlabelled_pieces_change_nothing(unlabelled: float) -> None:
    crf = random_crf(4, 1)
    emissions, tags, mask = random_batch(4, 7, 4, 1, prefix=True)
    wide = torch.full((4, 15, 4), unlabelled)
    wide_tags, wide_mask = torch.full((4, 15), -100), torch.zeros(4, 15, dtype=torch.bool)
    wide[:, 1::2], wide_tags[:, 1::2], wide_mask[:, 1::2] = emissions, tags, mask
    torch.testing.assert_close(crf(wide, wide_tags, wide_mask), crf(emissions, tags, mask))
    assert crf.decode(wide, wide_mask) == crf.decode(emissions, mask)
    marginals = crf.marginals(wide, wide_mask)
    torch.testing.assert_close(marginals[:, 1::2], crf.marginals(emissions, mask))
    assert (marginals[:, ::2] == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_computes_in_float32_whatever_comes_in(dtype: torch.dtype) -> None:
    emissions, tags, mask = random_batch(4, 30, 5, 0, prefix=False)
    emissions = emissions.to(dtype)
    crf = random_crf(5, 0).to(dtype)
    expected = random_crf(5, 0).to(dtype).float()(emissions.float(), tags, mask)
    losses = crf(emissions.requires_grad_(), tags, mask)
    assert losses.dtype == torch.float32
    assert torch.equal(losses, expected)
    losses.sum().backward()
    assert [leaf.grad.dtype for leaf in (emissions, *crf.parameters()) if leaf.grad is not None] == [dtype] * 4
    marginals = crf.marginals(emissions, mask)
    assert marginals.dtype == torch.float32
    torch.testing.assert_close(marginals.sum(dim=2), mask.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(crf(emissions, tags, mask), expected)
        assert torch.equal(crf.marginals(emissions, mask), marginals)
        assert crf.decode(emissions, mask) == random_crf(5, 0).to(dtype).float().decode(emissions.float(), mask)
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
