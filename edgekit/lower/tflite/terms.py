"""One op applied to tensors and numbers, which makes its own result: what compositions of several ops are written in.

A kernel that does not take an integer type computes in a wider one, with CASTs around it. That is exact: the wider type
holds every value, and the cast back drops the same bits that the narrow type's own arithmetic would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.flatbuffer import TYPES
from edgekit.lower.tflite.kernels import computed_in, most_axes
from edgekit.lower.tflite.ops import Tensor

Term = Tensor | float

OPTIONS: Mapping[str, Callable[[], Any]] = {
    "ADD": schema.AddOptionsT,
    "SUB": schema.SubOptionsT,
    "MUL": schema.MulOptionsT,
    "DIV": schema.DivOptionsT,
    "FLOOR_DIV": schema.FloorDivOptionsT,
    "FLOOR_MOD": schema.FloorModOptionsT,
    "POW": schema.PowOptionsT,
    "MAXIMUM": schema.MaximumMinimumOptionsT,
    "MINIMUM": schema.MaximumMinimumOptionsT,
    "SQUARED_DIFFERENCE": schema.SquaredDifferenceOptionsT,
    "SQUARE": schema.SquareOptionsT,
    "EXP": schema.ExpOptionsT,
    "COS": schema.CosOptionsT,
    "NEG": schema.NegOptionsT,
    "ABS": schema.AbsOptionsT,
    "SIGN": schema.SignOptionsT,
    "ATAN2": schema.ATan2OptionsT,
    "HARD_SWISH": schema.HardSwishOptionsT,
    "EQUAL": schema.EqualOptionsT,
    "NOT_EQUAL": schema.NotEqualOptionsT,
    "LESS": schema.LessOptionsT,
    "LESS_EQUAL": schema.LessEqualOptionsT,
    "GREATER": schema.GreaterOptionsT,
    "GREATER_EQUAL": schema.GreaterEqualOptionsT,
    "LOGICAL_AND": schema.LogicalAndOptionsT,
    "LOGICAL_OR": schema.LogicalOrOptionsT,
    "LOGICAL_NOT": schema.LogicalNotOptionsT,
    "BITWISE_XOR": schema.BitwiseXorOptionsT,
    "RIGHT_SHIFT": schema.RightShiftOptionsT,
    "SELECT_V2": schema.SelectV2OptionsT,
    "LOG_SOFTMAX": schema.LogSoftmaxOptionsT,
    "SOFTMAX": lambda: schema.SoftmaxOptionsT(beta=1.0),
}
COMPARISONS = frozenset({"EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"})


def term(draft: Draft, code: str, *operands: Term, into: Tensor | None = None, options: Any = None) -> Tensor:
    """The op's result. operands: tensors, and numbers of the tensors' type; into: the tensor to write."""
    tensors = numbers_as_constants(draft, operands)
    data = tensors[1] if code == "SELECT_V2" else tensors[0]
    shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    dtype = np.dtype(bool) if code in COMPARISONS else data.dtype
    result = draft.temporary(into or data, code.lower(), shape, dtype=dtype, qparams=None) if into is None else into
    if options is None and code in OPTIONS:
        options = OPTIONS[code]()
    emit(draft, code, tensors, result, options)
    return result


def numbers_as_constants(draft: Draft, operands: Sequence[Term]) -> list[Tensor]:
    dtype = [operand.dtype for operand in operands if isinstance(operand, Tensor)][-1]
    return [
        operand if isinstance(operand, Tensor) else draft.constant(np.asarray(operand, dtype), "constant")
        for operand in operands
    ]


def emit(draft: Draft, code: str, inputs: Sequence[Tensor], result: Tensor, options: Any) -> None:
    """The op, in the type that its kernel computes in; inputs and result of one type, or the result bool."""
    first = inputs[0]
    wide = computed_in(code, first.dtype)
    if first.qparams is not None or wide == first.dtype:
        draft.emit(code, inputs, result, options)
        return
    widened = [cast(draft, x, wide) if x.dtype == first.dtype else x for x in inputs]
    if result.dtype != first.dtype:
        draft.emit(code, widened, result, options)
        return
    made = draft.temporary(result, "wide", dtype=wide)
    draft.emit(code, widened, made, options)
    cast(draft, made, result.dtype, result)


def cast(draft: Draft, x: Tensor, dtype: np.dtype[Any], into: Tensor | None = None) -> Tensor:
    """x in another type."""
    if x.dtype == dtype and into is None:
        return x
    if x.data is not None and into is None:
        return draft.constant(x.data.astype(dtype), x.name)
    result = into or draft.temporary(x, dtype.name, dtype=dtype, qparams=None)
    options = schema.CastOptionsT(inDataType=TYPES.get(x.dtype, 0), outDataType=TYPES.get(dtype, 0))  # checked later
    draft.emit("CAST", (x,), result, options)
    return result


def chosen(draft: Draft, condition: Tensor, yes: Term, no: Term, like: Tensor, into: Tensor | None = None) -> Tensor:
    """Where the condition holds `yes`, else `no`; numbers are of the type of `like`."""
    branches = [
        operand if isinstance(operand, Tensor) else draft.constant(np.asarray(operand, like.dtype), "constant")
        for operand in (yes, no)
    ]
    return term(draft, "SELECT_V2", condition, *branches, into=into)


def reduced(
    draft: Draft, code: str, x: Tensor, axes: Sequence[int], keep: bool = True, into: Tensor | None = None
) -> Tensor:
    """x reduced over these of its stored axes; neighbours that go the same way are one axis where there are many."""
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape) if keep or axis not in axes]
    result = into or draft.temporary(x, code.lower(), shape)
    if len(x.shape) > most_axes(code):
        merged, axes = _merged(x.shape, axes)
        x, keep = draft.reshape(x, merged), False
        made = draft.temporary(result, "merged", [n for axis, n in enumerate(merged) if axis not in axes])
    else:
        made = result
    inputs = (x, draft.numbers(sorted(axes), "axes"))
    emit(draft, code, inputs, made, schema.ReducerOptionsT(keepDims=keep))
    return result if made is result else draft.reshape(made, shape, result)


def _merged(shape: Sequence[int], axes: Sequence[int]) -> tuple[list[int], list[int]]:
    """The shape with neighbouring axes merged that are all reduced or all kept, and the reduced ones among them."""
    sizes: list[int] = []
    kinds: list[bool] = []
    for axis, size in enumerate(shape):
        if kinds and kinds[-1] == (axis in axes):
            sizes[-1] *= size
        else:
            sizes.append(size)
            kinds.append(axis in axes)
    return sizes, [place for place, kind in enumerate(kinds) if kind]
