"""The border between INT8 and float: where float ops are, what is cheap goes to the side on which it costs least.

An op without an INT8 form (a layer norm) reads real numbers, so what only it reads need not be rounded: the additions
of a transformer's residual stream, whose large channels would cost all others their steps, stay float without a single
conversion more. The other way round, what only moves values from a float op to INT8 ops moves bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import onnx_ir as ir

from edgekit.graph import facts

LIGHT = frozenset({"Add", "Sub", "Mul"})
MOVES_FLOATS = "only moves float values"
READ_AS_FLOAT = "what reads it computes in float"

Int8 = dict[str, ir.Node]
Reasons = dict[str, str]


def settle(nodes: Iterable[ir.Node], int8: Int8, kept: Reasons, moves: Callable[[ir.Node], bool]) -> None:
    """Shift ops between `int8` and `kept`, both by name. moves: whether an op with an INT8 form only moves values."""
    ordered = list(nodes)
    _move_bytes(ordered, int8, kept)
    _stay_real(ordered, int8, kept, moves)


def _move_bytes(nodes: list[ir.Node], int8: Int8, kept: Reasons) -> None:
    """Round what a float op gives before it is moved, where only INT8 ops read it."""
    for node in reversed(nodes):
        readers = _readers(node)
        if kept.get(node.name or "") == MOVES_FLOATS and readers and all(r.name in int8 for r in readers):
            del kept[node.name or ""]
            int8[node.name or ""] = node


def _stay_real(nodes: list[ir.Node], int8: Int8, kept: Reasons, moves: Callable[[ir.Node], bool]) -> None:
    """Leave what only float ops read in float, except moves of what is in INT8 already."""
    real: set[str] = set()
    for node in reversed(nodes):
        readers = _readers(node)
        wanted = node.name in int8 and (node.op_type in LIGHT or moves(node))
        if wanted and readers and all(r.name in real or r.name not in int8 for r in readers):
            real.add(node.name or "")
    for node in nodes:
        if node.name in real and not (moves(node) and _made_in(node, int8)):
            del int8[node.name or ""]
            kept[node.name or ""] = READ_AS_FLOAT


def _readers(node: ir.Node) -> list[ir.Node]:
    """Nobody where the graph gives the value away: callers get it as it is."""
    if any(value.is_graph_output() for value in node.outputs):
        return []
    return [reader for value in node.outputs for reader in facts.consumers(value)]


def _made_in(node: ir.Node, int8: Int8) -> bool:
    """True where an input is rounded already: an INT8 op made it, or it is the model's."""
    values = [value for value in node.inputs if value is not None and facts.constant(value) is None]
    return any(value.is_graph_input() or ((p := value.producer()) is not None and p.name in int8) for value in values)
