"""A graph as the ONNX file that a runtime is given.

ONNX Runtime's integer kernels on x86 want uint8 activations: with int8 it silently leaves ops in float. The change is
an exact shift of every activation's zero point by 128; weights stay int8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit import affine
from edgekit.artifact import METADATA_KEY, TensorSpec
from edgekit.graph import edit, facts, files, marks
from edgekit.lower.subpixel import interleave
from edgekit.lower.widen import widen

UINT8 = np.dtype(np.uint8)
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
IR_VERSION = 10  # what opset 20 to 22 came with; a newer one would shut out runtimes that could run the file
NEWER_IR_VERSIONS = {23: 11, 24: 12}  # by opset


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    data: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def to_onnx(
    graph: ir.Model,
    *,
    activations: np.dtype[Any],
    nhwc: bool,
    io_int8: bool,
    metadata: Mapping[str, Any],
    plain: bool = False,
) -> OnnxFile:
    """graph: float, or QDQ with int8 activations.

    activations: uint8 or int8, the integers that activations are kept in; nhwc: take and give rank-4 tensors channels
    last; io_int8: the file takes and gives integers instead of float32; metadata: for the file, with
    the scale and zero point of each integer input and output; plain: leave out what only serves ONNX Runtime.
    """
    graph = graph.clone()
    if activations == UINT8:
        _shift_to_uint8(graph)
    if not plain:
        interleave(graph)
    if activations == UINT8:
        widen(graph, image=not nhwc)
    qparams = _integer_io(graph) if io_int8 else {}
    if nhwc:
        _channels_last(graph)
    edit.drop_unused(graph)
    marks.clear(graph)
    graph.ir_version = NEWER_IR_VERSIONS.get(graph.opset_imports[""], IR_VERSION)
    graph.producer_name, graph.producer_version = "edgekit", version("edgekit")
    io = {
        name: {"scale": float(q.scale), "zero_point": q.zero_point, "dtype": q.dtype.name}
        for name, q in qparams.items()
    }
    graph.metadata_props[METADATA_KEY] = json.dumps({**metadata, "io": io}, sort_keys=True)
    return OnnxFile(
        data=files.to_bytes(graph),
        inputs=tuple(_spec(value, nhwc, qparams.get(value.name or "")) for value in graph.graph.inputs),
        outputs=tuple(_spec(value, nhwc, qparams.get(value.name or "")) for value in graph.graph.outputs),
    )


def _shift_to_uint8(graph: ir.Model) -> None:
    """Activations and constant operands by 128; weights and biases stay."""
    shifted: dict[str, ir.Value] = {}
    for node in graph.graph:
        if node.op_type not in facts.QDQ or _is_parameter(node):
            continue
        zero_point, x = node.inputs[2], node.inputs[0]
        assert zero_point is not None and x is not None
        if (array := facts.constant(zero_point)) is not None and array.dtype == np.int8:
            node.replace_input_with(2, _shifted(graph, zero_point, shifted))
        if node.op_type == "DequantizeLinear" and (array := facts.constant(x)) is not None and array.dtype == np.int8:
            node.replace_input_with(0, _shifted(graph, x, shifted))
        if node.op_type == "QuantizeLinear" and node.outputs[0].dtype == ir.DataType.INT8:
            node.outputs[0].type = ir.TensorType(ir.DataType.UINT8)


def _shifted(graph: ir.Model, value: ir.Value, shifted: dict[str, ir.Value]) -> ir.Value:
    name = value.name or ""
    if name not in shifted:
        array = facts.constant(value)
        assert array is not None
        shifted[name] = edit.add_constant(graph, f"{name}_u8", (array.astype(np.int16) + 128).astype(np.uint8))
    return shifted[name]


def _is_parameter(node: ir.Node) -> bool:
    """True for the DequantizeLinear of a weight or a bias."""
    if node.op_type != "DequantizeLinear" or facts.constant(node.inputs[0]) is None:
        return False
    use = next(iter(node.outputs[0].uses()))
    return use.idx in (1, 2) and use.node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")


def _integer_io(graph: ir.Model) -> dict[str, affine.QParams]:
    """Take the QuantizeLinear off each input and the DequantizeLinear off each output; what they did, by name.

    Where activations are uint8, the borders are int8 all the same, as in a TFLite file: the same integers less 128.
    """
    found: dict[str, affine.QParams] = {}
    for value in list(graph.graph.inputs):
        uses = list(value.uses())
        if len(uses) != 1 or uses[0].node.op_type != "QuantizeLinear":
            continue
        node = uses[0].node
        qparams = found[value.name or ""] = _signed(_qparams(node))
        if node.outputs[0].dtype == ir.DataType.UINT8:
            value.type = ir.TensorType(ir.DataType.INT8)
            real = _border(graph, "DequantizeLinear", value, node.inputs[1], qparams, f"{value.name}_real")
            graph.graph.insert_before(node, real)
            node.replace_input_with(0, real.outputs[0])
            continue
        value.type = node.outputs[0].type
        ir.convenience.replace_all_uses_with(node.outputs[0], value)
        graph.graph.remove(node, safe=True)
    outputs = graph.graph.outputs
    for position, value in enumerate(list(outputs)):
        producer = value.producer()
        if producer is None or producer.op_type != "DequantizeLinear" or producer.inputs[0] is None:
            continue
        qparams = found[value.name or ""] = _signed(_qparams(producer))
        quantized, name = producer.inputs[0], value.name
        if quantized.dtype == ir.DataType.UINT8:
            value.name = f"{name}_real"
            signed = _border(graph, "QuantizeLinear", value, producer.inputs[1], qparams, str(name))
            graph.graph.insert_after(producer, signed)
            outputs[position] = signed.outputs[0]
            edit.rename_clashes(graph)
            continue
        outputs[position] = quantized
        graph.graph.remove(producer, safe=True)
        quantized.name = name
    return found


def _signed(qparams: affine.QParams) -> affine.QParams:
    if qparams.dtype != UINT8:
        return qparams
    return affine.QParams(qparams.scale, qparams.zero_point - 128, np.dtype(np.int8))


def _border(
    graph: ir.Model, op: str, x: ir.Value, scale: ir.Value | None, qparams: affine.QParams, name: str
) -> ir.Node:
    """Between int8 outside and uint8 inside, through the real number that both stand for: exact."""
    zero_point = edit.add_constant(graph, f"{name}_zero_point", np.array(qparams.zero_point, np.int8))
    dtype = ir.DataType.FLOAT if op == "DequantizeLinear" else ir.DataType.INT8
    output = ir.Value(name=name, shape=x.shape, type=ir.TensorType(dtype))
    return ir.node(op, [x, scale, zero_point], outputs=[output], name=f"{name}_{op}")


def _qparams(node: ir.Node) -> affine.QParams:
    scale, zero_point = facts.constant(node.inputs[1]), facts.constant(node.inputs[2])
    assert scale is not None and zero_point is not None
    return affine.QParams(np.asarray(scale, np.float32), int(zero_point), zero_point.dtype)


def _channels_last(graph: ir.Model) -> None:
    """A Transpose behind each rank-4 input and before each rank-4 output; the names stay at the border."""
    for value in list(graph.graph.inputs):
        if value.shape is not None and len(value.shape) == 4:
            inner = ir.Value(name=f"{value.name}_nchw", shape=value.shape, type=value.type)
            ir.convenience.replace_all_uses_with(value, inner)
            value.shape = _permuted(value.shape, TO_NHWC)
            node = ir.node("Transpose", [value], {"perm": TO_NCHW}, outputs=[inner], name=f"{value.name}_to_nchw")
            graph.graph.insert_before(graph.graph[0], node)
    outputs = graph.graph.outputs
    for position, value in enumerate(list(outputs)):
        if value.shape is not None and len(value.shape) == 4:
            outer = ir.Value(name=value.name, shape=_permuted(value.shape, TO_NHWC), type=value.type)
            value.name = f"{value.name}_nchw"
            node = ir.node("Transpose", [value], {"perm": TO_NHWC}, outputs=[outer], name=f"{outer.name}_to_nhwc")
            graph.graph.append(node)
            outputs[position] = outer


def _permuted(shape: ir.Shape, axes: tuple[int, ...]) -> ir.Shape:
    return ir.Shape([shape[axis] for axis in axes])


def _spec(value: ir.Value, nhwc: bool, qparams: affine.QParams | None) -> TensorSpec:
    assert value.dtype is not None
    shape = facts.shape(value)
    axes = TO_NHWC if nhwc and len(shape) == 4 else None
    return TensorSpec(name=value.name or "", dtype=value.dtype.numpy().name, shape=shape, axes=axes, qparams=qparams)
