"""Ops that only move values: channels go where the values go."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from edgekit.graph import facts
from edgekit.prune import layout
from edgekit.prune.flow import Channels, Flow, Pick, still
from edgekit.prune.labels import Ids, Reals

COMPUTED = "is told where by values that are computed, not constant"


def transpose(flow: Flow, node: ir.Node) -> None:
    came = flow.of(node.inputs[0])
    if came is not None:
        rank = len(facts.shape(node.outputs[0]))
        order = facts.attribute(node, "perm") or tuple(reversed(range(rank)))
        flow.give(node.outputs[0], came.at(order.index(came.axis)))


def reshape(flow: Flow, node: ir.Node) -> None:
    """Also Flatten, Squeeze and Unsqueeze, which are told nothing about sizes."""
    x, out = node.inputs[0], node.outputs[0]
    came = flow.of(x)
    if came is None or x is None:
        return None
    target = facts.constant(node.inputs[1]) if node.op_type == "Reshape" else np.zeros(0)
    if target is None:
        return flow.stay(node, COMPUTED, x)
    before, after = (facts.static_shape(value, layout.BATCH) for value in (x, out))
    slabs = layout.reshaped(before, after, came.axis)
    if not slabs:
        return flow.stay(node, f"mixes channels with the batch: {_sizes(x)} becomes {_sizes(out)}", x)
    axis = layout.preferred(slabs, flow.labels.settled(came.labels), finest=_shuffles(node))
    if axis != came.axis < len(target) and target[came.axis] == 0:  # stands for the size that the channels' axis had
        return flow.stay(node, "takes their number for another axis", x)
    for together in slabs[axis]:
        flow.labels.join_all(came.labels[together])
    labels = np.array([came.labels[together[0]] for together in slabs[axis]], np.int64)
    rest = np.array([_shared(came.rest[together]) for together in slabs[axis]])
    if target.size and target[axis] > 0:
        flow.count(node, labels, position=1, index=axis)
    return flow.give(out, Channels(axis, labels, rest))


def _shared(rests: Reals) -> float:
    return float(rests[0]) if np.all(rests == rests[0]) else np.nan


def _sizes(value: ir.Value) -> str:
    assert value.shape is not None
    return "(" + ", ".join(str(d if isinstance(d, int) else d.value or "?") for d in value.shape) + ")"


def _shuffles(node: ir.Node) -> bool:
    """Whether a transpose and another reshape bring the channels back into one axis, in another order."""
    turn = facts.only_consumer(node.outputs[0])
    if turn is None or turn.op_type != "Transpose" or (back := facts.only_consumer(turn.outputs[0])) is None:
        return False
    x = node.inputs[0]
    assert x is not None
    return back.op_type == "Reshape" and facts.shape(back.outputs[0]) == facts.shape(x)


def expand(flow: Flow, node: ir.Node) -> None:
    x, out = node.inputs[0], node.outputs[0]
    came, target = flow.of(x), facts.constant(node.inputs[1])
    if came is None or x is None:
        return None
    axis = came.axis + len(facts.shape(out)) - len(facts.shape(x))
    if target is None or facts.shape(out)[axis] != len(came.labels):
        return flow.stay(node, COMPUTED if target is None else "spreads one channel over many", x)
    entry = axis - len(facts.shape(out)) + len(target)
    if entry >= 0 and target[entry] > 1:
        flow.count(node, came.labels, position=1, index=entry)
    return flow.give(out, came.at(axis))


def tile(flow: Flow, node: ir.Node) -> None:
    came, repeats = flow.of(node.inputs[0]), facts.constant(node.inputs[1])
    if came is None:
        return None
    if repeats is None:
        return flow.stay(node, COMPUTED)
    times = int(repeats[came.axis])
    return flow.give(node.outputs[0], Channels(came.axis, np.tile(came.labels, times), np.tile(came.rest, times)))


def concat(flow: Flow, node: ir.Node) -> None:
    out = node.outputs[0]
    axis = facts.attribute(node, "axis") % len(facts.shape(out))
    came = {value: channels for value in node.inputs if value is not None and (channels := flow.of(value))}
    if not came:
        return None
    along = {value: channels for value, channels in came.items() if channels.axis == axis}
    if any(map(flow.may_go, along.values())) or len(along) == len(came):
        _keep(flow, node, came.keys() - along.keys())
        return flow.give(out, _side_by_side(flow, node, axis))
    _keep(flow, node, along.keys())
    return _one_behind_another(flow, node, {v: c for v, c in came.items() if c.axis != axis})


def _keep(flow: Flow, node: ir.Node, values: Iterable[ir.Value]) -> None:
    for value in values:
        flow.stay(node, "has channels along two axes", value)


def _side_by_side(flow: Flow, node: ir.Node, axis: int) -> Channels:
    parts = []
    for value in node.inputs:
        assert value is not None
        came = flow.of(value)
        if came is None or came.axis != axis:
            count = facts.static_shape(value)[axis]
            stays = flow.unborn(count, f"'{value.name}' keeps its channels")
            came = Channels(axis, stays, np.full(count, np.nan))
        parts.append(came)
    return Channels(axis, np.concatenate([p.labels for p in parts]), np.concatenate([p.rest for p in parts]))


def _one_behind_another(flow: Flow, node: ir.Node, came: dict[ir.Value, Channels]) -> None:
    """Along another axis, such as tokens: what is joined has the same channels."""
    first = next(iter(came.values()))
    rests = []
    for position, value in enumerate(node.inputs):
        assert value is not None
        if (channels := came.get(value)) is not None and channels.axis == first.axis:
            flow.labels.join(first.labels, channels.labels)
            rests.append(channels.rest)
        elif facts.constant(value) is not None:
            flow.slice(node, position, first.axis, first.labels, makes=True)
            rests.append(np.zeros(len(first.labels)))
        else:
            flow.stay(node, f"joins them with '{value.name}', which keeps its channels")
    rest = np.where(np.all([r == rests[0] for r in rests], axis=0), rests[0], np.nan)
    flow.give(node.outputs[0], Channels(first.axis, first.labels, rest))


def split(flow: Flow, node: ir.Node) -> None:
    x = node.inputs[0]
    came = flow.of(x)
    if came is None or x is None:
        return None
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is not None and facts.constant(given) is None:
        return flow.stay(node, COMPUTED, x)
    start, axis = 0, facts.attribute(node, "axis", 0) % len(facts.shape(x))
    for index, out in enumerate(node.outputs):
        if axis != came.axis:
            flow.give(out, came)
            continue
        part = slice(start, start := start + facts.static_shape(out)[axis])
        flow.count(node, came.labels[part], position=1, index=index)
        flow.give(out, Channels(axis, came.labels[part], came.rest[part]))
    return None


def slices(flow: Flow, node: ir.Node) -> None:
    x, out = node.inputs[0], node.outputs[0]
    came = flow.of(x)
    if came is None or x is None:
        return None
    settings = [None if value is None else facts.constant(value) for value in node.inputs[1:]]
    if any(s is None for s, value in zip(settings, node.inputs[1:], strict=True) if value is not None):
        return flow.stay(node, COMPUTED, x)
    starts, ends, axes, steps = (*settings, None, None)[:4]
    assert starts is not None and ends is not None
    rank, count = len(facts.shape(x)), len(came.labels)
    places = [int(axis) % rank for axis in (range(len(starts)) if axes is None else axes)]
    if came.axis not in places:
        return flow.give(out, came)
    index = places.index(came.axis)
    if steps is not None and steps[index] != 1:
        return flow.stay(node, "takes every other channel", x)
    low, high, _ = slice(int(starts[index]), int(ends[index])).indices(count)
    flow.count(node, came.labels[:low], position=1, index=index)
    flow.count(node, came.labels[:high], position=2, index=index)
    return flow.give(out, Channels(came.axis, came.labels[low:high], came.rest[low:high]))


def pad(flow: Flow, node: ir.Node) -> None:
    """Channels that are added hold the pad's number, and are cut with those that they are joined with."""
    x, out = node.inputs[0], node.outputs[0]
    came, pads = flow.of(x), facts.constant(node.inputs[1])
    if came is None or x is None:
        return None
    rank = len(facts.shape(x))
    axes = facts.constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else np.arange(rank)
    if pads is None or axes is None:
        return flow.stay(node, COMPUTED, x)
    places = [int(axis) % rank for axis in axes]
    filled = facts.attribute(node, "mode", "constant") == "constant"
    given = node.inputs[2] if len(node.inputs) > 2 else None
    number = 0.0 if given is None else facts.scalar(given)
    level = np.nan if number is None else number
    rest = np.where(came.rest == level, level, np.nan) if filled and any(pads) else came.rest
    if came.axis not in places:
        return flow.give(out, came.resting(rest))
    index = places.index(came.axis)
    low, high = int(pads[index]), int(pads[index + len(places)])
    if low < 0 or high < 0 or ((low or high) and not filled):
        return flow.stay(node, "adds copies of channels, or takes some away", x)
    ends = [_added(flow, node, count, entry) for count, entry in ((low, index), (high, index + len(places)))]
    labels = np.concatenate([ends[0], came.labels, ends[1]])
    return flow.give(
        out, Channels(came.axis, labels, np.concatenate([np.full(low, level), rest, np.full(high, level)]))
    )


