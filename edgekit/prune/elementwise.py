"""Ops that compute each element from its own: channels pass, and operands of as many channels join theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from edgekit.graph import facts
from edgekit.prune.flow import Channels, Flow
from edgekit.prune.labels import Ids, Reals
from edgekit.run.torch_view.ops import row_of

UNCLEAR = np.array(np.nan)


def same(flow: Flow, node: ir.Node) -> None:
    """One operand, and settings that are constant."""
    came = flow.of(node.inputs[0])
    if came is None:
        return None
    if any(value is not None and facts.constant(value) is None for value in node.inputs[1:]):
        return flow.stay(node, "has settings that are computed, not constant")
    return flow.give(node.outputs[0], came.resting(_applied(node, came.rest)))


def _applied(node: ir.Node, rest: Reals) -> Reals:
    """What the op makes of numbers, as the runtimes compute it; of no single number it makes none."""
    operands: list[Any] = [torch.tensor(rest, dtype=torch.float32)]
    for value in node.inputs[1:]:
        array = facts.constant(value)
        operands.append(None if array is None else torch.tensor(np.asarray(array)))
    with torch.no_grad():
        made = row_of(node)(*operands)
    assert isinstance(made, torch.Tensor)
    return np.where(np.isnan(rest), np.nan, made.to(torch.float64).numpy())


def add(*operands: Reals) -> Reals:
    return reduce(np.add, operands)


def multiply(*operands: Reals) -> Reals:
    """Zero times whatever is zero."""
    return np.where(reduce(np.logical_or, [x == 0.0 for x in operands]), 0.0, reduce(np.multiply, operands))


def divide(a: Reals, b: Reals) -> Reals:
    return np.where((a == 0.0) & (b != 0.0), 0.0, a / np.where(b == 0.0, np.nan, b))


def power(a: Reals, b: Reals) -> Reals:
    return np.where((a == 0.0) & (b > 0.0), 0.0, np.float_power(a, b))


def choose(which: Reals, a: Reals, b: Reals) -> Reals:
    return np.where(which == 1.0, a, np.where((which == 0.0) | (a == b), b, np.nan))


def told(of: Callable[..., Any]) -> Callable[..., Reals]:
    """Of a question about numbers: 1 for yes, 0 for no, NaN where one of them is not known."""

    def answered(*operands: Reals) -> Reals:
        known = reduce(np.logical_and, [~np.isnan(x) for x in operands])
        return np.where(known, of(*operands), np.nan)

    return answered


def slope(x: Reals, slopes: Reals) -> Reals:
    return np.where(x == 0.0, 0.0, np.where(x < 0, x * slopes, x))


def mean(*operands: Reals) -> Reals:
    return add(*operands) / len(operands)


RESTS: Mapping[str, Callable[..., Reals]] = {
    "Add": add,
    "Sub": np.subtract,
    "Sum": add,
    "Mean": mean,
    "Mul": multiply,
    "Div": divide,
    "Pow": power,
    "Min": lambda *operands: reduce(np.minimum, operands),
    "Max": lambda *operands: reduce(np.maximum, operands),
    "PRelu": slope,
    "Where": choose,
    "Greater": told(np.greater),
    "GreaterOrEqual": told(np.greater_equal),
    "Less": told(np.less),
    "LessOrEqual": told(np.less_equal),
    "Equal": told(np.equal),
    "And": told(np.logical_and),
    "Or": told(np.logical_or),
}
"""What comes of operands that rest, NaN being one that is no single number."""

ADDENDS = frozenset({"Add", "Sub", "Sum"})  # whose constants make channels, as biases do


def joined(flow: Flow, node: ir.Node) -> None:
    """Operands that are broadcast against each other."""
    out = node.outputs[0]
    rank = len(facts.shape(out))
    found: dict[int, Channels] = {}
    for position, value in enumerate(node.inputs):
        if (came := flow.of(value)) is None or value is None:
            continue
        axis = came.axis + rank - len(facts.shape(value))
        if facts.shape(out)[axis] != len(came.labels):
            flow.stay(node, "spreads one channel over many", value)
        else:
            found[position] = came.at(axis)
    found = _along_one_axis(flow, node, found)
    if not found:
        return
    axis, labels = next((came.axis, came.labels) for came in found.values())
    rests = []
    for position, value in enumerate(node.inputs):
        if position in found:
            flow.labels.join(labels, found[position].labels)
            rests.append(found[position].rest)
        elif value is not None:
            rests.append(_beside(flow, node, position, value, axis - rank, labels))
    with np.errstate(all="ignore"):
        rest = np.broadcast_to(RESTS[node.op_type](*rests), labels.shape)
    flow.give(out, Channels(axis, labels, np.asarray(rest, np.float64)))


def _along_one_axis(flow: Flow, node: ir.Node, found: dict[int, Channels]) -> dict[int, Channels]:
    """Those along the axis of the first that may be cut; the others stay."""
    axes = [came.axis for came in found.values() if flow.may_go(came)] + [came.axis for came in found.values()]
    for position, came in found.items():
        if came.axis != axes[0]:
            flow.stay(node, "has channels along two axes", node.inputs[position])
    return {position: came for position, came in found.items() if came.axis == axes[0]}


def _beside(flow: Flow, node: ir.Node, position: int, value: ir.Value, axis: int, labels: Ids) -> Reals:
    """What an operand rests at whose channels came from nowhere: a constant, which is cut, or one that cannot be.

    axis: of the channels, counted from the end.
    """
    shape, array = facts.static_shape(value), facts.constant(value)
    spreads = len(shape) < -axis or shape[axis] != len(labels)
    if array is None:
        if not spreads:
            flow.labels.fix(
                labels, f"{node.op_type} '{node.name}' joins it with '{value.name}', which keeps its channels"
            )
        return UNCLEAR
    if spreads:
        return _number(array)
    flow.slice(node, position, len(shape) + axis, labels, makes=node.op_type in ADDENDS)
    if node.op_type in ADDENDS:
        return np.zeros(len(labels))
    return np.array([_number(channel) for channel in np.moveaxis(array, axis, 0)])


def _number(array: np.ndarray[Any, Any]) -> Reals:
    """The one that all elements are, NaN where they differ."""
    return np.array(array.flat[0] if array.size and np.all(array == array.flat[0]) else np.nan, np.float64)
