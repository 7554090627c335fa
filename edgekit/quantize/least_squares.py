"""Integers for the weights of a linear op, and a bias that goes with them, for inputs that carry rounding noise.

The op sees x' where the float model has x. What comes closest to its outputs y = W x on the samples is

    min over q, c of  E |s q x' + c - y|^2 + r |s q - W|^2        r = ridge * mean of diag H

      = tr(V (H + r) V^T) - 2 tr(V (C + r W^T)) + const           V = s q,  H = cov(x', x'),  C = cov(x', y)
    c = E[y] - V E[x']

Over integers: coordinate descent along the inputs, each weight rounded so that it makes up for what the rounding of the
others does to the outputs. The ridge keeps the weights near W, for the samples are few: directions that they hardly
show would else be free.

Rounding by H instead of to nearest: Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization",
equation 13; by coordinate descent and on what the quantized layers before give: Frantar et al. 2023, "GPTQ", section 3,
and Hubara et al. 2021, "Accurate Post Training Quantization With Small Calibration Sets", section 3.1. What we gave up
is the gradient descent of the former, and with it blocks of several ops: with weights of 8 bits it is a thousand times
the work for the same outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit import affine

SWEEPS = 20
BLOCK = 128  # inputs
SETTLED = 0.001  # of the weights: a sweep that changes fewer is the last
TINY = torch.finfo(torch.float64).tiny


def descended(q: Tensor, h: Tensor, c: Tensor, scale: Tensor) -> Tensor:
    """Integers that minimize tr(V H V^T) - 2 tr(V C), V = scale * q, from q on.

    q: (g, o, n) in [-127, 127], float64; scale: (g, o). Every step lowers it, so it comes to an end.
    """
    q = q.clone()
    left = c.transpose(1, 2) / scale.unsqueeze(2) - q @ h  # minus half the slope, in steps
    curvature = h.diagonal(dim1=1, dim2=2).clamp_min(TINY)
    for _ in range(SWEEPS):
        before = q.clone()
        for start in range(0, q.shape[2], BLOCK):  # what a block changes reaches the others at once, as one product
            part = slice(start, start + BLOCK)
            moved = _descend(q[:, :, part], left[:, :, part].clone(), h[:, part, part], curvature[:, None, part])
            left.baddbmm_(moved, h[:, part], alpha=-1)
        if int((q != before).count_nonzero()) <= SETTLED * q.numel():
            break
    return q


def _descend(q: Tensor, left: Tensor, h: Tensor, curvature: Tensor) -> Tensor:
    """One input after the other, in place; by how much q changed."""
    before = q.clone()
    for i in range(q.shape[2]):
        wanted = (
            (q[:, :, i] + left[:, :, i] / curvature[:, :, i]).round_().clamp_(-affine.WEIGHT_MAX, affine.WEIGHT_MAX)
        )
        change = wanted - q[:, :, i]
        if change.any():
            q[:, :, i] = wanted
            left.baddbmm_(change.unsqueeze(2), h[:, None, i], alpha=-1)
    return q - before
