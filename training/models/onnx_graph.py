"""A fine-tuned model as an ONNX graph, in float32 and with 8-bit weights."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from kbioxlm.common.errors import InputError
from kbioxlm.training.finetuning.encoders import encoder_of

_PROTOBUF = 1.9e9  # bytes; a file of this format ends at 2 GiB, the weights of larger models lie beside it
_INPUTS, _OUTPUT = ("input_ids", "attention_mask"), "logits"


class _Logits(nn.Module):
    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def export_graph(model: PreTrainedModel, path: Path) -> None:
    """Write the graph of `model`: int64 `input_ids` and `attention_mask`, (batch, sequence) each, to `logits`.

    It is the plain computation with padding, and attention as matrix products, which onnxruntime takes as it is.

    Raises:
        InputError: a model that torch's exporter cannot follow.
    """
    require_onnx()
    shape = {0: "batch", 1: "sequence"}
    ids = torch.full((2, 8), encoder_of(model).config.pad_token_id + 1)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    with _eager(model), _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                _Logits(model).eval(),
                (ids, mask),
                dynamo=True,
                input_names=list(_INPUTS),
                output_names=[_OUTPUT],
                dynamic_shapes=dict.fromkeys(_INPUTS, shape),
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            found = f"torch cannot export {type(encoder_of(model)).__name__} ({error})"
            raise InputError("export", found, "export a model on an encoder in XLM-R's shape") from error
        assert program is not None  # it is None for the exporter that came before
        size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
        program.save(str(path), external_data=size > _PROTOBUF)


def quantise(path: Path, target: Path) -> None:
    """Write the graph at `path` with 8-bit weights to `target`.

    Matrix products get a scale for each output, their inputs one for each batch as it comes; embeddings get one for
    the table. The last layer, a few rows of weights upon which all labels hang, stays as it is.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(path, load_external_data=False).graph
    with _quiet():
        quantize_dynamic(
            path,
            target,
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            reduce_range=False,  # needed by processors without VNNI alone, whose 16-bit sums overflow
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[_last_product(graph)],
        )


def _last_product(graph: Any) -> str:
    """The name of the matrix product from which the logits come."""
    makers = {output: node for node in graph.node for output in node.output}
    node = makers[_OUTPUT]
    while node.op_type not in ("MatMul", "Gemm"):
        node = next(makers[name] for name in node.input if name in makers)
    return node.name


def require_onnx() -> None:
    """Refuse to begin without the packages that an export needs.

    Raises:
        InputError: one of them is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError("export", f"{error.name} is not installed", "pip install 'kbioxlm[onnx]'") from error


@contextlib.contextmanager
def _eager(model: PreTrainedModel) -> Iterator[None]:
    """Attention as matrix products while the block runs."""
    encoder = encoder_of(model)
    before = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        encoder.set_attn_implementation(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters say of themselves: which of torch's packages are absent, how far they came."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
