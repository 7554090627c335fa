"""The lowest version of each operator that means what we write, so that old interpreters take the file.

Source: tensorflow/lite/tools/versioning/op_version.cc.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.lower.tflite.ops import Op, Tensor

# Ops whose int8 kernel came with version 2.
INT8_SECOND = frozenset(
    {
        "ADD",
        "SUB",
        "MUL",
        "MAX_POOL_2D",
        "AVERAGE_POOL_2D",
        "TRANSPOSE",
        "GATHER",
        "SLICE",
        "STRIDED_SLICE",
        "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR",
        "MAXIMUM",
        "MINIMUM",
        "TANH",
        "LOGISTIC",
        "SOFTMAX",
        "MEAN",
        "MIRROR_PAD",
        "REDUCE_MAX",
        "REDUCE_MIN",
        "SUM",
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "PAD",
        "PADV2",
        "CONCATENATION",
        "DEQUANTIZE",
        "BATCH_MATMUL",
        "SPACE_TO_DEPTH",
        "LOG_SOFTMAX",
        "EXP",
        "ABS",
        "RSQRT",
        "EQUAL",
        "NOT_EQUAL",
        "LESS",
        "GREATER",
        "LESS_EQUAL",
        "GREATER_EQUAL",
    }
)

# The version with which an op's int16 kernel came.
INT16: Mapping[str, int] = {
    **dict.fromkeys(("CONV_2D", "MUL", "MAXIMUM", "MINIMUM", "GATHER", "SPLIT", "SLICE"), 4),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), 4),
    **dict.fromkeys(("ADD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "DEQUANTIZE", "ABS", "RELU", "RELU6"), 3),
    **dict.fromkeys(("TANH", "LOGISTIC", "BATCH_MATMUL", "PAD", "PADV2", "CONCATENATION", "SOFTMAX", "MEAN"), 3),
    **dict.fromkeys(("MIRROR_PAD", "REDUCE_MAX", "REDUCE_MIN", "BROADCAST_TO", "GATHER_ND"), 3),
    **dict.fromkeys(("DEPTHWISE_CONV_2D", "SUB", "TRANSPOSE"), 5),
    "LEAKY_RELU": 2,
    "FULLY_CONNECTED": 7,
    "TRANSPOSE_CONV": 3,  # with a bias
}


def version(op: Op) -> int:
    if op.outputs[0].dtype == np.int16 and op.code == "QUANTIZE":
        return 2
    tensors = [t for t in op.inputs if t is not None]
    if np.int16 in {t.dtype for t in tensors}:
        return _version_of_int16(op, max(len(t.shape) for t in tensors))
    first = tensors[0]
    int8 = first.dtype == np.int8
    deep = max(len(t.shape) for t in tensors) > 4
    match op.code:
        case "CONV_2D":
            if first.shape[3] != tensors[1].shape[3]:
                return 6  # grouped
            return 3 if int8 else 5 if _is_hybrid(op) else 1
        case "DEPTHWISE_CONV_2D":
            dilated = (op.options.dilationHFactor, op.options.dilationWFactor) != (1, 1)
            return 3 if int8 else 6 if _is_hybrid(op) else 2 if dilated else 1
        case "FULLY_CONNECTED":
            return 5 if op.options.keepNumDims else 4 if int8 else 1
        case "TRANSPOSE_CONV":
            return 3  # with a bias
        case "SPLIT":
            return 2 if tensors[1].dtype == np.int8 else 1
        case "MUL" if int8 and _product_scale(op) >= 1:
            return 3
        case "DEQUANTIZE" if first.dtype == np.float16:
            return 3
        case "QUANTIZE":
            return 1
        # The kernels take int8 under their first version too, and LiteRT lists only low versions of them among its
        # reference kernels (register_ref.cc), so that DEPTH_TO_SPACE 2 and TILE 3 would not run there.
        case "DEPTH_TO_SPACE" | "TILE":
            return 1
        case "BROADCAST_TO":
            return 3 if int8 else 2
        case "RESIZE_BILINEAR" if op.options.halfPixelCenters:
            return 3
        case "RESIZE_NEAREST_NEIGHBOR" if op.options.halfPixelCenters or op.options.alignCorners:
            return 3
        case "TRANSPOSE" | "STRIDED_SLICE" | "PAD" | "PADV2" if deep:
            return 4
        case "SLICE" if deep:
            return 5
        case "SUB" | "MAXIMUM" | "MINIMUM" if deep and len({t.shape for t in tensors}) > 1:
            return 3
        case "DIV" if deep and len({t.shape for t in tensors}) > 1:
            return 2
        case code:
            return 2 if int8 and code in INT8_SECOND else 1


def _version_of_int16(op: Op, rank: int) -> int:
    x = op.inputs[0]
    match op.code:
        case "CONV_2D" if x is not None and op.inputs[1] is not None and x.shape[3] != op.inputs[1].shape[3]:
            return 6  # grouped
        case "STRIDED_SLICE" | "PAD" | "PADV2" if rank > 4:
            return 4
        case "SLICE" if rank > 4:
            return 5
        case code:
            return INT16.get(code, 1)


def _is_hybrid(op: Op) -> bool:
    weights = op.inputs[1]
    return weights is not None and weights.dtype == np.int8


def _product_scale(op: Op) -> float:
    first, second = (_scale(t) for t in op.inputs[:2])
    return first * second / _scale(op.outputs[0])


def _scale(tensor: Tensor | None) -> float:
    assert tensor is not None and tensor.qparams is not None
    return float(tensor.qparams.scale)
