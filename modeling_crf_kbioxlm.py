"""A linear-chain conditional random field whose loss, marginals and best paths are fast, on a CPU above all.

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .viterbi_kbioxlm import viterbi


class KBioXLMCRF(nn.Module):
    """Linear-chain conditional random field over the labelled pieces of each sequence (Lafferty et al., 2001).

    The score of tags y_1 … y_n under emissions e is
    start[y_1] + Σ e_t[y_t] + Σ transitions[y_t-1, y_t] + end[y_n]; pieces outside the mask are left out, so that
    the labelled piece before and the one after a gap are neighbours. All parameters start at 0, where the CRF is a
    plain softmax over each piece. Results have the type of the emissions, float32 at least, under autocast too;
    sums over paths are computed in float64 where the device has it.
    """

    def __init__(self, num_tags: int):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.end = nn.Parameter(torch.zeros(num_tags))
        self.transitions = nn.Parameter(torch.zeros(num_tags, num_tags))  # [from, to]

    def forward(self, emissions: torch.Tensor, tags: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of `tags`, (batch,); 0 for a sequence without a labelled piece.

        Args:
            emissions: (batch, sequence, tags).
            tags: (batch, sequence), read where `mask` is true.
            mask: (batch, sequence), bool, any pattern.

        Raises:
            ValueError: a tag that there is not.
            NotImplementedError: in the backward pass, if it is itself to be differentiated.
        """
        return _NegativeLogLikelihood.apply(emissions, self.start, self.end, self.transitions, tags, mask)

    @torch.no_grad()
    def marginals(self, emissions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Posterior probability of each tag at each labelled piece, (batch, sequence, tags); 0 outside the mask.

        Args:
            emissions: (batch, sequence, tags).
            mask: (batch, sequence), bool, any pattern.
        """
        with torch.autocast(emissions.device.type, enabled=False):
            order = _Order(mask)
            chain = _Chain.of(order, emissions, self.start, self.end, self.transitions)
            unary = _forward_backward(chain).unary[1:-1, :-1]
            return order.put_back(unary, _common_dtype(emissions, self.start))

    @torch.no_grad()
    def decode(
        self,
        emissions: torch.Tensor,
        mask: torch.Tensor,
        forbidden_start: torch.Tensor | None = None,
        forbidden: torch.Tensor | None = None,
    ) -> list[list[int]]:
        """Best tags of each sequence (Viterbi), one for every true position of its `mask` row.

        Of tags that are equally good the first is taken: at the end of the sequence, then at each piece before, given
        the tag that follows it. The search runs on the CPU wherever the emissions are, and so gives the same paths.

        Args:
            emissions: (batch, sequence, tags).
            mask: (batch, sequence), bool, any pattern.
            forbidden_start: (tags,), bool: tags no sequence may begin with.
            forbidden: (tags, tags), bool, [from, to]: transitions no sequence may make.
        """
        dtype = _common_dtype(emissions, self.start)
        start, end, transitions = (p.detach().to("cpu", dtype) for p in (self.start, self.end, self.transitions))
        if forbidden_start is not None:
            start = start.masked_fill(forbidden_start.cpu(), -torch.inf)
        if forbidden is not None:
            transitions = transitions.masked_fill(forbidden.cpu(), -torch.inf)
        order = _Order(mask.cpu())
        taken = order.take(emissions.detach().to("cpu", dtype)).transpose(1, 2).contiguous()  # (steps, tags, batch)
        return viterbi(taken.numpy(), start.numpy(), end.numpy(), transitions.numpy(), order.lengths)


class _Order:
    """The labelled pieces of a batch moved together, step by step: recursions work on (steps, tags, batch).

    Attributes:
        lengths: labelled pieces of each sequence.
        steps: the greatest of them, at least 1.
        on: (steps, batch), bool, false beyond the end of a sequence.
    """

    def __init__(self, mask: torch.Tensor):
        self._shape = batch, sequence = mask.shape
        lengths = mask.sum(dim=1, keepdim=True)  # (batch, 1)
        self.lengths: list[int] = lengths.squeeze(1).tolist()
        self.steps = max([1, *self.lengths])
        places = torch.arange(sequence, device=mask.device)
        rows = sequence * torch.arange(batch, device=mask.device).unsqueeze(1)
        self.on = (places[: self.steps] < lengths).t().contiguous()
        before = mask.cumsum(dim=1).sub_(mask.long())  # labelled pieces before each
        step = torch.where(mask, before, lengths + places - before)  # the others come after
        source = torch.empty_like(step).scatter_(1, step, places + rows)
        self._source = source[:, : self.steps].t().flatten()  # in the batch laid flat; no place occurs twice

    def take(self, tensor: torch.Tensor) -> torch.Tensor:
        """(batch, sequence, …) to (steps, batch, …), with anything beyond ends."""
        return tensor.flatten(0, 1).index_select(0, self._source).view(*self.on.shape, *tensor.shape[2:])

    def put_back(self, taken: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """(steps, tags, batch), 0 beyond ends, to (batch, sequence, tags), 0 outside the mask."""
        rows = torch.empty_like(taken.transpose(1, 2), dtype=dtype, memory_format=torch.contiguous_format)
        rows.copy_(taken.transpose(1, 2))
        whole = rows.new_zeros(self._shape[0] * self._shape[1], rows.shape[2])
        return whole.index_copy_(0, self._source, rows.flatten(0, 1)).view(*self._shape, -1)


class _Chain(NamedTuple):
    """Scores with one tag more, the outside: one step before a sequence, and all steps beyond its end, at least one.

    Whatever lengths sequences have, all begin and end outside together, read forwards or backwards, so that no step
    of a recursion has to know which of them have ended.

    emissions: (steps + 2, tags + 1, batch); -inf for the outside inside, and for the other tags outside.
    transitions: (tags + 1, tags + 1), [from, to], with the scores of start and end in its last row and column.
    spread: how far the emissions of a piece are apart at most.
    """

    emissions: torch.Tensor
    transitions: torch.Tensor
    spread: torch.Tensor

    @classmethod
    def of(
        cls,
        order: _Order,
        emissions: torch.Tensor,
        start: torch.Tensor,
        end: torch.Tensor,
        transitions: torch.Tensor,
    ) -> _Chain:
        """In the type that sums over paths are computed in."""
        dtype = torch.float32 if emissions.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        tags, (steps, batch) = len(start), order.on.shape
        chained = torch.full((steps + 2, tags + 1, batch), -torch.inf, dtype=dtype, device=emissions.device)
        chained[0, tags] = chained[-1, tags] = 0
        chained[1:-1, tags].masked_fill_(~order.on, 0)
        inside = chained[1:-1, :tags]
        inside.copy_(order.take(emissions).transpose(1, 2))
        spread = torch.where(order.on, inside.amax(dim=1) - inside.amin(dim=1), 0).max()
        inside.masked_fill_(~order.on.unsqueeze(1), -torch.inf)
        matrix = chained.new_zeros(tags + 1, tags + 1)
        matrix[:tags, :tags], matrix[tags, :tags], matrix[:tags, tags] = transitions, start, end
        return cls(chained, matrix, spread)


class _Posterior(NamedTuple):
    """What the forward-backward algorithm finds out about a chain.

    log_partition: (batch,) log of the summed exponentials of the scores of all paths.
    unary: (steps + 2, tags + 1, batch) probability of each tag.
    left, right: the same shape, and kernel (tags + 1, tags + 1): the probability of tag i at a step and tag j at the
        next is left[step, i] kernel[i, j] right[step + 1, j]; with `is_log`, exp of the sum of the three.
    """

    log_partition: torch.Tensor
    unary: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    kernel: torch.Tensor
    is_log: bool


def _forward_backward(chain: _Chain) -> _Posterior:
    """Forward-backward algorithm, on probabilities where they can neither vanish nor overflow, else on logarithms.

    With the greatest transition and the greatest emission of each piece taken out, a step multiplies the sum of a
    state by exp(-range of transitions) at the least and by the number of tags at the most. So it is known how many
    steps may follow each other until states have to be normalised, if the product of any two is to be representable.
    """
    limits = torch.stack([chain.transitions.max() - chain.transitions.min(), chain.spread])
    spread_of_transitions, spread = limits.tolist()
    step = spread_of_transitions + math.log(2 * len(chain.transitions))
    room = 0.45 * math.log(torch.finfo(chain.emissions.dtype).max) - spread
    if step <= room:  # not so for infinities and NaN either
        return _on_probabilities(chain, int(room / step))
    return _on_logarithms(chain)


def _on_probabilities(chain: _Chain, period: int) -> _Posterior:
    """Both recursions in one loop; states are normalised every `period` steps."""
    outside, greatest_transition = len(chain.transitions) - 1, chain.transitions.max()
    greatest = chain.emissions.amax(dim=1, keepdim=True)  # (steps + 2, 1, batch)
    kernel = (chain.transitions - greatest_transition).exp_()
    factors = _both_ways((chain.emissions - greatest).exp_())
    inside, states = torch.empty_like(factors), torch.empty_like(factors)
    inside[0] = states[0] = factors[0]
    totals = factors.new_empty((len(factors) - 1) // period, 2, 1, factors.shape[3])
    tensors = (torch.stack([kernel.t(), kernel]), factors, inside, states, totals)  # kernels: [to, from], [from, to]
    # On a CPU the same memory through numpy, which takes half as long for such small steps and has the same names.
    on_cpu = factors.device.type == "cpu"
    _recursion(np if on_cpu else torch, period, *(tensor.numpy() if on_cpu else tensor for tensor in tensors))

    log_partition = states[-1, 0, outside].log() + greatest.sum(dim=(0, 1)) + (len(states) - 1) * greatest_transition
    log_partition += totals[:, 0, 0].log().sum(dim=0)
    right = states[:, 1].flip(0)
    unary = inside[:, 0] * right
    total = unary.sum(dim=1, keepdim=True)
    return _Posterior(log_partition, unary.div_(total), states[:, 0], right.div_(total), kernel, is_log=False)


def _recursion(library: Any, period: int, kernels: Any, factors: Any, inside: Any, states: Any, totals: Any) -> None:
    """Fill in states from the first on, what they were before factors, and the sums they were divided by.

    Args:
        library: numpy or torch, whichever the arrays are of.
        kernels: (2, tags, tags).
        factors, inside, states: (steps, 2, tags, batch).
        totals: (steps // period, 2, 1, batch).
    """
    previous, total = states[0], iter(totals)
    for step, (factor, before, after) in enumerate(zip(factors[1:], inside[1:], states[1:], strict=True), start=1):
        library.matmul(kernels, previous, out=before)
        library.multiply(before, factor, out=after)
        if step % period == 0:
            divisor = next(total)
            library.sum(after, axis=1, keepdims=True, out=divisor)
            library.divide(after, divisor, out=after)
        previous = after


def _on_logarithms(chain: _Chain) -> _Posterior:
    """The same for scores of any size, infinities included; several times slower.

    The greatest of a state is taken out at every step, so that differences are not lost in sums that grow.
    """
    kernels = torch.stack([chain.transitions, chain.transitions.t()]).unsqueeze(3)  # (2, from, to, 1), (2, to, from, 1)
    scores = _both_ways(chain.emissions)
    inside, states = torch.empty_like(scores), torch.empty_like(scores)
    greatest = scores.new_zeros(len(scores), 2, 1, scores.shape[3])
    inside[0] = states[0] = scores[0]
    loop = zip(inside.unbind(), scores.unbind(), states.unbind(), greatest.unbind(), strict=True)
    _, _, previous, _ = next(loop)
    for before, score, after, most in loop:
        torch.logsumexp(previous.unsqueeze(2) + kernels, dim=1, out=before)
        torch.add(before, score, out=after)
        torch.amax(after, dim=1, keepdim=True, out=most)
        after.sub_(most)
        previous = after

    right = states[:, 1].flip(0)
    unary = inside[:, 0] + right
    total = torch.logsumexp(unary, dim=1, keepdim=True)
    unary.sub_(total).exp_()
    return _Posterior(
        greatest[:, 0, 0].sum(dim=0), unary, states[:, 0], right.sub_(total), chain.transitions, is_log=True
    )


def _both_ways(tensor: torch.Tensor) -> torch.Tensor:
    """(steps, tags, batch) beside itself in reverse, (steps, 2, tags, batch)."""
    return torch.stack([tensor, tensor.flip(0)], dim=1)


class _NegativeLogLikelihood(torch.autograd.Function):
    """Log partition less the score of the given tags; its gradient comes from the same recursions."""

    @staticmethod
    def forward(
        ctx: Any,
        emissions: torch.Tensor,
        start: torch.Tensor,
        end: torch.Tensor,
        transitions: torch.Tensor,
        tags: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        with torch.autocast(emissions.device.type, enabled=False):
            order = _Order(mask)
            chain = _Chain.of(order, emissions, start, end, transitions)
            posterior = _forward_backward(chain)

            outside = len(start)
            gold = torch.full((order.steps + 2, len(mask)), outside, device=tags.device)
            taken = order.take(tags)
            if ((taken < 0) | (taken >= outside)).logical_and_(order.on).any():
                raise ValueError(f"tags must be from 0 to {outside - 1} where mask is true")
            gold[1:-1] = taken.masked_fill_(~order.on, outside)
            pairs = (gold[:-1] * (outside + 1) + gold[1:]).flatten()  # places in the flat matrix of transitions
            scores = chain.emissions.gather(1, gold.unsqueeze(1)).sum(dim=(0, 1))
            scores += chain.transitions.flatten().index_select(0, pairs).view(-1, len(mask)).sum(dim=0)
            losses = torch.where(order.on[0], posterior.log_partition - scores, 0)

        minus_one = scores.new_full((), -1).expand_as(gold).unsqueeze(1)
        residual = posterior.unary.scatter_add_(1, gold.unsqueeze(1), minus_one)
        ctx.save_for_backward(residual, posterior.left, posterior.right, posterior.kernel, pairs)
        ctx.order, ctx.is_log = order, posterior.is_log
        ctx.dtypes = [tensor.dtype for tensor in (emissions, start, end, transitions)]
        return losses.to(_common_dtype(emissions, start))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        if torch.is_grad_enabled():  # by create_graph=True
            raise NotImplementedError("KBioXLMCRF has no second derivative: call backward without create_graph")
        residual, left, right, kernel, pairs = ctx.saved_tensors
        emissions, start, end, transitions = ctx.dtypes
        with torch.autocast(residual.device.type, enabled=False):
            weights = grad_outputs[0].to(residual.dtype)  # (batch,)
            matrix = (_summed_logs if ctx.is_log else _summed_products)(left[:-1], kernel, right[1:], weights)
            matrix.view(-1).index_add_(0, pairs, weights.expand(len(left) - 1, -1).flatten(), alpha=-1)
            return (
                ctx.order.put_back(residual[1:-1, :-1] * weights, emissions),
                matrix[-1, :-1].to(start),
                matrix[:-1, -1].to(end),
                matrix[:-1, :-1].to(transitions),
                None,
                None,
            )


def _summed_products(
    left: torch.Tensor, kernel: torch.Tensor, right: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Σ left[step, i, row] kernel[i, j] right[step, j, row] weights[row] over steps and rows, (tags, tags)."""
    return torch.bmm(left, (right * weights).transpose(1, 2)).sum(dim=0).mul_(kernel)


def _summed_logs(left: torch.Tensor, kernel: torch.Tensor, right: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Σ exp(left[step, i, row] + kernel[i, j] + right[step, j, row]) weights[row] over steps and rows, (tags, tags)."""
    total = torch.zeros_like(kernel)
    size = max(1, 2**20 // (kernel.numel() * len(weights)))  # steps at a time
    for lefts, rights in zip(left.split(size), right.split(size), strict=True):
        pairs = (lefts.unsqueeze(2) + kernel.unsqueeze(2) + rights.unsqueeze(1)).exp_()  # (size, tags, tags, batch)
        total += (pairs @ weights).sum(dim=0)
    return total


def _common_dtype(emissions: torch.Tensor, parameter: torch.Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(emissions.dtype, parameter.dtype), torch.float32)


__all__ = ["KBioXLMCRF"]
