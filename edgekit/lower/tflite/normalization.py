"""Normalizations that could not be folded into a neighbour, in float32.

batch:     y = x * a + (b - mean * a)                with a = scale / sqrt(variance + epsilon), constants
layer:     y = (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + b    over the last axes
instance:  the same over the spatial axes            group: over them and the channels of a group
RMS:       y = x / sqrt(mean(x^2) + epsilon) * scale
Lp:        y = x / |x|_p, 0 where the norm is 0
local response:  y = x / (bias + alpha / size * sum of x^2 over `size` channels) ^ beta
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.ops import Node, Tensor, Value
from edgekit.lower.tflite.terms import chosen, reduced, term


@dataclass(frozen=True)
class Normal:
    """value: x with mean 0 and variance 1; mean, inverse: what was taken away and multiplied by."""

    value: Tensor
    mean: Tensor
    inverse: Tensor


def normal(draft: Draft, x: Tensor, axes: Sequence[int], epsilon: float, into: Tensor | None = None) -> Normal:
    mean = reduced(draft, "MEAN", x, axes)
    centred = term(draft, "SUB", x, mean)
    variance = reduced(draft, "MEAN", term(draft, "MUL", centred, centred), axes)
    inverse = term(draft, "RSQRT", term(draft, "ADD", variance, epsilon))
    return Normal(term(draft, "MUL", centred, inverse, into=into), mean, inverse)


def batch_normalization(draft: Draft, node: Node) -> None:
    parameters = [node.constant(index) for index in range(1, 5)]
    if any(p is None for p in parameters) or len(node.outputs) > 1:
        raise refuse.no_form(node, "its statistics are not constants", "export the model in evaluation mode")
    scale, bias, mean, variance = (np.asarray(p, np.float64) for p in parameters)
    factor = scale / np.sqrt(variance + _epsilon(node))
    factors, offsets = (_per_channel(draft, node, c) for c in (factor, bias - mean * factor))
    scaled = term(draft, "MUL", draft.input(node, 0), factors)
    term(draft, "ADD", scaled, offsets, into=draft.output(node.output))


def layer_normalization(draft: Draft, node: Node) -> None:
    rank, order = node.input(0).rank, draft.order(node)
    first = int(node.attributes.get("axis", -1)) % rank
    axes = [place for place, axis in enumerate(order) if axis >= first]
    found = normal(draft, draft.input(node, 0), axes, _epsilon(node))
    for value, tensor in zip(node.outputs[1:], (found.mean, found.inverse), strict=False):
        draft.reshape(tensor, draft.output(value).shape, draft.output(value))
    scaled_and_shifted(draft, node, found.value)


def scaled_and_shifted(draft: Draft, node: Node, unit: Tensor) -> None:
    """unit * scale + bias: the inputs 1 and 2, which stand along the last axes."""
    rank, order, result = node.input(0).rank, draft.order(node), draft.output(node.output)
    scale, bias = node.input(1), node.optional(2)
    scale_tensor = draft.broadcastable(_widened(scale, rank), order)
    if bias is None:
        term(draft, "MUL", unit, scale_tensor, into=result)
        return
    scaled = term(draft, "MUL", unit, scale_tensor)
    term(draft, "ADD", scaled, draft.broadcastable(_widened(bias, rank), order), into=result)


def rms_normalization(draft: Draft, node: Node) -> None:
    rank, order, x = node.input(0).rank, draft.order(node), draft.input(node, 0)
    first = int(node.attributes.get("axis", -1)) % rank
    axes = [place for place, axis in enumerate(order) if axis >= first]
    square = reduced(draft, "MEAN", term(draft, "MUL", x, x), axes)
    inverse = term(draft, "RSQRT", term(draft, "ADD", square, _epsilon(node)))
    scaled_and_shifted(draft, node, term(draft, "MUL", x, inverse))


def instance_normalization(draft: Draft, node: Node) -> None:
    order = draft.order(node)
    axes = [place for place, axis in enumerate(order) if axis > 1]
    found = normal(draft, draft.input(node, 0), axes, _epsilon(node))
    _scale_channels(draft, node, found.value)


def group_normalization(draft: Draft, node: Node) -> None:
    """The channels, wherever they stand, are seen as groups of channels."""
    order, x = draft.order(node), draft.input(node, 0)
    place, groups = order.index(1), int(node.attributes["num_groups"])
    apart = [math.prod(x.shape[1:place]), groups, x.shape[place] // groups, math.prod(x.shape[place + 1 :])]
    found = normal(draft, draft.reshape(x, (x.shape[0], *apart)), (1, 3, 4), _epsilon(node))
    _scale_channels(draft, node, draft.reshape(found.value, x.shape))


def _scale_channels(draft: Draft, node: Node, unit: Tensor) -> None:
    scale, bias = (_channels(draft, node, index) for index in (1, 2))
    term(draft, "ADD", term(draft, "MUL", unit, scale), bias, into=draft.output(node.output))


def _channels(draft: Draft, node: Node, index: int) -> Tensor:
    numbers = node.constant(index)
    if numbers is not None:
        return _per_channel(draft, node, numbers)
    order, computed = draft.order(node), draft.input(node, index)
    if computed.shape[0] != node.input(0).shape[1]:
        raise refuse.computed(node, "scale or bias per group")
    return draft.reshape(computed, [computed.shape[0] if axis == 1 else 1 for axis in order])


def mean_variance_normalization(draft: Draft, node: Node) -> None:
    """(x - mean) / (deviation + 1e-9)"""
    order, x = draft.order(node), draft.input(node, 0)
    axes = [order.index(axis % len(order)) for axis in node.ints("axes", (0, 2, 3))]
    centred = term(draft, "SUB", x, reduced(draft, "MEAN", x, axes))
    deviation = term(draft, "SQRT", reduced(draft, "MEAN", term(draft, "MUL", centred, centred), axes))
    term(draft, "DIV", centred, term(draft, "ADD", deviation, 1e-9), into=draft.output(node.output))


def lp_normalization(draft: Draft, node: Node) -> None:
    order, x = draft.order(node), draft.input(node, 0)
    axes = [order.index(int(node.attributes.get("axis", -1)) % len(order))]
    if int(node.attributes.get("p", 2)) == 1:
        norm = reduced(draft, "SUM", term(draft, "ABS", x), axes)
    else:
        norm = term(draft, "SQRT", reduced(draft, "SUM", term(draft, "MUL", x, x), axes))
    divisor = chosen(draft, term(draft, "EQUAL", norm, 0.0), 1.0, norm, norm)
    term(draft, "DIV", x, divisor, into=draft.output(node.output))


def local_response_normalization(draft: Draft, node: Node) -> None:
    x, size = draft.input(node, 0), int(node.attributes["size"])
    if len(x.shape) != 4 or size % 2 == 0:
        why = f"TFLite normalizes images over an odd number of channels, here {size} of rank {len(x.shape)}"
        raise refuse.no_form(node, why, "use an odd size")
    options = schema.LocalResponseNormalizationOptionsT(
        radius=size // 2,
        bias=float(node.attributes.get("bias", 1.0)),
        alpha=float(node.attributes.get("alpha", 1e-4)) / size,
        beta=float(node.attributes.get("beta", 0.75)),
    )
    draft.emit("LOCAL_RESPONSE_NORMALIZATION", (x,), draft.output(node.output), options)


def _epsilon(node: Node) -> float:
    return float(node.attributes.get("epsilon", 1e-5))


def _per_channel(draft: Draft, node: Node, numbers: np.ndarray) -> Tensor:
    """One number per channel (of a group normalization before opset 21: per group), along the axis of the channels."""
    order, channels = draft.order(node), node.input(0).shape[1]
    repeated = np.repeat(np.asarray(numbers, np.float32).reshape(-1), channels // numbers.size)
    shape = (1, channels) + (1,) * (node.input(0).rank - 2)
    return draft.constant(repeated.reshape(shape).transpose(order), f"{node.output.name}_per_channel")


def _widened(value: Value, rank: int) -> Value:
    """A constant with leading axes of size 1."""
    if value.data is None:
        return value
    shape = (1,) * (rank - value.rank) + value.shape
    return replace(value, shape=shape, data=value.data.reshape(shape))
