"""Picking and placing elements by their index.

The general forms see a value as one line of rows and compute the row of every element asked for:

    row = sum_k (i_k mod n_k) * stride_k            mod, since an index below 0 counts from the end
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.images import crop
from edgekit.lower.tflite.ops import Array, Node, Tensor
from edgekit.lower.tflite.terms import cast, chosen, reduced, term

INT32 = np.dtype(np.int32)


def gather(draft: Draft, node: Node) -> None:
    order, source = draft.order(node), node.input(0)
    axis = int(node.attributes.get("axis", 0)) % source.rank
    indices = node.input(1)
    if indices.data is not None and indices.rank == 0:  # one place along the axis: a slice without it
        x, result = draft.input(node, 0), draft.output(node.output)
        place, one = order.index(axis), int(indices.data) % source.shape[axis]
        begin = [one if i == place else 0 for i in range(len(order))]
        end = [one + 1 if i == place else size for i, size in enumerate(x.shape)]
        part = draft.temporary(result, "part", [e - b for b, e in zip(begin, end, strict=True)])
        crop(draft, x, begin, end, part)
        draft.reshape(part, result.shape, result)
        return
    if indices.data is not None:
        picked = draft.constant(np.mod(indices.data, source.shape[axis]).astype(np.int32), indices.name)
    else:
        picked = wrapped(draft, draft.input(node, 1), source.shape[axis])
    options = schema.GatherOptionsT(axis=order.index(axis))
    draft.emit("GATHER", (draft.input(node, 0), picked), draft.output(node.output), options)


def wrapped(draft: Draft, indices: Tensor, size: int) -> Tensor:
    """Indices into an axis, none below 0."""
    if indices.data is not None:
        return draft.constant(np.mod(indices.data, size).astype(np.int32), indices.name)
    return term(draft, "FLOOR_MOD", indices, size)


def pick_rows(draft: Draft, data: Tensor, rows: Tensor, width: int, result: Tensor) -> None:
    """data as rows of `width` elements; rows: which of them."""
    line = draft.reshape(data, (-(-math.prod(data.shape) // width), width) if width > 1 else (math.prod(data.shape),))
    shape = (*rows.shape, width) if width > 1 else rows.shape
    made = result if shape == result.shape else draft.temporary(result, "rows", shape)
    draft.emit("GATHER", (line, rows), made, schema.GatherOptionsT(axis=0))
    if made is not result:
        draft.reshape(made, result.shape, result)


def gather_elements(draft: Draft, node: Node) -> None:
    data, result = draft.input(node, 0), draft.output(node.output)
    pick_rows(draft, data, _element_rows(draft, node, data.shape), 1, result)


def gather_nd(draft: Draft, node: Node) -> None:
    data, result = draft.input(node, 0), draft.output(node.output)
    shared = int(node.attributes.get("batch_dims", 0))
    indices = draft.input(node, 1)
    depth = shared + indices.shape[-1]
    batch = np.arange(math.prod(data.shape[:shared])) * math.prod(data.shape[shared:depth])
    start = batch.reshape((*data.shape[:shared], *[1] * (len(indices.shape) - 1 - shared)))
    rows = _tuple_rows(draft, indices, data.shape[shared:depth], start)
    pick_rows(draft, data, rows, math.prod(data.shape[depth:]), result)


def scatter_elements(draft: Draft, node: Node) -> None:
    data = draft.input(node, 0)
    _scatter(draft, node, data, _element_rows(draft, node, data.shape), 1)


def scatter_nd(draft: Draft, node: Node) -> None:
    data, indices = draft.input(node, 0), draft.input(node, 1)
    depth = indices.shape[-1]
    rows = _tuple_rows(draft, indices, data.shape[:depth], np.zeros([1] * (len(indices.shape) - 1), np.int64))
    _scatter(draft, node, data, rows, math.prod(data.shape[depth:]))


def _scatter(draft: Draft, node: Node, data: Tensor, rows: Tensor, width: int) -> None:
    """data with `updates` at these rows. SCATTER_ND adds up what goes to one place, from zeros."""
    updates, result = draft.input(node, 2), draft.output(node.output)
    reduction = node.attributes.get("reduction", "none")
    if reduction == "none" and rows.data is not None:
        _exchange(draft, data, updates, rows.data, width, result)
        return
    if reduction not in ("none", "add") or data.qparams is not None:
        raise refuse.no_form(node, f"TFLite cannot scatter by '{reduction}'", "use reduction='none' or 'add'")
    count = math.prod(data.shape) // width
    places = draft.reshape(cast(draft, rows, INT32), (math.prod(rows.shape), 1))
    parts = draft.reshape(updates, (math.prod(rows.shape), width))
    placed = _placed(draft, places, parts, (count, width))
    if reduction == "add":
        term(draft, "ADD", data, draft.reshape(placed, data.shape), into=result)
        return
    ones = draft.constant(np.ones(parts.shape[:1], np.int32)[:, np.newaxis], "ones")
    hit = term(draft, "GREATER", _placed(draft, places, ones, (count, 1)), 0)
    line = draft.reshape(data, (count, width))
    draft.reshape(chosen(draft, hit, placed, line, line), result.shape, result)


def _placed(draft: Draft, places: Tensor, parts: Tensor, shape: tuple[int, int]) -> Tensor:
    made = draft.temporary(parts, "placed", shape)
    sizes = draft.numbers(shape, "shape")
    draft.emit("SCATTER_ND", (places, parts, sizes), made, schema.ScatterNdOptionsT())
    return made


def _exchange(draft: Draft, data: Tensor, updates: Tensor, rows: Array, width: int, result: Tensor) -> None:
    """Known places: every row is picked from the data or the updates, the last one that goes there."""
    count = math.prod(data.shape) // width
    sources = np.arange(count)
    sources[rows.reshape(-1)] = count + np.arange(rows.size)
    lines = [draft.reshape(part, (math.prod(part.shape) // width, width)) for part in (data, updates)]
    both = draft.temporary(result, "both", (count + rows.size, width))
    draft.emit("CONCATENATION", lines, both, schema.ConcatenationOptionsT(axis=0))
    pick_rows(draft, both, draft.constant(sources.astype(np.int32), "sources"), width, result)


def _element_rows(draft: Draft, node: Node, shape: Sequence[int]) -> Tensor:
    """For GatherElements and ScatterElements: an index along one axis, the others from where it stands."""
    axis, indices = int(node.attributes.get("axis", 0)) % len(shape), draft.input(node, 1)
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    grid = np.indices(indices.shape)
    start = sum((grid[i] * strides[i] for i in range(len(shape)) if i != axis), np.zeros(indices.shape, np.int64))
    along = wrapped(draft, indices, shape[axis])
    return _row(draft, along, strides[axis], np.asarray(start))


def _tuple_rows(draft: Draft, indices: Tensor, sizes: Sequence[int], start: Array) -> Tensor:
    """For GatherND and ScatterND: the last axis of the indices holds one index per axis of `sizes`."""
    strides = np.asarray([math.prod(sizes[i + 1 :]) for i in range(len(sizes))])
    if indices.data is not None:
        found = (np.mod(indices.data, np.asarray(sizes)) * strides).sum(-1) + start
        return draft.constant(np.asarray(found, np.int32), indices.name)
    limits, factors = (draft.constant(np.asarray(numbers, indices.dtype), "sizes") for numbers in (sizes, strides))
    products = term(draft, "MUL", term(draft, "FLOOR_MOD", indices, limits), factors)
    return _row(draft, reduced(draft, "SUM", products, [len(indices.shape) - 1], keep=False), 1, start)


def _row(draft: Draft, along: Tensor, stride: int, start: Array) -> Tensor:
    """along * stride + start"""
    if along.data is not None:
        return draft.constant((along.data.astype(np.int64) * stride + start).astype(np.int32), along.name)
    scaled = along if stride == 1 else term(draft, "MUL", along, stride)
    return term(draft, "ADD", scaled, draft.constant(start.astype(along.dtype), "start")) if start.any() else scaled


def reverse_sequence(draft: Draft, node: Node) -> None:
    options = schema.ReverseSequenceOptionsT(
        seqDim=int(node.attributes.get("time_axis", 0)), batchDim=int(node.attributes.get("batch_axis", 1))
    )
    lengths = draft.input(node, 1)
    draft.emit("REVERSE_SEQUENCE", (draft.input(node, 0), lengths), draft.output(node.output), options)


def one_hot(draft: Draft, node: Node) -> None:
    depth, values = node.constant(1), node.constant(2)
    if depth is None or values is None:
        raise refuse.computed(node, "depth or values")
    result = draft.output(node.output)
    indices = cast(draft, draft.input(node, 0), INT32)
    size = int(depth.reshape(()))
    counted = chosen(draft, term(draft, "LESS", indices, 0), term(draft, "ADD", indices, size), indices, indices)
    _hot(draft, counted, size, int(node.attributes.get("axis", -1)), values, result)


def hardmax(draft: Draft, node: Node) -> None:
    """1 at the first of the largest, 0 elsewhere."""
    x, result, order = draft.input(node, 0), draft.output(node.output), draft.order(node)
    axis = order.index(int(node.attributes.get("axis", -1)) % len(order))
    place = draft.temporary(x, "place", [n for i, n in enumerate(x.shape) if i != axis], dtype=INT32)
    options = schema.ArgMaxOptionsT(outputType=schema.TensorType.INT32)
    draft.emit("ARG_MAX", (x, draft.numbers(axis, "axis")), place, options)
    _hot(draft, place, x.shape[axis], axis, np.asarray([0, 1], x.dtype), result)


def _hot(draft: Draft, indices: Tensor, size: int, axis: int, values: Array, result: Tensor) -> None:
    off, on = (draft.constant(np.asarray(value), label) for value, label in zip(values, ("off", "on"), strict=True))
    inputs = (indices, draft.numbers(size, "depth"), on, off)
    axis = -1 if axis in (-1, len(result.shape) - 1) else axis % len(result.shape)
    draft.emit("ONE_HOT", inputs, result, schema.OneHotOptionsT(axis=axis))