def _added(flow: Flow, node: ir.Node, count: int, entry: int) -> Ids:
    labels = flow.labels.fresh(count)
    if count:
        flow.count(node, labels, position=1, index=entry)
    return labels


def resize(flow: Flow, node: ir.Node) -> None:
    x, out = node.inputs[0], node.outputs[0]
    came = flow.of(x)
    if came is None or x is None:
        return None
    rank = len(facts.shape(x))
    axes = [int(axis) % rank for axis in facts.attribute(node, "axes") or range(rank)]
    sizes = node.inputs[3] if len(node.inputs) > 3 else None
    if facts.attribute(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return flow.stay(node, "resizes a region", x)
    if facts.shape(out)[came.axis] != len(came.labels):
        return flow.stay(node, "resizes the channels themselves", x)
    if sizes is not None and came.axis in axes:
        if facts.constant(sizes) is None:
            return flow.stay(node, COMPUTED, x)
        flow.count(node, came.labels, position=3, index=axes.index(came.axis))
    cubic = facts.attribute(node, "mode", "nearest") == "cubic"  # near the border its weights need not sum to 1
    return flow.give(out, came.resting(still(came.rest) if cubic else came.rest))


def depth_to_space(flow: Flow, node: ir.Node) -> None:
    """The channels that make the places of a block go together."""
    came, block = flow.of(node.inputs[0]), facts.attribute(node, "blocksize") ** 2
    if came is None:
        return None
    if came.axis != 1:
        return flow.stay(node, "mixes them with places")
    rows = facts.attribute(node, "mode", "DCR") == "CRD"
    shape = (-1, block) if rows else (block, -1)
    together, rests = came.labels.reshape(shape), came.rest.reshape(shape)
    together, rests = (together, rests) if rows else (together.T, rests.T)
    for ids in together:
        flow.labels.join_all(ids)
    rest = np.array([_shared(of_block) for of_block in rests])
    return flow.give(node.outputs[0], Channels(1, together[:, 0], rest))


def space_to_depth(flow: Flow, node: ir.Node) -> None:
    came, block = flow.of(node.inputs[0]), facts.attribute(node, "blocksize") ** 2
    if came is None:
        return None
    if came.axis != 1:
        return flow.stay(node, "mixes them with places")
    return flow.give(node.outputs[0], Channels(1, np.tile(came.labels, block), np.tile(came.rest, block)))


def gather(flow: Flow, node: ir.Node) -> None:
    x, indices = node.inputs[0], node.inputs[1]
    assert x is not None and indices is not None
    if facts.constant(x) is not None:
        return _embedding(flow, node, x, indices)
    came, picked = flow.of(x), facts.constant(indices)
    if came is None:
        return None
    rank = len(facts.shape(x))
    axis, more = facts.attribute(node, "axis", 0) % rank, len(facts.shape(indices)) - 1
    if axis != came.axis:
        return flow.give(node.outputs[0], came.at(came.axis + more * (came.axis > axis)))
    if picked is None or picked.ndim != 1:
        return flow.stay(node, "takes single channels, or such as are computed", x)
    flow.picks.append(Pick(node.name or "", 1, came.labels))
    return flow.give(node.outputs[0], Channels(axis, came.labels[picked], came.rest[picked]))


def _embedding(flow: Flow, node: ir.Node, table: ir.Value, indices: ir.Value) -> None:
    """Rows of a table of weights: its columns are channels."""
    flow.stay(node, "picks rows by them", indices)
    if len(facts.shape(table)) != 2 or facts.attribute(node, "axis", 0) % 2 != 0 or not facts.is_float(table):
        return None
    labels = flow.makes(node, 0, 1)
    return flow.give(node.outputs[0], Channels(len(facts.shape(indices)), labels, np.zeros(len(labels))))


def sample(flow: Flow, node: ir.Node) -> None:
    """GridSample: places that are computed, outside of which there may be zeros."""
    came = flow.of(node.inputs[0])
    flow.stay(node, COMPUTED, node.inputs[1])
    if came is not None and came.axis == 1:
        flow.give(node.outputs[0], came.resting(still(came.rest)))
