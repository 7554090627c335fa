"""What TFLite Micro's kernels ask for in the arena, op by op, beside the tensors themselves.

Four things: *settings* (the op's options, unpacked from the file), *data* (what a kernel keeps from run to run: shifts,
multipliers, offsets), *scratch* (what it needs while it runs; shared like a tensor), and *peeks* (descriptions of
tensors that it looks at while it prepares itself, gone afterwards). The sizes are those of the reference kernels on a
machine with pointers of 8 bytes, found by running files of one op each on `tflite-micro` (0.dev20261023182759, commit
8f6596d) and reading what it reports per kind of allocation; on 1620 files of the table of ops they add up to the byte.
Kernels of a vendor (CMSIS-NN, Ethos-U) ask for scratch of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from edgekit.profile.flow import Flow, Op

MOST_SLICED_AXES = 4
POINTER_BYTES = 8
CHANNEL_BYTES = 4  # a multiplier, and a shift, in int32 per output channel
GUESSED_DATA = 64  # bytes, for a kernel that was not measured: what most of the measured ones keep
GUESSED_SETTINGS = 16

# In int16, softmax looks exp and 1 / (1 + x) up in a table each, of 512 steps and the end of the last one.
_SOFTMAX_INT16 = (2 * 513, 2 * 513)

REDUCTIONS = frozenset({"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"})
_LOOKED_AT_TWICE = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", *REDUCTIONS})
_FIRST_LOOKED_AT_TWICE = frozenset({"CONCATENATION", "TANH"})

# Bytes of settings, and of data. An op without an entry here was not measured.
SETTINGS_DATA: Mapping[str, tuple[int, int]] = {
    "ABS": (0, 28),
    "ADD": (8, 60),
    "ADD_N": (0, 0),
    "ARG_MAX": (4, 0),
    "ARG_MIN": (4, 0),
    "AVERAGE_POOL_2D": (40, 32),
    "BATCH_MATMUL": (3, 16),
    "BATCH_TO_SPACE_ND": (0, 0),
    "BROADCAST_TO": (0, 0),
    "CAST": (8, 0),
    "CEIL": (0, 0),
    "CONCATENATION": (8, 80),
    "CONV_2D": (28, 80),
    "COS": (0, 0),
    "CUMSUM": (2, 0),
    "DEPTHWISE_CONV_2D": (28, 80),
    "DEPTH_TO_SPACE": (4, 20),
    "DEQUANTIZE": (0, 32),
    "DIV": (4, 28),
    "DYNAMIC_UPDATE_SLICE": (0, 0),
    "ELU": (0, 256),
    "EQUAL": (0, 32),
    "EXP": (0, 0),
    "EXPAND_DIMS": (0, 0),
    "FILL": (0, 0),
    "FLOOR": (0, 0),
    "FLOOR_DIV": (0, 0),
    "FLOOR_MOD": (0, 0),
    "FULLY_CONNECTED": (32, 72),
    "GATHER": (8, 0),
    "GATHER_ND": (0, 0),
    "GREATER": (0, 32),
    "GREATER_EQUAL": (0, 32),
    "HARD_SWISH": (0, 20),
    "L2_NORMALIZATION": (4, 4),
    "L2_POOL_2D": (40, 20),
    "LEAKY_RELU": (4, 24),
    "LESS": (0, 32),
    "LESS_EQUAL": (0, 32),
    "LOG": (0, 0),
    "LOGICAL_AND": (0, 0),
    "LOGICAL_NOT": (0, 0),
    "LOGICAL_OR": (0, 0),
    "LOGISTIC": (0, 16),
    "LOG_SOFTMAX": (0, 0),
    "MAXIMUM": (0, 0),
    "MAX_POOL_2D": (40, 32),
    "MEAN": (1, 44),
    "MINIMUM": (0, 0),
    "MIRROR_PAD": (4, 20),
    "MUL": (4, 36),
    "NEG": (0, 0),
    "NOT_EQUAL": (0, 32),
    "PACK": (8, 0),
    "PAD": (0, 56),
    "PADV2": (0, 56),
    "PRELU": (0, 28),
    "QUANTIZE": (0, 32),
    "REDUCE_MAX": (1, 44),
    "REDUCE_MIN": (1, 44),
    "RELU": (0, 28),
    "RELU6": (0, 8),
    "RESHAPE": (36, 0),
    "RESIZE_BILINEAR": (2, 0),
    "RESIZE_NEAREST_NEIGHBOR": (2, 0),
    "REVERSE_V2": (0, 0),
    "ROUND": (0, 0),
    "RSQRT": (0, 28),
    "SELECT_V2": (0, 1),
    "SHAPE": (4, 0),
    "SIN": (0, 0),
    "SLICE": (0, 0),
    "SOFTMAX": (4, 80),
    "SPACE_TO_BATCH_ND": (0, 4),
    "SPACE_TO_DEPTH": (4, 20),
    "SPLIT": (4, 0),
    "SPLIT_V": (4, 0),
    "SQRT": (0, 0),
    "SQUARE": (0, 0),
    "SQUARED_DIFFERENCE": (0, 112),
    "SQUEEZE": (36, 0),
    "STRIDED_SLICE": (24, 84),
    "SUB": (8, 52),
    "SUM": (1, 44),
    "TANH": (0, 16),
    "TRANSPOSE": (0, 0),
    "TRANSPOSE_CONV": (20, 88),
    "UNPACK": (8, 0),
    "ZEROS_LIKE": (0, 0),
}
# Ops with a kernel that was not measured; what is in neither has no kernel.
OTHERS = frozenset(
    {
        "ASSIGN_VARIABLE",
        "BROADCAST_ARGS",
        "CALL_ONCE",
        "EMBEDDING_LOOKUP",
        "IF",
        "READ_VARIABLE",
        "REDUCE_ALL",
        "SVDF",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "VAR_HANDLE",
        "WHILE",
    }
)


def missing(op: Op, flow: Flow) -> str:
    """What TFLM has no kernel for, in words: "GELU", "DEQUANTIZE of float16"; empty where it has one."""
    if op.kind not in SETTINGS_DATA and op.kind not in OTHERS:
        return op.kind
    inputs = flow.of(op.inputs)
    dtypes = [tensor.dtype for tensor in inputs]
    match op.kind, dtypes:
        case "DEQUANTIZE", ["float16", *_]:
            return "DEQUANTIZE of float16"
        case "GATHER", ["int16", *_]:
            return "GATHER of int16"
        case "L2_POOL_2D", ["int8" | "int16" as dtype, *_]:
            return f"L2_POOL_2D of {dtype}"
        case "GATHER", [_, "int64", *_]:
            return "GATHER at int64"
        case "CONV_2D" | "DEPTHWISE_CONV_2D" | "FULLY_CONNECTED", ["float32", "int8" | "int4" as dtype, *_]:
            return f"{op.kind} of float32 by {dtype}"
        case "STRIDED_SLICE", _ if inputs and len(inputs[0].shape) > MOST_SLICED_AXES:
            return f"STRIDED_SLICE of {len(inputs[0].shape)} axes"
        case _:
            return ""


def is_measured(kind: str) -> bool:
    return kind in SETTINGS_DATA


def settings_bytes(op: Op) -> int:
    return SETTINGS_DATA.get(op.kind, (GUESSED_SETTINGS, 0))[0]


def kept_at_start(op: Op) -> int:
    """Bytes of data that a kernel asks for before any kernel prepares itself; 0 for none."""
    return SETTINGS_DATA.get(op.kind, (0, GUESSED_DATA))[1]


def kept_when_prepared(op: Op, flow: Flow) -> tuple[int, ...]:
    """Bytes of each further piece of data, by what the op is given."""
    inputs, outputs = flow.of(op.inputs), flow.of(op.outputs)
    if not inputs or not outputs:
        return ()
    match op.kind:
        case "CONV_2D" | "TRANSPOSE_CONV" if len(inputs) > 1:
            return (CHANNEL_BYTES * math.prod(inputs[1].shape[:1]),) * 2
        case "DEPTHWISE_CONV_2D" if len(inputs) > 1:
            return (CHANNEL_BYTES * math.prod(inputs[1].shape[-1:]),) * 2
        case "FULLY_CONNECTED" if len(inputs) > 1 and inputs[0].dtype != "float32" and inputs[1].scales > 1:
            return (CHANNEL_BYTES * inputs[1].scales,) * 2
        case "SOFTMAX" if inputs[0].dtype == "int16":
            return _SOFTMAX_INT16
        case "ADD_N" if outputs[0].dtype != "float32":
            return (40,)
        case "GATHER" | "GATHER_ND":
            return (_dims_bytes(len(outputs[0].shape)),)
        case "BATCH_MATMUL" if len(inputs) > 1:
            turned = inputs[1].size_bytes  # the second operand again, transposed
            pieces = (40, _dims_bytes(len(outputs[0].shape)), _dims_bytes(len(inputs[1].shape)), turned)
            return pieces if inputs[1].dtype == "float32" else (*pieces, 28)
        case _:
            return ()


def scratch(op: Op, flow: Flow) -> tuple[int, ...]:
    """Bytes of each piece that the kernel needs while it runs."""
    inputs, outputs = flow.of(op.inputs), flow.of(op.outputs)
    if not inputs or not outputs:
        return ()
    if op.kind in REDUCTIONS and len(inputs) > 1:
        pieces = (4 * len(inputs[0].shape), 4 * max(1, inputs[1].elements))  # an index, and the axes
        sums = op.kind in {"MEAN", "SUM"} and inputs[0].dtype in {"int8", "int16"}
        return (*pieces, 4 * outputs[0].elements) if sums else pieces
    if op.kind == "ADD_N":
        return (POINTER_BYTES * len(inputs),)
    if op.kind == "MIRROR_PAD":
        return (4 * len(outputs[0].shape),) * 2
    if op.kind == "TRANSPOSE_CONV" and outputs[0].dtype != "float32":
        return ((8 if outputs[0].dtype == "int16" else 4) * outputs[0].elements,)  # sums in int64, or int32
    return ()


def peeks(op: Op) -> tuple[int, ...]:
    """The tensors that a kernel looks at while it prepares itself, each as often as it does."""
    seen = (*op.inputs, *op.outputs)
    if op.kind in _LOOKED_AT_TWICE:  # once more when it works out its multipliers
        return (*seen, *op.inputs[:2], *op.outputs)
    if op.kind in _FIRST_LOOKED_AT_TWICE:
        return (*seen, *op.inputs[:1])
    return seen


def _dims_bytes(rank: int) -> int:
    return 4 * (1 + rank)  # an int32 for the rank before the sizes
