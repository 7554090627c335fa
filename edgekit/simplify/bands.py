"""What is scaled and shifted per channel of another shape, in its own: the bands of a sub-spectral norm.

    Reshape(s * Reshape(x) + t)  =  s' * x + t'      s', t': the same numbers in the shape of x

A norm that takes each band of frequencies for a channel, (N, C, F, T) -> (N, 5 C, F / 5, T) and back, makes TFLite move
channels twice; with constants of (1, C, F, 1) nothing moves.
Source of the norm: Chang et al. 2021, "SubSpectral Normalization for Neural Audio Data Processing", section 2.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts
from edgekit.simplify import batch
from edgekit.simplify.affine_ops import Affine, affine_of


def scale_in_place(graph: ir.Model) -> ir.Model:
    """Per-channel maps between two Reshapes that undo each other are at most a Mul and an Add without these."""
    graph = graph.clone()
    for node in list(graph.graph):
        if node.op_type == "Reshape" and batch.is_known(node.inputs[0]) and batch.is_known(node.outputs[0]):
            _rewrite(graph, node)
    edit.drop_unused(graph)
    return graph


def _rewrite(graph: ir.Model, first: ir.Node) -> None:
    x, (last, affine) = first.inputs[0], _behind(first)
    if x is None or last is None or affine is None or last.op_type != "Reshape" or not batch.is_known(last.outputs[0]):
        return
    outer, inner = batch.sizes(x), batch.sizes(first.outputs[0])
    if batch.sizes(last.outputs[0]) != outer or outer[:1] != inner[:1]:
        return
    nodes: list[ir.Node] = []
    for op_type, array, idle in (("Mul", affine.scale, 1), ("Add", affine.shift, 0)):
        if np.all(array == idle) and (op_type == "Mul" or nodes):
            continue
        name = f"{last.outputs[0].name}_{op_type.lower()}"
        constant = edit.add_constant(graph, f"{name}_by", edit.float_tensor(_in_shape(array, inner, outer)))
        node = edit.new_node(last, op_type, [x, constant])
        node.name, node.outputs[0].name, x = f"{last.name}_{op_type.lower()}", name, node.outputs[0]
        nodes.append(node)
    nodes[-1].name, nodes[-1].outputs[0].name = last.name, last.outputs[0].name
    edit.replace(graph, last, nodes)


def _behind(first: ir.Node) -> tuple[ir.Node | None, Affine | None]:
    """The first node behind that is no per-channel map, None where others read too; the maps before it, as one."""
    found, node = None, facts.only_consumer(first.outputs[0])
    while node is not None and (affine := affine_of(node)) is not None:
        scale, shift = (found.scale, found.shift) if found is not None else (1, 0)
        found = Affine(affine.scale * scale, affine.scale * shift + affine.shift)
        node = facts.only_consumer(node.outputs[0])
    return node, found


def _in_shape(array: NDArray[np.float64], inner: tuple[int, ...], outer: tuple[int, ...]) -> NDArray[np.float64]:
    """Numbers per channel of one shape, as a constant for another: of size 1 where they do not vary."""
    channels = array.reshape(-1, *[1] * (len(inner) - 2))
    found = np.broadcast_to(channels, inner[1:]).reshape(1, *outer[1:])
    for axis in range(1, len(outer)):
        first = found.take([0], axis)
        found = first if np.array_equal(np.broadcast_to(first, found.shape), found) else found
    return found
