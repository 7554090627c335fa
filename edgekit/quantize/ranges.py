"""Candidate ranges for a tensor, from its statistics alone.

minmax      the exact extremes
percentile  the smallest range that holds 99.99 % of the values
mse         the range with the smallest expected squared error
                sum over v of  (v - clamp(v))^2  +  step^2 / 12 for every v inside that is not 0
entropy     the range whose quantized distribution is closest to the float one in Kullback-Leibler divergence
            (Migacz 2017, "8-bit inference with TensorRT"), on the range's own 255 steps
reach       where a new sample hardly goes beyond (`reach`), for few samples

By `mse` and `reach`, what takes 256 levels of one step gets that step, which is exact, or one that no level is halfway
between (`levels`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.quantize.levels import range_of_levels
from edgekit.quantize.observe import Statistics

Method = Literal["minmax", "percentile", "mse", "entropy", "reach"]
Range = tuple[float, float]
_Error = Callable[[NDArray[np.float64], NDArray[np.float64], float, float], float]
"""Of values, ascending, that occur `weights` times each, in the range from low to high, which holds 0."""

STEPS = 255
PERCENTILE = 0.9999
SHRINKS = np.linspace(1.0, 0.3, 71)  # candidate shares of each end of the exact range


def candidate(statistics: Statistics, method: Method) -> Range:
    """The range that `method` gives; it always holds 0."""
    if method in ("mse", "reach") and statistics.levels is not None:
        held = range_of_levels(statistics.levels)
        if held is not None:
            return held
    match method:
        case "minmax":
            return _with_zero(statistics.low, statistics.high)
        case "percentile":
            return _percentile(statistics)
        case "mse":
            return _least(statistics, _squared_error)
        case "entropy":
            return _least(statistics, _divergence)
        case "reach":
            return _with_zero(*(statistics.reach or (statistics.low, statistics.high)))


def _with_zero(low: float, high: float) -> Range:
    return min(low, 0.0), max(high, 0.0)


def _percentile(statistics: Statistics) -> Range:
    values, counts = statistics.points()
    share = np.cumsum(counts) / counts.sum()
    tail = (1 - PERCENTILE) / 2 if statistics.low < 0 else 1 - PERCENTILE
    low = values[int(np.searchsorted(share, tail))] if statistics.low < 0 else 0.0
    high = values[min(int(np.searchsorted(share, 1 - tail)), len(values) - 1)]
    return _with_zero(float(low), float(high))


def _least(statistics: Statistics, error: _Error) -> Range:
    """Shrink the ends of the exact range in turn, the longer one first, to the smallest error."""
    values, counts = statistics.points()
    weights = counts.astype(np.float64)
    low, high = _with_zero(statistics.low, statistics.high)
    ends = [1, 0] if high >= -low else [0, 1]
    best = [low, high]
    for end in ends:
        if best[end] == 0.0:
            continue
        trials = [[*best] for _ in SHRINKS]
        for trial, shrink in zip(trials, SHRINKS, strict=True):
            trial[end] = best[end] * float(shrink)
        errors = [error(values, weights, trial[0], trial[1]) for trial in trials]
        best = trials[int(np.argmin(errors))]
    return best[0], best[1]


def _squared_error(values: NDArray[np.float64], weights: NDArray[np.float64], low: float, high: float) -> float:
    first, end = _inside(values, low, high)
    below, above = values[:first] - low, values[end:] - high
    clipped = (weights[:first] * below * below).sum() + (weights[end:] * above * above).sum()
    zero, positive = _inside(values, 0.0, 0.0)
    rounded = weights[first:end].sum() - weights[zero:positive].sum()
    step = (high - low) / STEPS
    return float(clipped + rounded * step * step / 12)


def _divergence(values: NDArray[np.float64], weights: NDArray[np.float64], low: float, high: float) -> float:
    """KL(p || q): p the values with the clipped ones moved to the ends, q what 255 steps keep of the unclipped ones."""
    first, end = _inside(values, low, high)
    step = (high - low) / STEPS
    if step == 0.0 or first == end:
        return np.inf
    codes = np.clip(np.rint((values[first:end] - low) / step), 0, STEPS).astype(np.int64)
    p = weights[first:end].copy()
    p[0] += weights[:first].sum()
    p[-1] += weights[end:].sum()
    # q spreads each step's mass evenly over the bins that fall into it.
    mass = np.bincount(codes, weights[first:end], minlength=STEPS + 1)
    bins = np.bincount(codes, minlength=STEPS + 1)
    q = mass[codes] / bins[codes]
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


def _inside(values: NDArray[np.float64], low: float, high: float) -> tuple[int, int]:
    """Where the values of a range stand among the sorted ones: the first, and behind the last."""
    return int(np.searchsorted(values, low, "left")), int(np.searchsorted(values, high, "right"))
