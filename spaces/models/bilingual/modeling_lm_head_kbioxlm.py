"""The masked-language-model head of KBioXLM, and its loss.

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from .configuration_kbioxlm import KBioXLMConfig
from .modeling_encoder_kbioxlm import round_size

IGNORED = -100  # the label of positions that carry none, as everywhere in transformers
TILE = 4096  # rows of the head that are computed at a time: few calls, and what they write stays in a cache


class KBioXLMLMHead(nn.Module):
    """XLM-R's head for masked pieces, over the whole vocabulary or a reduced one (appendix A.1).

    With `config.mlm_head_transform` false it is the decoder alone, as in the checkpoint of the paper's authors.
    `token_ids` (rows,), int64 and strictly increasing, holds the input id each row stands for; it is None for
    the whole vocabulary, where row and input id are the same.
    """

    token_ids: torch.Tensor | None

    def __init__(self, config: KBioXLMConfig):
        super().__init__()
        rows = config.vocab_size if config.mlm_vocab_size is None else config.mlm_vocab_size
        if config.mlm_head_transform:
            self.dense = nn.Linear(config.hidden_size, config.hidden_size)
            self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.transforms = config.mlm_head_transform
        self.decoder = nn.Linear(config.hidden_size, rows)
        self.bias = nn.Parameter(torch.zeros(rows))  # decoder.bias is tied to it: checkpoints hold this name
        self.register_buffer("token_ids", None if config.mlm_vocab_size is None else torch.arange(rows))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(…, hidden) to logits (…, rows)."""
        return self.decoder(self._transformed(hidden))

    def losses(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean cross entropy of each task over its targets, (tasks,), and how many of them score highest, (tasks,).

        The same as from the logits of `forward`, with a third of the memory: they are never held beside their
        softmax or their gradient. A task without targets has loss 0, still differentiable.

        Args:
            hidden: (n, hidden).
            targets: (tasks, n), rows of the head, -100 where there is none.
        """
        decoder, device = self.decoder, hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else decoder.weight.dtype
        if device == "cpu" and dtype != torch.float32:
            extra = round_size(len(hidden)) - len(hidden)
            hidden, targets = F.pad(hidden, (0, 0, 0, extra)), F.pad(targets, (0, extra), value=IGNORED)
        hidden = self._transformed(hidden)
        with torch.autocast(device, enabled=False):
            tensors = (tensor.to(dtype) for tensor in (hidden, decoder.weight, decoder.bias))
            totals, hits = LinearCrossEntropy.apply(*tensors, targets)
        counted = targets != IGNORED
        return totals / counted.sum(dim=1).clamp(min=1), hits

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        """The row of each input id, in the shape of `ids`; -100 where there is none."""
        if self.token_ids is None:
            return ids
        # A search needs no table of the size of the vocabulary that would have to follow every load and resize.
        rows = torch.searchsorted(self.token_ids, ids.contiguous()).clamp_(max=len(self.token_ids) - 1)
        return torch.where(self.token_ids[rows] == ids, rows, IGNORED)

    def _transformed(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.layer_norm(F.gelu(self.dense(hidden))) if self.transforms else hidden


class LinearCrossEntropy(torch.autograd.Function):
    """Summed cross entropy of hidden · weightᵀ + bias against the targets of several tasks.

    Logits are computed tile by tile of the rows, and each tile becomes the softmax over itself at once: the share of
    a tile in the whole softmax is a factor of each position. These tiles are all that is held until the gradients are
    computed, and nothing writes to them again: for position i, with softmax p_i and summed gradient s_i of its losses,
    the gradient of the logits is s_i p_i less the gradient at its targets, so that both enter the two matrix products
    as factors of hidden and weight.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Totals (tasks,), in float32 at least, and right predictions (tasks,), int64.

        Args:
            hidden: (n, hidden).
            weight: (rows, hidden).
            bias: (rows,).
            targets: (tasks, n), rows, -100 where there is none.
        """
        exact = torch.promote_types(hidden.dtype, torch.float32)
        at_target = hidden.new_zeros(targets.shape, dtype=exact)
        best = hidden.new_full((len(hidden),), -torch.inf, dtype=exact)
        tiles, parts = [], []
        for start in range(0, len(weight), TILE):
            stop = min(start + TILE, len(weight))
            logits = torch.addmm(bias[start:stop], hidden, weight[start:stop].t()).to(exact)  # (n, tile)
            columns = (targets - start).clamp(0, stop - start - 1).t()  # (n, tasks)
            inside = (targets >= start) & (targets < stop)
            at_target = torch.where(inside, logits.gather(1, columns).t(), at_target)
            highest = logits.amax(dim=1)
            best = torch.maximum(best, highest)
            tile = torch.softmax(logits, dim=1, out=logits)
            parts.append(highest - tile.amax(dim=1).log())  # log of the tile's summed exponentials
            tiles.append(tile.to(hidden.dtype))
        totals_of_tiles = torch.stack(parts)  # (tiles, n)
        whole = totals_of_tiles.logsumexp(dim=0)  # (n,)
        counted = targets != IGNORED
        ctx.save_for_backward(hidden, weight, targets, totals_of_tiles.sub_(whole).exp_(), *tiles)
        totals = torch.where(counted, whole - at_target, 0.0).sum(dim=1)
        hits = (counted & (at_target == best)).sum(dim=1)
        ctx.mark_non_differentiable(hits)
        return totals, hits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, ...]:
        """Gradients of hidden, weight and bias; `gradient` is (tasks,)."""
        hidden, weight, targets, shares, *tiles = ctx.saved_tensors
        each = torch.where(targets != IGNORED, gradient.unsqueeze(1), 0.0)  # (tasks, n)
        shares = shares * each.sum(dim=0)  # (tiles, n): what a tile is multiplied with
        of_hidden = torch.zeros_like(hidden)
        of_weight = torch.empty_like(weight)
        of_bias = weight.new_empty(len(weight))
        for number, tile in enumerate(tiles):
            start = number * TILE
            stop = start + tile.shape[1]
            factor = shares[number].to(hidden.dtype)
            of_hidden.addcmul_(tile @ weight[start:stop], factor.unsqueeze(1))
            torch.mm(tile.t(), hidden * factor.unsqueeze(1), out=of_weight[start:stop])
            torch.mv(tile.t(), factor, out=of_bias[start:stop])
        task, at = (targets != IGNORED).nonzero(as_tuple=True)
        factor = each[task, at].unsqueeze(1)  # (targets that count, 1), in float32 at least
        rows, places = targets[task, at].unique(return_inverse=True)
        of_hidden.index_add_(0, at, (weight[targets[task, at]] * factor).to(hidden.dtype), alpha=-1)
        # Targets of one row are summed before they are rounded to the dtype of the weights.
        sums = factor.new_zeros(len(rows), weight.shape[1] + 1)
        sums.index_add_(0, places, torch.cat([hidden[at] * factor, factor], dim=1)).neg_()
        of_weight.index_add_(0, rows, sums[:, :-1].to(weight.dtype))
        of_bias.index_add_(0, rows, sums[:, -1].to(weight.dtype))
        return of_hidden, of_weight, of_bias, None
