"""Norms, pools and reductions: channels pass where each is normalized or summed up by itself."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.graph import facts
from edgekit.prune.flow import Channels, Flow, resting_at_zero, still
from edgekit.prune.labels import Reals

MIXES = "takes its mean over the channels"


def batch_norm(flow: Flow, node: ir.Node) -> None:
    _per_channel(flow, node, factors=(1, 2), others=(3, 4))


def instance_norm(flow: Flow, node: ir.Node) -> None:
    _per_channel(flow, node, factors=(1, 2), others=())


def _per_channel(flow: Flow, node: ir.Node, *, factors: tuple[int, ...], others: tuple[int, ...]) -> None:
    came = flow.of(node.inputs[0])
    if came is None:
        return None
    if came.axis != 1 or any(facts.constant(node.inputs[i]) is None for i in (*factors, *others)):
        return flow.stay(node, "is not one number per channel")
    for position in (*factors, *others):
        makes = position in factors
        flow.slice(node, position, 0, came.labels, makes=makes, weighs=position == factors[0])
    return flow.give(node.outputs[0], resting_at_zero(1, came.labels))


def group_norm(flow: Flow, node: ir.Node) -> None:
    """A group stays or goes as a whole."""
    came, groups = flow.of(node.inputs[0]), facts.attribute(node, "num_groups")
    if came is None:
        return None
    if came.axis != 1 or any(facts.constant(node.inputs[i]) is None for i in (1, 2)):
        return flow.stay(node, "is not one number per channel")
    of_group = came.labels.reshape(groups, -1)
    for together in of_group:
        flow.labels.join_all(together)
    flow.count(node, of_group[:, 0], attribute="num_groups")
    for position in (1, 2):  # one per channel since opset 21, one per group before
        size = facts.static_shape(node.inputs[position] or node.outputs[0])[0]
        labels = came.labels if size == len(came.labels) else of_group[:, 0]
        flow.slice(node, position, 0, labels, makes=True, weighs=position == 1)
    return flow.give(node.outputs[0], resting_at_zero(1, came.labels))


def last_axes_norm(flow: Flow, node: ir.Node) -> None:
    """Over an axis and those behind it."""
    came = flow.of(node.inputs[0])
    if came is None:
        return None
    rank = len(facts.shape(node.outputs[0]))
    if came.axis >= facts.attribute(node, "axis", -1) % rank:
        flow.stay(node, MIXES)  # and so do those that it gives
    return flow.give(node.outputs[0], came.resting(np.full(len(came.labels), np.nan)))


def along_axis(flow: Flow, node: ir.Node) -> None:
    """Softmax and the like."""
    came = flow.of(node.inputs[0])
    if came is None:
        return None
    if came.axis == facts.attribute(node, "axis", -1) % len(facts.shape(node.outputs[0])):
        flow.stay(node, "is taken over the channels")
    return flow.give(node.outputs[0], came.resting(np.full(len(came.labels), np.nan)))


def running_sum(flow: Flow, node: ir.Node) -> None:
    came, axis = flow.of(node.inputs[0]), facts.scalar(node.inputs[1])
    if came is None:
        return None
    if axis is None or came.axis == int(axis) % len(facts.shape(node.outputs[0])):
        return flow.stay(node, "sums over the channels")
    return flow.give(node.outputs[0], came.resting(still(came.rest)))


def pool(flow: Flow, node: ir.Node) -> None:
    came = flow.of(node.inputs[0])
    if came is None:
        return None
    if came.axis > 1 or any(value.uses() for value in node.outputs[1:]):
        return flow.stay(node, "mixes them, or gives positions among them")
    return flow.give(node.outputs[0], came.resting(_pooled(node, came.rest)))


def _pooled(node: ir.Node, rest: Reals) -> Reals:
    padded = any(facts.attribute(node, "pads", ())) or facts.attribute(node, "auto_pad", "NOTSET") != "NOTSET"
    counted = padded and bool(facts.attribute(node, "count_include_pad", 0))
    keeps = node.op_type in ("MaxPool", "GlobalMaxPool", "GlobalAveragePool")
    return rest if keeps or (node.op_type == "AveragePool" and not counted) else still(rest)


KEEP_EQUALS = frozenset({"ReduceMean", "ReduceMax", "ReduceMin"})


def reduction(flow: Flow, node: ir.Node) -> None:
    """Over other axes than the channels'."""
    x = node.inputs[0]
    came = flow.of(x)
    if came is None or x is None:
        return None
    axes = _axes(node, len(facts.shape(x)))
    if axes is None:
        return flow.stay(node, "reduces axes that are computed, not constant")
    if came.axis in axes:
        return flow.stay(node, "reduces the channels to one")
    kept = facts.attribute(node, "keepdims", 1)
    axis = came.axis if kept else came.axis - sum(i < came.axis for i in axes)
    unchanged = node.op_type in KEEP_EQUALS or not axes
    rest = came.rest if unchanged else still(came.rest) if keeps_zero(node) else np.full(len(came.labels), np.nan)
    return flow.give(node.outputs[0], Channels(axis, came.labels, rest))


def keeps_zero(node: ir.Node) -> bool:
    return node.op_type in ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd")


def _axes(node: ir.Node, rank: int) -> tuple[int, ...] | None:
    """Those of an input, or of the attribute of older opsets; none given means all, but for noop_with_empty_axes."""
    axes = facts.attribute(node, "axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        array = facts.constant(node.inputs[1])
        if array is None:
            return None
        axes = tuple(array.reshape(-1).tolist())
    if not axes:
        return () if facts.attribute(node, "noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(int(axis) % rank for axis in axes)
