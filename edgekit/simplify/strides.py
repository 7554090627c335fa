"""Gathers that pick every value in the order in which it lies anyway.

PyTorch pools a channels-last image to one pixel with `as_strided`, which exporters write as a Gather of the flattened
value with computed indices: one per element of the result, from 0 up, for whatever batch. That is a Reshape.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from edgekit.graph import edit, facts

BATCHES = (1, 2, 3)  # indices that count up for these count up for all: they are a sum of a multiple per axis


def drop_idle_gathers(graph: ir.Model) -> ir.Model:
    graph = graph.clone()
    for node in list(graph.graph):
        if node.op_type == "Gather" and (source := _flattened(node)) is not None and _counts_up(graph, node):
            shape = facts.shape(node.outputs[0])
            target = edit.add_constant(graph, f"{node.name}_shape", np.array([-1, *shape[1:]], np.int64))
            edit.replace(graph, node, [edit.new_node(node, "Reshape", [source, target])])
    edit.drop_unused(graph)
    return graph


def _flattened(node: ir.Node) -> ir.Value | None:
    """What a Gather picks from, before it was flattened; None where the Gather is none of these."""
    flat, indices, output = node.inputs[0], node.inputs[1], node.outputs[0]
    reshape = flat.producer() if flat is not None else None
    if reshape is None or reshape.op_type != "Reshape" or facts.constant(indices) is not None:
        return None
    source = reshape.inputs[0]
    if source is None or source.shape is None or output.shape is None:
        return None
    target = facts.constant(reshape.inputs[1])
    if target is None or not np.array_equal(target, [-1]):
        return None
    sizes, results = facts.shape(source), facts.shape(output)
    same = None not in (*sizes[1:], *results[1:]) and math.prod(sizes[1:]) == math.prod(results[1:])  # type: ignore[arg-type]
    return source if same and len(results) > 1 and source.shape[0] == output.shape[0] else None


def _counts_up(graph: ir.Model, node: ir.Node) -> bool:
    size = math.prod(facts.static_shape(node.outputs[0])[1:])
    for batch in BATCHES:
        found = _indices(graph, str(node.inputs[1].name), batch) if node.inputs[1] is not None else None
        if found is None or not np.array_equal(found.reshape(-1), np.arange(batch * size)):
            return False
    return True


def _indices(graph: ir.Model, name: str, batch: int) -> NDArray[np.integer] | None:
    """The value of that name, which may depend on the inputs' shapes alone; None where it depends on more."""
    part = graph.clone()
    made = {value.name: value for one in part.graph for value in one.outputs}
    if name not in made:  # an input of the model
        return None
    part.graph.outputs[:] = [made[name]]
    edit.drop_unused(part)
    readers = [use.node.op_type for value in part.graph.inputs for use in value.uses()]
    if set(readers) != {"Shape"} or len(part.graph) > LONGEST:
        return None
    feeds = {str(v.name): np.zeros(facts.static_shape(v, batch), v.dtype.numpy()) for v in part.graph.inputs if v.dtype}
    try:
        (found,) = ReferenceEvaluator(ir.to_proto(part)).run(None, feeds)
    except Exception:  # an op, a type or a setting that it lacks; the Gather then stays
        return None
    return np.asarray(found)


LONGEST = 50  # nodes that compute indices
