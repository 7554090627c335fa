"""Ops that choose by a pattern known beforehand, in the words of ops that every format has.

Trilu is a Where with a constant mask (of truth values an And), Compress by a constant condition a Gather, EyeLike a
constant, CastLike a Cast.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgekit.graph import edit, facts


def canonical_masks(graph: ir.Model) -> ir.Model:
    graph = graph.clone()
    for node in list(graph.graph):
        match node.op_type:
            case "Trilu":
                _to_where(graph, node)
            case "Compress":
                _to_gather(graph, node)
            case "EyeLike":
                _to_constant(graph, node)
            case "CastLike" if node.inputs[1] is not None and node.inputs[1].dtype is not None:
                to = int(node.inputs[1].dtype)
                kept = {name: attribute.value for name, attribute in node.attributes.items()}
                edit.replace(graph, node, [edit.new_node(node, "Cast", [node.inputs[0]], {**kept, "to": to})])
            case _:
                pass
    return graph


def _to_where(graph: ir.Model, node: ir.Node) -> None:
    x = node.inputs[0]
    offset = facts.scalar(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else 0.0
    if x is None or x.shape is None or x.dtype is None or offset is None:
        return
    rows, columns = facts.shape(x)[-2:]
    if rows is None or columns is None:
        return
    triangle = np.triu if facts.attribute(node, "upper", 1) else np.tril
    mask = edit.add_constant(graph, f"{node.name}_mask", triangle(np.ones((rows, columns), np.bool_), int(offset)))
    if x.dtype == ir.DataType.BOOL:  # which ONNX Runtime's Where does not choose from
        edit.replace(graph, node, [edit.new_node(node, "And", [mask, x])])
        return
    zero = edit.add_constant(graph, f"{node.name}_zero", np.zeros((), x.dtype.numpy()))
    edit.replace(graph, node, [edit.new_node(node, "Where", [mask, x, zero])])


def _to_gather(graph: ir.Model, node: ir.Node) -> None:
    """Without an axis Compress sees its input as one line."""
    x, condition = node.inputs[0], facts.constant(node.inputs[1])
    if x is None or x.shape is None or condition is None:
        return
    chosen = edit.add_constant(graph, f"{node.name}_indices", np.flatnonzero(condition).astype(np.int64))
    axis = facts.attribute(node, "axis")
    if axis is not None:
        edit.replace(graph, node, [edit.new_node(node, "Gather", [x, chosen], {"axis": axis})])
        return
    if not x.shape.is_static():  # where an element stands in the line depends on the batch
        return
    line = edit.new_node(node, "Reshape", [x, edit.add_constant(graph, f"{node.name}_line", np.array([-1]))])
    line.name, line.outputs[0].name = f"{node.name}_flat", f"{node.outputs[0].name}_flat"
    line.outputs[0].shape = ir.Shape([math.prod(facts.static_shape(x))])
    edit.replace(graph, node, [line, edit.new_node(node, "Gather", [line.outputs[0], chosen], {"axis": 0})])


def _to_constant(graph: ir.Model, node: ir.Node) -> None:
    x, output = node.inputs[0], node.outputs[0]
    sizes = None if x is None or x.shape is None else facts.shape(x)
    if sizes is None or None in sizes or output.dtype is None:
        return
    rows, columns = (size for size in sizes if size is not None)
    array = np.eye(rows, columns, facts.attribute(node, "k", 0), output.dtype.numpy())
    constant = edit.new_node(node, "Constant", [], {"value": ir.tensor(array)})
    edit.replace(graph, node, [constant])
