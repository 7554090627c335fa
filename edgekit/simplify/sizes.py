"""Sizes that a graph computes from the shapes of its values, the open batch kept as a symbol.

torch writes a Reshape behind a recurrent layer as Concat(Shape(y)[0:1], Shape(y)[1:2], Shape(y)[2:3] * Shape(y)[3:4]):
with y (6, batch, 1, 4) that is (6, batch, 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgekit.graph import facts

Size = int | str
"""A number, or the name of a symbol."""

SAME = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Identity"})  # a vector of sizes stays what it is
WIDE = frozenset({ir.DataType.INT64, ir.DataType.INT32})  # holds every size
DEEPEST = 12


def sizes_of(value: ir.Value | None, depth: int = DEEPEST) -> list[Size] | None:
    """A vector (or a scalar, as one) of integers, None where it depends on more than shapes."""
    array = facts.constant(value)
    if array is not None:
        return [int(n) for n in array.reshape(-1)] if array.dtype.kind == "i" else None
    producer = value.producer() if value is not None else None
    if producer is None or depth == 0:
        return None
    match producer.op_type:
        case "Shape":
            return _shape_of(producer)
        case op if op in SAME:
            return sizes_of(producer.inputs[0], depth - 1)
        case "Cast" if facts.attribute(producer, "to") in WIDE:
            return sizes_of(producer.inputs[0], depth - 1)
        case "Concat":
            parts = [sizes_of(part, depth - 1) for part in producer.inputs]
            return None if None in parts else [size for part in parts if part is not None for size in part]
        case "Slice":
            return _sliced(producer, sizes_of(producer.inputs[0], depth - 1))
        case "Gather":
            return _gathered(producer, sizes_of(producer.inputs[0], depth - 1))
        case op if op in ARITHMETIC:
            return _elementwise(ARITHMETIC[op], *(sizes_of(operand, depth - 1) for operand in producer.inputs))
        case _:
            return None


def _shape_of(node: ir.Node) -> list[Size] | None:
    x = node.inputs[0]
    if x is None or x.shape is None:
        return None
    dims = [dim if isinstance(dim, int) else dim.value for dim in x.shape]
    chosen = dims[slice(facts.attribute(node, "start", 0), facts.attribute(node, "end"))]
    return None if None in chosen else [dim for dim in chosen if dim is not None]


def _sliced(node: ir.Node, sizes: Sequence[Size] | None) -> list[Size] | None:
    bounds = [facts.constant(value) for value in node.inputs[1:]]
    if sizes is None or any(bound is None or bound.size != 1 for bound in bounds):
        return None
    start, end, _, step = (*(int(np.ravel(bound)[0]) for bound in bounds if bound is not None), 0, 1)[:4]
    step = step if len(bounds) == 4 else 1
    return list(sizes[start:end:step])


def _gathered(node: ir.Node, sizes: Sequence[Size] | None) -> list[Size] | None:
    indices = facts.constant(node.inputs[1])
    return None if sizes is None or indices is None else [sizes[int(i)] for i in indices.reshape(-1)]


def _elementwise(
    compute: Callable[[Size, Size], Size | None], a: Sequence[Size] | None, b: Sequence[Size] | None
) -> list[Size] | None:
    if a is None or b is None or (len(a) != len(b) and 1 not in (len(a), len(b))):
        return None
    count = max(len(a), len(b))
    pairs = zip(list(a) * (count // len(a)), list(b) * (count // len(b)), strict=True)
    results = [compute(x, y) for x, y in pairs]
    return None if None in results else [size for size in results if size is not None]


def _times(x: Size, y: Size) -> Size | None:
    if isinstance(x, int) and isinstance(y, int):
        return x * y
    if 1 in (x, y):
        return y if x == 1 else x
    return None


def _plus(x: Size, y: Size) -> Size | None:
    return x + y if isinstance(x, int) and isinstance(y, int) else None


def _minus(x: Size, y: Size) -> Size | None:
    return x - y if isinstance(x, int) and isinstance(y, int) else None


def _over(x: Size, y: Size) -> Size | None:
    """Of sizes, whose quotients ONNX cuts off as `//` does; of negative numbers it would not."""
    return x // y if isinstance(x, int) and isinstance(y, int) and x >= 0 and y > 0 else None


ARITHMETIC: Mapping[str, Callable[[Size, Size], Size | None]] = {
    "Mul": _times,
    "Add": _plus,
    "Sub": _minus,
    "Div": _over,
}
