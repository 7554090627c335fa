"""What ops on images share: signals as images of height 1, zeros around an image, a part of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.affine import QParams
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.kernels import bias_type, most_axes
from edgekit.lower.tflite.ops import Node, Tensor
from edgekit.lower.tflite.windows import Window

Pads = Sequence[tuple[int, int]]


def as_image(draft: Draft, x: Tensor) -> Tensor:
    """x: NHWC as it is, NLC as N1LC."""
    return x if len(x.shape) == 4 else draft.reshape(x, (x.shape[0], 1, *x.shape[1:]))


def result_image(draft: Draft, node: Node) -> Tensor:
    """Where an image op writes: the output, or its image form where the output is a signal."""
    output = draft.output(node.output)
    if len(output.shape) == 4:
        return output
    batch, length, channels = output.shape
    return draft.temporary(output, "image", (batch, 1, length, channels))


def store_image(draft: Draft, node: Node, result: Tensor) -> None:
    output = draft.output(node.output)
    if result is not output:
        draft.reshape(result, output.shape, output)


def padded(draft: Draft, x: Tensor, window: Window) -> Tensor:
    """x with zeros around it, where the window's padding is not a word of TFLite."""
    return pad(draft, x, window.pads) if any(map(any, window.pads)) else x


def pad(draft: Draft, x: Tensor, pads: Pads, value: float | None = None) -> Tensor:
    """x with zeros around it (in INT8 the zero point), or with `value` (in INT8 an integer)."""
    result = draft.temporary(x, "padded", [n + low + high for n, (low, high) in zip(x.shape, pads, strict=True)])
    pad_into(draft, x, pads, result, value)
    return result


def pad_into(draft: Draft, x: Tensor, pads: Pads, result: Tensor, value: float | None = None) -> None:
    if len(x.shape) > most_axes("PAD"):
        shape, pads = _merged(x.shape, pads)
        made = draft.temporary(result, "merged", [n + low + high for n, (low, high) in zip(shape, pads, strict=True)])
        _pad_axes(draft, draft.reshape(x, shape), pads, made, value)
        draft.reshape(made, result.shape, result)
    else:
        _pad_axes(draft, x, pads, result, value)


def _merged(shape: Sequence[int], pads: Pads) -> tuple[list[int], list[tuple[int, int]]]:
    """Neighbouring axes that nothing is put around as one."""
    sizes: list[int] = []
    kept: list[tuple[int, int]] = []
    for size, pair in zip(shape, pads, strict=True):
        if kept and not any(kept[-1]) and not any(pair):
            sizes[-1] *= size
        else:
            sizes.append(size)
            kept.append(pair)
    return sizes, kept


def _pad_axes(draft: Draft, x: Tensor, pads: Pads, result: Tensor, value: float | None) -> None:
    amounts = draft.constant(np.asarray(pads, np.int32), "pads")
    if value is None:
        draft.emit("PAD", (x, amounts), result, schema.PadOptionsT())
        return
    filler = draft.constant(np.asarray(value, x.dtype), "pad_value", x.qparams)
    draft.emit("PADV2", (x, amounts, filler), result, schema.PadV2OptionsT())


def crop(draft: Draft, x: Tensor, begin: Sequence[int], end: Sequence[int], result: Tensor) -> None:
    steps = draft.numbers([1] * len(begin), "strides")
    borders = draft.numbers(begin, "begin"), draft.numbers(end, "end")
    draft.emit("STRIDED_SLICE", (x, *borders, steps), result, schema.StridedSliceOptionsT())


def thin_image(draft: Draft, x: Tensor, steps: tuple[int, int], result: Tensor) -> None:
    """Every n-th row and column, as a 1x1 depthwise convolution by 1, which is exact.

    XNNPACK takes no STRIDED_SLICE with a stride, and a delegate cut in two costs more than the products.
    """
    channels = x.shape[3]
    ones, zeros = np.ones((1, 1, 1, channels), x.dtype), np.zeros(channels, x.dtype)
    kernel, offset = None, None
    if x.qparams is not None:
        kernel = QParams(np.ones((), np.float32), 0, np.dtype(np.int8))
        offset = QParams(x.qparams.scale, 0, bias_type(x.dtype))
        ones, zeros = ones.astype(np.int8), zeros.astype(offset.dtype)
    options = schema.DepthwiseConv2DOptionsT(padding=schema.Padding.VALID, depthMultiplier=1)
    options.strideH, options.strideW = steps
    options.dilationHFactor = options.dilationWFactor = 1
    constants = draft.constant(ones, "ones", kernel), draft.constant(zeros, "zeros", offset)
    draft.emit("DEPTHWISE_CONV_2D", (x, *constants), result, options)
