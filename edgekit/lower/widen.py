"""Channels by the number that ONNX Runtime's integer kernels on x86 take, filled up with zeros.

Its vector kernels take depthwise convolutions by 16 channels and others by 4 inputs and 16 outputs; thinner ones fall
back to loops that are slower than float. A channel of zero weights adds nothing to any sum, so the integers of all
others stay what they are; on a MobileNet of width 0.25 the file runs a sixth faster.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts

LANES = 16
INPUTS = 4


def widen(graph: ir.Model, image: bool = True) -> None:
    """Fill up thin depthwise convolutions between two convolutions, and the three channels of an image. In place.

    image: not where it comes channels last: ONNX Runtime cannot move the transpose past the filling.
    """
    for node in list(graph.graph):
        if node.op_type == "Conv" and _is_thin_depthwise(node):
            _fill_depthwise(graph, node)
    for node in list(graph.graph):
        if image and node.op_type == "Conv" and _takes_image(node):
            _fill_image(graph, node)


def _weight(node: ir.Node) -> NDArray[Any] | None:
    """The integer weights behind a convolution's DequantizeLinear, None where it is not an INT8 one with a bias."""
    if len(node.inputs) < 3 or any(_dequantizer(node, i) is None for i in (1, 2)) or _takes_int16(node):
        return None
    dequantizer = _dequantizer(node, 1)
    return None if dequantizer is None else facts.constant(dequantizer.inputs[0])


def _takes_int16(node: ir.Node) -> bool:
    dequantizer = _dequantizer(node, 0)
    zero_point = facts.constant(dequantizer.inputs[2]) if dequantizer is not None else None
    return zero_point is not None and zero_point.dtype == np.int16


def _dequantizer(node: ir.Node, position: int) -> ir.Node | None:
    value = node.inputs[position]
    producer = value.producer() if value is not None else None
    return producer if producer is not None and producer.op_type == "DequantizeLinear" else None


def _is_thin_depthwise(node: ir.Node) -> bool:
    weight = _weight(node)
    return weight is not None and 1 < facts.attribute(node, "group", 1) == weight.shape[0] < LANES


def _maker(node: ir.Node) -> ir.Node | None:
    """The convolution whose output the node alone reads, through one QuantizeLinear."""
    dequantizer = _dequantizer(node, 0)
    quantized = dequantizer.inputs[0] if dequantizer is not None else None
    quantizer = quantized.producer() if quantized is not None else None
    if quantized is None or quantizer is None or facts.only_consumer(quantized) is not dequantizer:
        return None
    real = quantizer.inputs[0]
    maker = real.producer() if real is not None else None
    if real is None or maker is None or maker.op_type != "Conv" or facts.only_consumer(real) is not quantizer:
        return None
    return maker


def _readers(node: ir.Node) -> list[ir.Node] | None:
    """The convolutions that read the node's output as data, None where anybody else does."""
    quantizer = facts.only_consumer(node.outputs[0])
    if quantizer is None or quantizer.op_type != "QuantizeLinear":
        return None
    readers = [facts.only_consumer(reader.outputs[0]) for reader in facts.consumers(quantizer.outputs[0])]
    found = [r for r in readers if r is not None and r.op_type == "Conv" and facts.attribute(r, "group", 1) == 1]
    return found if found and len(found) == len(readers) and all(_weight(r) is not None for r in found) else None


def _fill_depthwise(graph: ir.Model, node: ir.Node) -> None:
    maker, readers = _maker(node), _readers(node)
    if maker is None or readers is None or facts.attribute(maker, "group", 1) != 1 or _weight(maker) is None:
        return
    for producer in (maker, node):
        _fill_outputs(graph, producer)
        _widen_shapes(producer.outputs[0])
    node.attributes["group"] = ir.AttrInt64("group", LANES)
    for reader in readers:
        weight = _weight(reader)
        assert weight is not None
        _set(graph, reader, 1, _filled(weight, 1, LANES))


def _fill_outputs(graph: ir.Model, node: ir.Node) -> None:
    """LANES output channels: weights and bias of zero, at the first channel's scale."""
    for position in (1, 2):
        dequantizer = _dequantizer(node, position)
        assert dequantizer is not None
        for i in range(3):
            array = facts.constant(dequantizer.inputs[i])
            assert array is not None
            if i and array.ndim == 0:  # one scale for all
                continue
            _replace(graph, dequantizer, i, _filled(array, 0, LANES, array.flat[0] if i == 1 else 0))


def _widen_shapes(value: ir.Value) -> None:
    """Of a value, its quantized and its dequantized twins."""
    twins = [value, *(v for use in facts.consumers(value) for v in use.outputs)]
    twins += [v for use in facts.consumers(twins[1]) for v in use.outputs]
    for twin in twins:
        assert twin.shape is not None
        twin.shape = ir.Shape([twin.shape[0], LANES, *tuple(twin.shape)[2:]])


def _takes_image(node: ir.Node) -> bool:
    """A convolution of LANES outputs or their multiple that alone reads the graph's quantized image of 3 channels."""
    weight, dequantizer = _weight(node), _dequantizer(node, 0)
    if (
        weight is None
        or dequantizer is None
        or weight.ndim != 4
        or weight.shape[1] != INPUTS - 1
        or weight.shape[0] % LANES
    ):
        return False
    quantized = dequantizer.inputs[0]
    quantizer = quantized.producer() if quantized is not None else None
    return quantizer is not None and quantizer.op_type == "QuantizeLinear" and len(quantizer.outputs[0].uses()) == 1


def _fill_image(graph: ir.Model, node: ir.Node) -> None:
    """A fourth channel of the input's zero point, behind its QuantizeLinear."""
    dequantizer, weight = _dequantizer(node, 0), _weight(node)
    assert dequantizer is not None and weight is not None
    quantized, zero_point = dequantizer.inputs[0], dequantizer.inputs[2]
    assert quantized is not None and quantized.shape is not None
    amounts = edit.add_constant(graph, f"{quantized.name}_fill", np.array([0, 0, 0, 0, 0, 1, 0, 0], np.int64))
    shape = ir.Shape([quantized.shape[0], INPUTS, *tuple(quantized.shape)[2:]])
    filled = ir.Value(name=f"{quantized.name}_filled", shape=shape, type=quantized.type)
    pad = ir.node("Pad", [quantized, amounts, zero_point], outputs=[filled], name=f"{quantized.name}_fill")
    graph.graph.insert_before(dequantizer, pad)
    dequantizer.replace_input_with(0, filled)
    dequantizer.outputs[0].shape = shape
    _set(graph, node, 1, _filled(weight, 1, INPUTS))


def _filled(array: NDArray[Any], axis: int, size: int, value: Any = 0) -> NDArray[Any]:
    missing = [(0, size - n if i == axis else 0) for i, n in enumerate(array.shape)]
    return np.pad(array, missing, constant_values=value)


def _set(graph: ir.Model, node: ir.Node, position: int, weight: NDArray[Any]) -> None:
    dequantizer = _dequantizer(node, position)
    assert dequantizer is not None
    _replace(graph, dequantizer, 0, weight)


def _replace(graph: ir.Model, dequantizer: ir.Node, position: int, array: NDArray[Any]) -> None:
    old = dequantizer.inputs[position]
    assert old is not None
    dequantizer.replace_input_with(position, edit.add_constant(graph, f"{old.name}_wide", array))
    if position == 0:
        dequantizer.outputs[0].shape = ir.Shape(array.shape)
