"""Matrix products: FULLY_CONNECTED for constant weights, BATCH_MATMUL for two computed operands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.artifact import REORDERED
from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.convolution import along, bias, content
from edgekit.lower.tflite.draft import FUSED, Draft
from edgekit.lower.tflite.ops import Array, Node, Tensor, plain


def gemm(draft: Draft, node: Node) -> None:
    """x (N, I), weights (O, I) with transB, else (I, O)."""
    attributes = node.attributes
    factors = float(attributes.get("alpha", 1.0)), float(attributes.get("beta", 1.0))
    if attributes.get("transA", 0) or factors != (1.0, 1.0):
        raise refuse.no_form(node, "transA, alpha and beta must be folded first", "simplify the graph first")
    added = node.constant(2)
    if node.constant(1) is None or (
        node.optional(2) is not None and (added is None or added.size not in (1, _columns(node)))
    ):
        raise refuse.no_form(node, "its weights or bias are computed at run time", "write it as MatMul and Add")
    _fully_connected(draft, node, transposed=bool(attributes.get("transB", 0)))


def matmul(draft: Draft, node: Node) -> None:
    weight = node.input(1)
    if weight.data is not None and weight.rank == 2 and node.input(0).rank > 1:
        _fully_connected(draft, node, transposed=False)
        return
    x, y = draft.input(node, 0), draft.input(node, 1)
    swapped = draft.order(node, 1) != plain(node.input(1).rank)
    result = draft.output(node.output)
    raw = result if node.activation == "NONE" else draft.temporary(result, "raw")
    rows, columns = _matrices(draft, x, y)
    product = raw if rows is x and columns is y else draft.temporary(raw, "product", _product(rows, columns))
    draft.emit("BATCH_MATMUL", (rows, columns), product, schema.BatchMatMulOptionsT(adjY=swapped))
    if product is not raw:
        draft.reshape(product, raw.shape, raw)
    if raw is not result:
        draft.emit(node.activation, (raw,), result)


def _matrices(draft: Draft, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The operands with at least two axes: a vector is a row before a product and a column behind it."""
    rows = x if len(x.shape) > 1 else draft.reshape(x, (1, *x.shape))
    return rows, y if len(y.shape) > 1 else draft.reshape(y, (*y.shape, 1))


def _product(rows: Tensor, columns: Tensor) -> tuple[int, ...]:
    return (*np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2]), rows.shape[-2], columns.shape[-1])


def _fully_connected(draft: Draft, node: Node, *, transposed: bool) -> None:
    weight = node.input(1)
    matrix = content(weight) if transposed else content(weight).T
    stored = draft.constant(matrix, weight.name, along(weight.qparams, 0))
    x, result = draft.input(node, 0), draft.output(node.output)
    if weight.qparams is not None and not node.integer:
        _hybrid(draft, node, matrix, x, result)
        return
    # A MatMul has no bias: its third input, if any, is not one.
    without = replace(node, inputs=node.inputs[:2]) if node.op == "MatMul" else node
    added = bias(draft, without, matrix.shape[0])
    made = result
    if x.dtype == np.int16 and len(x.shape) > 2:  # tflite-runtime 2.14 takes the first channel's scale for all there
        x = draft.reshape(x, (int(np.prod(x.shape[:-1])), x.shape[-1]))
        made = draft.temporary(result, "rows", (x.shape[0], matrix.shape[0]))
    options = schema.FullyConnectedOptionsT(keepNumDims=len(x.shape) > 2)
    options.fusedActivationFunction = FUSED[node.activation]
    draft.emit("FULLY_CONNECTED", (x, stored, added), made, options)
    if made is not result:
        draft.reshape(made, result.shape, result)


def _hybrid(draft: Draft, node: Node, matrix: Array, x: Tensor, result: Tensor) -> None:
    """INT8 weights under float activations, each row rounded by its own range, as a 1x1 convolution of rows.

    tflite-runtime 2.14 takes the first channel's scale for all in FULLY_CONNECTED there.
    """
    weight, rows = node.input(1), int(np.prod(x.shape[:-1]))
    kernel = draft.constant(matrix[:, np.newaxis, np.newaxis], weight.name, along(weight.qparams, 0))
    without = replace(node, inputs=node.inputs[:2]) if node.op == "MatMul" else node
    options = schema.Conv2DOptionsT(padding=schema.Padding.VALID, strideH=1, strideW=1)
    options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = FUSED[node.activation]
    image = draft.reshape(x, (rows, 1, 1, matrix.shape[1]))
    made = Tensor(name=draft.unique(f"{result.name}{REORDERED}"), shape=(rows, 1, 1, matrix.shape[0]), dtype=x.dtype)
    draft.emit("CONV_2D", (image, kernel, bias(draft, without, matrix.shape[0])), made, options)
    draft.reshape(made, result.shape, result)


def _columns(node: Node) -> int:
    return node.output.shape[-1]
