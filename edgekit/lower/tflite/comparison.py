"""Comparisons, logic, and the choice between two values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.elementwise import magnitude, operands
from edgekit.lower.tflite.ops import Node
from edgekit.lower.tflite.terms import term

BINARY: Mapping[str, str] = {
    "Equal": "EQUAL",
    "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL",
    "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL",
    "And": "LOGICAL_AND",
    "Or": "LOGICAL_OR",
    "Xor": "NOT_EQUAL",
}


def binary(draft: Draft, node: Node) -> None:
    term(draft, BINARY[node.op], *operands(draft, node), into=draft.output(node.output))


def not_(draft: Draft, node: Node) -> None:
    term(draft, "LOGICAL_NOT", draft.input(node, 0), into=draft.output(node.output))


def where(draft: Draft, node: Node) -> None:
    term(draft, "SELECT_V2", *operands(draft, node), into=draft.output(node.output))


def is_nan(draft: Draft, node: Node) -> None:
    """Only a NaN differs from itself."""
    x = draft.input(node, 0)
    term(draft, "NOT_EQUAL", x, x, into=draft.output(node.output))


def is_inf(draft: Draft, node: Node) -> None:
    x, result = draft.input(node, 0), draft.output(node.output)
    negative, positive = (bool(node.attributes.get(f"detect_{sign}", 1)) for sign in ("negative", "positive"))
    if negative and positive:
        term(draft, "EQUAL", magnitude(draft, x), np.inf, into=result)
    elif negative or positive:
        term(draft, "EQUAL", x, np.inf if positive else -np.inf, into=result)
    else:
        term(draft, "LESS", x, x, into=result)  # never
