"""Turn a finished float32 graph into one of a lossy precision: fp16 for CUDA, int8 for CPU.

**int8** quantises every product of activations with a weight matrix. Weights have one scale a
column. Activations have one a *row*, that is a token of a window, found when the graph runs: it
depends neither on what shares a window's batch nor on padding, as it would with one scale a tensor
(`DynamicQuantizeLinear`), and on no calibration windows, as it would with fixed scales. Tables,
which cost no time, are stored as float16.

Weights have 7 bits, for sums that are the same on every processor: what passes a gate here would
else be wrong there. `models/quantisation.py` holds the numbers. Only standard operators are used.

**fp16** halves all weights and the arithmetic, except what leads to a sine or cosine: an angle is a
position times a frequency, and half precision knows an angle of 1000 only to half a radian.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import ShapeInferencePass
from onnx_ir.tape import Tape

from ..errors import GenoslimError, UsageError
from ..models.quantisation import LEAST_ROW, LEAST_SIDE, ROW_STEPS, WEIGHT_STEPS
from .trace import EXTERNAL_BYTES

LOSSY = ("fp16", "int8")

_MIDDLE = np.array(128, np.uint8)  # what stands for 0 in the activations
_HALF_MAX = float(np.finfo(np.float16).max)
_ROUNDED = (ir.DataType.FLOAT16, ir.DataType.FLOAT)


def convert(
    exact: Path, graph: Path, precision: str, *, external_bytes: int = EXTERNAL_BYTES
) -> None:
    """Write the float32 ONNX file `exact` in another `precision`, fp16 or int8, to `graph`.

    Inputs and output stay as they are, int64 and float32. The same graph gives the same bytes.
    Weights above `external_bytes` go to `<graph>.data` beside it. Values beyond what float16 holds
    become the largest that it holds: masks stay masks, and a gate finds a weight that matters.
    """
    if precision not in LOSSY:
        raise UsageError(f"precision is {precision!r}; expected {' or '.join(LOSSY)}")
    model = ir.load(exact)
    if precision == "fp16":
        _halve(model.graph)
    else:
        _Quantiser(model.graph).run()
    _save(model, graph, external_bytes)


def rehearse_half(exact: Path, graph: Path) -> None:
    """Write to `graph` a float32 graph that rounds wherever `exact` in fp16 does on CUDA.

    Every weight and every result is rounded to float16, so that what is beyond it is infinite. An
    fp16 graph itself does not show that on a CPU: ONNX Runtime has no half arithmetic there, and
    computes whole runs of operators in float32 without rounding in between.
    """
    model = ir.load(exact)
    _infer_types(model)
    angles = _angles(model.graph)
    for value in list(model.graph.initializers.values()):
        if value.dtype == ir.DataType.FLOAT:
            _replace_constant(
                model.graph, value, angles, _as_half(_tensor(value)).astype(np.float32)
            )
    for node in [node for node in model.graph if node not in angles]:
        for value in node.outputs:
            if value.dtype == ir.DataType.FLOAT and not value.is_graph_output():
                _cast_for(model.graph, value, list(value.uses()), *_ROUNDED)
    for place in range(len(model.graph.outputs)):
        _cast_output(model.graph, place, *_ROUNDED)
    for value in (value for node in model.graph for value in node.outputs):
        if not value.is_graph_output():
            value.shape = value.type = None
    _save(model, graph, EXTERNAL_BYTES)


def _infer_types(model: ir.Model) -> None:
    """Note the type of every value; onnx knows none of what ONNX Runtime's own operators return."""
    for node in model.graph:
        if node.domain == "com.microsoft":
            node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    ShapeInferencePass()(model)


def _save(model: ir.Model, graph: Path, external_bytes: int) -> None:
    """Write what of `model` is used, with its weights beside it if they are large."""
    constants = model.graph.initializers
    for name in [name for name, value in constants.items() if not value.uses()]:
        del constants[name]
    if sum(_tensor(value).nbytes for value in constants.values()) > external_bytes:
        ir.save(model, graph, external_data=f"{graph.name}.data")
    else:
        ir.save(ir.external_data.load_to_model(model), graph)


