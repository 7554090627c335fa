"""Recurrent cells that come as plain ops: torch writes nn.LSTMCell and nn.GRUCell so, and loops over them step by step.

    LSTM    c' = s(.) c + s(.) tanh(.)      h' = s(.) tanh(c')
    GRU     h' = (h - n) s(.) + n  or  (1 - s(.)) n + s(.) h,       n = tanh(.)
    RNN     h' = tanh(x + R h)      known by R, which multiplies what came of its last product

Their gates and states stay in float, as those of whole layers do (`recurrent.py`), and a product that is repeated step
by step has one scale. In INT8 throughout, an RNN of 64 units takes half the time, but over 49 steps it loses two
decibels and its files drift half a decibel apart; with float between the products they agree to the bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx_ir as ir

from edgekit.graph import facts, marks
from edgekit.simplify.tape import STATE

BEHIND = frozenset({"Add", "Sub", "Mul", "Split", "Slice", "Reshape", "Squeeze", "Clip", "Sigmoid", "Tanh"})
"""What lies between a cell's matrix products and its state."""
MOVES = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Identity"})
ACTIVATIONS = frozenset({"Tanh", "Relu", "Sigmoid"})
DEEPEST = 8


def mark_loose_cells(graph: ir.Model) -> ir.Model:
    """The graph with the gates and states of such cells marked to stay in float, and repeated steps to share scales."""
    graph = graph.clone()
    for weight, products in _repeated(graph).items():
        for product in products:
            marks.share_scale(product, f"{weight.name}_product")
            for part in _simple_cell(product):
                marks.keep_float(part, STATE)
                marks.share_scale(part, f"{weight.name}_{part.op_type}")
    for node in graph.graph:
        if _is_lstm_state(node) or _is_gru_state(node):
            for part in {node, *_behind(node), *_output_gate(node)}:
                marks.keep_float(part, STATE)
    return graph


def _repeated(graph: ir.Model) -> dict[ir.Value, list[ir.Node]]:
    """Weight -> the products with it, where each reads what came of the one before through cheap ops alone."""
    linear = [node for node in graph.graph if node.op_type in ("Gemm", "MatMul")]
    weights = Counter(node.inputs[1] for node in linear if facts.constant(node.inputs[1]) is not None)
    upstream: dict[ir.Value | None, frozenset[ir.Value]] = {}
    found: dict[ir.Value, list[ir.Node]] = {}
    broken: set[ir.Value] = set()
    for node in graph.graph:
        weight = node.inputs[1] if node.op_type in ("Gemm", "MatMul") else None
        if weight is not None and weights[weight] > 1:
            if weight in found and weight not in upstream.get(node.inputs[0], ()):
                broken.add(weight)
            found.setdefault(weight, []).append(node)
            upstream[node.outputs[0]] = frozenset({weight})
        elif node.op_type in BEHIND | MOVES | ACTIVATIONS:
            behind = frozenset().union(*(upstream.get(value, frozenset()) for value in node.inputs))
            upstream.update(dict.fromkeys(node.outputs, behind))
    return {weight: products for weight, products in found.items() if weight not in broken}


def _simple_cell(product: ir.Node) -> list[ir.Node]:
    """The addition and the activation behind a product; nothing where there are other ops."""
    node = facts.only_consumer(product.outputs[0])
    while node is not None and node.op_type in MOVES:
        node = facts.only_consumer(node.outputs[0])
    activation = facts.only_consumer(node.outputs[0]) if node is not None and node.op_type == "Add" else None
    if node is None or activation is None or activation.op_type not in ACTIVATIONS:
        return []
    return [node, activation]


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
