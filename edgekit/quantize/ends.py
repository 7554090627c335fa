"""Ends: what puts probabilities beside other numbers, for the caller alone, joins them as real numbers.

A detector that decodes its boxes gives pixels and scores in one tensor. One scale for both has steps of pixels, in
which every score is 0 or 1: the error of the tensor stays small, and nothing is detected. Callers get real numbers, so
the last joins and what moves their results are done in float, for which each part keeps its own steps. What this gives
up is a copy of a few kilobytes in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import onnx_ir as ir

from edgekit.graph import facts

PROBABILITIES = frozenset({"Sigmoid", "Softmax", "HardSigmoid"})
REASON = "it joins probabilities with other numbers, whose steps would leave nothing of them"


def joins_for_callers(nodes: Iterable[ir.Node], moves: Callable[[ir.Node], bool]) -> frozenset[ir.Node]:
    """The Concats of probabilities and others whose result, perhaps moved, only the graph's outputs hold.

    nodes: in execution order; moves: whether an op only moves values.
    """
    ordered = list(nodes)
    given = _given(ordered, moves)
    bounded = _bounded(ordered, moves)
    found = set()
    for node in ordered:
        if node.op_type == "Concat" and given.issuperset(node.outputs):
            parts = {value in bounded for value in node.inputs if facts.constant(value) is None}
            if len(parts) > 1:
                found.add(node)
    return frozenset(found)


def _given(nodes: list[ir.Node], moves: Callable[[ir.Node], bool]) -> set[ir.Value]:
    """Values that only the caller reads, as they are or moved."""
    found: set[ir.Value] = set()
    for node in reversed(nodes):
        for value in node.outputs:
            readers = facts.consumers(value)
            on = all(moves(reader) and found.issuperset(reader.outputs) for reader in readers)
            if on and (readers or value.is_graph_output()):
                found.add(value)
    return found


def _bounded(nodes: list[ir.Node], moves: Callable[[ir.Node], bool]) -> set[ir.Value]:
    """Probabilities, moved or multiplied with each other."""
    found: set[ir.Value] = set()
    for node in nodes:
        carries = moves(node) or node.op_type == "Mul"
        computed = [value for value in node.inputs if facts.is_float(value) and facts.constant(value) is None]
        if node.op_type in PROBABILITIES or (carries and computed and found.issuperset(computed) and _all_of(node)):
            found.update(node.outputs)
    return found


def _all_of(node: ir.Node) -> bool:
    """A product with a constant may be of any size."""
    return node.op_type != "Mul" or all(facts.constant(value) is None for value in node.inputs)
