"""Questions about an ONNX QDQ graph: what is quantized how, which op applies which activation, shapes at batch 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass
from onnxscript.optimizer import fold_constants

from edgekit.affine import QParams
from edgekit.errors import EdgekitError
from edgekit.graph import source
from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.ops import Activation, Array

INTEGERS = frozenset({np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.int32)})
FUSIBLE = frozenset({"Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div"})
SIZES = frozenset({"Shape", "Size"})
# Of a batch: the size itself, what is computed from it, and constants made that large.
FOLDED = SIZES | {
    "Concat",
    "Gather",
    "Slice",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Cast",
    "Mul",
    "Expand",
    "ConstantOfShape",
}
CLIPS: Mapping[tuple[float, float], Activation] = {(0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}


def qparams_after(value: ir.Value) -> QParams | None:
    """The parameters of the one Q that takes this value (through a Relu or Clip that nothing else sees)."""
    nodes = [use.node for use in value.uses()]
    if value.is_graph_output() or not nodes:
        return None
    if all(node.op_type == "QuantizeLinear" for node in nodes):
        found = {qparams_of(node) for node in nodes}
        return found.pop() if len(found) == 1 else None
    if len(nodes) == 1 and nodes[0].op_type in ("Relu", "Clip"):
        return qparams_after(nodes[0].outputs[0])
    if value.producer() is None:  # a graph input may feed float ops too
        found = {qparams_of(node) for node in nodes if node.op_type == "QuantizeLinear"}
        return found.pop() if len(found) == 1 else None
    return None


def qparams_of(node: ir.Node) -> QParams:
    """node: QuantizeLinear or DequantizeLinear with constant parameters."""
    scale = content(node.inputs[1])
    zero = content(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros((), np.int8)
    value = node.inputs[0] if node.op_type == "DequantizeLinear" else node.outputs[0]
    dtype = dtype_of(value) if value is not None and value.dtype is not None else zero.dtype
    if dtype not in INTEGERS:
        raise refuse.not_signed(node, dtype)
    axis = None
    if scale.size > 1 or (scale.ndim == 1 and value is not None and value.const_value is not None):
        attribute = node.attributes.get("axis")
        axis = attribute.as_int() if attribute is not None else 1
        scale = scale.reshape(-1)
    else:
        scale = scale.reshape(())
    if axis is not None and zero.any():
        raise refuse.shifted_channels(node)
    if axis is not None and axis < 0 and value is not None and value.shape is not None:
        axis += len(value.shape)
    return QParams(np.asarray(scale, np.float32), int(zero.reshape(-1)[0]), dtype, axis)


def follower(node: ir.Node) -> ir.Node | None:
    """The activation that this node applies itself."""
    uses = list(node.outputs[0].uses()) if node.outputs else []
    if node.op_type not in FUSIBLE or len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    if node.outputs[0].dtype != ir.DataType.FLOAT:  # a kernel may compute integers in a wider type, and clamp that
        return None
    return uses[0].node if fused_activation(uses[0].node) is not None else None


def taken_by_producer(node: ir.Node) -> bool:
    source = node.inputs[0]
    producer = None if source is None else source.producer()
    return producer is not None and follower(producer) is node


def fused_activation(node: ir.Node) -> Activation | None:
    match node.op_type:
        case "Relu":
            return "RELU"
        case "Clip":
            low, high = (_bound(node, index) for index in (1, 2))
            if any(value is not None and ir.convenience.get_const_tensor(value) is None for value in node.inputs[1:]):
                return None
            if low == 0.0 and high is None:
                return "RELU"
            return None if low is None or high is None else CLIPS.get((low, high))
        case _:
            return None


def _bound(node: ir.Node, index: int) -> float | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else float(tensor.numpy().reshape(()))


def name_of(value: ir.Value | None) -> str:
    assert value is not None and value.name is not None
    return value.name


def content(value: ir.Value | None) -> Array:
    assert value is not None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None:
        raise EdgekitError(
            "EK502", f"cannot lower value '{value.name}' to TFLite", "it must be a constant", "use edgekit's own graph"
        )
    return tensor.numpy()


def constant_content(node: ir.Node) -> Array:
    tensor = ir.convenience.get_const_tensor(node.outputs[0])
    assert tensor is not None
    return tensor.numpy()


def attribute_value(attribute: ir.Attr) -> Any:
    match attribute.type:
        case ir.AttributeType.INTS:
            return tuple(attribute.as_ints())
        case ir.AttributeType.STRING:
            return attribute.as_string()
        case _:
            return attribute.value


def dtype_of(value: ir.Value) -> np.dtype[Any]:
    assert value.dtype is not None, f"{value.name} has no type"
    return np.dtype(value.dtype.numpy())


def fixed_shape(value: ir.Value) -> tuple[int, ...]:
    """The shape with the batch, the one axis that may be open, at 1: a TFLite file has batch 1."""
    if value.shape is None:
        raise _unknown(value, "nothing is known about its shape")
    first, *others = [dim if isinstance(dim, int) else None for dim in value.shape] or [1]
    if None in others:
        raise _unknown(value, f"its shape is {value.shape}")
    sizes = [1 if first is None else first, *(size for size in others if size is not None)]
    return tuple(sizes[: len(value.shape)])


def with_batch_one(model: ir.Model) -> ir.Model:
    """The graph at batch 1, all shapes known: as it is where the batch is only ever the first axis by its own name.

    A Reshape may fold the batch into another axis, so that the size is not the input's symbol any more.
    """
    batches = [dim for value in model.graph.inputs for dim in list(value.shape or ())[:1]]
    known = {dim.value for dim in batches if not isinstance(dim, int)}
    values = [value for node in model.graph for value in node.outputs]
    if all(_is_settled(value, known) for value in values) and not any(node.op_type in SIZES for node in model.graph):
        return model
    fixed = model.clone()
    for value in fixed.graph.inputs:
        value.shape = ir.Shape(fixed_shape(value))
    for value in [*(v for node in fixed.graph for v in node.outputs), *fixed.graph.outputs]:
        value.shape = None
    inferred = _folded(ShapeInferencePass()(fixed).model)
    for node in inferred.graph:
        for value in node.outputs:
            if value.shape is None or not all(isinstance(dim, int) for dim in value.shape):
                raise _unknown(value, f"its shape is {value.shape} for batch 1")
    return inferred


def _folded(model: ir.Model) -> ir.Model:
    """What the batch decides, now that it is known: sizes, and zeros of such a size as states start from."""
    if any(node.op_type in SIZES for node in model.graph):
        fold_constants(model, onnx_shape_inference=True, should_fold=lambda node: node.op_type in FOLDED)
    return model


def _is_settled(value: ir.Value, known: set[str | None]) -> bool:
    if value.shape is None:
        return False
    first, *others = list(value.shape) or [1]
    return (isinstance(first, int) or first.value in known) and all(isinstance(dim, int) for dim in others)


def _unknown(value: ir.Value, why: str) -> EdgekitError:
    producer = value.producer()
    where = f", made by {source.describe(producer)}" if producer is not None else ""
    return EdgekitError(
        "EK502",
        f"cannot lower value '{value.name}'{where} to TFLite",
        f"{why}; only the batch axis may be open",
        _way_out(value),
    )


def _way_out(value: ir.Value) -> str:
    """--input settles an input's own sizes; what a node computes from data it does not."""
    if not value.is_graph_input():
        return "compute that size from numbers instead of values when exporting, or use --format onnx"
    sizes = "x".join(str(dim) if isinstance(dim, int) else "N" for dim in list(value.shape or ())[1:])
    return f"give its sizes: --input {value.name}=1x{sizes or 'N'} with numbers for each N"
