"""Parts of the KBioXLM encoder that make it fast: batches without padding, their attention, dropout on a CPU.

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaAttention
from transformers.utils.generic import is_flash_attention_requested

from .configuration_kbioxlm import KBioXLMConfig

DRAW_BITS = 16  # random bits that decide about one element of a dropout mask


def attention_kernel(config: KBioXLMConfig, device: torch.device) -> str | None:
    """What computes the attention of sequences laid end to end, see `KBioXLMModel`; None: nothing here does.

    "runs", one call for each run of sequences of one length, "nested", torch's kernels for nested tensors, or "flash".
    """
    if config._attn_implementation == "sdpa":
        return {"cpu": None if torch.compiler.is_compiling() else "runs", "cuda": "nested"}.get(device.type)
    return "flash" if is_flash_attention_requested(config) else None


@dataclass(frozen=True)
class PackedBatch:
    """The sequences of a batch laid end to end, without their padding.

    Attributes:
        shape: (batch, sequence) of the padded batch.
        places: (pieces,) int64, where each piece is in the flattened padded batch; None where nothing is padding.
        wanted: (wanted pieces,) int64, the pieces whose last hidden state will be read; None for all.
        kernel: as `attention_kernel` gives it.
        runs: for the kernel "runs", (sequences, length) of each run of sequences of one length, in their order.
        offsets: for the others, (sequences + 1,) int32, where each sequence begins, and where the last one ends.
        longest: pieces of the longest sequence.
    """

    shape: tuple[int, int]
    places: torch.Tensor | None
    wanted: torch.Tensor | None
    kernel: str
    runs: tuple[tuple[int, int], ...]
    offsets: torch.Tensor | None
    longest: int

    @classmethod
    @torch.compiler.disable  # its shapes depend on the data; the layers that follow take any number of pieces
    def of(
        cls, template: torch.Tensor, attention_mask: torch.Tensor | None, wanted: torch.Tensor | None, kernel: str
    ) -> PackedBatch:
        """Pack a batch; without padding its sequences are one run, unless the kernel is "flash".

        Args:
            template: (batch, sequence, …), of which shape and device are taken.
            attention_mask: (batch, sequence), 0 for padding; None where there is none.
            wanted: (batch, sequence), bool; None for all.
            kernel: as `attention_kernel` gives it.
        """
        batch, sequence = template.shape[:2]
        shape = (batch, sequence)
        kept = None if attention_mask is None or bool(attention_mask.all()) else attention_mask.bool()
        if kept is None and kernel == "nested":
            kernel = "runs"
        if kept is None:
            places = None
            lengths = torch.full((batch,), sequence, device=template.device)
        elif kernel == "runs":
            lengths, order = kept.sum(dim=1).sort(stable=True)  # sequences of one length become neighbours
            rows, columns = kept[order].nonzero(as_tuple=True)
            places = order[rows] * sequence + columns
        else:
            places = kept.flatten().nonzero().squeeze(1)
            lengths = kept.sum(dim=1)
            lengths = lengths[lengths > 0]
        if wanted is not None:
            wanted = wanted.to(template.device)
            wanted = (wanted.flatten() if places is None else wanted.flatten()[places]).nonzero().squeeze(1)
        if kernel == "runs":
            sizes, counts = (tensor.tolist() for tensor in lengths.unique_consecutive(return_counts=True))
            runs = tuple((count, size) for count, size in zip(counts, sizes, strict=True) if size)
            return cls(shape, places, wanted, kernel, runs, None, sizes[-1])
        offsets = F.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
        return cls(shape, places, wanted, kernel, (), offsets, int(lengths.max()))

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        """(batch, sequence, …), or what broadcasts to it, to (1, pieces, …)."""
        flat = tensor.expand(*self.shape, *tensor.shape[2:]).flatten(0, 1)
        return (flat if self.places is None else flat[self.places]).unsqueeze(0)

    def unpack(self, hidden: torch.Tensor) -> torch.Tensor:
        """(1, wanted pieces, hidden) to (batch, sequence, hidden), 0 at all other positions."""
        batch, sequence = self.shape
        places = self.places
        if self.wanted is not None:
            places = self.wanted if places is None else places[self.wanted]
        flat = hidden[0]
        if places is not None:
            flat = flat.new_zeros(batch * sequence, flat.shape[1]).index_copy(0, places, flat)
        return flat.view(batch, sequence, -1)


class KBioXLMAttention(XLMRobertaAttention):
    """XLM-R's, which also works on sequences laid end to end, each attending to itself alone."""

    def __init__(self, config: KBioXLMConfig, layer_idx: int):
        super().__init__(config, is_causal=config.is_decoder, layer_idx=layer_idx)
        self.is_last = layer_idx == config.num_hidden_layers - 1

    def forward(
        self, hidden_states: torch.Tensor, *args: Any, packed: PackedBatch | None = None, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As in transformers, but for `packed`.

        In the last layer, everything behind the attention itself is computed for the wanted pieces alone.

        Args:
            hidden_states: (batch, sequence, hidden); with `packed` (1, pieces, hidden).
            packed: what the pieces belong to.
        """
        if packed is None:
            return super().forward(hidden_states, *args, **kwargs)
        heads = (self.self.num_attention_heads, self.self.attention_head_size)
        query, key, value = (
            projection(hidden_states[0]).view(-1, *heads)
            for projection in (self.self.query, self.self.key, self.self.value)
        )
        context = self._attend(query, key, value, packed).flatten(1).unsqueeze(0)  # (1, pieces, hidden)
        if self.is_last and packed.wanted is not None:
            context, hidden_states = context[:, packed.wanted], hidden_states[:, packed.wanted]
        return self.output(context, hidden_states), None

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packed: PackedBatch) -> torch.Tensor:
        """(pieces, heads, head size) each, to the same."""
        dropout = self.self.dropout.p if self.training else 0.0
        if packed.kernel == "runs":
            return attention_by_runs(query, key, value, packed.runs, dropout, self.self.scaling)
        if packed.kernel == "nested":
            return attention_of_nested(query, key, value, packed, dropout, self.self.scaling)
        kernel = ALL_ATTENTION_FUNCTIONS[self.self.config._attn_implementation]
        context, _ = kernel(
            self.self,
            *(tensor.transpose(0, 1).unsqueeze(0) for tensor in (query, key, value)),  # (1, heads, pieces, head size)
            None,
            dropout=dropout,
            scaling=self.self.scaling,
            is_causal=False,
            cu_seq_lens_q=packed.offsets,
            cu_seq_lens_k=packed.offsets,
            max_length_q=packed.longest,
            max_length_k=packed.longest,
        )
        return context[0]


def attention_by_runs(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    runs: tuple[tuple[int, int], ...],
    dropout: float,
    scale: float,
) -> torch.Tensor:
    """Attention, one call for each run of sequences of one length; (pieces, heads, head size) each, to the same."""
    sizes = [count * length for count, length in runs]
    contexts = []
    for (count, length), *parts in zip(runs, *(tensor.split(sizes) for tensor in (query, key, value)), strict=True):
        q, k, v = (part.unflatten(0, (count, length)).transpose(1, 2) for part in parts)
        if dropout and query.device.type == "cpu":
            context = DroppingAttention.apply(q, k, v, dropout, scale)
        else:
            context = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scale)
        contexts.append(context.transpose(1, 2).flatten(0, 1))  # (count, heads, length, size) before
    return torch.cat(contexts) if len(contexts) > 1 else contexts[0]


def attention_of_nested(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packed: PackedBatch, dropout: float, scale: float
) -> torch.Tensor:
    """Attention through torch's own kernels for sequences of any length; (pieces, heads, head size), to the same."""
    offsets = packed.offsets.long()  # type: ignore[union-attr]
    query, key, value = (
        torch.nested.nested_tensor_from_jagged(tensor, offsets, min_seqlen=1, max_seqlen=packed.longest).transpose(1, 2)
        for tensor in (query, key, value)
    )
    return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=scale).transpose(1, 2).values()


