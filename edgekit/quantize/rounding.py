"""How weights become integers under a scale that is given.

nearest     each weight by itself
balanced    so that the errors of each kernel add up to at most half a step, where none of its weights saturates

Neighbouring inputs of a convolution are alike, so that an output is off by what its kernels' errors add up to:

    sum_k e_k x_k  ~  mean(x) sum_k e_k          e = q - w / s, k over the taps of a kernel

Rounded to nearest, the errors of n taps add up to sqrt(n / 12) steps or so. Turning those over that come nearest to it
among the errors of the sum's own sign, as many as the sum has steps, leaves half a step. This asks for no samples.
Source: Guo et al. 2022, "SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian Approximation", section 3.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit import affine

Rounding = Literal["nearest", "balanced"]


def rounded(weight: NDArray[np.float32], qparams: affine.QParams, rounding: Rounding) -> affine.IntArray:
    """Weights as integers; -128 is never used, also where one scale serves all channels.

    weight: kernels lie along the axes from the third on.
    """
    q = np.maximum(affine.quantize(weight, qparams), -affine.WEIGHT_MAX)
    return _balanced(weight, q, qparams) if rounding == "balanced" and has_kernels(weight) else q


def has_kernels(weight: NDArray[np.float32]) -> bool:
    """True where there is something to balance: a matrix, or a 1x1 convolution, has no taps."""
    return weight.ndim > 2 and weight[0, 0].size > 1


def _balanced(weight: NDArray[np.float32], q: affine.IntArray, qparams: affine.QParams) -> affine.IntArray:
    errors = (q - np.asarray(weight / affine.along_axis(qparams, weight.ndim), np.float64)).reshape(
        -1, weight[0, 0].size
    )
    turned = q.reshape(errors.shape).copy()
    sums = errors.sum(axis=1)
    signs, steps = np.sign(sums), np.rint(np.abs(sums))
    gains = errors * signs[:, None]  # the largest of a kernel is the cheapest to turn over
    gains[(gains <= 0) | (np.abs(turned - signs[:, None]) > affine.WEIGHT_MAX)] = 0.0
    rows = np.flatnonzero(steps)
    for done in range(int(steps.max(initial=0))):
        rows = rows[steps[rows] > done]
        taps = gains[rows].argmax(axis=1)
        rows, taps = rows[found := gains[rows, taps] > 0], taps[found]
        turned[rows, taps] -= signs[rows].astype(turned.dtype)
        gains[rows, taps] = 0.0
    return turned.reshape(q.shape)
