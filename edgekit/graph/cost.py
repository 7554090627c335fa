"""What a graph costs: multiply-accumulates per node and parameters, from shapes alone.

A MAC is one multiplication with its addition; ops without products cost none. Batch 1.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from edgekit.graph import facts


def macs(node: ir.Node) -> int:
    """Multiply-accumulates of one node for one sample."""
    match node.op_type:
        case "Conv":  # every output element takes one filter: I/group x kernel
            return _size(node.outputs[0]) * math.prod(_dims(node.inputs[1])[1:])
        case "ConvTranspose":  # every input element is spread by one filter: O/group x kernel
            return _size(node.inputs[0]) * math.prod(_dims(node.inputs[1])[1:])
        case "Gemm":
            rows = _dims(node.inputs[0])[0 if facts.attribute(node, "transA", 0) else 1]
            return _size(node.outputs[0]) * rows
        case "MatMul":
            return _size(node.outputs[0]) * _dims(node.inputs[0])[-1]
        case "LSTM" | "GRU" | "RNN":
            steps, batch = _dims(node.inputs[0])[:2]
            weights = math.prod(_dims(node.inputs[1])) + math.prod(_dims(node.inputs[2]))
            return steps * batch * weights
        case _:
            return 0


def macs_by_node(graph: ir.Model) -> dict[str, int]:
    """MACs by node name, for the nodes that have any."""
    costs = {node.name or "": macs(node) for node in facts.real_nodes(graph)}
    return {name: cost for name, cost in costs.items() if cost}


def parameters(graph: ir.Model) -> int:
    """Elements in the graph's floating-point initializers."""
    return sum(_size(value) for value in graph.graph.initializers.values() if facts.is_float(value))


def parameters_of(node: ir.Node) -> int:
    """Elements in the floating-point initializers that the node takes."""
    values = [value for value in node.inputs if value is not None and value.is_initializer() and facts.is_float(value)]
    return sum(map(_size, values))


def _dims(value: ir.Value | None) -> tuple[int, ...]:
    assert value is not None
    return facts.static_shape(value)


def _size(value: ir.Value | None) -> int:
    return math.prod(_dims(value))
