"""Arithmetic on operands that broadcast.

fmod(a, b) = sign(a) * (|a| mod |b|)          FLOOR_MOD's own sign follows the divisor
a & b = (a + b - (a ^ b)) / 2     a | b = (a + b + (a ^ b)) / 2       on integers of up to 16 bits
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.draft import FUSED, Draft
from edgekit.lower.tflite.ops import Node, Tensor
from edgekit.lower.tflite.terms import cast, emit, term

ARITHMETIC: Mapping[str, tuple[str, Callable[[], Any]]] = {
    "Add": ("ADD", schema.AddOptionsT),
    "Sub": ("SUB", schema.SubOptionsT),
    "Mul": ("MUL", schema.MulOptionsT),
    "Div": ("DIV", schema.DivOptionsT),
}
EXTREMES: Mapping[str, str] = {"Min": "MINIMUM", "Max": "MAXIMUM"}
BITWISE = frozenset({"BitwiseAnd", "BitwiseOr", "BitwiseXor"})
INT32 = np.dtype(np.int32)


def arithmetic(draft: Draft, node: Node) -> None:
    code, make = ARITHMETIC[node.op]
    options = make()
    options.fusedActivationFunction = FUSED[node.activation]
    emit(draft, code, operands(draft, node), draft.output(node.output), options)


def power(draft: Draft, node: Node) -> None:
    base, exponent = operands(draft, node)
    result = draft.output(node.output)
    if base.dtype != exponent.dtype and exponent.dtype.kind == "f":
        raise refuse.no_form(node, f"POW has no real powers of {base.dtype}", "cast the base to float32")
    exponent = cast(draft, exponent, base.dtype)
    number = float(exponent.data.reshape(())) if exponent.data is not None and exponent.data.size == 1 else None
    code = {2.0: "SQUARE", 0.5: "SQRT", -0.5: "RSQRT"}.get(number) if number is not None else None
    if code is None or base.dtype.kind != "f" or base.shape != result.shape:
        term(draft, "POW", base, exponent, into=result)
    else:
        term(draft, code, base, into=result)


def reciprocal(draft: Draft, node: Node) -> None:
    x, result = draft.input(node, 0), draft.output(node.output)
    term(draft, "DIV", _number(draft, 1.0, x), x, into=result)


def modulo(draft: Draft, node: Node) -> None:
    a, b = operands(draft, node)
    result = draft.output(node.output)
    if not node.attributes.get("fmod", 0):
        term(draft, "FLOOR_MOD", a, b, into=result)
        return
    if a.dtype.kind == "u":
        term(draft, "FLOOR_MOD", a, b, into=result)
        return
    rest = term(draft, "FLOOR_MOD", magnitude(draft, a), magnitude(draft, b))
    term(draft, "MUL", rest, sign_of(draft, a), into=result)


def magnitude(draft: Draft, x: Tensor, into: Tensor | None = None) -> Tensor:
    if x.dtype.kind == "f" or x.qparams is not None:
        return term(draft, "ABS", x, into=into)
    if x.dtype.kind == "u":
        return x if into is None else draft.reshape(x, into.shape, into)
    return term(draft, "MAXIMUM", x, term(draft, "NEG", x), into=into)


def sign_of(draft: Draft, x: Tensor, into: Tensor | None = None) -> Tensor:
    """-1, 0 or 1; of integers by clipping, which every integer type has."""
    if x.dtype.kind == "f":
        return term(draft, "SIGN", x, into=into)
    raised = x if x.dtype.kind == "u" else term(draft, "MAXIMUM", x, -1)
    return term(draft, "MINIMUM", raised, 1, into=into)


def extremes(draft: Draft, node: Node) -> None:
    """Min and Max of any number of operands, two at a time."""
    _two_at_a_time(draft, EXTREMES[node.op], operands(draft, node), draft.output(node.output))


def total(draft: Draft, node: Node) -> None:
    _two_at_a_time(draft, "ADD", operands(draft, node), draft.output(node.output))


def mean(draft: Draft, node: Node) -> None:
    parts, result = operands(draft, node), draft.output(node.output)
    summed = draft.temporary(result, "sum")
    _two_at_a_time(draft, "ADD", parts, summed)
    term(draft, "DIV", summed, len(parts), into=result)


def _two_at_a_time(draft: Draft, code: str, parts: list[Tensor], result: Tensor) -> None:
    first, *others = parts
    for index, other in enumerate(others):
        last = index == len(others) - 1
        shape = np.broadcast_shapes(first.shape, other.shape)
        made = result if last else draft.temporary(result, f"of{index + 2}", shape)
        term(draft, code, first, other, into=made)
        first = made
    if not others:
        draft.reshape(first, result.shape, result)


def bitwise(draft: Draft, node: Node) -> None:
    a, b = operands(draft, node)
    result = draft.output(node.output)
    if node.op == "BitwiseXor":
        term(draft, "BITWISE_XOR", a, b, into=result)
        return
    _check_narrow(node, a)
    a, b = (cast(draft, x, INT32) for x in (a, b))
    code = "SUB" if node.op == "BitwiseAnd" else "ADD"
    doubled = term(draft, code, term(draft, "ADD", a, b), term(draft, "BITWISE_XOR", a, b))
    cast(draft, term(draft, "RIGHT_SHIFT", doubled, 1), result.dtype, result)


def bitwise_not(draft: Draft, node: Node) -> None:
    """All bits set is -1, or the largest number."""
    x, result = draft.input(node, 0), draft.output(node.output)
    ones = -1 if x.dtype.kind == "i" else np.iinfo(x.dtype).max
    term(draft, "BITWISE_XOR", x, ones, into=result)


def bit_shift(draft: Draft, node: Node) -> None:
    """To the left by multiplying, in a type in which the integers do not wrap before they are cast back."""
    x, count = operands(draft, node)
    result = draft.output(node.output)
    if node.attributes["direction"] == "RIGHT":
        term(draft, "RIGHT_SHIFT", x, count, into=result)
        return
    _check_narrow(node, x)
    x, count = (cast(draft, part, INT32) for part in (x, count))
    factor = term(draft, "POW", _number(draft, 2, x), count)
    cast(draft, term(draft, "MUL", x, factor), result.dtype, result)


def _check_narrow(node: Node, x: Tensor) -> None:
    if x.dtype.itemsize > 2:
        raise refuse.no_form(node, f"TFLite has no {node.op} of {x.dtype}", "use integers of 8 or 16 bits")


def _number(draft: Draft, number: float, like: Tensor) -> Tensor:
    return draft.constant(np.asarray(number, like.dtype), "constant")


def operands(draft: Draft, node: Node) -> list[Tensor]:
    """All operands with the rank and order of the result."""
    order = draft.layout.stored[node.output]
    return [draft.broadcastable(value, order) for value in node.inputs if value is not None]
