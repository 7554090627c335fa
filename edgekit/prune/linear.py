"""Layers with weights: where channels are made, and where they are read.

A convolution in groups keeps or loses a whole group, with its inputs and its outputs, so that the groups that stay are
as large as they were; of a depthwise one a group is a channel.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgekit.graph import cost, facts, source
from edgekit.prune.flow import Channels, Flow, resting_at_zero, still
from edgekit.prune.labels import Ids

COMPUTED = "has weights that are computed, not constant"


def conv(flow: Flow, node: ir.Node) -> None:
    _convolution(flow, node, inputs=1, outputs=0)


def conv_transpose(flow: Flow, node: ir.Node) -> None:
    _convolution(flow, node, inputs=0, outputs=1)


def _convolution(flow: Flow, node: ir.Node, *, inputs: int, outputs: int) -> None:
    """inputs, outputs: axes of the weights."""
    x, weight = node.inputs[0], node.inputs[1]
    came = flow.of(x)
    if not all(facts.constant(value) is not None for value in node.inputs[1:] if value is not None):
        return flow.stay(node, COMPUTED)
    if came is not None and came.axis != 1:
        flow.stay(node, "mixes them", x)
        came = None
    assert weight is not None
    groups = facts.attribute(node, "group", 1)
    if groups > 1:
        made = _in_groups(flow, node, came, groups)
        flow.works(node, cost.macs(node), made)
    else:
        flow.reads(node, 1, inputs, came)
        if came is not None:
            flow.takes_over(node, came, padded=node.op_type == "ConvTranspose" or _pads(node))
        made = flow.makes(node, 1, outputs)
        flow.works(node, cost.macs(node), made, *([came.labels] if came is not None else []))
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        flow.slice(node, 2, 0, made, makes=True)
    return flow.give(node.outputs[0], resting_at_zero(1, made))


def _in_groups(flow: Flow, node: ir.Node, came: Channels | None, groups: int) -> Ids:
    """A convolution's weights have its outputs first, a transposed one's its inputs; both by group."""
    channels = facts.shape(node.outputs[0])[1]
    assert channels is not None and node.inputs[0] is not None
    if came is None:
        labels = flow.born(node, channels)
        flow.labels.fix(labels, f"its groups read '{node.inputs[0].name}', which keeps its channels")
        return labels
    of_group = came.labels.reshape(groups, -1)
    for together in of_group:
        flow.labels.join_all(together)
    labels = np.repeat(of_group[:, 0], channels // groups)
    flow.count(node, of_group[:, 0], attribute="group")
    return flow.makes(node, 1, 0, labels) if node.op_type == "Conv" else _made_by(flow, node, came.labels, labels)


def _made_by(flow: Flow, node: ir.Node, inputs: Ids, outputs: Ids) -> Ids:
    flow.makes(node, 1, 0, inputs)
    return outputs


def _pads(node: ir.Node) -> bool:
    automatic = facts.attribute(node, "auto_pad", "NOTSET")
    return any(facts.attribute(node, "pads", ())) or automatic in ("SAME_UPPER", "SAME_LOWER")


def gemm(flow: Flow, node: ir.Node) -> None:
    a, b = node.inputs[0], node.inputs[1]
    came = flow.of(a)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if facts.constant(b) is None or (bias is not None and facts.constant(bias) is None):
        return flow.stay(node, COMPUTED)
    if facts.attribute(node, "transA", 0) or (came is not None and came.axis != 1):
        flow.stay(node, "reads them along another axis", a)
        came = None
    inputs = 1 if facts.attribute(node, "transB", 0) else 0
    flow.reads(node, 1, inputs, came)
    if came is not None:
        flow.takes_over(node, came, padded=False)
    made = flow.makes(node, 1, 1 - inputs)
    flow.works(node, cost.macs(node), made, *([came.labels] if came is not None else []))
    given = resting_at_zero(1, made)
    if bias is not None:
        shape = facts.static_shape(bias)
        if shape and shape[-1] == len(made):
            flow.slice(node, 2, len(shape) - 1, made, makes=True)
        else:  # one number for all
            number = facts.scalar(bias)
            assert number is not None
            given = given.resting(np.full(len(made), number * facts.attribute(node, "beta", 1.0)))
    return flow.give(node.outputs[0], given)


def matmul(flow: Flow, node: ir.Node) -> None:
    a, b = node.inputs
    assert a is not None and b is not None
    if min(len(facts.shape(a)), len(facts.shape(b))) < 2:
        return flow.stay(node, "multiplies with a vector")
    for position, weight in ((1, b), (0, a)):
        if facts.constant(weight) is not None:
            return _with_weights(flow, node, position)
    return _product(flow, node, a, b)


def _with_weights(flow: Flow, node: ir.Node, position: int) -> None:
    """position: of the constant."""
    x, weight = node.inputs[1 - position], node.inputs[position]
    assert x is not None and weight is not None
    came, rank, out = flow.of(x), len(facts.shape(x)), node.outputs[0]
    shape = facts.static_shape(weight)
    read, made_along = (0, 1) if position == 1 else (1, 0)  # axes of the weight
    contracted, kept = (rank - 1, rank - 1) if position == 1 else (rank - 2, rank - 2)
    if len(shape) > 2 and math.prod(shape[:-2]) > 1:
        return _with_stack(flow, node, position)
    if came is not None and came.axis != contracted and flow.may_go(came):  # rows, heads: they pass
        flow.works(node, cost.macs(node), came.labels)
        return flow.give(out, came.at(came.axis + len(facts.shape(out)) - rank).resting(still(came.rest)))
    came = came if came is not None and came.axis == contracted else None
    lead = len(shape) - 2
    flow.reads(node, position, lead + read, came)
    if came is not None:
        flow.takes_over(node, came, padded=False)
    made = flow.makes(node, position, lead + made_along)
    flow.works(node, cost.macs(node), made, *([came.labels] if came is not None else []))
    return flow.give(out, resting_at_zero(kept + len(facts.shape(out)) - rank, made))


def _with_stack(flow: Flow, node: ir.Node, position: int) -> None:
    """Weights for each head or the like: cut with the heads, where it is these that are labelled."""
    x, weight = node.inputs[1 - position], node.inputs[position]
    assert x is not None and weight is not None
    came, shape = flow.of(x), facts.static_shape(weight)
    if came is None:
        return None
    axis = came.axis - len(facts.shape(x)) + len(shape)
    if came.axis >= len(facts.shape(x)) - 2 or axis < 0 or shape[axis] != len(came.labels):
        return flow.stay(node, "has weights of more than two axes", x)
    flow.slice(node, position, axis, came.labels)
    flow.works(node, cost.macs(node), came.labels)
    out = node.outputs[0]
    return flow.give(out, came.at(came.axis + len(facts.shape(out)) - len(facts.shape(x))).resting(still(came.rest)))


def _product(flow: Flow, node: ir.Node, a: ir.Value, b: ir.Value) -> None:
    """Both are computed: attention. Heads pass, and what is summed over is cut on both sides."""
    first, second, out = flow.of(a), flow.of(b), node.outputs[0]
    rank = len(facts.shape(out))
    at = [
        None if came is None else came.axis + rank - len(facts.shape(value))
        for came, value in ((first, a), (second, b))
    ]
    if first is not None and second is not None and at[0] == at[1] and at[0] is not None and at[0] < rank - 2:
        return _heads(flow, node, first, second, at[0])
    summed = (first is not None and at[0] == rank - 1, second is not None and at[1] == rank - 2)
    if all(summed):
        assert first is not None and second is not None
        flow.labels.join(first.labels, second.labels)
        raised = (first.rest != 0.0) & (second.rest != 0.0)
        flow.labels.fix(first.labels[raised], f"{source.describe(node)} sums over what does not rest at 0")
        return flow.works(node, cost.macs(node), first.labels)
    for value, is_summed in ((a, summed[0]), (b, summed[1])):
        if is_summed:
            flow.stay(node, "multiplies them with values that keep their channels", value)
    came, axis = (second, at[1]) if second is not None and not summed[1] else (None, None)
    if came is None and first is not None and not summed[0]:
        came, axis = first, at[0]
    elif first is not None and not summed[0]:
        flow.stay(node, "has channels along two axes", a)
    if came is None or axis is None:
        return None
    if axis < rank - 2 and len(came.labels) == facts.shape(out)[axis]:  # heads of one side only
        other = b if came is first else a
        size = facts.static_shape(other)[axis - rank] if len(facts.shape(other)) >= rank - axis else 1
        if size != 1:
            return flow.stay(node, f"joins them with '{other.name}', which keeps its channels")
    flow.works(node, cost.macs(node), came.labels)
    return flow.give(out, came.at(axis).resting(still(came.rest)))


def _heads(flow: Flow, node: ir.Node, first: Channels, second: Channels, axis: int) -> None:
    if len(first.labels) != len(second.labels):  # one head that all share
        return flow.stay(node, "spreads one channel over many")
    flow.labels.join(first.labels, second.labels)
    rest = np.where((first.rest == 0.0) | (second.rest == 0.0), 0.0, np.nan)
    flow.works(node, cost.macs(node), first.labels)
    return flow.give(node.outputs[0], Channels(axis, first.labels, rest))


def recurrent(flow: Flow, node: ir.Node) -> None:
    """Its inputs can be cut; its width cannot, since each state feeds every gate of the next step."""
    x = node.inputs[0]
    assert x is not None
    came = flow.of(x)
    weight, again = node.inputs[1], node.inputs[2]
    if facts.constant(weight) is None or facts.constant(again) is None:
        return flow.stay(node, COMPUTED)
    for value in node.inputs[3:]:
        flow.stay(node, "keeps its states", value)
    if came is not None and came.axis != 2:
        flow.stay(node, "reads them along another axis", x)
        came = None
    flow.reads(node, 1, 2, came)
    steps, batch = facts.static_shape(x)[:2]
    if came is not None:
        raised = came.rest != 0.0
        flow.labels.fix(came.labels[raised], f"{source.describe(node)} reads what does not rest at 0")
    assert weight is not None and again is not None
    flow.works(node, steps * batch * math.prod(facts.static_shape(weight)), *([came.labels] if came else []))
    flow.works(node, steps * batch * math.prod(facts.static_shape(again)))
    width = facts.attribute(node, "hidden_size")
    labels = flow.born(node, width)
    flow.labels.fix(labels, "each of its states feeds every gate of the next step")
    return None
