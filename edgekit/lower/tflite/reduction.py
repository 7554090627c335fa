"""Reductions, sums along an axis, and the place of the largest.

|x|_1 = sum |x|     |x|_2 = sqrt(sum x^2)     log sum exp x = m + log(sum exp(x - m)),  m = max x
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.elementwise import magnitude
from edgekit.lower.tflite.flatbuffer import TYPES
from edgekit.lower.tflite.layout import reduced_axes
from edgekit.lower.tflite.ops import Node, Tensor
from edgekit.lower.tflite.terms import cast, emit, reduced, term

REDUCERS: Mapping[str, str] = {
    "ReduceMean": "MEAN",
    "ReduceSum": "SUM",
    "ReduceMax": "REDUCE_MAX",
    "ReduceMin": "REDUCE_MIN",
    "ReduceProd": "REDUCE_PROD",
}
OF_BOOLS: Mapping[str, str] = {"ReduceMax": "REDUCE_ANY", "ReduceMin": "REDUCE_ALL"}
COMPOSED = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
PLACES: Mapping[str, str] = {"ArgMax": "ARG_MAX", "ArgMin": "ARG_MIN"}
LARGEST = float(np.finfo(np.float32).max)


def reduction(draft: Draft, node: Node) -> None:
    x, axes, keep, result = _arguments(draft, node)
    code = OF_BOOLS.get(node.op, "") if x.dtype == np.bool_ else REDUCERS[node.op]
    if not code:
        raise refuse.no_form(node, "TFLite reduces truth values by 'any' and 'all' only", "cast to int32 before")
    if axes:
        reduced(draft, code, x, axes, keep, result)
    else:  # noop_with_empty_axes
        draft.reshape(x, result.shape, result)


def composed(draft: Draft, node: Node) -> None:
    x, axes, keep, result = _arguments(draft, node)
    match node.op:
        case "ReduceL1":
            _sum(draft, magnitude(draft, x), axes, keep, result)
        case "ReduceSumSquare":
            _sum(draft, term(draft, "MUL", x, x), axes, keep, result)
        case "ReduceL2":
            term(draft, "SQRT", _sum(draft, term(draft, "MUL", x, x), axes, keep), into=result)
        case "ReduceLogSum":
            term(draft, "LOG", _sum(draft, x, axes, keep), into=result)
        case _:
            _log_sum_exp(draft, x, axes, keep, result)


def _log_sum_exp(draft: Draft, x: Tensor, axes: list[int], keep: bool, result: Tensor) -> None:
    """The maximum is held finite, since infinity less infinity is no number."""
    if not axes:
        draft.reshape(x, result.shape, result)
        return
    most = reduced(draft, "REDUCE_MAX", x, axes)
    most = term(draft, "MINIMUM", term(draft, "MAXIMUM", most, -LARGEST), LARGEST)
    total = reduced(draft, "SUM", term(draft, "EXP", term(draft, "SUB", x, most)), axes, keep)
    term(draft, "ADD", term(draft, "LOG", total), draft.reshape(most, result.shape), into=result)


def _sum(draft: Draft, x: Tensor, axes: list[int], keep: bool, into: Tensor | None = None) -> Tensor:
    if axes:
        return reduced(draft, "SUM", x, axes, keep, into)
    return x if into is None else draft.reshape(x, into.shape, into)


def _arguments(draft: Draft, node: Node) -> tuple[Tensor, list[int], bool, Tensor]:
    """x, the stored axes to reduce, whether they stay, the result."""
    order = draft.order(node)
    axes = sorted(order.index(axis) for axis in reduced_axes(node))
    return draft.input(node, 0), axes, bool(node.attributes.get("keepdims", 1)), draft.output(node.output)


def place(draft: Draft, node: Node) -> None:
    """ArgMax and ArgMin. Of equal elements the first; for the last, the axis is turned around."""
    order, x, result = draft.order(node), draft.input(node, 0), draft.output(node.output)
    axis = order.index(int(node.attributes.get("axis", 0)) % len(order))
    last = bool(node.attributes.get("select_last_index", 0))
    if last:
        turned = draft.temporary(x, "turned")
        draft.emit("REVERSE_V2", (x, draft.numbers([axis], "axis")), turned, schema.ReverseV2OptionsT())
        x = turned
    made = draft.temporary(result, "place", [n for i, n in enumerate(x.shape) if i != axis])
    maker = schema.ArgMaxOptionsT if node.op == "ArgMax" else schema.ArgMinOptionsT
    emit(draft, PLACES[node.op], (x, draft.numbers(axis, "axis")), made, maker(outputType=TYPES[made.dtype]))
    if last:
        made = term(draft, "SUB", draft.constant(np.asarray(x.shape[axis] - 1, made.dtype), "last"), made)
    draft.reshape(made, result.shape, result)


def running_sum(draft: Draft, node: Node) -> None:
    x, result = draft.input(node, 0), draft.output(node.output)
    axis = node.constant(1)
    if axis is None:
        raise refuse.computed(node, "axis")
    stored = draft.order(node).index(int(axis.reshape(())) % len(x.shape))
    options = schema.CumsumOptionsT(
        exclusive=bool(node.attributes.get("exclusive", 0)), reverse=bool(node.attributes.get("reverse", 0))
    )
    emit(draft, "CUMSUM", (x, draft.numbers(stored, "axis")), result, options)


def top_k(draft: Draft, node: Node) -> None:
    """The layout put the axis last. The smallest are the largest of the reversed."""
    if node.constant(1) is None:
        raise refuse.computed(node, "k")
    x = draft.input(node, 0)
    values, places = (draft.output(value) for value in node.outputs)
    smallest = not node.attributes.get("largest", 1)
    source = _reversed(draft, x) if smallest else x
    found = draft.temporary(values, "reversed", dtype=source.dtype) if smallest else values
    indices = draft.temporary(places, "int32", dtype=np.dtype(np.int32))
    count = draft.numbers(values.shape[-1], "k")
    draft.emit("TOPK_V2", (source, count), (found, indices), schema.TopKV2OptionsT())
    cast(draft, indices, places.dtype, places)
    if smallest:
        _reversed(draft, found, values)


def _reversed(draft: Draft, x: Tensor, into: Tensor | None = None) -> Tensor:
    """The same numbers in the opposite order; integers so that the smallest, whose negative is none, has a place."""
    if x.dtype.kind == "f":
        return term(draft, "NEG", x, into=into)
    first = draft.constant(np.asarray(-1 if x.dtype.kind == "i" else np.iinfo(x.dtype).max, x.dtype), "first")
    return term(draft, "SUB", first, x, into=into)
