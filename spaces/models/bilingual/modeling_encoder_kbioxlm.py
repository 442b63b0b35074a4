"""Parts of the KBioXLM encoder that make it fast: batches without padding, their attention, dropout on a CPU.

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaAttention
from transformers.utils.generic import is_flash_attention_requested

from .configuration_kbioxlm import KBioXLMConfig

DRAW_BITS = 16  # random bits that decide about one element of a dropout mask
_BITS_OF_ONE = {torch.bfloat16: 0x3F80, torch.float16: 0x3C00}


def attention_kernel(config: KBioXLMConfig, device: torch.device) -> str | None:
    """What computes the attention of sequences laid end to end, see `KBioXLMModel`; None: nothing here does.

    "runs", one call for each run of sequences of one length (in training through `ExplicitAttention`, where that is
    faster), "nested", torch's kernels for nested tensors, or "flash".
    """
    if config._attn_implementation == "sdpa":
        return {"cpu": None if torch.compiler.is_compiling() else "runs", "cuda": "nested"}.get(device.type)
    return "flash" if is_flash_attention_requested(config) else None


@dataclass(frozen=True)
class Block:
    """Neighbouring sequences of about one length, whose attention is computed in one call.

    Attributes:
        pieces: how many they have together; they follow those of the block before.
        shape: (sequences, length) after shorter sequences were filled up.
        slots: (pieces,) int64, where in the block each piece is; None where nothing was filled up.
        bias: (sequences, length), 0 at pieces and -inf behind them; None likewise.
    """

    pieces: int
    shape: tuple[int, int]
    slots: torch.Tensor | None
    bias: torch.Tensor | None

    def spread(self, tensor: torch.Tensor) -> torch.Tensor:
        """(pieces, heads, head size) to (sequences · heads, length, head size), 0 behind the pieces."""
        sequences, length = self.shape
        if self.slots is not None:
            tensor = tensor.new_zeros(sequences * length, *tensor.shape[1:]).index_copy_(0, self.slots, tensor)
        return tensor.unflatten(0, self.shape).transpose(1, 2).flatten(0, 1)

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """Back from `spread`."""
        sequences, _ = self.shape
        tensor = tensor.unflatten(0, (sequences, -1)).transpose(1, 2).flatten(0, 1)
        return tensor if self.slots is None else tensor[self.slots]


@dataclass(frozen=True)
class PackedBatch:
    """The sequences of a batch laid end to end, without their padding.

    Attributes:
        shape: (batch, sequence) of the padded batch.
        places: (rows,) int64, where each piece is in the flattened padded batch; None where nothing is padding.
        wanted: (wanted rows,) int64, the pieces whose last hidden state will be read; None for all.
        pieces: rows that are pieces. Where round numbers of rows are faster, some follow that are computed for nothing.
        wanted_pieces: likewise of `wanted`.
        kernel: as `attention_kernel` gives it.
        runs: for the kernel "runs", (sequences, length) of each run of sequences of one length, in their order.
        blocks: for `ExplicitAttention`, in the same order; empty where it is not used.
        offsets: for the others, (sequences + 1,) int32, where each sequence begins, and where the last one ends.
        longest: pieces of the longest sequence.
    """

    shape: tuple[int, int]
    places: torch.Tensor | None
    wanted: torch.Tensor | None
    pieces: int
    wanted_pieces: int
    kernel: str
    runs: tuple[tuple[int, int], ...]
    blocks: tuple[Block, ...]
    offsets: torch.Tensor | None
    longest: int

    @classmethod
    @torch.compiler.disable  # its shapes depend on the data; the layers that follow take any number of pieces
    def of(
        cls,
        template: torch.Tensor,
        attention_mask: torch.Tensor | None,
        wanted: torch.Tensor | None,
        kernel: str,
        dtype: torch.dtype,
        is_explicit: bool,
    ) -> PackedBatch:
        """Pack a batch; without padding its sequences are one run, unless the kernel is "flash".

        Args:
            template: (batch, sequence, …), of which shape and device are taken.
            attention_mask: (batch, sequence), 0 for padding; None where there is none.
            wanted: (batch, sequence), bool; None for all.
            kernel: as `attention_kernel` gives it.
            dtype: in which matrices are multiplied.
            is_explicit: whether attention goes through `ExplicitAttention`.
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
        pieces = batch * sequence if places is None else len(places)
        wanted_pieces = pieces if wanted is None else len(wanted)
        if template.device.type == "cpu" and dtype in _BITS_OF_ONE and places is not None:
            places = F.pad(places, (0, round_size(pieces) - pieces))
        if template.device.type == "cpu" and dtype in _BITS_OF_ONE and wanted is not None:
            wanted = F.pad(wanted, (0, round_size(wanted_pieces) - wanted_pieces))
        sizes = (shape, places, wanted, pieces, wanted_pieces, kernel)
        if kernel != "runs":
            offsets = F.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
            return cls(*sizes, (), (), offsets, int(lengths.max()))
        found, counts = (tensor.tolist() for tensor in lengths.unique_consecutive(return_counts=True))
        runs = tuple((count, length) for count, length in zip(counts, found, strict=True) if length)
        blocks = blocks_of(runs, template.device, dtype) if is_explicit else ()
        return cls(*sizes, runs, blocks, None, found[-1])

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        """(batch, sequence, …), or what broadcasts to it, to (1, rows, …)."""
        flat = tensor.expand(*self.shape, *tensor.shape[2:]).flatten(0, 1)
        return (flat if self.places is None else flat[self.places]).unsqueeze(0)

    def unpack(self, hidden: torch.Tensor) -> torch.Tensor:
        """(1, wanted rows, hidden) to (batch, sequence, hidden), 0 at all other positions."""
        batch, sequence = self.shape
        places = self.places
        if self.wanted is not None:
            places = self.wanted if places is None else places[self.wanted]
        flat = hidden[0]
        if places is not None:
            flat, places = flat[: self.wanted_pieces], places[: self.wanted_pieces]
            flat = flat.new_zeros(batch * sequence, flat.shape[1]).index_copy(0, places, flat)
        return flat.view(batch, sequence, -1)


