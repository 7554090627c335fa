"""Pools that TFLite has no op for, written with those it has.

three axes   the pool over height and width, then the one over depth: a maximum, a sum and a mean over a box are so
dilated      a maximum of shifted views; a mean is a depthwise convolution of ones, by the number of elements
LpPool       (sum |x|^p)^(1/p)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from edgekit.lower.tflite import windows
from edgekit.lower.tflite.ops import Array, Node, Program, Value

POOLS = frozenset({"MaxPool", "AveragePool", "LpPool"})
LOWEST = float(np.finfo(np.float32).min)


def spread(program: Program) -> Program:
    nodes = [part for node in program.nodes for part in _spread(node)]
    return replace(program, nodes=tuple(nodes))


def _spread(node: Node) -> Iterator[Node]:
    if node.op not in POOLS or len(node.outputs) > 1:
        yield node
        return
    dilated = any(d != 1 for d in node.ints("dilations", ()))
    match node.op:
        case "LpPool":
            yield from _norm(node)
        case "AveragePool" if dilated:
            yield from _dilated_mean(node)
        case _ if len(node.ints("kernel_shape", ())) == 3:
            yield from _in_two_steps(node)
        case "MaxPool" if dilated:
            yield from _shifted_maximum(node)
        case _:
            yield node


def _norm(node: Node) -> Iterator[Node]:
    x, p = node.input(0), float(node.attributes.get("p", 2))
    size, power, total = _like(x, "size"), _like(x, "power"), _like(node.output, "sum")
    yield _node(node, "Abs", (x,), size)
    yield _node(node, "Pow", (size, _number(node, "p", p)), power)
    yield from _sum(node, power, total)
    yield _node(node, "Pow", (total, _number(node, "root", 1 / p)), node.output)


def _dilated_mean(node: Node) -> Iterator[Node]:
    total = _like(node.output, "sum")
    factor = (1 / _counts(node)).astype(np.float32)
    yield from _sum(node, node.input(0), total)
    share = Value(name=f"{node.output.name}_share", shape=factor.shape, dtype=factor.dtype, data=factor)
    yield _node(node, "Mul", (total, share), node.output)


def _sum(node: Node, x: Value, result: Value) -> Iterator[Node]:
    """Over each window, zeros around the image: a depthwise convolution of ones."""
    kernel = node.ints("kernel_shape", ())
    ones = np.ones((x.shape[1], 1, *kernel), np.float32)
    weight = Value(name=f"{node.output.name}_ones", shape=ones.shape, dtype=ones.dtype, data=ones)
    yield _node(node, "Conv", (x, weight), result, {**_window(node), "group": x.shape[1]})


def _counts(node: Node) -> Array:
    """How many elements of each window the mean is over."""
    kernel = node.ints("kernel_shape", ())
    spatial = len(kernel)
    pads = windows.padding(node, spatial)
    strides, dilations = node.ints("strides", [1] * spatial), node.ints("dilations", [1] * spatial)
    lines = []
    for axis in range(spatial):
        starts = np.arange(node.output.shape[2 + axis]) * strides[axis] - pads[axis]
        places = starts[:, np.newaxis] + np.arange(kernel[axis]) * dilations[axis]
        low, high = 0, node.input(0).shape[2 + axis]
        if node.attributes.get("count_include_pad", 0):
            low, high = -pads[axis], high + pads[spatial + axis]
        lines.append(((places >= low) & (places < high)).sum(axis=1))
    counts: Array = np.asarray(prod(np.ix_(*lines), start=1))
    return counts[np.newaxis, np.newaxis]


def _in_two_steps(node: Node) -> Iterator[Node]:
    """Depth as more images while height and width are pooled, then height and width as one axis. The channels stay
    apart from both, so that nothing moves where they are stored last."""
    x, result, window = node.input(0), node.output, _window(node)
    batch, channels, depth, *image = x.shape
    plane, deep = result.shape[3:], result.shape[2]
    slices = _shaped(x, "slices", (batch, depth, channels, *image))
    images = _shaped(x, "images", (batch * depth, channels, *image))
    pooled = _shaped(result, "pooled", (batch * depth, channels, *plane))
    rows = _shaped(result, "rows", (batch, depth, channels, prod(plane)))
    columns = _shaped(result, "columns", (batch, channels, depth, prod(plane)))
    lines = _shaped(result, "lines", (batch, channels, deep, prod(plane)))
    across = {key: _some(values, (1, 2)) for key, values in window.items()}
    along = {key: _first(key, values) for key, values in window.items()}
    kept = {key: node.attributes[key] for key in ("count_include_pad",) if key in node.attributes}
    yield _node(node, "Transpose", (x,), slices, {"perm": (0, 2, 1, 3, 4)})
    yield _node(node, "Reshape", (slices,), images)
    yield from _spread(_node(node, node.op, (images,), pooled, {**across, **kept}))
    yield _node(node, "Reshape", (pooled,), rows)
    yield _node(node, "Transpose", (rows,), columns, {"perm": (0, 2, 1, 3)})
    yield from _spread(_node(node, node.op, (columns,), lines, {**along, **kept}))
    yield _node(node, "Reshape", (lines,), result)


def _some(values: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """Of each row of three, those axes."""
    return tuple(values[start + axis] for start in range(0, len(values), 3) for axis in axes)


def _first(key: str, values: Sequence[int]) -> tuple[int, ...]:
    """The depth's values; along the other axis nothing happens."""
    still = 0 if key == "pads" else 1
    return tuple(number for start in range(0, len(values), 3) for number in (values[start], still))


