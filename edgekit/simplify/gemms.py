"""One form of the linear layer: y = x W^T + b, W (O, I) and b (O,) constant.

    Gemm: alpha A' B' + beta C      alpha goes into B' (into A' where B is computed), beta into C

A product of a rank-2 value with a constant is the same layer. A bias that is computed, or that differs from sample to
sample, becomes an addition; weights that are computed make it a MatMul.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts


def canonical_gemms(graph: ir.Model) -> ir.Model:
    """Gemms with alpha = beta = 1 and transA = 0; those with constant weights with transB = 1 and a bias of (O,)."""
    graph = graph.clone()
    for node in list(graph.graph):
        if node.op_type == "Gemm" and facts.is_float(node.outputs[0]) and not _is_canonical(node):
            _rewrite(graph, node)
        elif node.op_type == "MatMul" and _is_layer(node):
            weight = facts.constant(node.inputs[1])
            assert weight is not None
            inputs = [node.inputs[0], _constant(graph, node.inputs[1], "transposed", weight.T)]
            edit.replace(graph, node, [edit.new_node(node, "Gemm", inputs, {"transB": 1})])
    return graph


def _is_layer(node: ir.Node) -> bool:
    """A product of a rank-2 value with a constant matrix."""
    x, weight = node.inputs[0], facts.constant(node.inputs[1])
    if x is None or x.shape is None or weight is None or not facts.is_float(x):
        return False
    return len(x.shape) == 2 == weight.ndim


def _is_canonical(node: ir.Node) -> bool:
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    plain = (
        facts.attribute(node, "alpha", 1.0) == 1.0
        and facts.attribute(node, "beta", 1.0) == 1.0
        and not facts.attribute(node, "transA", 0)
    )
    layer = facts.constant(node.inputs[1]) is not None and facts.attribute(node, "transB", 0)
    return bool(plain and layer) and (bias is None or _fits(facts.constant(bias), node))


def _fits(bias: NDArray[np.floating] | None, node: ir.Node) -> bool:
    return bias is not None and bias.shape == facts.shape(node.outputs[0])[1:]


def _rewrite(graph: ir.Model, node: ir.Node) -> None:
    alpha, beta = facts.attribute(node, "alpha", 1.0), facts.attribute(node, "beta", 1.0)
    a, b = node.inputs[:2]
    bias = node.inputs[2] if len(node.inputs) > 2 and beta != 0.0 else None
    before, after = [], []
    if facts.attribute(node, "transA", 0):
        before.append(_part(node, "Transpose", [a], "transposed", {"perm": (1, 0)}, a, (1, 0)))
        a = before[-1].outputs[0]
    transposed = facts.attribute(node, "transB", 0)
    if (weight := facts.constant(b)) is not None:
        b, transposed = _constant(graph, b, "scaled", alpha * (weight if transposed else weight.T)), 1
    elif alpha != 1.0:
        before.append(_part(node, "Mul", [a, _constant(graph, a, "alpha", np.asarray(alpha))], "scaled", {}, a))
        a = before[-1].outputs[0]
    inputs = [a, b]
    array = facts.constant(bias)
    outputs = facts.static_shape(node.outputs[0])[1]
    if weight is not None and array is not None and array.size in (1, outputs) and array.shape[:-1] in ((), (1,)):
        inputs.append(_constant(graph, bias, "bias", beta * np.broadcast_to(array.reshape(-1), (outputs,))))
        bias = None
    if weight is None:
        if transposed:
            before.append(_part(node, "Transpose", [b], "turned", {"perm": (1, 0)}, b, (1, 0)))
            b = before[-1].outputs[0]
        gemm = edit.new_node(node, "MatMul", [a, b])
    else:
        gemm = edit.new_node(node, "Gemm", inputs, {"transB": transposed})
    if bias is not None:
        if array is not None:
            bias = _constant(graph, bias, "scaled", beta * array)
        elif beta != 1.0:
            after.append(_part(node, "Mul", [bias, _constant(graph, bias, "beta", np.asarray(beta))], "bias", {}, bias))
            bias = after[-1].outputs[0]
        gemm.name, gemm.outputs[0].name = f"{node.name}_product", f"{node.outputs[0].name}_product"
        after.append(edit.new_node(node, "Add", [gemm.outputs[0], bias]))
    edit.replace(graph, node, [*before, gemm, *after])


def _part(
    node: ir.Node,
    op_type: str,
    inputs: list[ir.Value | None],
    suffix: str,
    attributes: dict[str, tuple[int, ...]],
    like: ir.Value | None,
    order: tuple[int, ...] | None = None,
) -> ir.Node:
    """A node before or behind the product; its output has the shape of `like`, its axes in `order`."""
    assert like is not None and like.shape is not None
    part = edit.new_node(node, op_type, inputs, attributes)
    part.name, part.outputs[0].name = f"{node.name}_{suffix}", f"{node.outputs[0].name}_{suffix}"
    part.outputs[0].shape = like.shape if order is None else ir.Shape([like.shape[axis] for axis in order])
    return part


def _constant(graph: ir.Model, like: ir.Value | None, suffix: str, array: NDArray[np.floating]) -> ir.Value:
    assert like is not None
    return edit.add_constant(graph, f"{like.name}_{suffix}", edit.float_tensor(array))
