"""Which integers a target wants, beside the INT8 contract.

default      asymmetric activations, symmetric weights per output channel, biases of int32
symmetric    zero point 0 everywhere, and biases left in float: what TensorRT takes (see `lower/tensorrt.py`)
per-tensor   one scale for all of an op's weights: for accelerators that leave per-channel ops to the CPU
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit import affine


@dataclass(frozen=True)
class Scheme:
    """symmetric: zero point 0 everywhere, float biases; per_channel: weights have a scale per output channel."""

    symmetric: bool = False
    per_channel: bool = True


DEFAULT = Scheme()
SCHEMES: Mapping[str, Scheme] = {
    "default": DEFAULT,
    "symmetric": Scheme(symmetric=True),
    "per-tensor": Scheme(per_channel=False),
}

NO_TENSORRT_KERNEL = "TensorRT computes it in float"
FLOAT_IN_TENSORRT = frozenset({"Softmax"})


def _fixed(scale: float, zero_point: int, dtype: np.dtype[Any] = affine.INT8) -> affine.QParams:
    return affine.QParams(np.asarray(np.float32(scale)), zero_point, dtype)


FIXED_SCALES: dict[str, affine.QParams] = {
    "Sigmoid": _fixed(1 / 256, -128),
    "Softmax": _fixed(1 / 256, -128),
    "Tanh": _fixed(1 / 128, 0),
    # Reaches 1.0 exactly, since a gate that saturates at 255/256 would shrink everything behind it.
    "HardSigmoid": _fixed(1 / 255, -128),
}
FIXED_SYMMETRIC_SCALES: dict[str, affine.QParams] = {
    **dict.fromkeys(("Sigmoid", "Softmax", "HardSigmoid"), _fixed(1 / 127, 0)),
    "Tanh": _fixed(1 / 128, 0),
}
FIXED_INT16_SCALES: dict[str, affine.QParams] = {
    **dict.fromkeys(("Sigmoid", "Softmax", "Tanh"), _fixed(1 / 32768, 0, affine.INT16)),
    "HardSigmoid": _fixed(1 / 32767, 0, affine.INT16),
}


def fixed_scale(op: str, dtype: np.dtype[Any], scheme: Scheme) -> affine.QParams:
    """What an op dictates to its output."""
    if dtype == affine.INT16:
        return FIXED_INT16_SCALES[op]
    return (FIXED_SYMMETRIC_SCALES if scheme.symmetric else FIXED_SCALES)[op]


def fitted(low: float, high: float, dtype: np.dtype[Any], *, symmetric: bool) -> affine.QParams:
    """Per-tensor parameters that cover [low, high]; what is zero throughout stays zero at any scale."""
    if symmetric or dtype == affine.INT16:
        return affine.symmetric(np.asarray(max(-low, high) or 1.0, np.float32), None, dtype)
    return affine.from_range(low, high if (low, high) != (0.0, 0.0) else 1.0, dtype)
