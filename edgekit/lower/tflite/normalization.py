"""Normalizations that could not be folded into a neighbour, in float32.

batch: y = x * a + (b - mean * a)                with a = scale / sqrt(variance + epsilon), constants
layer: y = (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + b    over the last axes
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.activation import scalar
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.ops import Node, Value


def batch_normalization(draft: Draft, node: Node) -> None:
    parameters = [node.constant(index) for index in range(1, 5)]
    if any(p is None for p in parameters) or len(node.outputs) > 1:
        raise refuse.no_form(node, "its statistics are not constants", "export the model in evaluation mode")
    scale, bias, mean, variance = (np.asarray(p, np.float64) for p in parameters)
    factor = scale / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))
    order, shape = draft.order(node), (1, -1) + (1,) * (node.input(0).rank - 2)
    factors, offsets = (
        draft.constant(np.asarray(c, np.float32).reshape(shape).transpose(order), f"{node.output.name}_{label}")
        for c, label in ((factor, "factor"), (bias - mean * factor, "offset"))
    )
    result = draft.output(node.output)
    scaled = draft.temporary(result, "scaled")
    draft.emit("MUL", (draft.input(node, 0), factors), scaled, schema.MulOptionsT())
    draft.emit("ADD", (scaled, offsets), result, schema.AddOptionsT())


def layer_normalization(draft: Draft, node: Node) -> None:
    rank, order = node.input(0).rank, draft.order(node)
    first = int(node.attributes.get("axis", -1)) % rank
    if len(node.outputs) > 1:
        raise refuse.no_form(node, "its statistics are asked for", "use only the first output")
    axes = draft.numbers(sorted(order.index(axis) for axis in range(first, rank)), "axes")
    x, result = draft.input(node, 0), draft.output(node.output)
    ones = tuple(1 if order[i] >= first else n for i, n in enumerate(x.shape))
    mean, variance, shifted, inverse = (
        draft.temporary(result, label, ones) for label in ("mean", "variance", "shifted", "inverse")
    )
    centred, squared, unit = (draft.temporary(result, label) for label in ("centred", "squared", "unit"))
    keep = schema.ReducerOptionsT(keepDims=True)
    epsilon = scalar(draft, float(node.attributes.get("epsilon", 1e-5)), None)
    draft.emit("MEAN", (x, axes), mean, keep)
    draft.emit("SUB", (x, mean), centred, schema.SubOptionsT())
    draft.emit("MUL", (centred, centred), squared, schema.MulOptionsT())
    draft.emit("MEAN", (squared, axes), variance, keep)
    draft.emit("ADD", (variance, epsilon), shifted, schema.AddOptionsT())
    draft.emit("RSQRT", (shifted,), inverse)
    draft.emit("MUL", (centred, inverse), unit, schema.MulOptionsT())
    scale, bias = node.input(1), node.optional(2)
    scaled = result if bias is None else draft.temporary(result, "scaled")
    draft.emit("MUL", (unit, draft.broadcastable(_widened(scale, rank), order)), scaled, schema.MulOptionsT())
    if bias is not None:
        draft.emit("ADD", (scaled, draft.broadcastable(_widened(bias, rank), order)), result, schema.AddOptionsT())


def _widened(value: Value, rank: int) -> Value:
    """A constant with leading axes of size 1."""
    if value.data is None:
        return value
    shape = (1,) * (rank - value.rank) + value.shape
    return replace(value, shape=shape, data=value.data.reshape(shape))
