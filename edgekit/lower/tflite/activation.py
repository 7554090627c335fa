"""Ops on one tensor, element by element, and softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit import affine
from edgekit.affine import QParams
from edgekit.lower.tflite import elementwise
from edgekit.lower.tflite.draft import FUSED, Draft
from edgekit.lower.tflite.kernels import bias_type
from edgekit.lower.tflite.ops import Activation, Node, Tensor
from edgekit.lower.tflite.terms import emit, term

UNARY: Mapping[str, tuple[str, Callable[[], Any] | None]] = {
    "Sigmoid": ("LOGISTIC", None),
    "Tanh": ("TANH", None),
    "HardSwish": ("HARD_SWISH", schema.HardSwishOptionsT),
    "Exp": ("EXP", schema.ExpOptionsT),
    "Log": ("LOG", None),
    "Sqrt": ("SQRT", None),
    "Neg": ("NEG", schema.NegOptionsT),
    "Sin": ("SIN", None),
    "Cos": ("COS", schema.CosOptionsT),
    "Floor": ("FLOOR", None),
    "Ceil": ("CEIL", None),
    "Round": ("ROUND", None),
    "Quantize": ("QUANTIZE", schema.QuantizeOptionsT),
    "Dequantize": ("DEQUANTIZE", schema.DequantizeOptionsT),
}

CLIPS: Mapping[tuple[float, float], str] = {
    (0.0, np.inf): "RELU",
    (0.0, 6.0): "RELU6",
    (-1.0, 1.0): "RELU_N1_TO_1",
}

PRELU_AXES = 4


def unary(draft: Draft, node: Node) -> None:
    code, make = UNARY[node.op]
    emit(draft, code, (draft.input(node, 0),), draft.output(node.output), make() if make else None)


def absolute(draft: Draft, node: Node) -> None:
    elementwise.magnitude(draft, draft.input(node, 0), draft.output(node.output))


def sign(draft: Draft, node: Node) -> None:
    elementwise.sign_of(draft, draft.input(node, 0), draft.output(node.output))


def requantize(draft: Draft, node: Node) -> None:
    """Integers at another scale or of another width; int8 to int8 as ADD of a zero.

    QUANTIZE would say it plainly, but XNNPACK rounds its factor to 8 bits: up to a fifth of all elements come out
    a step off. To and from int16 the builtin kernel computes it: exactly to int16, to int8 with 0.3 % a step off.
    """
    x, result = draft.input(node, 0), draft.output(node.output)
    if np.int16 in (x.dtype, result.dtype):
        draft.emit("QUANTIZE", (x,), result, schema.QuantizeOptionsT())
        return
    zero = scalar(draft, 0.0, x.qparams)
    draft.emit("ADD", (x, zero), result, schema.AddOptionsT())


def leaky_relu(draft: Draft, node: Node) -> None:
    options = schema.LeakyReluOptionsT(alpha=float(node.attributes.get("alpha", 0.01)))
    draft.emit("LEAKY_RELU", (draft.input(node, 0),), draft.output(node.output), options)


def prelu(draft: Draft, node: Node) -> None:
    """Kernels want constant slopes without a batch axis, and old ones read a slope for every channel."""
    order, x, result = draft.layout.stored[node.output], draft.input(node, 0), draft.output(node.output)
    slope = draft.broadcastable(node.input(1), order)
    if slope.data is None or slope.shape[0] != 1 or len(x.shape) > PRELU_AXES:
        below = term(draft, "MUL", term(draft, "MINIMUM", x, 0.0), slope)
        term(draft, "ADD", term(draft, "MAXIMUM", x, 0.0), below, into=result)
        return
    slopes = np.broadcast_to(slope.data, (1, *slope.shape[1:-1], x.shape[-1]))[0]
    draft.emit("PRELU", (x, draft.constant(slopes, slope.name, slope.qparams)), result)


def gelu(draft: Draft, node: Node) -> None:
    approximate = node.attributes.get("approximate", "none") == "tanh"
    draft.emit("GELU", (draft.input(node, 0),), draft.output(node.output), schema.GeluOptionsT(approximate=approximate))


def softmax(draft: Draft, node: Node) -> None:
    """The layout put the axis last."""
    draft.emit("SOFTMAX", (draft.input(node, 0),), draft.output(node.output), schema.SoftmaxOptionsT(beta=1.0))


def log_softmax(draft: Draft, node: Node) -> None:
    """The layout put the axis last."""
    term(draft, "LOG_SOFTMAX", draft.input(node, 0), into=draft.output(node.output))


def clip(draft: Draft, node: Node) -> None:
    """Relu and Clip: bounds that are an op of their own, or MAXIMUM and MINIMUM."""
    x, result = draft.input(node, 0), draft.output(node.output)
    if node.op == "Clip" and any(_is_computed(node, index) for index in (1, 2)):
        _clip_between(draft, node, x, result)
        return
    low, high = (0.0, np.inf) if node.op == "Relu" else (_bound(node, 1, -np.inf), _bound(node, 2, np.inf))
    if x.dtype.kind in "iu":  # what the integers' own range already cuts off needs no op
        limits = np.iinfo(x.dtype)
        bottom, top = (limits.min, limits.max) if x.qparams is None else x.qparams.real_range
        low, high = -np.inf if low <= bottom else low, np.inf if high >= top else high
    if (low, high) == (-np.inf, np.inf):
        draft.alias(node.output, x)
    elif (low, high) in CLIPS and (x.dtype == np.float32 or x.qparams is not None):
        draft.emit(CLIPS[low, high], (x,), result)
    else:
        clipped(draft, x, low, high, result)


def clipped(draft: Draft, x: Tensor, low: float, high: float, result: Tensor) -> None:
    bounds = [("MAXIMUM", low)] * (low > -np.inf) + [("MINIMUM", high)] * (high < np.inf)
    if not bounds:
        draft.reshape(x, result.shape, result)
    for index, (code, bound) in enumerate(bounds):
        made = result if index == len(bounds) - 1 else draft.temporary(result, "raised")
        limit = bound if x.qparams is None else scalar(draft, bound, x.qparams)
        x = term(draft, code, x, limit, into=made)


def _is_computed(node: Node, index: int) -> bool:
    return node.optional(index) is not None and node.constant(index) is None


def _clip_between(draft: Draft, node: Node, x: Tensor, result: Tensor) -> None:
    """Bounds that are known at run time."""
    codes = [(code, index) for code, index in (("MAXIMUM", 1), ("MINIMUM", 2)) if node.optional(index) is not None]
    for code, index in codes:
        x = term(draft, code, x, draft.input(node, index), into=result if index == codes[-1][1] else None)


def hard_sigmoid(draft: Draft, node: Node) -> None:
    """clip(alpha * x + beta, 0, 1); in integers one 1x1 depthwise convolution whose output saturates at 0 and 1.

    The output's integers must end at 0 and not pass 1 for that: scale 1/255 and zero point -128, or finer. What goes
    below 0, where the zero point is 0, the convolution's own RELU cuts off.
    """
    alpha, beta = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    x, result = draft.input(node, 0), draft.output(node.output)
    if result.qparams is None:
        scaled, shifted = draft.temporary(result, "scaled"), draft.temporary(result, "shifted")
        draft.emit("MUL", (x, scalar(draft, alpha, None)), scaled, schema.MulOptionsT())
        draft.emit("ADD", (scaled, scalar(draft, beta, None)), shifted, schema.AddOptionsT())
        clipped(draft, shifted, 0.0, 1.0, result)
        return
    low, high = result.qparams.real_range
    raw = result if low <= 0.0 and high <= 1.0 + 1e-6 else draft.temporary(result, "unclipped")
    scale_channels(draft, x, alpha, beta, raw, "RELU" if low < 0.0 else "NONE")
    if raw is not result:
        clipped(draft, raw, 0.0, 1.0, result)


def scale_channels(
    draft: Draft, x: Tensor, factor: float, offset: float, result: Tensor, activation: Activation = "NONE"
) -> None:
    """factor * x + offset in integers, as a 1x1 depthwise convolution."""
    assert x.qparams is not None
    channels = x.shape[-1]
    rows = x.shape if len(x.shape) == 4 else (1, 1, int(np.prod(x.shape[:-1])), channels)
    image = x if x.shape == rows else draft.reshape(x, rows)
    made = result if result.shape == rows else draft.temporary(result, "image", rows)
    weight = affine.symmetric(np.asarray(abs(factor), np.float32), None)
    scale = (x.qparams.scale * weight.scale).astype(np.float32)
    stored = affine.quantize(np.full((1, 1, 1, channels), factor), weight)
    kind = bias_type(x.dtype)
    added = np.rint(np.full(channels, offset) / scale.astype(np.float64)).astype(kind)
    kernel = draft.constant(stored, f"{result.name}_factor", weight)
    bias = draft.constant(added, f"{result.name}_offset", QParams(scale, 0, kind))
    options = schema.DepthwiseConv2DOptionsT(
        padding=schema.Padding.VALID, strideH=1, strideW=1, depthMultiplier=1, dilationHFactor=1, dilationWFactor=1
    )
    options.fusedActivationFunction = FUSED[activation]
    draft.emit("DEPTHWISE_CONV_2D", (image, kernel, bias), made, options)
    if made is not result:
        draft.reshape(made, result.shape, result)


def scalar(draft: Draft, number: float, qparams: QParams | None) -> Tensor:
    """A constant of one element, in INT8 rounded to these parameters."""
    real = np.asarray(number, np.float32)
    return draft.constant(real if qparams is None else affine.quantize(real, qparams), "constant", qparams)


def _bound(node: Node, index: int, missing: float) -> float:
    given = node.constant(index)
    return missing if given is None else given.reshape(()).item()  # of integers all digits
