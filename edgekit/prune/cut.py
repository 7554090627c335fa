"""A smaller graph: the units that are not kept are cut out of weights, biases, norms, and numbers that count channels.

Where channels are cut that rest at r (see flow.py), the reader's bias takes over what they gave it:

    y = W x + b,  x_c = r_c for c in cut    =>    b' = b + sum_c W_c r_c

so that cutting units whose weights, biases, factors and addends are zero leaves the function as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit.graph import edit, facts
from edgekit.prune.flow import Count, Fold, Pick, Slice
from edgekit.prune.groups import Channels
from edgekit.prune.labels import FIXED, Ids

Array = NDArray[Any]
Units = frozenset[int]


def cut(graph: ir.Model, channels: Channels, units: Iterable[int]) -> ir.Model:
    """The graph without these units. channels: of the same graph. Raises EK302 where a value would keep no channel."""
    gone = frozenset(units)
    _check(channels, gone)
    graph = graph.clone()
    nodes = {node.name or "": node for node in graph.graph}
    addends = [(nodes[fold.node], _addend(nodes[fold.node], fold, channels, gone)) for fold in channels.folds]
    _slice_constants(graph, nodes, channels.slices, gone)
    for pick in channels.picks:
        _renumber(graph, nodes[pick.node], pick, gone)
    for count in channels.counts:
        _count_anew(graph, nodes[count.node], count, gone)
    for node in graph.graph:
        for value in node.outputs:
            if (found := channels.values.get(value.name or "")) is not None:
                _shrink(value, *found, gone)
    for node, addend in addends:
        if addend is not None:
            _take_over(graph, node, addend)
    edit.drop_unused(graph)
    edit.share_equal_constants(graph)
    edit.part_uniform_constants(graph)
    return graph


def silenced(graph: ir.Model, channels: Channels, units: Iterable[int]) -> ir.Model:
    """The graph at its full size, with all that makes these units zero: what `cut` computes."""
    gone = frozenset(units)
    graph = graph.clone()
    nodes = {node.name or "": node for node in graph.graph}
    for use in channels.slices:
        lost = _lost(use.labels, gone)
        if not use.makes or not lost.any():
            continue
        array = _array(nodes[use.node], use.position).copy()
        np.moveaxis(array, use.axis, 0)[lost] = 0
        _set(graph, nodes[use.node], use.position, array)
    return graph


def survivors(channels: Channels, units: Iterable[int]) -> dict[str, NDArray[np.bool_]]:
    """Value -> which of its channels are left when these units are cut."""
    gone = frozenset(units)
    return {name: kept(labels, gone) for name, (_, labels) in channels.values.items()}


def kept(labels: Ids, gone: Units) -> NDArray[np.bool_]:
    return ~_lost(labels, gone)


def _lost(labels: Ids, gone: Units) -> NDArray[np.bool_]:
    return np.isin(labels, np.fromiter(gone - {FIXED}, np.int64))


def _check(channels: Channels, gone: Units) -> None:
    known = {unit for group in channels.groups for unit in group.units}
    assert gone <= known, f"{sorted(gone - known)} are no units of the graph"
    for name, (_, labels) in channels.values.items():
        if not kept(labels, gone).any():
            raise EdgekitError(
                "EK302",
                f"cannot cut every channel of '{name}'",
                f"all {len(labels)} were to go, and at least one has to stay",
                "keep a channel of the group that makes it",
            )


# ---- what the readers of cut channels take over ----------------------------------------------------------------------


def _addend(node: ir.Node, fold: Fold, channels: Channels, gone: Units) -> Array | None:
    """What the channels that go gave each output that stays, where they gave anything."""
    lost = _lost(fold.labels, gone)
    if not np.any(fold.rest[lost]):
        return None
    rest = np.where(lost, fold.rest, 0.0)
    left = node.op_type == "MatMul" and facts.constant(node.inputs[0]) is not None
    weight = _array(node, 0 if left else 1).astype(np.float64)
    match node.op_type:
        case "Conv":
            made = weight.reshape(*weight.shape[:2], -1).sum(axis=2) @ rest
        case "Gemm":
            alpha, beta = (facts.attribute(node, name, 1.0) for name in ("alpha", "beta"))
            made = (weight if facts.attribute(node, "transB", 0) else weight.T) @ rest * (alpha / beta)
        case _:
            made = weight @ rest if left else rest @ weight
    stays = kept(channels.values[node.outputs[0].name or ""][1], gone)
    return edit.float_tensor(made[..., stays][..., None] if left else made[..., stays])


def _take_over(graph: ir.Model, node: ir.Node, addend: Array) -> None:
    if node.op_type == "MatMul" and (behind := _added_before(node, addend)) is not None:
        _set(graph, behind, 1, edit.float_tensor(_array(behind, 1) + addend))
    elif node.op_type == "MatMul":
        _add_behind(graph, node, addend)
    elif len(node.inputs) > 2 and node.inputs[2] is not None:
        _set(graph, node, 2, edit.float_tensor(_array(node, 2) + addend))
    else:
        node.resize_inputs(3)
        node.replace_input_with(2, edit.add_constant(graph, f"{node.name}_bias", addend))


def _added_before(node: ir.Node, addend: Array) -> ir.Node | None:
    """The op of its own that an earlier cut put behind a product."""
    readers = facts.consumers(node.outputs[0])
    if len(readers) != 1 or readers[0].name != f"{node.name}_rest":
        return None
    found = facts.constant(readers[0].inputs[1])
    return readers[0] if found is not None and found.shape == addend.shape else None


def _add_behind(graph: ir.Model, node: ir.Node, addend: Array) -> None:
    """A product of matrices has no bias: its addend is an op of its own."""
    out = node.outputs[0]
    product = ir.node("MatMul", list(node.inputs), name=node.name, metadata_props=dict(node.metadata_props))
    product.outputs[0].name = f"{out.name}_product"
    product.outputs[0].type, product.outputs[0].shape = out.type, out.shape
    constant = edit.add_constant(graph, f"{node.name}_rest", addend)
    sum_ = edit.new_node(node, "Add", [product.outputs[0], constant])
    sum_.name = f"{node.name}_rest"
    edit.replace(graph, node, [product, sum_])


# ---- what counts, picks and weighs channels --------------------------------------------------------------------------


def _slice_constants(graph: ir.Model, nodes: Mapping[str, ir.Node], slices: Iterable[Slice], gone: Units) -> None:
    """Nodes that share a constant, and cut it alike, go on sharing it."""
    uses: dict[tuple[str, int], list[Slice]] = defaultdict(list)
    for use in slices:
        uses[use.node, use.position].append(use)
    made: dict[tuple[object, ...], ir.Value] = {}
    for (name, position), found in uses.items():
        masks = [(use.axis, kept(use.labels, gone)) for use in found]
        if all(mask.all() for _, mask in masks):
            continue
        node = nodes[name]
        old = node.inputs[position]
        key = (old, *((axis, mask.tobytes()) for axis, mask in masks))
        if key not in made:
            array = _array(node, position)
            for axis, mask in masks:
                array = np.compress(mask, array, axis)
            assert old is not None
            made[key] = edit.add_constant(graph, old.name or "", np.ascontiguousarray(array))
        node.replace_input_with(position, made[key])


def _renumber(graph: ir.Model, node: ir.Node, pick: Pick, gone: Units) -> None:
    stays = kept(pick.labels, gone)
    if stays.all():
        return
    indices = _array(node, pick.position) % len(stays)  # those below 0 count from the end
    places = np.cumsum(stays) - 1
    _set(graph, node, pick.position, places[indices[stays[indices]]].astype(indices.dtype))


def _count_anew(graph: ir.Model, node: ir.Node, count: Count, gone: Units) -> None:
    """Also where all stay: a position counted from the end is another one when there are fewer behind it."""
    stays = kept(count.labels, gone)
    number = int(stays.sum())
    if count.attribute is not None:
        node.attributes[count.attribute] = ir.AttrInt64(count.attribute, number)
        return
    if node.op_type == "Split" and (len(node.inputs) < 2 or node.inputs[1] is None):
        if stays.all():
            return
        _say_sizes(graph, node)
    array = _array(node, count.position)
    if array[count.index] != number:
        array = array.copy()
        array[count.index] = number
        _set(graph, node, count.position, array)


def _say_sizes(graph: ir.Model, node: ir.Node) -> None:
    """A split into equal parts whose parts are no longer equal."""
    axis = facts.attribute(node, "axis", 0)
    sizes = np.array([facts.static_shape(value)[axis] for value in node.outputs], np.int64)
    node.resize_inputs(2)
    node.replace_input_with(1, edit.add_constant(graph, f"{node.name}_sizes", sizes))
    node.attributes.pop("num_outputs", None)


def _shrink(value: ir.Value, axis: int, labels: Ids, gone: Units) -> None:
    assert value.shape is not None
    dims = list(value.shape)
    dims[axis] = int(kept(labels, gone).sum())
    value.shape = ir.Shape(dims)


def _array(node: ir.Node, position: int) -> Array:
    array = facts.constant(node.inputs[position])
    assert array is not None
    return array


def _set(graph: ir.Model, node: ir.Node, position: int, array: Array) -> None:
    old = node.inputs[position]
    assert old is not None
    node.replace_input_with(position, edit.add_constant(graph, old.name or "", array))
