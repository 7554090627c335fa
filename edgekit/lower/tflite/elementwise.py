"""Arithmetic and comparisons on operands that broadcast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite.draft import FUSED, Draft
from edgekit.lower.tflite.ops import Node, Tensor

ARITHMETIC: Mapping[str, tuple[str, Callable[[], Any]]] = {
    "Add": ("ADD", schema.AddOptionsT),
    "Sub": ("SUB", schema.SubOptionsT),
    "Mul": ("MUL", schema.MulOptionsT),
    "Div": ("DIV", schema.DivOptionsT),
}
PLAIN_BINARY: Mapping[str, tuple[str, Callable[[], Any]]] = {
    "Pow": ("POW", schema.PowOptionsT),
    "Equal": ("EQUAL", schema.EqualOptionsT),
    "Less": ("LESS", schema.LessOptionsT),
    "LessOrEqual": ("LESS_EQUAL", schema.LessEqualOptionsT),
    "Greater": ("GREATER", schema.GreaterOptionsT),
    "GreaterOrEqual": ("GREATER_EQUAL", schema.GreaterEqualOptionsT),
    "And": ("LOGICAL_AND", schema.LogicalAndOptionsT),
    "Or": ("LOGICAL_OR", schema.LogicalOrOptionsT),
    "Where": ("SELECT_V2", schema.SelectV2OptionsT),
}
EXTREMES: Mapping[str, str] = {"Min": "MINIMUM", "Max": "MAXIMUM"}


def arithmetic(draft: Draft, node: Node) -> None:
    code, make = ARITHMETIC[node.op]
    options = make()
    options.fusedActivationFunction = FUSED[node.activation]
    draft.emit(code, operands(draft, node), draft.output(node.output), options)


def binary(draft: Draft, node: Node) -> None:
    code, make = PLAIN_BINARY[node.op]
    draft.emit(code, operands(draft, node), draft.output(node.output), make())


def power(draft: Draft, node: Node) -> None:
    exponent = node.constant(1)
    if exponent is None or exponent.size != 1:
        binary(draft, node)
        return
    x, result = draft.input(node, 0), draft.output(node.output)
    match float(exponent.reshape(())):
        case 2.0:
            draft.emit("SQUARE", (x,), result, schema.SquareOptionsT())
        case 0.5:
            draft.emit("SQRT", (x,), result)
        case -0.5:
            draft.emit("RSQRT", (x,), result)
        case _:
            binary(draft, node)


def extremes(draft: Draft, node: Node) -> None:
    """Min and Max of any number of operands, two at a time."""
    first, *others = operands(draft, node)
    result = draft.output(node.output)
    for index, other in enumerate(others):
        last = index == len(others) - 1
        shape = np.broadcast_shapes(first.shape, other.shape)
        made = result if last else draft.temporary(result, f"of{index + 2}", shape)
        draft.emit(EXTREMES[node.op], (first, other), made, schema.MaximumMinimumOptionsT())
        first = made
    if not others:
        draft.reshape(first, result.shape, result)


def operands(draft: Draft, node: Node) -> list[Tensor]:
    """All operands with the rank and order of the result."""
    order = draft.layout.stored[node.output]
    return [draft.broadcastable(value, order) for value in node.inputs if value is not None]
