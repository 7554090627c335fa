"""Ops that move, pick and repeat values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit import affine
from edgekit.lower.tflite import refuse, terms
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.images import crop, pad_into, thin_image
from edgekit.lower.tflite.ops import Node, Tensor

MIRRORS: Mapping[str, int] = {"reflect": schema.MirrorPadMode.REFLECT}


def reshape(draft: Draft, node: Node) -> None:
    x, order = draft.input(node, 0), draft.layout.stored[node.output]
    shape = tuple(node.output.shape[axis] for axis in order)
    draft.alias(node.output, draft.reshape(x, shape))


def transpose(draft: Draft, node: Node) -> None:
    """The layout renamed the axes: the same tensor."""
    draft.alias(node.output, draft.input(node, 0))


def identity(draft: Draft, node: Node) -> None:
    draft.alias(node.output, draft.input(node, 0))


def concat(draft: Draft, node: Node) -> None:
    order = draft.layout.stored[node.output]
    axis = order.index(int(node.attributes["axis"]) % node.output.rank)
    parts = [draft.take(value, order) for value in node.inputs if value is not None and value.size]
    result = draft.output(node.output)
    draft.emit("CONCATENATION", parts, result, schema.ConcatenationOptionsT(axis=axis))


def pad(draft: Draft, node: Node) -> None:
    order, x, result = draft.order(node), draft.input(node, 0), draft.output(node.output)
    pads = _pads(node)
    mode = node.attributes.get("mode", "constant")
    if mode == "constant" and any(amount < 0 for pair in pads for amount in pair):  # a negative amount crops
        x, pads = _cropped(draft, x, order, pads), [(max(low, 0), max(high, 0)) for low, high in pads]
    amounts = [pads[axis] for axis in order]
    if mode == "constant":
        pad_into(draft, x, amounts, result, _filler(node, x))
    elif mode in MIRRORS and _mirrors_once(node, pads):
        table = draft.constant(np.asarray(amounts, np.int32), "pads")
        draft.emit("MIRROR_PAD", (x, table), result, schema.MirrorPadOptionsT(mode=MIRRORS[mode]))
    elif mode == "edge" and all(0 <= low <= 1 and 0 <= high <= 1 for low, high in pads):
        # To repeat an edge once is to mirror with the edge itself included.
        table = draft.constant(np.asarray(amounts, np.int32), "pads")
        draft.emit("MIRROR_PAD", (x, table), result, schema.MirrorPadOptionsT(mode=schema.MirrorPadMode.SYMMETRIC))
    elif mode in ("reflect", "edge", "wrap"):
        _repeat(draft, x, amounts, mode, result)
    else:
        raise refuse.no_form(node, f"there is no padding mode '{mode}'", "pad with zeros or by reflection")


def _cropped(draft: Draft, x: Tensor, order: Sequence[int], pads: Sequence[tuple[int, int]]) -> Tensor:
    begin = [max(-pads[axis][0], 0) for axis in order]
    end = [size - max(-pads[axis][1], 0) for axis, size in zip(order, x.shape, strict=True)]
    part = draft.temporary(x, "cropped", [e - b for b, e in zip(begin, end, strict=True)])
    crop(draft, x, begin, end, part)
    return part


def _mirrors_once(node: Node, pads: Sequence[tuple[int, int]]) -> bool:
    """MIRROR_PAD reflects no further than to the other edge."""
    return all(min(pair) >= 0 and max(pair) < size for pair, size in zip(pads, node.input(0).shape, strict=True))


def _repeat(draft: Draft, x: Tensor, amounts: Sequence[tuple[int, int]], mode: str, result: Tensor) -> None:
    """Pick rows along each padded axis, some of them several times."""
    padded = [place for place, pair in enumerate(amounts) if any(pair)]
    for place in padded:
        low, high = amounts[place]
        places = np.arange(x.shape[place])[max(-low, 0) : x.shape[place] - max(-high, 0)]
        picked = np.pad(places, (max(low, 0), max(high, 0)), mode=mode)  # type: ignore[call-overload]
        shape = (*x.shape[:place], picked.size, *x.shape[place + 1 :])
        made = result if place == padded[-1] else draft.temporary(x, "padded", shape)
        table = draft.numbers([int(i) for i in picked], "places")
        draft.emit("GATHER", (x, table), made, schema.GatherOptionsT(axis=place))
        x = made
    if not padded:
        draft.reshape(x, result.shape, result)


def _pads(node: Node) -> list[tuple[int, int]]:
    """Low and high amount per axis of the model."""
    rank = node.input(0).rank
    amounts, axes = node.constant(1), node.constant(3)
    if amounts is None or (axes is None and node.optional(3) is not None):
        raise refuse.computed(node, "pads or axes")
    chosen = range(rank) if axes is None else [int(a) % rank for a in axes]
    pads = [(0, 0)] * rank
    for index, axis in enumerate(chosen):
        pads[axis] = (int(amounts[index]), int(amounts[index + len(chosen)]))
    return pads


def _filler(node: Node, x: Tensor) -> float | None:
    """The constant to pad with, as an integer in INT8; None for zero."""
    value = node.optional(2)
    if value is None:
        return None
    if value.data is None:
        raise refuse.computed(node, "value")
    real = value.real
    if value.qparams is not None:
        real = affine.dequantize(real, value.qparams)
    number: float = real.reshape(()).item()  # of integers all digits
    if number == 0:
        return None
    return number if x.qparams is None else float(affine.quantize(np.asarray(number, np.float32), x.qparams))


def slice_(draft: Draft, node: Node) -> None:
    order, x, result = draft.order(node), draft.input(node, 0), draft.output(node.output)
    ranges = _ranges(node)
    stored = [ranges[axis] for axis in order]
    if _thins_image(stored, x):
        thin_image(draft, x, (stored[1].step, stored[2].step), result)
        return
    options = schema.StridedSliceOptionsT()
    ends = []
    for position, part in enumerate(stored):
        end = part.stop
        if part.step < 0 and end < 0:  # past the first element: only the mask can say so
            options.endMask |= 1 << position
            end = 0
        ends.append(end)
    inputs = (
        x,
        draft.numbers([part.start for part in stored], "begin"),
        draft.numbers(ends, "end"),
        draft.numbers([part.step for part in stored], "strides"),
    )
    draft.emit("STRIDED_SLICE", inputs, result, options)


def _thins_image(stored: Sequence[slice], x: Tensor) -> bool:
    """Every n-th row and column of a whole image, from the first on."""
    steps = [part.step for part in stored]
    whole = all(part.start == 0 and part.stop == size for part, size in zip(stored, x.shape, strict=True))
    return whole and len(steps) == 4 and steps[0] == steps[3] == 1 and max(steps) > 1 and min(steps) > 0


def _ranges(node: Node) -> list[slice]:
    """Per axis of the model, what is kept; start and stop within the axis."""
    shape = node.input(0).shape
    starts, ends, axes, steps = given = [node.constant(index) for index in (1, 2, 3, 4)]
    if any(array is None and node.optional(index) is not None for index, array in enumerate(given, 1)):
        raise refuse.computed(node, "starts, ends, axes or steps")
    assert starts is not None and ends is not None
    ranges = [slice(0, size, 1) for size in shape]
    chosen = range(starts.size) if axes is None else [int(a) % len(shape) for a in axes]
    for index, axis in enumerate(chosen):
        step = 1 if steps is None else int(steps[index])
        ranges[axis] = slice(*_clamped(int(starts[index]), int(ends[index]), step, shape[axis]))
    return ranges


def _clamped(start: int, end: int, step: int, size: int) -> tuple[int, int, int]:
    return slice(start, end, step).indices(size)


def split(draft: Draft, node: Node) -> None:
    order, x = draft.order(node), draft.input(node, 0)
    axis = order.index(int(node.attributes.get("axis", 0)) % node.input(0).rank)
    results = [draft.output(value) for value in node.outputs]
    if len({result.shape for result in results}) == 1:
        options = schema.SplitOptionsT(numSplits=len(results))
        draft.emit("SPLIT", (draft.numbers(axis, "axis"), x), results, options)
        return
    start = 0
    for result in results:
        begin = [start if i == axis else 0 for i in range(len(order))]
        end = [b + size for b, size in zip(begin, result.shape, strict=True)]
        crop(draft, x, begin, end, result)
        start += result.shape[axis]


def expand(draft: Draft, node: Node) -> None:
    x, result = draft.broadcastable(node.input(0), draft.layout.stored[node.output]), draft.output(node.output)
    draft.emit("BROADCAST_TO", (x, draft.numbers(result.shape, "shape")), result, schema.BroadcastToOptionsT())


def filled(draft: Draft, node: Node) -> None:
    """One number all over, as a constant: the shape of the result is known."""
    given = node.attributes.get("value")
    number = np.zeros(1, np.float32) if given is None else given.numpy()
    order = draft.layout.stored[node.output]
    shape = [node.output.shape[axis] for axis in order]
    draft.alias(node.output, draft.constant(np.full(shape, number.reshape(())), node.output.name))


def tile(draft: Draft, node: Node) -> None:
    repeats, order = node.constant(1), draft.order(node)
    if repeats is None:
        raise refuse.computed(node, "repeats")
    times = draft.numbers([int(repeats[axis]) for axis in order], "repeats")
    draft.emit("TILE", (draft.input(node, 0), times), draft.output(node.output), schema.TileOptionsT())


def cast(draft: Draft, node: Node) -> None:
    terms.cast(draft, draft.input(node, 0), node.output.dtype, draft.output(node.output))


def depth_to_space(draft: Draft, node: Node) -> None:
    """DCR is TFLite's order of channels; CRD needs them exchanged first (see `rewrite.py` for the free way)."""
    block = int(node.attributes["blocksize"])
    x, result = draft.input(node, 0), draft.output(node.output)
    if node.attributes.get("mode", "DCR") == "CRD":
        batch, height, width, channels = x.shape
        square = block * block
        split_channels = draft.reshape(x, (batch, height, width, channels // square, square))
        x = draft.reshape(draft.transpose(split_channels, (0, 1, 2, 4, 3)), x.shape)
    if x.dtype == np.int16:
        batch, height, width, channels = x.shape
        _exchange_rows(draft, x, (batch * height, width, block, channels // block), result)
        return
    draft.emit("DEPTH_TO_SPACE", (x,), result, schema.DepthToSpaceOptionsT(blockSize=block))


def space_to_depth(draft: Draft, node: Node) -> None:
    block = int(node.attributes["blocksize"])
    x, result = draft.input(node, 0), draft.output(node.output)
    if x.dtype == np.int16:
        batch, height, width, channels = x.shape
        _exchange_rows(draft, x, (batch * height // block, block, width // block, block * channels), result)
        return
    draft.emit("SPACE_TO_DEPTH", (x,), result, schema.SpaceToDepthOptionsT(blockSize=block))


def _exchange_rows(draft: Draft, x: Tensor, parts: tuple[int, int, int, int], result: Tensor) -> None:
    """(rows, columns, rows in a block, the rest) and back, which either op is and its kernel does not do in int16."""
    exchanged = draft.transpose(draft.reshape(x, parts), (0, 2, 1, 3))
    draft.reshape(exchanged, result.shape, result)
