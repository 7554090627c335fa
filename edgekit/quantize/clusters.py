"""Ops that change their precision together, each cluster around the ops that multiply.

An op without products (an addition, an activation) goes with the last op before it that has some: alone in float among
INT8 ops it would read rounded values and be rounded again, which costs two conversions and wins nothing. Ops that share
their weights, or are one layer at several steps, are one cluster too: in two precisions the file would hold both.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import onnx_ir as ir

from edgekit.graph import cost, facts, marks, source
from edgekit.quantize.assign import RULES, Plan, Scale


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """name, op, source: of the node with the most MACs, or the first; nodes: all, in graph order; computing: those of
    them that do more than move values; macs: of all; elements: that they give."""

    name: str
    op: str
    source: str | None
    nodes: tuple[str, ...]
    computing: tuple[str, ...]
    macs: int
    elements: int


def clusters(graph: ir.Model, plan: Plan) -> tuple[Cluster, ...]:
    """Of the ops that the plan has on integers, in graph order."""
    nodes = [node for node in graph.graph if node.name in plan.integer_nodes]
    members: dict[ir.Node, list[ir.Node]] = defaultdict(list)
    leader = _leaders(nodes)
    for node in nodes:
        members[_root(leader, node)].append(node)
    return tuple(_cluster(found) for found in members.values())


def _leaders(nodes: list[ir.Node]) -> dict[ir.Node, ir.Node]:
    """Node -> an earlier node of its cluster, itself for the first."""
    order = {node: i for i, node in enumerate(nodes)}
    leader: dict[ir.Node, ir.Node] = {}
    first: dict[object, ir.Node] = {}
    for node in nodes:
        leader[node] = node
        for key in _shared(node):
            _join(leader, node, first.setdefault(key, node), order)
        makers = [producer for value in node.inputs if value is not None and (producer := value.producer()) in order]
        if not cost.macs(node) and makers:
            _join(leader, node, max(makers, key=lambda maker: order[maker]), order)
    for node in reversed(nodes):  # what is only moved before its first integer op belongs to that
        if RULES[node.op_type] is Scale.SHARED and leader[node] is node:
            readers = [use.node for value in node.outputs for use in value.uses() if use.node in order]
            if readers:
                _join(leader, node, min(readers, key=lambda reader: order[reader]), order)
    return leader


def _shared(node: ir.Node) -> list[object]:
    """What makes the node one with others: its weights, its family."""
    weights = [value for value in node.inputs[1:2] if value is not None and facts.constant(value) is not None]
    family = marks.family(node)
    return [*(weights if cost.macs(node) else []), *([family] if family is not None else [])]


def _root(leader: dict[ir.Node, ir.Node], node: ir.Node) -> ir.Node:
    while leader[node] is not node:
        node = leader[node]
    return node


def _join(leader: dict[ir.Node, ir.Node], node: ir.Node, other: ir.Node, order: dict[ir.Node, int]) -> None:
    first, second = sorted((_root(leader, node), _root(leader, other)), key=lambda root: order[root])
    leader[second] = first


def _cluster(nodes: list[ir.Node]) -> Cluster:
    named = max(nodes, key=cost.macs)  # the first of equals
    return Cluster(
        name=named.name or "",
        op=named.op_type,
        source=source.source_line(named),
        nodes=tuple(node.name or "" for node in nodes),
        computing=tuple(node.name or "" for node in nodes if RULES[node.op_type] is not Scale.SHARED),
        macs=sum(map(cost.macs, nodes)),
        elements=sum(math.prod(facts.static_shape(value)) for node in nodes for value in node.outputs),
    )
