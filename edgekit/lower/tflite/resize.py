"""Resize: TFLite's two rules of where an output pixel looks, told apart by computing both.

ONNX has many words (coordinate_transformation_mode, nearest_mode) and TFLite two switches. So the source coordinate of
every output pixel is computed by both rules, and a TFLite rule is used only if it gives the same along both axes.
Source: ONNX Resize-19; tensorflow/lite/kernels/internal/reference/resize_{bilinear,nearest_neighbor}.h.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.images import as_image, result_image, store_image
from edgekit.lower.tflite.ops import Array, Node, Tensor

RULES = ((False, True), (True, False), (False, False))  # (align_corners, half_pixel_centers)
TOLERANCE = 1e-4  # pixels; both sides compute coordinates in float32


def resize(draft: Draft, node: Node) -> None:
    before, after = node.input(0).shape, node.output.shape
    if before[:2] != after[:2] or len(before) not in (3, 4):
        raise refuse.no_form(node, "TFLite resizes height and width only", "resize only the last two axes")
    mode = node.attributes.get("mode", "nearest")
    x, result = as_image(draft, draft.input(node, 0)), result_image(draft, node)
    if mode == "linear":
        _bilinear(draft, node, x, result)
    elif mode == "nearest":
        _nearest(draft, node, x, result)
    else:
        raise refuse.no_form(node, f"TFLite has no {mode} resize", "use mode='bilinear' or 'nearest'")
    store_image(draft, node, result)


def _bilinear(draft: Draft, node: Node, x: Tensor, result: Tensor) -> None:
    wanted = [np.clip(c, 0, n - 1) for c, n in _coordinates(node)]
    for align_corners, half_pixel in RULES:
        sizes = _sizes(node)
        found = [np.clip(_bilinear_source(n, m, align_corners, half_pixel), 0, n - 1) for n, m in sizes]
        if all(np.allclose(w, f, rtol=0, atol=TOLERANCE) for w, f in zip(wanted, found, strict=True)):
            options = schema.ResizeBilinearOptionsT(alignCorners=align_corners, halfPixelCenters=half_pixel)
            draft.emit("RESIZE_BILINEAR", (x, draft.numbers(result.shape[1:3], "size")), result, options)
            return
    raise _no_rule(node)


def _nearest(draft: Draft, node: Node, x: Tensor, result: Tensor) -> None:
    rounding = node.attributes.get("nearest_mode", "round_prefer_floor")
    wanted = [np.clip(_rounded(c, rounding), 0, n - 1) for c, n in _coordinates(node)]
    for align_corners, half_pixel in RULES[::-1]:
        found = [_nearest_source(n, m, align_corners, half_pixel) for n, m in _sizes(node)]
        if all(np.array_equal(w, f) for w, f in zip(wanted, found, strict=True)):
            options = schema.ResizeNearestNeighborOptionsT(alignCorners=align_corners, halfPixelCenters=half_pixel)
            draft.emit("RESIZE_NEAREST_NEIGHBOR", (x, draft.numbers(result.shape[1:3], "size")), result, options)
            return
    # Any other rule still picks rows and columns: gather them.
    rows, columns = wanted if len(wanted) == 2 else (np.zeros(1), wanted[0])
    picked = draft.temporary(result, "rows", (1, len(rows), x.shape[2], x.shape[3]))
    draft.emit("GATHER", (x, draft.numbers(_ints(rows), "rows")), picked, schema.GatherOptionsT(axis=1))
    draft.emit("GATHER", (picked, draft.numbers(_ints(columns), "columns")), result, schema.GatherOptionsT(axis=2))


# -- ONNX's rules -----------------------------------------------------------------------------------------------------


def _sizes(node: Node) -> list[tuple[int, int]]:
    return list(zip(node.input(0).shape[2:], node.output.shape[2:], strict=True))


def _coordinates(node: Node) -> Iterator[tuple[Array, int]]:
    """Per spatial axis: the source coordinate of each output pixel, and the axis' size."""
    mode = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    scales = node.constant(2)
    if node.attributes.get("antialias", 0) or mode == "tf_crop_and_resize":
        raise refuse.no_form(node, f"TFLite has no antialiased resize and no {mode}", "resize without antialias")
    for axis, (size, result) in enumerate(_sizes(node)):
        given = None if scales is None or scales.size == 0 else float(scales[axis + 2 if scales.size > 2 else axis])
        yield _onnx_source(mode, size, result, result / size if given is None else given), size


def _onnx_source(mode: str, size: int, result: int, scale: float) -> Array:
    x = np.arange(result, dtype=np.float64)
    match mode:
        case "align_corners":
            return x * (size - 1) / max(result - 1, 1)
        case "asymmetric":
            return x / scale
        case "pytorch_half_pixel" if result == 1:
            return np.zeros(1)
        case "half_pixel_symmetric":
            adjustment = result / (scale * size)
            return size / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
        case _:
            return (x + 0.5) / scale - 0.5


def _rounded(x: Array, mode: str) -> Array:
    match mode:
        case "floor":
            return np.floor(x)
        case "ceil":
            return np.ceil(x)
        case "round_prefer_ceil":
            return np.floor(x + 0.5)
        case _:
            return np.ceil(x - 0.5)


# -- TFLite's rules ---------------------------------------------------------------------------------------------------


def _ratio(size: int, result: int, align_corners: bool) -> float:
    return (size - 1) / (result - 1) if align_corners and result > 1 else size / result


def _bilinear_source(size: int, result: int, align_corners: bool, half_pixel: bool) -> Array:
    offset = 0.5 if half_pixel else 0.0
    return (np.arange(result) + offset) * _ratio(size, result, align_corners) - offset


def _nearest_source(size: int, result: int, align_corners: bool, half_pixel: bool) -> Array:
    x = (np.arange(result) + (0.5 if half_pixel else 0.0)) * _ratio(size, result, align_corners)
    source: Array = np.minimum(np.floor(x + 0.5) if align_corners else np.floor(x), size - 1)
    return source


def _ints(x: Array) -> list[int]:
    return [int(i) for i in x]


def _no_rule(node: Node) -> Exception:
    words = {k: v for k, v in node.attributes.items() if k in ("mode", "coordinate_transformation_mode")}
    return refuse.no_form(
        node, f"TFLite has no resize by the rule {words}", "use align_corners=False, or exact integer factors"
    )
