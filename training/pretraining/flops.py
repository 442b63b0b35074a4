"""How many floating-point operations a step is worth, and how many the device could do.

Model-flops utilisation (Chowdhery et al., 2022, appendix B) = operations that the model needs for the pieces it was
given, per second, over the peak of all devices. What is computed beside that (padding, recomputed activations,
unlabelled positions in the head) does not count, so it lowers the figure.

A matrix product with an n × m weight costs 2 n m operations a piece forward and 4 n m backward. So with hidden size
h, feed-forward size f, L layers and V rows in the head, a step costs

    pieces × L × 6 (4 h² + 2 h f)          projections and feed-forward layers
    + Σ length² × L × 12 h                 attention: scores and their use, over each sequence's own length
    + predicted × 6 (h² + h V)             head, on the labelled positions
    + examples × 6 (h² + 3 h)              passage head
"""

from __future__ import annotations

import torch

from kbioxlm.configuration_kbioxlm import KBioXLMConfig

# Operations per second in dense matrix products, of NVIDIA's data sheets: name, bfloat16, float32. The first that
# is part of the device's name counts.
_PEAKS = (
    ("H200", 989.5e12, 67e12),
    ("H100 PCIe", 756e12, 51e12),
    ("H100 NVL", 835e12, 60e12),
    ("H100", 989.5e12, 67e12),
    ("A100", 312e12, 19.5e12),
)


def step_flops(config: KBioXLMConfig, pieces: int, squared_lengths: int, predicted: int, examples: int) -> float:
    """Operations of a step forward and backward; see the module.

    Args:
        pieces: without padding.
        squared_lengths: sum of the squared lengths of the examples.
        predicted: labelled positions.
    """
    hidden, rows = config.hidden_size, config.mlm_vocab_size or config.vocab_size
    layer = 6 * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
    transform = hidden**2 if config.mlm_head_transform else 0
    return float(
        config.num_hidden_layers * (pieces * layer + squared_lengths * 12 * hidden)
        + predicted * 6 * (transform + hidden * rows)
        + examples * 6 * (hidden**2 + hidden * config.num_passage_relations)
    )


def peak_flops(device: torch.device, bf16: bool) -> float | None:
    """Operations per second that the device could do; None where they are not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((fast if bf16 else full for part, fast, full in _PEAKS if part in name), None)
