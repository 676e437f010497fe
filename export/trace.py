"""Trace a classifier to an ONNX graph with dynamic batch and length."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim

from ..bundle.manifest import Target
from ..errors import GenoslimError, UsageError
from ..models.classifier import Classifier, NativeClassifier
from ..models.inference import for_inference

OPSETS = range(18, 23)
"""Opsets that may be asked for. From 23 on attention is one operator that runtimes disagree on."""

EXTERNAL_BYTES = 1_800_000_000
"""Weights beyond this go to a file of their own: protobuf ends at 2 GiB."""

_EXAMPLE = (2, 7)  # batch and length traced with: neither 1 nor equal, so that both stay dynamic
_CHATTY = ("torch.onnx._internal.exporter._registration", "onnxscript", "onnx_ir")


class _NamedInputs(nn.Module):
    """A classifier whose forward has the graph's input names."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids, attention_mask)
        return logits


def trace(
    model: Classifier,
    graph: Path,
    *,
    opset: int = 20,
    target: Target = "cpu",
    external_bytes: int = EXTERNAL_BYTES,
) -> None:
    """Write `model`, in evaluation mode and float32, to the ONNX file `graph`.

    Inputs `input_ids` and `attention_mask`, int64 [batch, tokens]; output `logits`, float32
    [batch, labels]; batch and tokens are dynamic. What is written is the network that
    `models.inference.for_inference` makes of `model`. The file holds no path, no stack trace and no
    time: the same checkpoint gives the same bytes under the same versions. Weights above
    `external_bytes` go to `<graph>.data` beside it. A graph for `cuda` has ONNX Runtime's
    MultiHeadAttention; GenoslimError for a model that is not written here, which has no such form.
    """
    check_opset(opset)
    fused = target == "cuda"
    if fused:
        _require_fusible(model)
    example = torch.full(_EXAMPLE, 0, dtype=torch.long)
    dynamic = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    with _quiet():
        program = torch.onnx.export(
            _NamedInputs(for_inference(model, fused=fused)).eval(),
            (example, torch.ones_like(example)),
            dynamo=True,
            opset_version=opset,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes={"input_ids": dynamic, "attention_mask": dynamic},
            verbose=False,
        )
    if program is None:
        raise GenoslimError("torch.onnx.export returned nothing: upgrade torch")
    _clean(program.model)
    constants = (value.const_value for value in _initializers(program.model))
    weights = sum(constant.nbytes for constant in constants if constant is not None)
    ir.save(
        program.model,
        graph,
        external_data=f"{graph.name}.data" if weights > external_bytes else None,
    )


def _require_fusible(model: Classifier) -> None:
    if not isinstance(model, NativeClassifier):
        raise GenoslimError(f"{model.family} has no graph for cuda of its own: export it for cpu")
    if not hasattr(torch.onnx, "ops"):
        raise GenoslimError(
            f"a graph for cuda needs torch 2.8 or later, this is {torch.__version__}"
        )


def check_opset(opset: int) -> None:
    """Raise UsageError unless `opset` is one of `OPSETS`."""
    if opset not in OPSETS:
        raise UsageError(f"opset is {opset}; expected {OPSETS.start} to {OPSETS.stop - 1}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' talk about packages not installed and nodes not folded; no errors."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*LeafSpec", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _initializers(model: ir.Model) -> list[ir.Value]:
    return list(model.graph.initializers.values())


def _clean(model: ir.Model) -> None:
    """Name the dynamic axes, and drop everything that tells where and from what it was traced.

    Shapes of inner values go too: they are inferred anew by every runtime, and stale ones break
    quantisation.
    """
    graph = model.graph
    for value in graph.inputs:
        value.shape = ir.Shape(["batch", "tokens"])
    for value in graph.outputs:
        value.shape = ir.Shape(["batch", value.shape[1] if value.shape else None])
    _forget(model, graph, *graph.inputs, *_initializers(model))
    for node in graph:
        _forget(node, *node.outputs)
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = value.type = None


def _forget(*things: ir.Model | ir.Graph | ir.Node | ir.Value) -> None:
    for thing in things:
        thing.doc_string = None
        thing.metadata_props.clear()
