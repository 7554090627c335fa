"""Linear layers on tokens: y = x W + b along the last axis of a value of any rank.

s (x W + b)  =  x (s W) + s b                 also where reshapes, transposes and another product lie between
(B, T, I) W  =  Reshape, Gemm, Reshape        Gemm has the bias inside, and in INT8 one rounding instead of two
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts
from edgekit.simplify import batch

MOVERS = frozenset({"Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Flatten"})


def fold_scalars(graph: ir.Model) -> ir.Model:
    """A product with one number (attention's 1 / sqrt d) goes into constant weights above it."""
    graph = graph.clone()
    for node in list(graph.graph):
        if node.op_type != "Mul" or not facts.is_float(node.outputs[0]) or not edit.can_bypass(node):
            continue
        for position in (0, 1):
            factor, x = facts.scalar(node.inputs[1 - position]), node.inputs[position]
            if factor is None or not np.isfinite(factor) or x is None or not _keeps_shape(node, x):
                continue
            path = _scalable(x)
            if path is not None:
                for value, index in path:
                    _scale(graph, value, index, factor)
                edit.bypass(graph, node, position)
                break
    return graph


def _keeps_shape(node: ir.Node, x: ir.Value) -> bool:
    output = node.outputs[0]
    return batch.is_known(x) and batch.is_known(output) and batch.sizes(x) == batch.sizes(output)


def _scalable(value: ir.Value) -> list[tuple[ir.Node, int]] | None:
    """(node, input) of the constants to scale so that the value is scaled, None where nothing constant makes it."""
    node = value.producer()
    if node is None or facts.only_consumer(value) is None or not node.inputs or node.inputs[0] is None:
        return None
    if node.op_type in MOVERS:
        return _scalable(node.inputs[0])
    if node.op_type in ("Conv", "Gemm", "MatMul") and facts.constant(node.inputs[1]) is not None:
        added = [index for index, extra in enumerate(node.inputs) if index > 1 and extra is not None]
        if any(facts.constant(node.inputs[index]) is None for index in added):
            return None
        return [(node, 1), *((node, index) for index in added)]
    if node.op_type == "MatMul":
        return next((path for x in node.inputs if x is not None and (path := _scalable(x)) is not None), None)
    if node.op_type == "Add":
        for x, index in ((node.inputs[0], 1), (node.inputs[1], 0)):
            if x is not None and facts.constant(node.inputs[index]) is not None:
                path = _scalable(x)
                return None if path is None else [*path, (node, index)]
    return None


def _scale(graph: ir.Model, node: ir.Node, index: int, factor: float) -> None:
    value = node.inputs[index]
    array = facts.constant(value)
    assert value is not None and array is not None
    node.replace_input_with(index, edit.add_constant(graph, f"{value.name}_scaled", edit.float_tensor(array * factor)))


@dataclass
class Layer:
    """weight: (O, I) and bias: (O,) float64; last: the node whose output the layer gives."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64] | None
    last: ir.Node


def canonical_layers(graph: ir.Model) -> ir.Model:
    """A product of a value of rank 3 and up with a constant matrix is a Gemm on its rows, what follows per column in
    it."""
    graph = graph.clone()
    for node in list(graph.graph):
        if node.op_type == "MatMul" and (weight := _matrix(node)) is not None:
            _write(graph, node, _with_followers(Layer(weight.T.astype(np.float64), None, node)))
    return graph


def _matrix(node: ir.Node) -> NDArray[np.floating] | None:
    x, weight = node.inputs[0], facts.constant(node.inputs[1])
    if x is None or weight is None or weight.ndim != 2 or not facts.is_float(x):
        return None
    if not batch.is_known(x) or not batch.is_known(node.outputs[0]) or len(batch.sizes(x)) < 3:
        return None
    return weight


def _with_followers(layer: Layer) -> Layer:
    """Take in the additions and products with a constant per column that follow."""
    while True:
        output = layer.last.outputs[0]
        reader = facts.only_consumer(output)
        if reader is None or reader.op_type not in ("Add", "Mul", "Sub") or reader.inputs[0] is reader.inputs[1]:
            return layer
        position = 0 if reader.inputs[0] is output else 1
        operand = _per_column(facts.constant(reader.inputs[1 - position]), layer.weight.shape[0])
        if operand is None or batch.sizes(reader.outputs[0]) != batch.sizes(output):
            return layer
        bias = np.zeros(layer.weight.shape[0]) if layer.bias is None else layer.bias
        match reader.op_type, position:
            case "Add", _:
                layer = Layer(layer.weight, bias + operand, reader)
            case "Sub", 0:
                layer = Layer(layer.weight, bias - operand, reader)
            case "Sub", _:
                layer = Layer(-layer.weight, operand - bias, reader)
            case _:
                kept = None if layer.bias is None else bias * operand
                layer = Layer(layer.weight * operand[:, None], kept, reader)


def _per_column(array: NDArray[np.floating] | None, columns: int) -> NDArray[np.float64] | None:
    """(O,) an operand that varies along the last axis at most."""
    if array is None or array.size not in (1, columns) or (array.ndim and array.size != array.shape[-1]):
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float64), (columns,))


def _write(graph: ir.Model, product: ir.Node, layer: Layer) -> None:
    x, old, last = product.inputs[0], product.inputs[1], layer.last
    assert x is not None and old is not None
    outputs, inputs = layer.weight.shape
    whole = batch.sizes(x)
    rows = int(np.prod(whole[:-1]))
    name = last.outputs[0].name
    operands = [edit.add_constant(graph, f"{old.name}_rows", edit.float_tensor(layer.weight))]
    if layer.bias is not None:
        operands.append(edit.add_constant(graph, f"{old.name}_bias", edit.float_tensor(layer.bias)))
    flat = edit.new_node(product, "Reshape", [x, batch.target(graph, f"{name}_rows_shape", (rows, inputs))])
    gemm = edit.new_node(product, "Gemm", [flat.outputs[0], *operands], {"transB": 1})
    for node, suffix, columns in ((flat, "rows", inputs), (gemm, "product", outputs)):
        node.outputs[0].name, node.outputs[0].shape = f"{name}_{suffix}", batch.open_shape((rows, columns))
    flat.name = f"{product.name}_rows"
    shape = batch.target(graph, f"{name}_shape", batch.sizes(last.outputs[0]))
    back = edit.new_node(last, "Reshape", [gemm.outputs[0], shape])
    back.name = f"{last.name}_back"
    followers = _between(product, last)
    edit.replace(graph, last, [flat, gemm, back])
    for node in reversed(followers):
        graph.graph.remove(node, safe=True)


def _between(first: ir.Node, last: ir.Node) -> list[ir.Node]:
    """The nodes from the product to the one before the last."""
    found: list[ir.Node] = []
    node = first
    while node is not last:
        found.append(node)
        reader = facts.only_consumer(node.outputs[0])
        assert reader is not None
        node = reader
    return found
