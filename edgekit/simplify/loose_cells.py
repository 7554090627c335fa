"""Recurrent cells that come as plain ops: torch writes nn.LSTMCell and nn.GRUCell so, and loops over them step by step.

    LSTM    c' = s(.) c + s(.) tanh(.)      h' = s(.) tanh(c')
    GRU     h' = (h - n) s(.) + n  or  (1 - s(.)) n + s(.) h,       n = tanh(.)

Their gates and states stay in float, as those of whole layers do (`recurrent.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from edgekit.graph import facts, marks
from edgekit.simplify.tape import STATE

BEHIND = frozenset({"Add", "Sub", "Mul", "Split", "Slice", "Reshape", "Squeeze", "Clip", "Sigmoid", "Tanh"})
"""What lies between a cell's matrix products and its state."""
DEEPEST = 8


def mark_loose_cells(graph: ir.Model) -> ir.Model:
    """The graph with every node of such a cell marked to stay in float; its matrix products are not."""
    graph = graph.clone()
    for node in graph.graph:
        if _is_lstm_state(node) or _is_gru_state(node):
            for part in {node, *_behind(node), *_output_gate(node)}:
                marks.keep_float(part, STATE)
    return graph


def _makers(node: ir.Node) -> list[ir.Node | None]:
    return [None if value is None else value.producer() for value in node.inputs]


def _made_by(node: ir.Node | None, *ops: str) -> bool:
    return node is not None and node.op_type in ops


def _is_lstm_state(node: ir.Node) -> bool:
    makers = _makers(node)
    if node.op_type != "Add" or not all(_made_by(maker, "Mul") for maker in makers):
        return False
    factors = [_makers(maker) for maker in makers if maker is not None]
    gated = [any(_made_by(factor, "Sigmoid") for factor in pair) for pair in factors]
    fresh = [_is_gated(pair, "Tanh") for pair in factors]
    read = [reader.op_type for reader in facts.consumers(node.outputs[0])]
    return all(gated) and any(fresh) and "Tanh" in read


def _is_gru_state(node: ir.Node) -> bool:
    if node.op_type != "Add":
        return False
    makers = _makers(node)
    change = [maker for maker in makers if maker is not None and maker.op_type == "Mul"]
    tanh = [maker for maker in makers if _made_by(maker, "Tanh")]
    if len(change) == 1 and len(tanh) == 1:  # (h - n) z + n
        pair = _makers(change[0])
        differences = [maker for maker in pair if maker is not None and maker.op_type == "Sub"]
        return any(_made_by(gate, "Sigmoid") for gate in pair) and any(tanh[0] in _makers(d) for d in differences)
    if len(change) == 2:  # (1 - z) n + z h
        pairs = [_makers(one) for one in change]
        left = [_is_gated(pair, "Tanh", gate="Sub") for pair in pairs]
        kept = [any(_made_by(gate, "Sigmoid") for gate in pair) for pair in pairs]
        return any(left) and any(kept)
    return False


def _is_gated(pair: list[ir.Node | None], op: str, gate: str = "Sigmoid") -> bool:
    """One factor made by `gate`, the other by `op`."""
    kinds = {maker.op_type for maker in pair if maker is not None}
    return kinds == {gate, op}


def _behind(node: ir.Node, depth: int = DEEPEST) -> Iterator[ir.Node]:
    """The nodes that lead to this one, back to what is no gate."""
    for maker in _makers(node):
        if maker is not None and depth and maker.op_type in BEHIND and marks.float_because(maker) is None:
            yield maker
            yield from _behind(maker, depth - 1)


def _output_gate(node: ir.Node) -> Iterator[ir.Node]:
    """Of an LSTM: tanh(c'), its product with the gate, and that gate."""
    for tanh in facts.consumers(node.outputs[0]):
        if tanh.op_type != "Tanh":
            continue
        for product in facts.consumers(tanh.outputs[0]):
            if product.op_type == "Mul" and any(_made_by(maker, "Sigmoid") for maker in _makers(product)):
                yield from (tanh, product, *_behind(product))