def round_size(rows: int) -> int:
    """The next of the numbers of which there are eight between a power of two and the next, from 8 on.

    In bfloat16, torch's matrix products on a CPU compile their code for every new shape, which takes longer than the
    product itself. Batches without padding have a new shape each; few different sizes keep the compiled code in use.
    """
    step = 1 << max(0, (rows - 1).bit_length() - 4)
    return -(-rows // step) * step


def blocks_of(runs: tuple[tuple[int, int], ...], device: torch.device, dtype: torch.dtype) -> tuple[Block, ...]:
    """Runs of sequences, the shorter ones first, gathered to blocks of nearly one length."""
    gathered: dict[int, list[int]] = {}
    for count, length in runs:
        width = min(max(round_size(length), -(-length // 16) * 16), runs[-1][1])  # no wider than the longest of all
        gathered.setdefault(width, []).extend([length] * count)
    blocks = []
    for width, lengths in gathered.items():
        if lengths[0] == width:
            blocks.append(Block(len(lengths) * width, (len(lengths), width), None, None))
            continue
        inside = torch.arange(width, device=device) < torch.tensor(lengths, device=device).unsqueeze(1)
        bias = torch.zeros(inside.shape, dtype=dtype, device=device).masked_fill_(~inside, -torch.inf)
        blocks.append(Block(sum(lengths), (len(lengths), width), inside.flatten().nonzero().squeeze(1), bias))
    return tuple(blocks)


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
        inputs, device = hidden_states[0], hidden_states.device.type
        if torch.is_autocast_enabled(device):  # which would convert them for each projection anew
            inputs = inputs.to(torch.get_autocast_dtype(device))
        query, key, value = (
            projection(inputs).view(-1, *heads) for projection in (self.self.query, self.self.key, self.self.value)
        )
        context = self._attend(query, key, value, packed).flatten(1).unsqueeze(0)  # (1, pieces, hidden)
        if self.is_last and packed.wanted is not None:
            context, hidden_states = context[:, packed.wanted], hidden_states[:, packed.wanted]
        return self.output(context, hidden_states), None

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packed: PackedBatch) -> torch.Tensor:
        """(pieces, heads, head size) each, to the same."""
        dropout = self.self.dropout.p if self.training else 0.0
        if packed.blocks:
            return ExplicitAttention.apply(query, key, value, packed.blocks, dropout, self.self.scaling)
        if packed.kernel == "runs":
            return attention_by_runs(query, key, value, packed, dropout, self.self.scaling)
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
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packed: PackedBatch, dropout: float, scale: float
) -> torch.Tensor:
    """Attention, one call for each run of sequences of one length; (rows, heads, head size) each, to the same."""
    sizes = [count * length for count, length in packed.runs]
    split = ((tensor[: packed.pieces].split(sizes)) for tensor in (query, key, value))
    contexts = []
    for run, *parts in zip(packed.runs, *split, strict=True):
        q, k, v = (part.unflatten(0, run).transpose(1, 2) for part in parts)
        context = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scale)
        contexts.append(context.transpose(1, 2).flatten(0, 1))  # (sequences, heads, length, size) before
    if len(query) > packed.pieces:
        contexts.append(query.new_zeros(len(query) - packed.pieces, *query.shape[1:]))
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


class ExplicitAttention(torch.autograd.Function):
    """Attention with gradients on a CPU, where torch's fused kernel knows no dropout and is slow backwards in bfloat16.

    Beside torch's own route through matrices it holds one matrix of probabilities and one mask, not four matrices.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        blocks: tuple[Block, ...],
        dropout: float,
        scale: float,
    ) -> torch.Tensor:
        """(rows, heads, head size) each, to the same; rows behind the pieces of all blocks become 0."""
        heads = query.shape[1]
        contexts = torch.zeros_like(query)
        saved: list[torch.Tensor | None] = []
        start = 0
        ctx.factor = 1.0
        for block in blocks:
            stop = start + block.pieces
            q, k, v = (block.spread(tensor[start:stop]) for tensor in (query, key, value))
            if block.bias is None:
                weights = torch.baddbmm(q.new_empty(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=scale)
            else:
                bias = block.bias.repeat_interleave(heads, 0).unsqueeze(1)  # (sequences · heads, 1, length)
                weights = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=scale)
            weights = torch.softmax(weights, dim=-1, out=weights)
            mask = None
            if dropout:
                mask, ctx.factor = draw_mask(weights.shape, dropout, weights.dtype)
            context = (weights if mask is None else weights * mask).bmm(v)
            if mask is not None:
                context.mul_(ctx.factor)
            contexts[start:stop] = block.gather(context)
            saved += [q, k, v, weights, mask, context]
            start = stop
        ctx.save_for_backward(*saved)
        ctx.blocks, ctx.scale = blocks, scale
        return contexts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of `forward`'s arguments."""
        results = [torch.zeros_like(gradient) for _ in range(3)]
        start = 0
        for number, block in enumerate(ctx.blocks):
            query, key, value, weights, mask, context = ctx.saved_tensors[6 * number : 6 * number + 6]
            stop = start + block.pieces
            upstream = block.spread(gradient[start:stop])
            along = (upstream * context).sum(-1, keepdim=True)  # of a softmax: its gradient's mean under the weights
            if mask is not None:
                upstream = upstream * ctx.factor
            of_value = (weights if mask is None else weights * mask).transpose(1, 2).bmm(upstream)
            of_scores = upstream.bmm(value.transpose(1, 2))
            if mask is not None:
                of_scores.mul_(mask)
            of_scores.sub_(along).mul_(weights).mul_(ctx.scale)
            parts = (of_scores.bmm(key), of_scores.transpose(1, 2).bmm(query), of_value)
            for result, part in zip(results, parts, strict=True):
                result[start:stop] = block.gather(part)
            start = stop
        return (*results, None, None, None)


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
        mask, ctx.factor = draw_mask(hidden.shape, dropout, hidden.dtype)
        ctx.save_for_backward(mask)
        return _masked(hidden, mask, ctx.factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (mask,) = ctx.saved_tensors
        return _masked(gradient, mask, ctx.factor), None


def _masked(tensor: torch.Tensor, mask: torch.Tensor, factor: float) -> torch.Tensor:
    """tensor · mask · factor, in one pass."""
    return torch.addcmul(tensor.new_zeros(()), tensor, mask, value=factor)


def draw_mask(shape: torch.Size, dropout: float, dtype: torch.dtype) -> tuple[torch.Tensor, float]:
    """A dropout mask on the CPU, 1 for what is kept and 0 for the rest, and what the kept is multiplied with.

    numpy draws the bits, four elements from each 64 of them, twice as fast as torch; its seed is drawn from torch's
    generator. All that follows is arithmetic in place, since torch is slow where a dtype changes.
    """
    kept = round((1 - dropout) * 2**DRAW_BITS)  # of so many equally likely draws
    if kept in (0, 2**DRAW_BITS):
        return torch.full(shape, float(bool(kept)), dtype=dtype), float(bool(kept))
    seed = int(torch.empty((), dtype=torch.int64).random_())
    draws = np.random.SFC64(seed).random_raw(-(-shape.numel() * DRAW_BITS // 64)).view(np.int16)
    dropped = 2 ** (DRAW_BITS - 1) - kept - 1  # the greatest draw that is not kept
    mask = torch.from_numpy(draws)[: shape.numel()].view(shape).clamp_(dropped, dropped + 1).sub_(dropped)
    one = _BITS_OF_ONE.get(dtype)
    return mask.to(dtype) if one is None else mask.mul_(one).view(dtype), 2**DRAW_BITS / kept
