"""Clamps one behind the other are one: Relu, Clip, and Min or Max with a number.

    clamp(clamp(x, a, b), m, n)  =  clamp(x, clamp(a, m, n), clamp(b, m, n))        whether they overlap or not

onnxscript ships rules for these, but takes the tighter of each pair of bounds, which may then lie past each other.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgekit.graph import edit, facts

Bounds = tuple[float, float]


def merge_clamps(graph: ir.Model) -> None:
    """In place."""
    for node in list(graph.graph):
        x, ours = _clamped(node), _bounds(node)
        first = x.producer() if x is not None else None
        if x is None or ours is None or first is None or facts.only_consumer(x) is not node:
            continue
        source, theirs = _clamped(first), _bounds(first)
        if source is None or theirs is None:
            continue
        low, high = _clamp(min(theirs), ours), _clamp(theirs[1], ours)
        inputs = [source, *_constants(graph, node, low, high)]
        edit.replace(graph, node, [edit.new_node(node, "Clip", inputs)])
        graph.graph.remove(first, safe=True)


def _clamped(node: ir.Node) -> ir.Value | None:
    """What a clamp clamps, None where the node does more than that."""
    if not node.inputs or node.inputs[0] is None or not facts.is_float(node.inputs[0]):
        return None
    match node.op_type:
        case "Relu" | "Clip":
            return node.inputs[0]
        case "Min" | "Max":
            values = [value for value in node.inputs if facts.scalar(value) is None]
            x = values[0] if len(values) == 1 else None
            alike = x is not None and x.shape is not None and x.shape == node.outputs[0].shape
            return x if alike else None
        case _:
            return None


def _bounds(node: ir.Node) -> Bounds | None:
    """(low, high), None where one is computed."""
    match node.op_type:
        case "Relu":
            return 0.0, math.inf
        case "Clip":
            low, high = [*node.inputs[1:], None, None][:2]
            numbers = (
                -math.inf if low is None else facts.scalar(low),
                math.inf if high is None else facts.scalar(high),
            )
            return None if numbers[0] is None or numbers[1] is None else (numbers[0], numbers[1])
        case "Min":
            return -math.inf, min(_numbers(node), default=math.inf)
        case "Max":
            return max(_numbers(node), default=-math.inf), math.inf
        case _:
            return None


def _numbers(node: ir.Node) -> list[float]:
    return [number for number in map(facts.scalar, node.inputs) if number is not None]


def _clamp(number: float, bounds: Bounds) -> float:
    """As ONNX has it: the upper bound wins."""
    return min(max(number, bounds[0]), bounds[1])


def _constants(graph: ir.Model, node: ir.Node, low: float, high: float) -> list[ir.Value | None]:
    """The bounds as a Clip's inputs."""
    made = [
        None if bound == none else edit.add_constant(graph, f"{node.name}_{name}", np.asarray(bound, np.float32))
        for name, bound, none in (("low", low, -math.inf), ("high", high, math.inf))
    ]
    return made if made[1] is not None else made[:1]
