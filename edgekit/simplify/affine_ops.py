"""Fold per-channel scales and shifts into the convolution or linear op on either side.

    after:   s * (W x + b) + t  =  (s W) x + (s b + t)
    before:  W (s x + t) + b    =  (W s) x + (W t + b)      only without zero padding, which t would reach

Source: Jacob et al. 2018, "Quantization and Training of Neural Networks", section 3.2 (batch norm folding).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts

LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm"})


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift per channel. scale, shift: (C,) float64."""

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]


def fold_affine_ops(graph: ir.Model) -> ir.Model:
    """Batch norms and constant Mul, Add, Sub, Div go into the linear op that they follow or feed."""
    graph = graph.clone()
    for node, affine, x in _affine_ops(graph.graph):
        producer = x.producer()
        if producer is not None and _absorbs(producer) and facts.only_consumer(x) is node:
            _fold_after(graph, producer, affine, node)
    for node, affine, x in _affine_ops(reversed(graph.graph)):  # backwards, so that a chain goes into the consumer
        consumer = facts.only_consumer(node.outputs[0])
        if consumer is not None and _absorbs(consumer) and _reaches_all(consumer, affine, node):
            _fold_before(graph, consumer, affine, node, x)
    for node, affine, x in _affine_ops(graph.graph):
        if node.op_type == "BatchNormalization":
            _split(graph, node, affine, x)
    return graph


def _affine_ops(nodes: Iterable[ir.Node]) -> Iterator[tuple[ir.Node, Affine, ir.Value]]:
    """(node, what it computes, its data input), while the graph is edited."""
    for node in list(nodes):
        position = _data_input(node)
        x = node.inputs[position] if position < len(node.inputs) else None
        if x is not None and (affine := affine_of(node)) is not None:
            yield node, affine, x


def affine_of(node: ir.Node) -> Affine | None:
    """The per-channel (axis 1) affine map that a node computes with constants, None where it is none."""
    if not facts.is_float(node.outputs[0]):
        return None
    if node.op_type == "BatchNormalization":
        gamma, beta, mean, variance = (facts.constant(value) for value in node.inputs[1:5])
        if gamma is None or beta is None or mean is None or variance is None or len(node.outputs) > 1:
            return None
        gain = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + facts.attribute(node, "epsilon", 1e-5))
        return Affine(gain, beta - mean * gain)
    if node.op_type not in ("Mul", "Add", "Sub", "Div"):
        return None
    position = 1 - _data_input(node)
    operand = facts.constant(node.inputs[position])
    data = node.inputs[1 - position]
    if operand is None or data is None or data.shape is None or len(data.shape) < 2 or not facts.is_float(data):
        return None
    channels = data.shape[1]
    if not isinstance(channels, int) or (operand := _per_channel(operand, channels, len(data.shape))) is None:
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    match node.op_type, position:
        case "Mul", _:
            return Affine(operand, zero)
        case "Add", _:
            return Affine(one, operand)
        case "Sub", 1:
            return Affine(one, -operand)
        case "Sub", 0:
            return Affine(-one, operand)
        case "Div", 1 if np.all(np.abs(operand) >= np.finfo(np.float32).tiny):
            return Affine(1 / operand, zero)
        case _:
            return None


def _data_input(node: ir.Node) -> int:
    first = node.inputs[0] if node.inputs and node.op_type != "BatchNormalization" else None
    return 0 if facts.constant(first) is None else 1


def _per_channel(array: NDArray[np.floating], channels: int, rank: int) -> NDArray[np.float64] | None:
    """A broadcast operand as (C,), None where it varies along another axis."""
    if array.ndim > rank:
        return None
    if array.size == 1:
        return np.full(channels, float(array.reshape(())), np.float64)
    aligned = (1,) * (rank - array.ndim) + array.shape
    if aligned[1] != channels or array.size != channels:
        return None
    return array.reshape(channels).astype(np.float64)


def _absorbs(node: ir.Node) -> bool:
    """A linear op with constant weights and bias."""
    if node.op_type not in LINEAR or facts.constant(node.inputs[1]) is None:
        return False
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return bias is None or ((array := facts.constant(bias)) is not None and array.ndim == 1)