def _shifted_maximum(node: Node) -> Iterator[Node]:
    x, result, kernel = node.input(0), node.output, node.ints("kernel_shape", ())
    spatial = len(kernel)
    strides, dilations = node.ints("strides", [1] * spatial), node.ints("dilations", [1] * spatial)
    low = windows.padding(node, spatial)[:spatial]
    spans = [
        (o - 1) * s + (k - 1) * d + 1 for o, s, k, d in zip(result.shape[2:], strides, kernel, dilations, strict=True)
    ]
    high = [max(0, span - i - p) for span, i, p in zip(spans, x.shape[2:], low, strict=True)]
    amounts = np.asarray([0, 0, *low, 0, 0, *high])
    lowest = LOWEST if x.qparams is None else x.qparams.real_range[0]
    wide = _shaped(x, "padded", (*x.shape[:2], *(i + p + q for i, p, q in zip(x.shape[2:], low, high, strict=True))))
    yield _node(node, "Pad", (x, _setting(node, "pads", amounts), _number(node, "lowest", lowest)), wide)
    views = []
    for place in product(*map(range, kernel)):
        view = _like(replace(result, qparams=x.qparams), "_".join(["view", *map(str, place)]))
        starts = [p * d for p, d in zip(place, dilations, strict=True)]
        ends = [start + (o - 1) * s + 1 for start, o, s in zip(starts, result.shape[2:], strides, strict=True)]
        settings = {"starts": starts, "ends": ends, "axes": range(2, 2 + spatial), "steps": strides}
        given = [_setting(node, f"{key}_{view.name}", np.asarray(list(row))) for key, row in settings.items()]
        yield _node(node, "Slice", (wide, *given), view)
        views.append(view)
    yield _node(node, "Max", tuple(views), result)


# -- parts ------------------------------------------------------------------------------------------------------------


def _window(node: Node) -> dict[str, tuple[int, ...]]:
    spatial = len(node.ints("kernel_shape", ()))
    return {
        "kernel_shape": node.ints("kernel_shape", ()),
        "strides": node.ints("strides", [1] * spatial),
        "dilations": node.ints("dilations", [1] * spatial),
        "pads": windows.padding(node, spatial),
    }


def _node(
    like: Node, op: str, inputs: tuple[Value, ...], output: Value, attributes: Mapping[str, Any] | None = None
) -> Node:
    return Node(op=op, inputs=inputs, outputs=(output,), attributes=attributes or {}, origin=like.origin)


def _like(value: Value, label: str) -> Value:
    return replace(value, name=f"{value.name}_{label}", data=None)


def _shaped(value: Value, label: str, shape: tuple[int, ...]) -> Value:
    return replace(_like(value, label), shape=shape)


def _number(node: Node, label: str, number: float) -> Value:
    data = np.asarray(number, np.float32)
    return Value(name=f"{node.output.name}_{label}", shape=(), dtype=data.dtype, data=data)


def _setting(node: Node, label: str, numbers: Array) -> Value:
    return Value(name=f"{node.output.name}_{label}", shape=numbers.shape, dtype=numbers.dtype, data=numbers)
