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

from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit import affine

SWEEPS = 20
SETTLED = 0.001  # of the weights: a sweep that changes fewer is the last
TINY = torch.finfo(torch.float64).tiny


@dataclass(eq=False)
class Moments:
    """Sums over positions, in float64: g groups of n inputs and o outputs each.

    inputs: (g, n, n) of x' x'^T; crossed: (g, n, o) of x' y^T; input: (g, n) of x'; output: (g, o) of y.
    """

    inputs: Tensor
    crossed: Tensor
    input: Tensor
    output: Tensor
    count: int = 0

    @staticmethod
    def none(groups: int, inputs: int, outputs: int) -> Moments:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros((groups, *shape), dtype=torch.float64)

        return Moments(zeros(inputs, inputs), zeros(inputs, outputs), zeros(inputs), zeros(outputs))

    def add(self, x: Tensor, y: Tensor) -> None:
        """x: (g, positions, n) what the op reads; y: (g, positions, o) what it should give, without its bias."""
        self.inputs += x.transpose(1, 2) @ x
        self.crossed += x.transpose(1, 2) @ y
        self.input += x.sum(1)
        self.output += y.sum(1)
        self.count += x.shape[1]

    def problem(self, *, bias: bool) -> tuple[Tensor, Tensor]:
        """H (g, n, n) and C (g, n, o); where a bias takes up the shift of the mean, of what is left then."""
        h, c = self.inputs / self.count, self.crossed / self.count
        if not bias:
            return h, c
        x, y = self.input / self.count, self.output / self.count
        return h - x.unsqueeze(2) * x.unsqueeze(1), c - x.unsqueeze(2) * y.unsqueeze(1)

    def shift(self, weights: Tensor) -> Tensor:
        """(g, o) what a bias has to add so that the mean of the outputs is right. weights: (g, o, n)."""
        return (self.output - (weights @ self.input.unsqueeze(2)).squeeze(2)) / self.count


def with_ridge(h: Tensor, c: Tensor, ridge: float, weights: Tensor) -> tuple[Tensor, Tensor]:
    """H + r and C + r W^T. weights: W (g, o, n)."""
    r = (ridge * h.diagonal(dim1=1, dim2=2).mean(1).clamp_min(TINY))[:, None, None]
    return h + r * torch.eye(h.shape[1], dtype=h.dtype), c + r * weights.transpose(1, 2)


def descended(q: Tensor, h: Tensor, c: Tensor, scale: Tensor) -> Tensor:
    """Integers that minimize tr(V H V^T) - 2 tr(V C), V = scale * q, from q on.

    q: (g, o, n) in [-127, 127], float64; scale: (g, o). Every step lowers it, so it comes to an end.
    """
    q = q.clone()
    left = c.transpose(1, 2) / scale.unsqueeze(2) - q @ h  # minus half the slope, in steps
    curvature = h.diagonal(dim1=1, dim2=2).clamp_min(TINY)
    for _ in range(SWEEPS):
        changed = 0
        for i in range(q.shape[2]):
            wanted = (q[:, :, i] + left[:, :, i] / curvature[:, None, i]).round()
            change = wanted.clamp(-affine.WEIGHT_MAX, affine.WEIGHT_MAX) - q[:, :, i]
            if count := int(change.count_nonzero()):
                q[:, :, i] += change
                left -= change.unsqueeze(2) * h[:, None, i]
                changed += count
        if changed <= SETTLED * q.numel():
            break
    return q
