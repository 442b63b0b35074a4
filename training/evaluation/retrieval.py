"""Retrieval across languages: does a text find its translation among the others, by cosine?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.training.finetuning.encoders import longest_input

Pair = tuple[str, str]


def embed(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    batch_size: int = 64,
    max_length: int = 128,
    bf16: bool = False,
) -> torch.Tensor:
    """Mean of each text's pieces in every layer, special tokens left out: (layers + 1, texts, hidden), float32, CPU.

    Layer 0 is the embedding layer. A text of more than `max_length` positions, or more than the model has, is read
    in several parts.
    """
    room = min(max_length, longest_input(model)) - 2
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    parts = [
        (index, ids[first : first + room]) for index, ids in enumerate(encoded) for first in range(0, len(ids), room)
    ]
    parts.sort(key=lambda part: (len(part[1]), part[0]))
    encoder = model.base_model
    was_training = encoder.training
    encoder.eval()
    sums: torch.Tensor | None = None
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        for first in tqdm(range(0, len(parts), batch_size), desc="embedding", unit="batch", leave=False):
            chosen = parts[first : first + batch_size]
            width = max(len(ids) for _, ids in chosen) + 2
            input_ids = torch.full((len(chosen), width), model.config.pad_token_id)
            for row, (_, ids) in enumerate(chosen):
                input_ids[row, : len(ids) + 2] = torch.tensor([tokenizer.cls_token_id, *ids, tokenizer.sep_token_id])
            lengths = torch.tensor([len(ids) for _, ids in chosen])
            position = torch.arange(width)
            inside = (position > 0) & (position <= lengths[:, None])  # (batch, sequence)
            output = encoder(
                input_ids=input_ids.to(model.device),
                attention_mask=(position < lengths[:, None] + 2).long().to(model.device),
                output_hidden_states=True,
            )
            states = torch.stack(output.hidden_states).float().cpu()  # (layers + 1, batch, sequence, hidden)
            if sums is None:
                sums = torch.zeros(states.shape[0], len(texts), states.shape[-1])
            summed = states.masked_fill(~inside[:, :, None], 0.0).sum(dim=2)  # not a product: autocast would round it
            sums.index_add_(1, torch.tensor([index for index, _ in chosen]), summed)
    encoder.train(was_training)
    if sums is None:
        raise InputError("probe", "no text to embed", "give texts that are not empty")
    counts = torch.tensor([max(1, len(ids)) for ids in encoded])
    return sums / counts[:, None]


def precision_at_1(left: torch.Tensor, right: torch.Tensor) -> tuple[float, float]:
    """How often row i of `left` finds row i of `right` first by cosine, and the other way round; in 0 to 100.

    Args:
        left: (texts, hidden).
        right: (texts, hidden), the translations.
    """
    cosine = torch.nn.functional.normalize(left, dim=-1) @ torch.nn.functional.normalize(right, dim=-1).T
    wanted = torch.arange(len(left))
    forward = (cosine.argmax(1) == wanted).float().mean()
    backward = (cosine.argmax(0) == wanted).float().mean()
    return 100 * forward.item(), 100 * backward.item()


def retrieval(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    dev_pairs: Sequence[Pair],
    batch_size: int = 64,
    max_length: int = 128,
    bf16: bool = False,
) -> dict[str, Any]:
    """P@1 of translations in the layer that is best on `dev_pairs`.

    Returns:
        `value`: mean of both directions by plain cosine, 0 to 100; `forward` (first language asks) and
        `backward`; `layer`, 0 being the embeddings; `n` pairs and `chance` (100 / n). `centred`: the same after
        the mean of its language is taken from each vector, which lets alignment show behind a constant offset
        between languages; its layer is chosen likewise.

    Raises:
        InputError: no pairs.
    """
    for name, given in (("test", pairs), ("dev", dev_pairs)):
        if not given:
            raise InputError("probe", f"no {name} pairs to retrieve", "give held-out names or parallel documents")
    sides = {
        name: [embed(model, tokenizer, [pair[side] for pair in given], batch_size, max_length, bf16) for side in (0, 1)]
        for name, given in (("dev", dev_pairs), ("test", pairs))
    }
    plain = _best_layer(sides)
    centred = _best_layer({name: [side - side.mean(1, keepdim=True) for side in both] for name, both in sides.items()})
    return {**plain, "n": len(pairs), "n_dev": len(dev_pairs), "chance": round(100 / len(pairs), 4), "centred": centred}


def _best_layer(sides: dict[str, list[torch.Tensor]]) -> dict[str, Any]:
    """Test P@1 in the layer with the best dev P@1, the first of equals."""
    on_dev = [sum(precision_at_1(left, right)) for left, right in zip(*sides["dev"], strict=True)]
    layer = on_dev.index(max(on_dev))
    forward, backward = precision_at_1(sides["test"][0][layer], sides["test"][1][layer])
    return {
        "value": round((forward + backward) / 2, 4), "forward": round(forward, 4), "backward": round(backward, 4),
        "layer": layer,
    }  # fmt: skip