class _Quantiser:
    """Rewrites the products and look-ups of one graph; values read twice are quantised once."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._tape = Tape()
        self._rows: dict[ir.Value, tuple[ir.Value, ir.Value, ir.Value]] = {}
        self._columns: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
        self._halves: dict[ir.Value, ir.Value] = {}
        self._steps = self._constant("quantised.steps", np.array(ROW_STEPS, np.float32))
        self._least = self._constant("quantised.least", np.array(LEAST_ROW, np.float32))
        self._middle = self._constant("quantised.middle", _MIDDLE)
        self._last = self._constant("quantised.last", np.array([-1]))

    def run(self) -> None:
        for node in list(self._graph):
            if node.op_type == "MatMul" and _is_matrix(node.inputs[1]):
                self._replace(node, self._product(*node.inputs))
            elif node.op_type == "Gather" and _is_matrix(node.inputs[0]) and not _axis(node):
                self._replace(node, self._look_up(*node.inputs))

    def _product(self, rows: Any, weight: Any) -> ir.Value:
        """Return `(uint8 rows - 128) @ int8 columns x scale of the row x scale of the column`.

        The row's scale comes first and alone. Multiplied by the column's before, it makes
        onnxruntime fuse all this with a bias that follows, and then it scales the bias too.
        """
        whole, row_scale, lead = self._rows.get(rows) or self._quantise_rows(rows)
        columns, column_scale = self._columns.get(weight) or self._quantise_columns(weight)
        sums = self._op("MatMulInteger", whole, columns, self._middle)
        scaled = self._op("DequantizeLinear", sums, row_scale, axis=0)
        flat = self._op("Mul", scaled, column_scale)
        shape = self._op("Concat", lead, self._op("Shape", column_scale), axis=0)
        return self._op("Reshape", flat, shape)

    def _look_up(self, table: Any, ids: Any) -> ir.Value:
        half = self._halves.get(table) or _half_of(self._graph, table)
        self._halves[table] = half
        return self._op("Cast", self._op("Gather", half, ids), to=ir.DataType.FLOAT)

    def _quantise_rows(self, rows: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Return `rows` [..., K] as uint8 [n, K] around 128, scales [n], and the axes before K."""
        shape = self._op("Shape", rows)
        width = self._op("Gather", shape, self._last)
        flat = self._op("Reshape", rows, self._op("Concat", self._last, width, axis=0))
        high = self._op("ReduceMax", flat, self._last, keepdims=0)
        low = self._op("ReduceMin", flat, self._last, keepdims=0)
        largest = self._op("Max", high, self._op("Neg", low), self._least)
        scales = self._op("Div", largest, self._steps)
        middles = self._op("Expand", self._middle, self._op("Shape", scales))
        whole = self._op("QuantizeLinear", flat, scales, middles, axis=0)
        self._rows[rows] = whole, scales, self._op("Shape", rows, end=-1)
        return self._rows[rows]

    def _quantise_columns(self, weight: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Return the int8 values [K, N] and the scales [N] of a constant matrix [K, N]."""
        values = _tensor(weight).numpy()
        largest = np.abs(values).max(axis=0)
        scale = (np.where(largest > 0, largest, 1) / WEIGHT_STEPS).astype(np.float32)
        self._columns[weight] = (
            self._constant(f"{weight.name}.whole", np.rint(values / scale).astype(np.int8)),
            self._constant(f"{weight.name}.scale", scale),
        )
        return self._columns[weight]

    def _constant(self, name: str, values: NDArray[Any]) -> ir.Value:
        return _add_constant(self._graph, name, values)

    def _op(self, name: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        return self._tape.op(name, inputs, attributes)

    def _replace(self, node: ir.Node, value: ir.Value) -> None:
        """Put the nodes made since the last call in the place of `node`."""
        self._graph.insert_before(node, self._tape.nodes)
        self._tape = Tape()
        ir.convenience.replace_all_uses_with(node.outputs[0], value)
        self._graph.remove(node, safe=True)


def _halve(graph: ir.Graph) -> None:
    """Make every float32 in `graph` a float16, but its outputs and what leads to an angle."""
    angles = _angles(graph)
    for value in list(graph.initializers.values()):
        if value.dtype == ir.DataType.FLOAT:
            _replace_constant(graph, value, angles, _as_half(_tensor(value)))
    for node in list(graph):
        if node not in angles:
            _halve_attributes(node)
        elif node.op_type in ("Sin", "Cos", "Cast"):
            uses = [use for use in node.outputs[0].uses() if use[0] not in angles]
            _cast_for(graph, node.outputs[0], uses, ir.DataType.FLOAT16)
    for place in range(len(graph.outputs)):
        _cast_output(graph, place, ir.DataType.FLOAT)


def _angles(graph: ir.Graph) -> set[ir.Node]:
    """Return the sines and cosines with all that leads to them, up to casts from integers."""
    found: set[ir.Node] = set()
    waiting = [node for node in graph if node.op_type in ("Sin", "Cos")]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            sources = () if node.op_type == "Cast" else node.inputs
            waiting += [source for value in sources if value and (source := value.producer())]
    return found


def _replace_constant(
    graph: ir.Graph, value: ir.Value, angles: set[ir.Node], values: NDArray[Any]
) -> None:
    """Let all that read a constant read `values` instead, but for what leads to an angle."""
    if uses := [use for use in value.uses() if use[0] not in angles]:
        half = _add_constant(graph, f"{value.name}.half", values)
        for user, place in uses:
            user.replace_input_with(place, half)


def _halve_attributes(node: ir.Node) -> None:
    """Let a cast to float32, or a constant in an attribute, be float16."""
    for name, attribute in list(node.attributes.items()):
        if name == "to" and attribute.as_int() == ir.DataType.FLOAT:
            node.attributes.add(ir.AttrInt64(name, ir.DataType.FLOAT16))
        elif name == "value" and (old := attribute.as_tensor()).dtype == ir.DataType.FLOAT:
            node.attributes.add(ir.AttrTensor(name, ir.tensor(_as_half(old))))


def _cast_for(graph: ir.Graph, value: ir.Value, uses: list[Any], *types: ir.DataType) -> None:
    """Cast a node's output to one type after the other, for the given `uses` of it."""
    after = value.producer()
    for kind in types if after and uses else ():
        cast = ir.node("Cast", [value], {"to": kind})
        graph.insert_after(after or cast, cast)
        after, value = cast, cast.outputs[0]
    for user, place in uses:
        user.replace_input_with(place, value)


def _cast_output(graph: ir.Graph, place: int, *types: ir.DataType) -> None:
    """Cast an output of the graph to one type after the other, the last being float32 again."""
    old = new = graph.outputs[place]
    for kind in types:
        cast = ir.node("Cast", [new], {"to": kind})
        graph.append(cast)
        new = cast.outputs[0]
    graph.outputs[place] = new
    name, new.type, new.shape = old.name, old.type, old.shape
    old.name, old.type, old.shape = f"{name}.half", None, None
    new.name = name


def _is_matrix(value: ir.Value | None) -> bool:
    """Whether `value` is a constant float32 matrix that is large enough to be quantised."""
    if value is None or value.const_value is None or value.dtype != ir.DataType.FLOAT:
        return False
    shape = value.const_value.shape.numpy()
    return len(shape) == 2 and min(shape) >= LEAST_SIDE


def _axis(node: ir.Node) -> int:
    return node.attributes.get_int("axis", 0) or 0


def _half_of(graph: ir.Graph, value: ir.Value) -> ir.Value:
    return _add_constant(graph, f"{value.name}.half", _as_half(_tensor(value)))


def _as_half(tensor: ir.TensorProtocol) -> NDArray[np.float16]:
    half: NDArray[np.float16] = np.clip(tensor.numpy(), -_HALF_MAX, _HALF_MAX).astype(np.float16)
    return half


def _add_constant(graph: ir.Graph, name: str, values: NDArray[Any]) -> ir.Value:
    value = ir.val(name, const_value=ir.tensor(values, name=name))
    graph.register_initializer(value)
    return value


def _tensor(constant: ir.Value) -> ir.TensorProtocol:
    if constant.const_value is None:
        raise GenoslimError(f"{constant.name}: a constant of the graph without a value")
    return constant.const_value
