"""One linear layer per use of its output.

Attention computes queries, keys and values as one product and takes it apart again:

    q, k, v = split(W x + b)        =        W_q x + b_q,  W_k x + b_k,  W_v x + b_v

Apart they need no slices, and each has a scale of its own: values are often ten times smaller than queries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts
from edgekit.simplify import batch
from edgekit.simplify.shapes import slice_arguments

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """One value that is taken out of another: elements [start, stop) of an axis. drops: the axis goes too."""

    value: ir.Value
    start: int
    stop: int
    drops: bool = False


@dataclass(frozen=True)
class Stage:
    """A node between the product and its parts, of whose output elements are taken along `axis`.

    cut: of a Reshape, the input's axis as (outer, elements of the output's axis, inner).
    """

    node: ir.Node
    axis: int
    cut: tuple[int, int, int] | None = None

    def above(self, taken: Indices) -> Indices:
        """The elements of the input's axis that hold these of the output's."""
        if self.cut is None:
            return taken
        return np.arange(math.prod(self.cut)).reshape(self.cut)[:, taken, :].reshape(-1)


def split_projections(graph: ir.Model) -> ir.Model:
    """A product with constants that is read in parts becomes a product for each part."""
    graph = graph.clone()
    for node in list(graph.graph):
        output = node.outputs[0] if node.outputs else None
        if output is None or output.is_graph_output() or not facts.is_float(output) or not batch.is_known(output):
            continue
        found = _parts(output)
        if found is None:
            continue
        axis, parts = found
        path = _path(output, axis)
        if path is not None:
            for index, part in enumerate(parts):
                _write(graph, path, part, index)
            edit.drop_unused(graph)
    return graph


def _parts(value: ir.Value) -> tuple[int, list[Part]] | None:
    """The axis and the parts that the readers take, where all of them take apart what no other does."""
    taken: list[tuple[int, Part]] = []
    for reader in facts.consumers(value):
        pieces = list(_taken(reader, value))
        if not pieces:
            return None
        taken += pieces
    axes, parts = {axis for axis, _ in taken}, sorted((part for _, part in taken), key=lambda part: part.start)
    apart = all(a.stop <= b.start for a, b in pairwise(parts))
    return (axes.pop(), parts) if len(axes) == 1 and len(parts) > 1 and apart else None


def _taken(reader: ir.Node, value: ir.Value) -> Iterator[tuple[int, Part]]:
    """(axis, part) for what the reader takes; nothing where it does anything else."""
    whole, output = batch.sizes(value), reader.outputs[0]
    match reader.op_type:
        case "Gather":
            index, axis = facts.constant(reader.inputs[1]), facts.attribute(reader, "axis", 0) % len(whole)
            if reader.inputs[0] is value and index is not None and index.ndim == 0 and whole[axis] % batch.PROBE:
                start = int(index) % whole[axis]
                yield axis, Part(output, start, start + 1, drops=True)
        case "Slice":
            arguments = slice_arguments(reader)
            if reader.inputs[0] is value and arguments is not None and len(arguments[2]) == 1:
                start, end, axis, step = (int(numbers[0]) for numbers in arguments)
                if step == 1 and whole[axis] % batch.PROBE:
                    start, stop, _ = slice(start, end).indices(whole[axis])
                    yield axis, Part(output, start, stop)
        case "Split" if all(batch.is_known(out) for out in reader.outputs):
            axis = facts.attribute(reader, "axis", 0) % len(whole)
            start = 0
            for out in reader.outputs:
                stop = start + batch.sizes(out)[axis]
                yield axis, Part(out, start, stop)
                start = stop
        case _:
            return


def _path(value: ir.Value, axis: int) -> list[Stage] | None:
    """From the product down to the value, None where the parts cannot be traced to columns of constant weights."""
    path: list[Stage] = []
    while (node := value.producer()) is not None and batch.is_known(value):
        if path and facts.only_consumer(value) is None:
            return None
        x, here, cut = node.inputs[0], axis, None
        match node.op_type:
            case "MatMul" | "Gemm":
                ends = axis == len(batch.sizes(value)) - 1 and _has_columns(node)
                return [Stage(node, axis), *path] if ends else None
            case "Transpose":
                axis = facts.attribute(node, "perm", range(len(batch.sizes(value)))[::-1])[axis]
            case "Reshape" if batch.is_known(x) and x is not None:
                found = _above_reshape(batch.sizes(x), batch.sizes(value), axis)
                if found is None:
                    return None
                axis, cut = found
            case "Add" | "Mul" | "Sub" if (data := _data(node)) is not None:
                x = data
            case _:
                return None
        if x is None:
            return None
        path.insert(0, Stage(node, here, cut))
        value = x
    return None


def _has_columns(node: ir.Node) -> bool:
    weight, bias = facts.constant(node.inputs[1]), node.inputs[2] if len(node.inputs) > 2 else None
    plain = node.op_type == "MatMul" or (facts.attribute(node, "transB", 0) and not facts.attribute(node, "transA", 0))
    constant = bias is None or ((array := facts.constant(bias)) is not None and array.ndim == 1)
    return bool(plain and constant) and weight is not None and weight.ndim == 2


def _data(node: ir.Node) -> ir.Value | None:
    """The computed operand of an elementwise op with a constant, where the result has its shape."""
    values = [value for value in node.inputs if value is not None and facts.constant(value) is None]
    if len(values) != 1 or not batch.is_known(values[0]):
        return None
    return values[0] if batch.sizes(values[0]) == batch.sizes(node.outputs[0]) else None


def _above_reshape(
    before: tuple[int, ...], after: tuple[int, ...], axis: int
) -> tuple[int, tuple[int, int, int]] | None:
    """The one axis of a Reshape's input that the output's axis is cut from, and how it is cut."""
    outer, inner = math.prod(after[:axis]), math.prod(after[axis + 1 :])
    for candidate, size in enumerate(before):
        left, right = math.prod(before[:candidate]), math.prod(before[candidate + 1 :])
        cut = (outer // left, after[axis], inner // right)
        if outer % left == 0 == inner % right and size > 1 and math.prod(cut) == size:
            return candidate, cut
    return None


def _write(graph: ir.Model, path: list[Stage], part: Part, index: int) -> None:
    """The nodes of the path for one part alone."""
    x = path[0].node.inputs[0]
    taker = part.value.producer()
    assert x is not None and taker is not None
    taken = [np.arange(part.start, part.stop)]
    for stage in reversed(path):
        taken.insert(0, stage.above(taken[0]))
    for stage, kept in zip(path, taken[1:], strict=True):
        x = _narrowed(graph, stage, x, kept, taker, index)
    if part.drops:
        whole = batch.sizes(part.value)
        shape = batch.target(graph, f"{part.value.name}_shape", whole)
        node = _node(taker, taker, "Reshape", [x, shape], {}, index, whole)
        graph.graph.insert_before(taker, node)
        x = node.outputs[0]
    ir.convenience.replace_all_uses_with(part.value, x, replace_graph_outputs=True)
    if part.value.is_graph_output() or x.is_graph_output():
        x.name, part.value.name = part.value.name, f"{part.value.name}_unused"


def _narrowed(graph: ir.Model, stage: Stage, x: ir.Value, kept: Indices, taker: ir.Node, index: int) -> ir.Value:
    """The stage's node on its part of the data."""
    node, output = stage.node, stage.node.outputs[0]
    whole = list(batch.sizes(output))
    whole[stage.axis] = kept.size
    inputs: list[ir.Value | None] = [x, *node.inputs[1:]]
    match node.op_type:
        case "Reshape":
            inputs = [x, batch.target(graph, f"{output.name}_{index}_shape", tuple(whole))]
        case "MatMul":
            inputs = [x, _taken_from(graph, node.inputs[1], 1, kept)]
        case "Gemm":
            inputs = [x, *(_taken_from(graph, value, 0, kept) for value in node.inputs[1:])]
        case "Add" | "Mul" | "Sub":
            place = len(whole) - stage.axis  # from the end, as broadcasting counts
            data = _data(node)
            inputs = [x if value is data else _taken_from(graph, value, -place, kept) for value in node.inputs]
        case _:
            pass
    attributes = {"perm": facts.attribute(node, "perm")} if node.op_type == "Transpose" else dict(_plain(node))
    made = _node(node, taker, node.op_type, inputs, attributes, index, tuple(whole))
    graph.graph.insert_before(taker, made)
    return made.outputs[0]


def _plain(node: ir.Node) -> Iterator[tuple[str, object]]:
    return ((name, facts.attribute(node, name)) for name in node.attributes)


def _node(
    like: ir.Node,
    taker: ir.Node,
    op_type: str,
    inputs: list[ir.Value | None],
    attributes: dict[str, object],
    index: int,
    whole: tuple[int, ...],
) -> ir.Node:
    made = edit.new_node(like, op_type, inputs, attributes)
    suffix = f"part{index}" + ("_shape" if like is taker else "")
    made.name, made.outputs[0].name = f"{like.name}_{suffix}", f"{like.outputs[0].name}_{suffix}"
    made.outputs[0].shape = batch.open_shape(whole)
    return made


def _taken_from(graph: ir.Model, value: ir.Value | None, axis: int, kept: Indices) -> ir.Value | None:
    """The part of a constant along an axis, the constant itself where it does not vary along it."""
    array: NDArray[np.floating] | None = facts.constant(value)
    if value is None or array is None or -axis > array.ndim or array.shape[axis] == 1:
        return value
    return edit.add_constant(graph, f"{value.name}_part", np.take(array, kept, axis))