def _reaches_all(consumer: ir.Node, affine: Affine, node: ir.Node) -> bool:
    """True where every product of the consumer sees the affine map: it reads it as data, and pads do not dilute it."""
    if consumer.inputs[0] is not node.outputs[0] or consumer.op_type == "ConvTranspose":
        return False
    padded = any(facts.attribute(consumer, "pads", ())) or facts.attribute(consumer, "auto_pad", "NOTSET") != "NOTSET"
    return not padded or not np.any(affine.shift)


def _output_axis(node: ir.Node) -> int:
    """The axis of the weights that output channels lie along (of a ConvTranspose's: within a group)."""
    match node.op_type:
        case "ConvTranspose":
            return 1
        case "Gemm":
            return 0 if facts.attribute(node, "transB", 0) else 1
        case _:
            return 0


def _fold_after(graph: ir.Model, linear: ir.Node, affine: Affine, node: ir.Node) -> None:
    weight = facts.constant(linear.inputs[1])
    assert weight is not None
    groups = facts.attribute(linear, "group", 1)
    if linear.op_type == "ConvTranspose" and groups > 1:
        # (I, O/group, ...): the input channels of a group lie together along axis 0.
        blocks = weight.reshape(groups, -1, *weight.shape[1:])
        scaled = blocks * affine.scale.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
        scaled = scaled.reshape(weight.shape)
    else:
        scaled = weight * _along(affine.scale, _output_axis(linear), weight.ndim)
    _set(graph, linear, scaled, _bias(linear, affine.scale.size) * affine.scale + affine.shift)
    linear.metadata_props.update({k: v for k, v in node.metadata_props.items() if k not in linear.metadata_props})
    edit.bypass(graph, node, _data_input(node))


def _fold_before(graph: ir.Model, linear: ir.Node, affine: Affine, node: ir.Node, x: ir.Value) -> None:
    weight = facts.constant(linear.inputs[1])
    assert weight is not None
    if linear.op_type == "Gemm":
        axis = 1 - _output_axis(linear)
        outputs = weight.shape[1 - axis]
        shift = np.tensordot(weight, affine.shift, ([axis], [0]))
        scaled = weight * _along(affine.scale, axis, weight.ndim)
    else:
        groups, outputs = facts.attribute(linear, "group", 1), weight.shape[0]
        # Output channel o of group g reads the input channels of group g alone.
        per_output = [np.repeat(a.reshape(groups, -1), outputs // groups, axis=0) for a in (affine.scale, affine.shift)]
        scale, offset = (a.reshape(*a.shape, *[1] * (weight.ndim - 2)) for a in per_output)
        shift = (weight * offset).reshape(outputs, -1).sum(axis=1)
        scaled = weight * scale
    _set(graph, linear, scaled, _bias(linear, outputs) + shift)
    linear.replace_input_with(0, x)
    graph.graph.remove(node, safe=True)


def _bias(linear: ir.Node, channels: int) -> NDArray[np.float64]:
    bias = facts.constant(linear.inputs[2]) if len(linear.inputs) > 2 else None
    return np.zeros(channels) if bias is None else np.broadcast_to(bias.astype(np.float64), (channels,))


def _set(graph: ir.Model, linear: ir.Node, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    """New weights, in values of their own: the old ones may be shared."""
    old = linear.inputs[1]
    assert old is not None
    linear.replace_input_with(1, edit.add_constant(graph, f"{old.name}", edit.float_tensor(weight)))
    new_bias = edit.add_constant(graph, f"{old.name}_bias", edit.float_tensor(bias))
    if len(linear.inputs) < 3:
        linear.resize_inputs(3)
    linear.replace_input_with(2, new_bias)


def _split(graph: ir.Model, node: ir.Node, affine: Affine, x: ir.Value) -> None:
    """A batch norm that no linear op can take becomes Mul and Add, which every format has."""
    shape = (-1, *[1] * (len(facts.shape(x)) - 2))
    scale = edit.add_constant(graph, f"{node.name}_scale", edit.float_tensor(affine.scale.reshape(shape)))
    shift = edit.add_constant(graph, f"{node.name}_shift", edit.float_tensor(affine.shift.reshape(shape)))
    product = edit.new_node(node, "Mul", [x, scale])
    product.name, product.outputs[0].name = f"{node.name}_mul", f"{node.outputs[0].name}_mul"
    edit.replace(graph, node, [product, edit.new_node(node, "Add", [product.outputs[0], shift])])


def _along(array: NDArray[np.float64], axis: int, ndim: int) -> NDArray[np.float64]:
    shape = [1] * ndim
    shape[axis] = -1
    return array.reshape(shape)
