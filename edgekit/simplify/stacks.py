"""Sums along an axis that tensors were stacked on, as additions.

    ReduceSum(Concat(Unsqueeze(a), Unsqueeze(b), ..), axis)  =  a + b + ..

An addition has an INT8 kernel in every runtime and lets each term keep its own scale; a sum of a stack has one for all,
and none in ONNX Runtime.
"""

from __future__ import annotations

import onnx_ir as ir

from edgekit.graph import edit, facts
from edgekit.simplify import batch

VIEWS = frozenset({"Unsqueeze", "Reshape"})


def add_stacked(graph: ir.Model) -> ir.Model:
    """Sums over a stack's axis alone, of two tensors and more, become additions of the tensors."""
    graph = graph.clone()
    for node in list(graph.graph):
        terms = _terms(node) if node.op_type == "ReduceSum" and facts.is_float(node.outputs[0]) else []
        if len(terms) < 2:
            continue
        total, sums = terms[0], list[ir.Node]()
        for index, term in enumerate(terms[1:]):
            sums.append(edit.new_node(node, "Add", [total, term]))
            total = sums[-1].outputs[0]
            if index < len(terms) - 2:
                sums[-1].name, total.name = f"{node.name}_{index}", f"{node.outputs[0].name}_{index}"
        edit.replace(graph, node, sums)
    edit.drop_unused(graph)
    return graph


def _terms(node: ir.Node) -> list[ir.Value]:
    """The tensors of the sum's shape that were stacked, none where it sums something else."""
    stack, output = node.inputs[0], node.outputs[0]
    concat = stack.producer() if stack is not None else None
    axes = facts.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if concat is None or concat.op_type != "Concat" or axes is None:
        return []
    if not batch.is_known(concat.outputs[0]) or not batch.is_known(output):
        return []
    rank = len(facts.shape(concat.outputs[0]))
    if [axis % rank for axis in axes.reshape(-1)] != [facts.attribute(concat, "axis") % rank]:
        return []
    found = [term for part in concat.inputs if (term := _shaped(part, batch.sizes(output))) is not None]
    return found if len(found) == len(concat.inputs) else []


def _shaped(part: ir.Value | None, sizes: tuple[int, ...]) -> ir.Value | None:
    """What is stacked, in the shape of the sum: as it is, or before it was given an axis for the stack."""
    maker = part.producer() if part is not None else None
    before = maker.inputs[0] if maker is not None and maker.op_type in VIEWS else None
    for value in (part, before):
        if value is not None and batch.is_known(value) and batch.sizes(value) == sizes:
            return value
    return None