class DroppingAttention(torch.autograd.Function):
    """Attention with dropout of its probabilities, on a CPU, where torch has no fused kernel for it.

    Beside torch's own route it holds one matrix of probabilities and one of booleans, not four of floats.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float, scale: float
    ) -> torch.Tensor:
        """(batch, heads, sequence, head size) each, to the same."""
        shape = query.shape
        query, key, value = (tensor.flatten(0, 1) for tensor in (query, key, value))  # (batch · heads, sequence, size)
        weights = torch.baddbmm(query.new_empty(1, 1, 1), query, key.transpose(1, 2), beta=0, alpha=scale)
        weights = torch.softmax(weights, dim=-1, out=weights)
        kept, factor = draw_mask(weights.shape, dropout)
        context = torch.where(kept, weights, 0.0).bmm(value).mul_(factor)
        ctx.save_for_backward(query, key, value, weights, kept, context)
        ctx.scale, ctx.factor = scale, factor
        return context.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of `forward`'s arguments."""
        query, key, value, weights, kept, context = ctx.saved_tensors
        shape = gradient.shape
        gradient = gradient.flatten(0, 1)
        along = (gradient * context).sum(-1, keepdim=True)  # of a softmax: the mean of its gradient under the weights
        gradient = gradient * ctx.factor
        of_value = torch.where(kept, weights, 0.0).transpose(1, 2).bmm(gradient)
        of_scores = gradient.bmm(value.transpose(1, 2))
        of_scores = torch.where(kept, of_scores, 0.0).sub_(along).mul_(weights).mul_(ctx.scale)
        of_query, of_key = of_scores.bmm(key), of_scores.transpose(1, 2).bmm(query)
        return of_query.view(shape), of_key.view(shape), of_value.view(shape), None, None


class KBioXLMDropout(nn.Dropout):
    """Dropout whose mask is drawn several times faster on a CPU, where torch draws element by element.

    The probability is rounded to a multiple of 2^-16, and the factor follows it.
    """

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Any shape, to the same."""
        slow = not self.training or not self.p or hidden.device.type != "cpu" or torch.compiler.is_compiling()
        return super().forward(hidden) if slow or torch.jit.is_tracing() else _Drop.apply(hidden, self.p)


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, dropout: float) -> torch.Tensor:
        kept, ctx.factor = draw_mask(hidden.shape, dropout)
        ctx.save_for_backward(kept)
        return torch.where(kept, hidden, 0.0).mul_(ctx.factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (kept,) = ctx.saved_tensors
        return torch.where(kept, gradient, 0.0).mul_(ctx.factor), None


def draw_mask(shape: torch.Size, dropout: float) -> tuple[torch.Tensor, float]:
    """A dropout mask on the CPU, true for what is kept, and what the kept is multiplied with.

    Drawn from torch's generator, four elements from each 64 random bits.
    """
    kept = round((1 - dropout) * 2**DRAW_BITS)  # of so many equally likely draws
    draws = torch.empty(-(-shape.numel() * DRAW_BITS // 64), dtype=torch.int64).random_(-(2**63), None)
    # The greatest draw to keep, not the least to drop, which for a tiny probability would be beyond int16.
    greatest = max(kept - 1, 0) - 2 ** (DRAW_BITS - 1)
    mask = draws.view(torch.int16)[: shape.numel()].view(shape) <= greatest
    return mask, 2**DRAW_BITS / kept if kept else 0.0
