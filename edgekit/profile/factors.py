"""How the cost of a kernel departs from the sum of its terms, by its shape: what a linear sum cannot know.

    seconds of a kernel = exp(g(shape)) * sum over terms: seconds[term] * amount[term]

g is a Gaussian process over shapes with mean 0, so that a kernel unlike all that were measured costs what its terms
say, and one like some of them costs what those did. Kernels are seen only through the nets that hold them:

    log T_i = log(r_i + sum_k c_ik exp(g_k)) + noise,   c_ik: terms of the kernels of shape k in net i; r_i: the rest

which is linear in g near a solution (weights w_ik = c_ik exp(g_k) / T_i), and is solved by repeating that:

    g = K W' (W K W' + noise^2 I)^-1 z,   z_i = log T_i - log(sum at the last g) + sum_k w_ik g_k

What is kept is the vector b with g = K b: an estimate then needs the shapes, b and nothing else.

Source: C. E. Rasmussen, C. Williams, Gaussian Processes for Machine Learning (MIT Press, 2006), equations 2.23 and 2.24
with K W' in place of K(X*, X); Gauss and Newton's iteration around it as in its section 3.4.

Why not a table of kernels with interpolation between neighbours: kernels cannot be timed alone without the call around
them, and nets that mix them tell more of what a kernel costs behind another. What would change our mind: a runtime of
TFLite files that gives its profile to Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.device import Factor
from edgekit.profile.kernels import Kernel
from edgekit.profile.terms import Amounts, Term, of_kernel

Array = NDArray[np.float64]

ALIKE = (1.5, 1.2, 1.2, 0.8, 0.7, 0.8, 0.8)
"""How far apart shapes are that still tell something of each other, along each axis of `_place`: logarithms of rows,
channels, depth, taps and stride, and half the logarithms of the powers of 2 in channels and depth."""
KIND_SPREAD, SHAPE_SPREAD = 0.4, 0.4
"""Standard deviations of g: of what all shapes of a kind share, and of what a shape has of its own."""
NOISE = 0.04  # of a net's time, with what a sum of kernels cannot say of their neighbourhood
ROUNDS = 8
LOWEST, HIGHEST = -2.5, 3.0  # of g: a guard against kernels that no net tells apart
MOST_LANES = 16  # values in a vector register, of any processor: a multiple of more fills it no better


@dataclass(frozen=True, order=True)
class Shape:
    """kind: kernels of one kind cost alike. rows: output pixels or tokens; channels, depth: of the output and of the
    input of a product, one group; where nothing is multiplied, rows are the output's values and depth the input's."""

    kind: str
    rows: int
    channels: int
    depth: int
    taps: int
    stride: int


def shape_of(kernel: Kernel) -> Shape:
    taps = math.prod(kernel.taps)
    if kernel.kind == "depthwise":
        rows = kernel.outputs // kernel.groups
        return Shape("depthwise", max(1, rows), kernel.groups, 1, taps, kernel.stride)
    if kernel.weights:
        channels = max(1, kernel.weights // max(1, kernel.depth * taps))
        rows = max(1, kernel.outputs // channels)
        return Shape(_product(kernel, taps), rows, channels, kernel.depth, taps, kernel.stride)
    if kernel.macs:
        return Shape("product", kernel.outputs, 1, max(1, kernel.macs // kernel.outputs), 1, 1)
    return Shape(kernel.op, max(1, kernel.outputs), 1, max(1, kernel.inputs), taps, kernel.stride)


def _product(kernel: Kernel, taps: int) -> str:
    if kernel.kind in {"transpose-conv", "recurrent"}:
        return kernel.kind
    return "grouped" if kernel.groups > 1 else "window" if taps > 1 else "pointwise"


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A net that was measured. rest_s: of its time, what is in no kernel."""

    kernels: tuple[Kernel, ...]
    seconds: float
    rest_s: float


def fit_factors(nets: Sequence[Timed], seconds: Mapping[Term, float], cache_bytes: int) -> tuple[Factor, ...]:
    """What the nets say beside the terms. seconds, cache_bytes: of the terms, as fitted to the same nets."""
    shapes = sorted({shape_of(kernel) for net in nets for kernel in net.kernels})
    places = {shape: place for place, shape in enumerate(shapes)}
    costs = np.zeros((len(nets), len(shapes)))
    for row, net in zip(costs, nets, strict=True):
        for kernel in net.kernels:
            row[places[shape_of(kernel)]] += _terms(seconds, of_kernel(kernel, cache_bytes))
    rest = np.array([net.rest_s for net in nets])
    logs = np.log([net.seconds for net in nets])
    covariance = _covariance(shapes, shapes)
    g = np.zeros(len(shapes))
    weights = np.zeros(len(shapes))
    for _ in range(ROUNDS):
        sums = rest + costs @ np.exp(g)
        shares = costs * np.exp(g) / sums[:, None]
        seen = shares @ covariance @ shares.T + NOISE**2 * np.eye(len(nets))
        weights = shares.T @ np.linalg.solve(seen, logs - np.log(sums) + shares @ g)
        g = np.clip(covariance @ weights, LOWEST, HIGHEST)
    return tuple(Factor(**vars(s), weight=float(f"{w:.6g}")) for s, w in zip(shapes, weights, strict=True))


def factors(kernels: Sequence[Kernel], known: tuple[Factor, ...]) -> Array:
    """exp(g) of each kernel; 1 where nothing is known of its like."""
    if not known or not kernels:
        return np.ones(len(kernels))
    shapes = [shape_of(kernel) for kernel in kernels]
    different = tuple(dict.fromkeys(shapes))
    weights = np.array([factor.weight for factor in known])
    logs = np.clip(_covariance(different, _shapes(known)) @ weights, LOWEST, HIGHEST)
    of_shape = dict(zip(different, np.exp(logs), strict=True))
    return np.array([of_shape[shape] for shape in shapes])


def is_like(kernel: Kernel, known: tuple[Factor, ...]) -> bool:
    """Whether kernels of its kind were measured; True where a device has no factors at all, and its terms speak."""
    return not known or shape_of(kernel).kind in {factor.kind for factor in known}


def _shapes(known: tuple[Factor, ...]) -> tuple[Shape, ...]:
    return tuple(Shape(f.kind, f.rows, f.channels, f.depth, f.taps, f.stride) for f in known)


def _covariance(some: Sequence[Shape], others: Sequence[Shape]) -> Array:
    """(some, others)"""
    kinds = np.array([shape.kind for shape in some])[:, None] == np.array([shape.kind for shape in others])
    places, beside = _places(some), _places(others)
    apart = ((places[:, None] - beside) ** 2).sum(axis=2)
    alike: Array = kinds * (KIND_SPREAD**2 + SHAPE_SPREAD**2 * np.exp(-apart / 2))
    return alike


def _places(shapes: Sequence[Shape]) -> Array:
    places: Array = np.array([_place(shape) for shape in shapes]) / np.array(ALIKE)
    return places


def _place(s: Shape) -> tuple[float, ...]:
    """In units in which ratios are distances."""
    logs = (math.log(number) for number in (s.rows, s.channels, s.depth, s.taps, s.stride))
    return (*logs, _halves(s.channels) / 2, _halves(s.depth) / 2)


def _halves(number: int) -> int:
    """How often a number of channels can be halved: whether it fills vector registers."""
    return math.gcd(number, MOST_LANES).bit_length() - 1


def _terms(seconds: Mapping[Term, float], work: Amounts) -> float:
    return sum(seconds.get(term, 0.0) * amount for term, amount in work.items())
