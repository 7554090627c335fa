"""GELU in its tanh form, in whatever order it was written out.

    0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))  =  Gelu(x, approximate="tanh")

The terms may stand in any order and grouping, so they are not matched but evaluated: what a cube of x, a tanh and the
products behind it compute of x alone is compared with the formula.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts

POINTS = np.linspace(-6.0, 6.0, 97)
EXPECTED = 0.5 * POINTS * (1 + np.tanh(math.sqrt(2 / math.pi) * (POINTS + 0.044715 * POINTS**3)))
TOLERANCE = 1e-5  # constants are written with six digits
DEEPEST = 12  # ops from the result up to x


def fuse_tanh_gelu(graph: ir.Model) -> ir.Model:
    graph = graph.clone()
    for node in list(graph.graph):
        if node.op_type == "Tanh" and facts.is_float(node.outputs[0]):
            _fuse(graph, node)
    edit.drop_unused(graph)
    return graph


def _fuse(graph: ir.Model, tanh: ir.Node) -> None:
    for x in _cubed(tanh.inputs[0], DEEPEST):
        for last in _behind(tanh):
            found = _evaluated(last.outputs[0], x, DEEPEST)
            same = x.shape is not None and x.shape == last.outputs[0].shape  # a number of higher rank would add to it
            if same and found is not None and np.allclose(found, EXPECTED, rtol=0, atol=TOLERANCE):
                edit.replace(graph, last, [edit.new_node(last, "Gelu", [x], {"approximate": "tanh"})])
                return


def _cubed(value: ir.Value | None, depth: int) -> Iterator[ir.Value]:
    """The values above that are raised to a power or multiplied with themselves."""
    node = value.producer() if value is not None else None
    if node is None or not depth or node.op_type not in ("Pow", "Mul", "Add", "Div"):
        return
    first, second = node.inputs[:2]
    if first is not None and (node.op_type == "Pow" or (node.op_type == "Mul" and first is second)):
        yield first
        return
    for above in node.inputs:
        yield from _cubed(above, depth - 1)


def _behind(tanh: ir.Node) -> Iterator[ir.Node]:
    """1 + tanh, and the products behind it, each the only reader of the one before."""
    node: ir.Node | None = facts.only_consumer(tanh.outputs[0])
    while node is not None and node.op_type in ("Add", "Mul", "Div"):
        yield node
        node = facts.only_consumer(node.outputs[0])


def _evaluated(value: ir.Value | None, x: ir.Value, depth: int) -> NDArray[np.float64] | None:
    """What the value is where x is POINTS; None where it depends on anything else."""
    if value is x:
        return POINTS
    if (number := facts.scalar(value)) is not None:
        return np.full(POINTS.shape, number)
    node = value.producer() if value is not None else None
    if node is None or not depth:
        return None
    operands = [_evaluated(above, x, depth - 1) for above in node.inputs]
    match node.op_type, operands:
        case "Tanh", [a] if a is not None:
            return np.tanh(a)
        case "Pow", [a, b] if a is not None and b is not None and np.all(b == np.rint(b)):
            return np.power(a, b)
        case "Mul", [a, b] if a is not None and b is not None:
            return a * b
        case "Add", [a, b] if a is not None and b is not None:
            return a + b
        case "Div", [a, b] if a is not None and b is not None and np.all(b):
            return a / b
        case _:
            return None
