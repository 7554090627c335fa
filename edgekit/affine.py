"""Affine quantization: real = scale * (q - zero_point).

    q = clamp(round_half_even(x / scale) + zero_point, q_min, q_max)

Every scale in edgekit is a float32: that is what both file formats store, so computing with anything wider would make
the files disagree with the code. Source: LiteRT 8-bit quantization specification; ONNX QuantizeLinear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.integer[Any]]

WEIGHT_MAX = 127  # weights use [-127, 127]: TFLite kernels rely on the narrow range
BIAS_MAX = 2**30  # a quantized bias stays below half of int32, so that adding the products cannot overflow
INT8, INT16 = np.dtype(np.int8), np.dtype(np.int16)
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class QParams:
    """How real numbers became integers.

    scale: () or (C,) float32, positive; zero_point: the integer that stands for real 0; dtype: the integers' type;
    axis: the channel axis where scale is (C,), else None.
    """

    scale: FloatArray
    zero_point: int
    dtype: np.dtype[Any]
    axis: int | None = None

    def __post_init__(self) -> None:
        assert self.scale.dtype == np.float32
        assert (self.axis is None) == (self.scale.ndim == 0)
        info = np.iinfo(self.dtype)
        assert info.min <= self.zero_point <= info.max

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, QParams)
            and self.scale.shape == other.scale.shape
            and bool(np.all(self.scale == other.scale))
            and (self.zero_point, self.dtype, self.axis) == (other.zero_point, other.dtype, other.axis)
        )

    def __hash__(self) -> int:
        return hash((self.scale.tobytes(), self.zero_point, str(self.dtype), self.axis))

    @property
    def real_range(self) -> tuple[float, float]:
        """The smallest and largest real number that the integers reach (per tensor only)."""
        assert self.axis is None
        info = np.iinfo(self.dtype)
        scale = float(self.scale)
        return (info.min - self.zero_point) * scale, (info.max - self.zero_point) * scale

    def shifted_to(self, dtype: np.dtype[Any]) -> QParams:
        """The same real numbers on an integer type of another signedness (an exact shift of the zero point)."""
        shift = int(np.iinfo(dtype).min) - int(np.iinfo(self.dtype).min)
        return replace(self, zero_point=self.zero_point + shift, dtype=np.dtype(dtype))


def from_range(low: float, high: float, dtype: np.dtype[Any] = INT8) -> QParams:
    """Asymmetric per-tensor parameters that cover [low, high], widened so that real 0 is exact.

    low, high: finite, low <= high, not both 0 after widening.
    """
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    info = np.iinfo(dtype)
    steps = int(info.max) - int(info.min)
    scale = np.float32(max((high - low) / steps, SMALLEST_SCALE))
    # zero_point from the end of the range that is further from 0: its rounding error matters least there.
    zero_point = int(info.min) + int(np.rint(-low / float(scale)))
    return QParams(np.asarray(scale), int(np.clip(zero_point, info.min, info.max)), np.dtype(dtype))


def symmetric(largest: FloatArray, axis: int | None, dtype: np.dtype[Any] = INT8) -> QParams:
    """Symmetric parameters whose largest code stands for `largest`: () or (C,) non-negative."""
    top = WEIGHT_MAX if np.dtype(dtype) == np.int8 else int(np.iinfo(dtype).max)
    scale = np.maximum(np.asarray(largest, np.float32) / np.float32(top), np.float32(SMALLEST_SCALE))
    return QParams(np.asarray(scale, np.float32), 0, np.dtype(dtype), axis)


def quantize(x: NDArray[Any], qparams: QParams) -> IntArray:
    """Real to integer, rounding half to even, saturating; int8 weights (an axis, zero point 0) keep off -128."""
    info = np.iinfo(qparams.dtype)
    low = -WEIGHT_MAX if qparams.axis is not None and qparams.dtype == np.int8 else int(info.min)
    steps = np.rint(np.asarray(x, np.float32) / along_axis(qparams, x.ndim)).astype(np.float64)
    q: IntArray = np.clip(steps + qparams.zero_point, low, int(info.max)).astype(qparams.dtype)
    return q


def dequantize(q: NDArray[Any], qparams: QParams) -> FloatArray:
    """Integer to real."""
    centred = q.astype(np.int64) - qparams.zero_point
    return (centred.astype(np.float32) * along_axis(qparams, q.ndim)).astype(np.float32)


def along_axis(qparams: QParams, ndim: int) -> FloatArray:
    """The scale, shaped to broadcast along its axis."""
    if qparams.axis is None:
        return qparams.scale
    shape = [1] * ndim
    shape[qparams.axis] = -1
    return qparams.scale.reshape(shape)
