"""Weights and biases as integers.

    w = s_w[c] * q_w            q_w in [-127, 127], one scale per output channel
    b = s_x * s_w[c] * q_b      q_b int32

Source: LiteRT 8-bit quantization specification, CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit import affine
from edgekit.graph import facts
from edgekit.quantize.assign import LINEAR, Plan, Scales, data_inputs
from edgekit.quantize.rounding import Rounding, rounded

Rule = Literal["minmax", "mse"]
"""minmax: the largest weight decides a channel's scale; mse: the scale with the smallest squared rounding error."""


@dataclass(frozen=True)
class WeightRule:
    """How constant weights become integers."""

    scale: Rule
    rounding: Rounding


@dataclass(frozen=True, eq=False)
class IntegerWeight:
    """Weights as integers, and what they stand for. bias: (O,) the real one that goes with them, None for the op's."""

    q: affine.IntArray
    qparams: affine.QParams
    bias: NDArray[np.float32] | None = None

    @property
    def real(self) -> NDArray[np.float32]:
        return affine.dequantize(self.q, self.qparams)


IntegerWeights = Mapping[str, IntegerWeight]
"""Node name -> its constant weights."""

SHRINKS = np.linspace(1.0, 0.6, 41)  # candidate shares of the scale that the largest weight asks for
RESIDENT = 1 << 15  # weights that one pass over SHRINKS takes: with what is computed from them they stay in the cache


def output_axis(node: ir.Node) -> int | None:
    """The axis of the constant weights that output channels lie along, None where one scale must serve them all."""
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose" if facts.attribute(node, "group", 1) == 1:
            return 1
        case "Gemm":
            return 0 if facts.attribute(node, "transB", 0) else 1
        case "MatMul" if len(facts.shape(_weight(node))) == 2:
            return 1
        case _:
            return None


def is_operand(node: ir.Node) -> bool:
    """True for a product of matrices whose constant one is more than two axes: kernels take two of one type there."""
    return node.op_type == "MatMul" and len(facts.shape(_weight(node))) != 2


def weight_qparams(
    weight: NDArray[np.float32],
    axis: int | None,
    bias: NDArray[np.float32] | None,
    input_scale: float,
    rule: Rule,
) -> affine.QParams:
    """Symmetric parameters of the weights, one scale per channel along `axis` (one in all where it is None).

    A channel with tiny weights and a large bias would need a bias beyond int32: its scale is widened until the bias
    fits. Its weights lose steps that the bias would have drowned anyway.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis) if axis is not None else None
    largest = np.abs(weight).max(axis=others).astype(np.float32)
    if rule == "mse":
        largest = largest * _best_shrink(weight, affine.symmetric(largest, axis))
    if bias is not None:
        room = np.abs(bias) / (input_scale * affine.BIAS_MAX) * affine.WEIGHT_MAX
        largest = np.maximum(largest, room if axis is not None else room.max()).astype(np.float32)
    # An all-zero channel has no scale of its own; the layer's keeps the requantization multiplier in range.
    typical = largest.max() if largest.max() > 0 else np.float32(1.0)
    return affine.symmetric(np.where(largest > 0, largest, typical), axis)


def _best_shrink(weight: NDArray[np.float32], widest: affine.QParams) -> NDArray[np.float32]:
    """Per channel, the share of the widest scale whose rounding and saturation lose least in squares."""
    one = widest.axis is None
    rows = weight.reshape(1, -1) if one else np.moveaxis(weight, widest.axis or 0, 0).reshape(widest.scale.size, -1)
    scales = widest.scale.reshape(-1, 1)
    count = max(1, RESIDENT // max(rows.shape[1], 1))
    best = [_best_of_rows(rows[i : i + count], scales[i : i + count]) for i in range(0, len(rows), count)]
    return SHRINKS[np.concatenate(best)].astype(np.float32).reshape(widest.scale.shape)


def _best_of_rows(rows: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.intp]:
    """(C,) which of SHRINKS serves each row best. rows: (C, N), few enough to stay in the cache over all of them."""
    errors = np.empty((len(SHRINKS), len(rows)), np.float32)
    lost = np.empty_like(rows)
    for error, shrink in zip(errors, SHRINKS.astype(np.float32), strict=True):
        scale = scales * shrink
        np.divide(rows, scale, out=lost)
        np.rint(lost, out=lost)
        np.clip(lost, -affine.WEIGHT_MAX, affine.WEIGHT_MAX, out=lost)
        np.multiply(lost, scale, out=lost)
        np.subtract(lost, rows, out=lost)
        np.square(lost, out=lost).sum(axis=1, out=error)
    best: NDArray[np.intp] = errors.argmin(axis=0)
    return best


def bias_qparams(weight: affine.QParams, input_scale: float, channels: int) -> affine.QParams:
    """The scale that the accumulator has, in float32 as the kernels multiply it."""
    scale = np.broadcast_to(np.float32(input_scale) * weight.scale, (channels,)).astype(np.float32)
    return affine.QParams(np.ascontiguousarray(scale), 0, np.dtype(np.int32), axis=0)


def round_weights(
    graph: ir.Model, plan: Plan, scales: Scales, rule: WeightRule, known: IntegerWeights | None = None
) -> IntegerWeights:
    """The constant weights of every linear op on integers.

    scales: of the activations; known: weights that are rounded already, kept where the biases fit them.
    """
    found: dict[str, IntegerWeight] = {}
    for node in graph.graph:
        if node.name not in plan.integer_nodes or node.op_type not in LINEAR:
            continue
        weight = facts.constant(node.inputs[1])
        if weight is None or (node.name in plan.int16_nodes and is_operand(node)):
            continue
        bias = facts.constant(node.inputs[2]) if len(node.inputs) > 2 else None
        (x,) = data_inputs(node)
        input_scale = float(scales[plan.group_read(node, x.name or "").name].scale)
        held = (known or {}).get(node.name or "")
        bias = bias if held is None or held.bias is None else held.bias
        if held is not None and (bias is None or _fits(bias, held.qparams, input_scale)):
            found[node.name or ""] = held
            continue
        axis = output_axis(node) if plan.scheme.per_channel else None
        qparams = weight_qparams(weight, axis, bias, input_scale, rule.scale)
        found[node.name or ""] = IntegerWeight(rounded(weight, qparams, rule.rounding), qparams)
    return found


def _fits(bias: NDArray[np.float32], qparams: affine.QParams, input_scale: float) -> bool:
    """Whether the bias stays well within int32; a hair above is the rounding of the scale that was made for it."""
    return bool(np.all(np.abs(bias) <= input_scale * qparams.scale * affine.BIAS_MAX * 1.001))


def _weight(node: ir.Node) -> ir.Value:
    value = node.inputs[1]
    assert value is not None
    return value
