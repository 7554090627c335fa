"""Pools.

In INT8 an average pool is a depthwise convolution of ones with the weight scale 1/k: the sum is exact and is rounded
once, half to even, as ONNX Runtime does; AVERAGE_POOL_2D rounds half away and is not delegated by XNNPACK.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.affine import QParams
from edgekit.lower.tflite import refuse, windows
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.images import as_image, pad, padded, result_image, store_image
from edgekit.lower.tflite.kernels import bias_type
from edgekit.lower.tflite.ops import Array, Node, Tensor
from edgekit.lower.tflite.terms import reduced
from edgekit.lower.tflite.windows import Window


def max_pool(draft: Draft, node: Node) -> None:
    shape = windows.window(node, node.ints("kernel_shape", ()))
    if shape.dilation != (1, 1) or len(node.outputs) > 1:
        raise refuse.no_form(node, "MAX_POOL_2D has neither dilation nor indices", "keep this model in ONNX")
    x, result = as_image(draft, draft.input(node, 0)), result_image(draft, node)
    if any(map(any, shape.pads)):  # padding must never win
        lowest = float(np.finfo(np.float32).min) if x.qparams is None else np.iinfo(x.dtype).min
        zero_is_lowest = x.qparams is not None and x.qparams.zero_point == lowest
        x = pad(draft, x, shape.pads, None if zero_is_lowest else lowest)
    draft.emit("MAX_POOL_2D", (x,), result, _options(shape))
    store_image(draft, node, result)


def average_pool(draft: Draft, node: Node) -> None:
    shape = windows.window(node, node.ints("kernel_shape", ()))
    if shape.dilation != (1, 1):
        raise refuse.no_form(node, "AVERAGE_POOL_2D has no dilation", "keep this model in ONNX")
    x, result = as_image(draft, draft.input(node, 0)), result_image(draft, node)
    counts = _counts(node, shape)
    full = shape.size[0] * shape.size[1]
    if node.integer and np.all(counts == full):
        mean_by_convolution(draft, padded(draft, x, shape), shape, result)
    elif node.integer:
        wide = draft.temporary(x, "dequantized", dtype=np.dtype(np.float32), qparams=None)
        narrow = draft.temporary(result, "float32", dtype=np.dtype(np.float32), qparams=None)
        draft.emit("DEQUANTIZE", (x,), wide, schema.DequantizeOptionsT())
        _average(draft, wide, shape, counts, narrow)
        draft.emit("QUANTIZE", (narrow,), result, schema.QuantizeOptionsT())
    else:
        _average(draft, x, shape, counts, result)
    store_image(draft, node, result)


def global_max_pool(draft: Draft, node: Node) -> None:
    if len(draft.input(node, 0).shape) > 4:
        x, result = draft.input(node, 0), draft.output(node.output)
        reduced(draft, "REDUCE_MAX", x, range(1, len(x.shape) - 1), into=result)
        return
    x, result = as_image(draft, draft.input(node, 0)), result_image(draft, node)
    draft.emit("MAX_POOL_2D", (x,), result, _options(_whole(x)))
    store_image(draft, node, result)


def global_average_pool(draft: Draft, node: Node) -> None:
    x, result = draft.input(node, 0), draft.output(node.output)
    axes = draft.numbers(range(1, len(x.shape) - 1), "axes")
    draft.emit("MEAN", (x, axes), result, schema.ReducerOptionsT(keepDims=True))


def mean_by_convolution(draft: Draft, x: Tensor, shape: Window, result: Tensor) -> None:
    """The mean over each window of x (already padded): weights 1, weight scale 1/k."""
    assert x.qparams is not None
    channels, (height, width) = x.shape[3], shape.size
    scale = np.asarray(1 / (height * width), np.float32)
    kernel = draft.constant(
        np.ones((1, height, width, channels), np.int8), f"{result.name}_ones", QParams(scale, 0, np.dtype(np.int8))
    )
    products = QParams((x.qparams.scale * scale).astype(np.float32), 0, bias_type(x.dtype))
    zeros = draft.constant(np.zeros(channels, products.dtype), f"{result.name}_zeros", products)
    options = schema.DepthwiseConv2DOptionsT(padding=schema.Padding.VALID, depthMultiplier=1)
    options.strideH, options.strideW = shape.stride
    options.dilationHFactor = options.dilationWFactor = 1
    if shape.same and shape.padded:
        options.padding = schema.Padding.SAME
    draft.emit("DEPTHWISE_CONV_2D", (x, kernel, zeros), result, options)


def _average(draft: Draft, x: Tensor, shape: Window, counts: Array, result: Tensor) -> None:
    """Float: AVERAGE_POOL_2D leaves SAME padding out of its mean; other countings are corrected by a factor."""
    native = _counted((x.shape[1], x.shape[2]), shape, counts.shape)
    if (shape.same or not shape.padded) and np.array_equal(native, counts):
        draft.emit("AVERAGE_POOL_2D", (x,), result, _options(shape))
        return
    valid = pad(draft, x, _explicit(shape)) if shape.padded else x
    factor = (shape.size[0] * shape.size[1] / counts).astype(np.float32)
    uniform = bool(np.all(factor == 1))
    raw = result if uniform else draft.temporary(result, "uncorrected")
    options = _options(shape)
    options.padding = schema.Padding.VALID
    draft.emit("AVERAGE_POOL_2D", (valid,), raw, options)
    if not uniform:
        stored = draft.constant(factor[np.newaxis, :, :, np.newaxis], f"{result.name}_factor")
        draft.emit("MUL", (raw, stored), result, schema.MulOptionsT())


def _counts(node: Node, shape: Window) -> Array:
    """How many elements the model divides by, for each place (H, W) of the result."""
    before = node.input(0).shape[2:]
    spatial = len(before)
    pads = windows.padding(node, spatial)
    places = windows.two(node.output.shape[2:], 1)
    if not node.attributes.get("count_include_pad", 0):
        return _counted(windows.two(before, 1), shape, places)
    # What a ceil_mode window reaches beyond the declared padding never counts.
    low, high = windows.two(pads[:spatial], 0), windows.two(pads[spatial:], 0)
    sizes = windows.two(before, 1)
    extended = (sizes[0] + low[0] + high[0], sizes[1] + low[1] + high[1])
    return np.multiply.outer(*(_line(extended[i], shape, places[i], i, 0) for i in (0, 1)))


def _counted(before: Sequence[int], shape: Window, places: Sequence[int]) -> Array:
    lines = [_line(before[i], shape, places[i], i, shape.low[i]) for i in (0, 1)]
    return np.multiply.outer(lines[0], lines[1])


def _line(extent: int, shape: Window, places: int, axis: int, low: int) -> Array:
    """Along one axis, how many positions of each window fall inside [0, extent)."""
    starts = np.arange(places) * shape.stride[axis] - low
    inside: Array = np.minimum(starts + shape.size[axis], extent) - np.maximum(starts, 0)
    return inside


def _explicit(shape: Window) -> tuple[tuple[int, int], ...]:
    return ((0, 0), (shape.low[0], shape.high[0]), (shape.low[1], shape.high[1]), (0, 0))


def _whole(x: Tensor) -> Window:
    return Window((x.shape[1], x.shape[2]), (1, 1), (1, 1), (0, 0), (0, 0), same=False)


def _options(shape: Window) -> schema.Pool2DOptionsT:
    options = schema.Pool2DOptionsT(padding=shape.padding)
    options.filterHeight, options.filterWidth = shape.size
    options.strideH, options.strideW = shape.stride
    return options
