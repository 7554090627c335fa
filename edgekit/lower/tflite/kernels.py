"""What LiteRT's kernels take, as tables: the types that they compute in, how many axes they have.

A kernel that is given another type refuses when the file is loaded, or, worse, takes plain integers for quantized ones.
So a file is checked against the tables before it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.flatbuffer import TYPES
from edgekit.lower.tflite.ops import Op

# The types that arithmetic kernels compute in, of those that hold plain integers and reals (not quantized values).
# Found by running each kernel of LiteRT 2.3: with the others it refuses, or takes the integers for quantized ones.
_FLOAT = frozenset({"float32"})
_INT = frozenset({"float32", "int32"})
_LONG = frozenset({"float32", "int32", "int64"})
COMPUTES_IN: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "NEG", "FLOOR_MOD"), _LONG),
    **dict.fromkeys(("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"), _LONG),
    **dict.fromkeys(("EQUAL", "NOT_EQUAL"), _LONG | {"bool"}),
    **dict.fromkeys(("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "CUMSUM"), _LONG),
    **dict.fromkeys(("DIV", "POW", "FLOOR_DIV", "SQUARED_DIFFERENCE", "ABS", "SIGN", "ARG_MAX", "ARG_MIN"), _INT),
    **dict.fromkeys(("EXP", "LOG", "SQRT", "RSQRT", "SIN", "COS", "SQUARE", "FLOOR", "CEIL", "ROUND"), _FLOAT),
    **dict.fromkeys(("LOGISTIC", "TANH", "ELU", "HARD_SWISH", "GELU", "LEAKY_RELU", "PRELU", "ATAN2"), _FLOAT),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "SOFTMAX", "LOG_SOFTMAX", "BATCH_MATMUL"), _FLOAT),
    **dict.fromkeys(("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT", "REDUCE_ANY", "REDUCE_ALL"), frozenset({"bool"})),
    **dict.fromkeys(("BITWISE_XOR", "RIGHT_SHIFT"), frozenset({"int8", "uint8", "int16", "uint16", "int32", "uint32"})),
    "TOPK_V2": _LONG | {"int8", "uint8", "int16"},
    "SCATTER_ND": _LONG | {"int8", "uint8", "bool"},
    "ONE_HOT": _LONG | {"int8", "uint8", "bool"},
}
WIDER: Mapping[str, tuple[str, ...]] = {
    "bool": ("int32",),
    "int8": ("int32",),
    "uint8": ("int32",),
    "int16": ("int32",),
    "uint16": ("int32",),
    "uint32": ("int64",),
}


MOST_AXES: Mapping[str, int] = {
    **dict.fromkeys(("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN"), 6),
    **dict.fromkeys(("CONCATENATION", "SPLIT", "BATCH_MATMUL"), 6),
    **dict.fromkeys(("PAD", "PADV2"), 5),
}


def bias_type(activations: np.dtype[Any]) -> np.dtype[Any]:
    """The integers of a bias: products of int16 and int8 are summed in 64 bits."""
    return np.dtype(np.int64 if activations == np.int16 else np.int32)


def computed_in(code: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type to compute in: this one, or a wider one that the kernel takes; this one too where there is none."""
    taken = COMPUTES_IN.get(code)
    if taken is None or dtype.name in taken:
        return dtype
    return next((np.dtype(name) for name in WIDER.get(dtype.name, ()) if name in taken), dtype)


def most_axes(code: str) -> int:
    """The highest rank that the kernel takes; larger than any where nothing is known."""
    return MOST_AXES.get(code, 64)


def check(ops: Sequence[Op]) -> None:
    """Refuse what a kernel would refuse, or misread."""
    for op in ops:
        tensors = [tensor for tensor in (*op.inputs, *op.outputs) if tensor is not None]
        for tensor in tensors:
            if tensor.dtype not in TYPES:
                raise refuse.no_kernel(op, f"TFLite has no tensors of type {tensor.dtype}")
        data = tensors[1 if op.code == "SCATTER_ND" else 0]
        if data.qparams is None and data.dtype.name not in COMPUTES_IN.get(op.code, frozenset({data.dtype.name})):
            raise refuse.no_kernel(op, f"LiteRT's {op.code} does not compute in {data.dtype}")
        rank = max(len(tensor.shape) for tensor in tensors)
        if rank > most_axes(op.code):
            raise refuse.no_kernel(op, f"LiteRT's {op.code} takes {most_axes(op.code)} axes, this one has {rank}")
