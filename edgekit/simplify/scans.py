"""A Scan over a known number of steps is its steps, one behind the other: neither file runs bodies of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit.graph import edit, facts

MOST_NODES = 2000  # of all steps together


def can_unroll(node: ir.Node) -> bool:
    body = node.attributes["body"].as_graph()
    steps = _steps(node)
    inner = any(attribute.type == ir.AttributeType.GRAPH for one in body for attribute in one.attributes.values())
    if node.inputs[0] is None:  # the form of opset 8, with a batch of its own
        return False
    return steps is not None and 0 < steps * len(body) <= MOST_NODES and not inner


def unroll_scan(graph: ir.Model, node: ir.Node) -> None:
    """Every step reads its slices of the scanned inputs and the states of the step before."""
    body, steps = node.attributes["body"].as_graph(), _steps(node)
    assert steps is not None
    scanned = facts.attribute(node, "num_scan_inputs")
    states: list[ir.Value | None] = list(node.inputs)[: len(node.inputs) - scanned]
    count = len(states)
    constants = edit.adopt_constants(graph, body)
    nodes: list[ir.Node] = []
    rows: list[list[ir.Value]] = [[] for _ in list(body.outputs)[count:]]
    for step in range(steps):
        slices = [_slice(graph, node, index, step, steps, nodes) for index in range(scanned)]
        known = constants | dict(zip(body.inputs, [*states, *slices], strict=True))
        results = _copied(body, known, f"{node.name}_{step}", nodes)
        states = [*results[:count]]
        for row, value in zip(rows, results[count:], strict=True):
            row.append(value)
    directions = facts.attribute(node, "scan_output_directions", (0,) * len(rows))
    axes = facts.attribute(node, "scan_output_axes", (0,) * len(rows))
    stacks = [
        _stacked(graph, node, row[::-1] if backward else row, axis, index, nodes)
        for index, (row, axis, backward) in enumerate(zip(rows, axes, directions, strict=True))
    ]
    graph.graph.insert_before(node, nodes)
    for ours, theirs in zip(node.outputs, [*states, *stacks], strict=True):
        assert theirs is not None
        edit.take_over(graph, ours, theirs)
    graph.graph.remove(node, safe=True)


def _steps(node: ir.Node) -> int | None:
    """How many there are; None where an input's length is open."""
    scanned = facts.attribute(node, "num_scan_inputs")
    lengths = set()
    for index in range(scanned):
        value = node.inputs[len(node.inputs) - scanned + index]
        if value is None or value.shape is None:
            return None
        lengths.add(facts.shape(value)[_axis(node, "scan_input_axes", index)])
    return lengths.pop() if len(lengths) == 1 else None


def _axis(node: ir.Node, key: str, index: int) -> int:
    return int(facts.attribute(node, key, (0,) * (index + 1))[index])


def _slice(graph: ir.Model, node: ir.Node, index: int, step: int, steps: int, nodes: list[ir.Node]) -> ir.Value:
    scanned = facts.attribute(node, "num_scan_inputs")
    value = node.inputs[len(node.inputs) - scanned + index]
    backward = _axis(node, "scan_input_directions", index)
    place = edit.add_constant(graph, f"{node.name}_place", np.asarray(steps - 1 - step if backward else step))
    axis = _axis(node, "scan_input_axes", index)
    return _made("Gather", [value, place], f"{node.name}_{step}_input{index}", nodes, axis=axis)


def _copied(body: ir.Graph, known: dict[ir.Value, ir.Value | None], label: str, nodes: list[ir.Node]) -> list[ir.Value]:
    """The body's nodes on other inputs; its outputs."""
    for inner in body:
        outputs = [ir.Value(name=value.name and f"{label}_{value.name}") for value in inner.outputs]
        inputs = [known.get(value, value) if value is not None else None for value in inner.inputs]
        nodes.append(ir.node(inner.op_type, inputs, _plain(inner), outputs=outputs, name=f"{label}_{inner.name}"))
        known.update(zip(inner.outputs, outputs, strict=True))
    found = []
    for value in body.outputs:
        result = known.get(value, value)
        assert result is not None
        found.append(result)
    return found


def _plain(node: ir.Node) -> dict[str, Any]:
    return {name: attribute.value for name, attribute in node.attributes.items()}


def _stacked(
    graph: ir.Model, node: ir.Node, row: Sequence[ir.Value], axis: int, index: int, nodes: list[ir.Node]
) -> ir.Value:
    where = edit.add_constant(graph, f"{node.name}_axis", np.asarray([axis]))
    label = f"{node.name}_output{index}"
    wide = [_made("Unsqueeze", [value, where], f"{label}_{step}", nodes) for step, value in enumerate(row)]
    return _made("Concat", wide, label, nodes, axis=axis)


def _made(op: str, inputs: Sequence[ir.Value | None], name: str, nodes: list[ir.Node], **attributes: int) -> ir.Value:
    output = ir.Value(name=name)
    nodes.append(ir.node(op, list(inputs), attributes, outputs=[output], name=name))
    return output
