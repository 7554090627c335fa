"""Resize: TFLite's two rules of where an output pixel looks, told apart by computing both; else products with weights.

ONNX has many words (coordinate_transformation_mode, nearest_mode) and TFLite two switches. So the source coordinate of
every output pixel is computed by both rules, and a TFLite rule is used only if it gives the same along both axes.
Whatever else ONNX says is a gather (nearest) or a product with constant weights (linear, cubic) along each axis.
Source: tensorflow/lite/kernels/internal/reference/resize_{bilinear,nearest_neighbor}.h.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.graph import interpolation
from edgekit.graph.interpolation import Axis
from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.images import as_image, result_image, store_image
from edgekit.lower.tflite.ops import Array, Node, Tensor

RULES = ((False, True), (True, False), (False, False))  # (align_corners, half_pixel_centers)
BY_LENGTH = frozenset({"align_corners", "tf_crop_and_resize"})  # from the first pixel to the last
TOLERANCE = 1e-4  # pixels; both sides compute coordinates in float32


def resize(draft: Draft, node: Node) -> None:
    mode, axes = node.attributes.get("mode", "nearest"), _axes(node)
    if node.attributes.get("coordinate_transformation_mode") in BY_LENGTH and any(map(_is_fractional, axes)):
        why = "its scales give a fraction of a pixel, which ONNX Runtime leaves out of the length and ONNX does not"
        raise refuse.no_form(node, why, "give the result's sizes instead of scales")
    if not axes:
        draft.alias(node.output, draft.take(node.input(0), draft.layout.stored[node.output]))
    elif mode == "nearest":
        _nearest(draft, node, axes)
    elif mode in ("linear", "cubic"):
        _interpolate(draft, node, axes)
    else:
        raise refuse.no_form(node, f"there is no resize mode '{mode}'", "use mode='linear', 'cubic' or 'nearest'")


def _axes(node: Node) -> list[Axis]:
    regions, scales, sizes = (node.constant(index) for index in (1, 2, 3))
    return interpolation.axes(node.attributes, node.input(0).shape, node.output.shape, regions, scales, sizes)


def _interpolate(draft: Draft, node: Node, axes: Sequence[Axis]) -> None:
    rule = _bilinear_rule(node, axes)
    if rule is None:
        _by_products(draft, node, axes)
        return
    x, result = as_image(draft, draft.input(node, 0)), result_image(draft, node)
    options = schema.ResizeBilinearOptionsT(alignCorners=rule[0], halfPixelCenters=rule[1])
    draft.emit("RESIZE_BILINEAR", (x, draft.numbers(result.shape[1:3], "size")), result, options)
    store_image(draft, node, result)


def _nearest(draft: Draft, node: Node, axes: Sequence[Axis]) -> None:
    mode = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    if any(interpolation.extrapolated(node.attributes, axis).any() for axis in axes):
        raise refuse.no_form(node, "it looks outside of the image", "crop with a region that lies inside")
    rounding = node.attributes.get("nearest_mode", "round_prefer_floor")
    wanted = [np.clip(interpolation.rounded(a.coordinates(mode), rounding), 0, a.size - 1) for a in axes]
    rule = _nearest_rule(node, axes, wanted)
    if rule is not None:
        x, result = as_image(draft, draft.input(node, 0)), result_image(draft, node)
        options = schema.ResizeNearestNeighborOptionsT(alignCorners=rule[0], halfPixelCenters=rule[1])
        draft.emit("RESIZE_NEAREST_NEIGHBOR", (x, draft.numbers(result.shape[1:3], "size")), result, options)
        store_image(draft, node, result)
        return
    # Any other rule still picks rows and columns: gather them.
    x, order = draft.input(node, 0), draft.order(node)
    for index, (axis, picked) in enumerate(zip(axes, wanted, strict=True)):
        place = order.index(axis.axis)
        shape = (*x.shape[:place], axis.result, *x.shape[place + 1 :])
        last = index == len(axes) - 1
        made = draft.output(node.output) if last else draft.temporary(x, "picked", shape)
        draft.emit("GATHER", (x, draft.numbers([int(i) for i in picked], "places")), made, _gather(place))
        x = made


def _gather(place: int) -> schema.GatherOptionsT:
    return schema.GatherOptionsT(axis=place)


def _by_products(draft: Draft, node: Node, axes: Sequence[Axis]) -> None:
    """In float: along each axis, which is moved to the end, a product with the weights."""
    x, order, output = draft.input(node, 0), draft.order(node), draft.output(node.output)
    if x.qparams is not None:
        wide = draft.temporary(x, "dequantized", dtype=np.dtype(np.float32), qparams=None)
        draft.emit("DEQUANTIZE", (x,), wide, schema.DequantizeOptionsT())
        x = wide
    for axis in axes:
        matrix = interpolation.weights(node.attributes, axis)
        x = _product(draft, x, order.index(axis.axis), matrix, f"{output.name}_weights")
    x = _filled(draft, node, axes, x)
    if output.qparams is not None:
        draft.emit("QUANTIZE", (x,), output, schema.QuantizeOptionsT())
    else:
        draft.reshape(x, output.shape, output)


def _product(draft: Draft, x: Tensor, place: int, weights: Array, name: str) -> Tensor:
    rank = len(x.shape)
    last = (*(axis for axis in range(rank) if axis != place), place)
    rows = draft.transpose(x, last)
    made = draft.temporary(rows, "weighted", (*rows.shape[:-1], weights.shape[0]))
    options = schema.FullyConnectedOptionsT(keepNumDims=True)
    zeros = draft.constant(np.zeros(weights.shape[0], np.float32), f"{name}_bias")
    draft.emit("FULLY_CONNECTED", (rows, draft.constant(weights, name), zeros), made, options)
    return draft.transpose(made, tuple(last.index(axis) for axis in range(rank)))


def _filled(draft: Draft, node: Node, axes: Sequence[Axis], x: Tensor) -> Tensor:
    """The extrapolation value, where pixels lie outside; they are zero so far."""
    value = float(node.attributes.get("extrapolation_value", 0.0))
    outside = np.zeros(node.output.shape, bool)
    for axis in axes:
        shape = [axis.result if i == axis.axis else 1 for i in range(node.output.rank)]
        outside |= interpolation.extrapolated(node.attributes, axis).reshape(shape)
    if value == 0 or not outside.any():
        return x
    filler = draft.constant((outside * value).astype(np.float32).transpose(draft.order(node)), f"{x.name}_outside")
    made = draft.temporary(x, "filled")
    draft.emit("ADD", (x, filler), made, schema.AddOptionsT())
    return made


def _is_fractional(axis: Axis) -> bool:
    return abs(axis.scale * axis.size - axis.result) > TOLERANCE * axis.size


# -- TFLite's rules ---------------------------------------------------------------------------------------------------


def _bilinear_rule(node: Node, axes: Sequence[Axis]) -> tuple[bool, bool] | None:
    attributes = node.attributes
    mode = attributes.get("coordinate_transformation_mode", "half_pixel")
    if attributes.get("mode") != "linear" or not _is_image(node, axes) or mode == "tf_crop_and_resize":
        return None
    if attributes.get("antialias", 0) and any(axis.scale < 1 for axis in axes):
        return None
    if attributes.get("exclude_outside", 0):
        return None
    for rule in RULES:
        if all(_same_source(axis.coordinates(mode), axis.size, axis.result, rule) for axis in axes):
            return rule
    return None


def _same_source(wanted: Array, size: int, result: int, rule: tuple[bool, bool]) -> bool:
    found = np.clip(_bilinear_source(size, result, *rule), 0, size - 1)
    return bool(np.allclose(np.clip(wanted, 0, size - 1), found, rtol=0, atol=TOLERANCE))


def _nearest_rule(node: Node, axes: Sequence[Axis], wanted: Sequence[Array]) -> tuple[bool, bool] | None:
    if not _is_image(node, axes):
        return None
    for rule in RULES[::-1]:
        found = [_nearest_source(axis.size, axis.result, *rule) for axis in axes]
        if all(np.array_equal(w, f) for w, f in zip(wanted, found, strict=True)):
            return rule
    return None


def _is_image(node: Node, axes: Sequence[Axis]) -> bool:
    """Resized along height and width only."""
    return node.input(0).rank in (3, 4) and all(axis.axis >= 2 for axis in axes)


def _ratio(size: int, result: int, align_corners: bool) -> float:
    return (size - 1) / (result - 1) if align_corners and result > 1 else size / result


def _bilinear_source(size: int, result: int, align_corners: bool, half_pixel: bool) -> Array:
    offset = 0.5 if half_pixel else 0.0
    return (np.arange(result) + offset) * _ratio(size, result, align_corners) - offset


def _nearest_source(size: int, result: int, align_corners: bool, half_pixel: bool) -> Array:
    x = (np.arange(result) + (0.5 if half_pixel else 0.0)) * _ratio(size, result, align_corners)
    source: Array = np.minimum(np.floor(x + 0.5) if align_corners else np.floor(x), size - 1)
    return source
