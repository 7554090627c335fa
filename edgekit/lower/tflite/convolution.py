"""Convolutions: CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV. A signal (N, C, L) is an image of height 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit import affine
from edgekit.affine import QParams
from edgekit.lower.tflite import refuse, volumes, windows
from edgekit.lower.tflite.draft import FUSED, Draft
from edgekit.lower.tflite.images import as_image, crop, padded, result_image, store_image
from edgekit.lower.tflite.kernels import bias_type
from edgekit.lower.tflite.ops import Array, Node, Tensor, Value

LONG_BIAS_MAX = 2**46  # kernels multiply a 64-bit sum by a factor of 16 bits


def convolution(draft: Draft, node: Node) -> None:
    """weights (O, I/groups, *kernel) become OHWI, or 1HWO where every channel is convolved alone."""
    weight = constant_weight(node)
    if weight.rank == 5:
        volumes.convolution(draft, node, weight.real, float_bias(node, weight.shape[0]))
        return
    groups, channels = int(node.attributes.get("group", 1)), node.input(0).shape[1]
    shape = windows.window(node, weight.shape[2:])
    x = padded(draft, as_image(draft, draft.input(node, 0)), shape)
    kernel = _as_image_kernel(content(weight))  # OIHW
    depthwise = groups == channels and kernel.shape[1] == 1 and (groups > 1 or channels == 1)
    result = result_image(draft, node)
    name = weight.name
    if depthwise:
        stored = draft.constant(kernel.transpose(1, 2, 3, 0), name, along(weight.qparams, 3))
        options = schema.DepthwiseConv2DOptionsT(depthMultiplier=kernel.shape[0] // channels)
        code = "DEPTHWISE_CONV_2D"
    else:
        stored = draft.constant(kernel.transpose(0, 2, 3, 1), name, along(weight.qparams, 0))
        options = schema.Conv2DOptionsT()
        code = "CONV_2D"
    options.padding = shape.padding
    options.strideH, options.strideW = shape.stride
    options.dilationHFactor, options.dilationWFactor = shape.dilation
    options.fusedActivationFunction = FUSED[node.activation]
    draft.emit(code, (x, stored, bias(draft, node, kernel.shape[0])), result, options)
    store_image(draft, node, result)


def transposed_convolution(draft: Draft, node: Node) -> None:
    """weights (I, O/groups, *kernel) become OHWI. Padding that is not SAME is cropped from the full result."""
    weight = constant_weight(node)
    kernel = _dilated(content(weight), node.ints("dilations", [1] * (weight.rank - 2)))
    if weight.rank == 5:
        volumes.transposed_convolution(draft, node, kernel, float_bias(node, node.output.shape[1]))
        return
    kernel = _as_image_kernel(kernel)
    spatial = weight.rank - 2
    strides = windows.two(node.ints("strides", [1] * spatial), 1)
    low = windows.two(windows.padding(node, spatial)[:spatial], 0)
    x, out = as_image(draft, draft.input(node, 0)), result_image(draft, node)
    sides = tuple(zip(x.shape[1:3], strides, kernel.shape[2:], out.shape[1:3], low, strict=True))
    same = all(o == i * s and p == max(0, (i - 1) * s + k - o) // 2 for i, s, k, o, p in sides)
    size = [o if same else max((i - 1) * s + k, p + o) for i, s, k, o, p in sides]
    full = (
        out if size == list(out.shape[1:3]) else draft.temporary(out, "uncropped", (out.shape[0], *size, out.shape[3]))
    )
    options = schema.TransposeConvOptionsT(padding=schema.Padding.SAME if same else schema.Padding.VALID)
    options.strideH, options.strideW = strides
    _transposed_groups(draft, node, x, kernel, full, options)
    if full is not out:
        crop(draft, full, (0, *low, 0), (out.shape[0], low[0] + out.shape[1], low[1] + out.shape[2], out.shape[3]), out)
    store_image(draft, node, out)


def _transposed_groups(draft: Draft, node: Node, x: Tensor, kernel: Array, full: Tensor, options: Any) -> None:
    """TRANSPOSE_CONV has no groups: one op each, on a share of the channels."""
    weight, groups = constant_weight(node), int(node.attributes.get("group", 1))
    biases = bias(draft, node, full.shape[3])
    share = full.shape[3] // groups
    xs, results = [x], [full]
    if groups > 1:
        xs = [draft.temporary(x, f"group{i}", (*x.shape[:3], x.shape[3] // groups)) for i in range(groups)]
        results = [draft.temporary(full, f"group{i}", (*full.shape[:3], share)) for i in range(groups)]
        draft.emit("SPLIT", (draft.numbers(3, "axis"), x), xs, schema.SplitOptionsT(numSplits=groups))
    for index, (part, result) in enumerate(zip(xs, results, strict=True)):
        # ONNX gives the output channels of one group a place of their own in axis 1, shared by all groups.
        inputs = slice(index * part.shape[3], (index + 1) * part.shape[3])
        outputs = slice(index * share, (index + 1) * share)
        qparams = _some(along(weight.qparams, 0), share, outputs if groups > 1 else slice(None))
        kernels = draft.constant(kernel[inputs].transpose(1, 2, 3, 0), weight.name, qparams)
        assert biases.data is not None
        added = draft.constant(biases.data[outputs], biases.name, _some(biases.qparams, share, outputs))
        draft.emit(
            "TRANSPOSE_CONV", (draft.numbers(result.shape, "output_shape"), kernels, part, added), result, options
        )
    if groups > 1:
        draft.emit("CONCATENATION", results, full, schema.ConcatenationOptionsT(axis=3))


def _some(qparams: QParams | None, share: int, channels: slice) -> QParams | None:
    """The parameters of some channels; weights of all groups may share one set of `share` scales."""
    if qparams is None or qparams.axis is None or qparams.scale.size == share or qparams.scale.size == 1:
        return qparams
    return replace(qparams, scale=qparams.scale[channels])


# -- operands ---------------------------------------------------------------------------------------------------------


def constant_weight(node: Node) -> Value:
    weight = node.input(1)
    if weight.data is None:
        raise refuse.no_form(node, "its weights are computed at run time", "make the weights constants of the model")
    return weight


def content(weight: Value) -> Array:
    """As it is stored, perhaps in float16."""
    assert weight.data is not None
    return weight.data


def along(qparams: QParams | None, axis: int) -> QParams | None:
    """Weight parameters for weights whose output channels stand at `axis` now."""
    return qparams if qparams is None or qparams.axis is None else replace(qparams, axis=axis)


def bias(draft: Draft, node: Node, channels: int) -> Tensor:
    """The bias, 0 where there is none; in integers at the scale of the products, s_x * s_w."""
    x, weight, given = node.input(0), node.input(1), node.optional(2)
    if given is not None and given.data is None:
        raise refuse.no_form(node, "its bias is computed at run time", "make the bias a constant, or add it by an Add")
    name = given.name if given is not None else f"{node.output.name}_bias"
    if not node.integer:
        values = np.zeros(channels, np.float32) if given is None else given.real.astype(np.float32).reshape(-1)
        return draft.constant(np.broadcast_to(values, (channels,)), name)
    assert x.qparams is not None and weight.qparams is not None
    scale = np.atleast_1d((x.qparams.scale * weight.qparams.scale).astype(np.float32))
    if 1 < scale.size < channels:  # groups of a transposed convolution share their scales
        scale = np.tile(scale, channels // scale.size)
    qparams = QParams(scale, 0, bias_type(x.dtype), 0)
    if given is None:
        stored: Array = np.zeros(channels, qparams.dtype)
    elif given.data is not None and given.data.dtype == np.int32 and _same_scale(given, scale):
        stored = given.data.reshape(-1).astype(qparams.dtype)
    else:
        real = affine.dequantize(given.real, given.qparams) if given.qparams is not None else given.real
        stored = np.rint(real.reshape(-1).astype(np.float64) / scale)
        largest = affine.BIAS_MAX if qparams.dtype == np.int32 else LONG_BIAS_MAX
        stored = np.clip(stored, -largest, largest).astype(qparams.dtype)
    return draft.constant(np.broadcast_to(stored, (channels,)), name, qparams)


def _same_scale(given: Value, scale: Array) -> bool:
    return given.qparams is not None and bool(np.allclose(np.atleast_1d(given.qparams.scale), scale, rtol=1e-6, atol=0))


def float_bias(node: Node, channels: int) -> Array:
    given = node.constant(2)
    if node.optional(2) is not None and given is None:
        raise refuse.no_form(node, "its bias is computed at run time", "make the bias a constant, or add it by an Add")
    return np.zeros(channels, np.float32) if given is None else given.astype(np.float32).reshape(-1)


# -- kernels ----------------------------------------------------------------------------------------------------------


def _dilated(weight: Array, dilations: Sequence[int]) -> Array:
    """Zeros between the weights, since TRANSPOSE_CONV has no dilation."""
    if all(d == 1 for d in dilations):
        return weight
    sizes = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    wide = np.zeros((*weight.shape[:2], *sizes), weight.dtype)
    wide[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = weight
    return wide


def _as_image_kernel(weight: Array) -> Array:
    """(O, I, L) -> (O, I, 1, L)"""
    return weight if weight.ndim == 4 else weight[:, :, np.newaxis, :]
