"""What a calibration tells of its samples: their ranges, how they fit to what the model remembers, how firm scales are.

    offset  = rms_c ((mean_c - beta_c) / |gamma_c|)       of a batch norm's output, beta and gamma from training
    size    = rms_c (deviation_c / |gamma_c|)             both over the calibration samples
    spread  = std(width) / mean(width)                    of a tensor's exact range, over REPLICATES bootstrap samples

Source of the bootstrap: Efron 1979, "Bootstrap Methods: Another Look at the Jackknife".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import facts
from edgekit.quantize.assign import Plan
from edgekit.quantize.calibrate import Calibration
from edgekit.quantize.coverage import Coverage, Judged
from edgekit.quantize.norms import Norm, Norms

REPLICATES = 100


@dataclass(frozen=True, kw_only=True)
class InputRange:
    """A float input. whole: nothing but integers on the calibration samples; constant_channels: that never vary;
    outside: share of the evaluation's values beyond [low, high]; used: share of [low, high] that evaluation spans."""

    name: str
    low: float
    high: float
    whole: bool
    constant_channels: tuple[int, ...]
    evaluation_low: float | None = None
    evaluation_high: float | None = None
    outside: float | None = None
    used: float | None = None


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well the samples fit to a batch norm's memory of its training: 0 and 1 are perfect. norm: where it stands."""

    norm: str
    offset: float
    size: float


@dataclass(frozen=True, kw_only=True)
class Spread:
    """By what share a scale moves when the samples are drawn again: over all tensors, and where it moves most."""

    median: float
    worst: float
    tensor: str


def input_ranges(calibration: Calibration, coverage: Coverage | None) -> Iterator[InputRange]:
    """What each float input was, and how what the model is judged on compares."""
    for name, seen in calibration.inputs.items():
        low, high = float(seen.low.min()), float(seen.high.max())
        constant = tuple(np.flatnonzero(seen.low == seen.high).tolist())
        found = InputRange(name=name, low=low, high=high, whole=seen.whole, constant_channels=constant)
        judged = coverage.of(name) if coverage is not None else None
        yield found if judged is None else _beside(found, judged)


def _beside(found: InputRange, judged: Judged) -> InputRange:
    width, theirs = (
        max(high, 0.0) - min(low, 0.0) for low, high in ((found.low, found.high), (judged.low, judged.high))
    )
    return replace(
        found,
        evaluation_low=judged.low,
        evaluation_high=judged.high,
        outside=judged.outside / judged.count,
        used=theirs / width if width else None,
    )


def fit_to_norms(calibration: Calibration, norms: Norms) -> Fit | None:
    for name, norm in norms.items():
        if name in calibration.squares and len(calibration.means[name]) == len(norm.mean):
            return fit_of(norm, calibration.means[name], calibration.squares[name])
    return None


def fit_of(norm: Norm, means: NDArray[np.float64], squares: NDArray[np.float64]) -> Fit:
    """means, squares: (C,) of the batch norm's output over the calibration samples."""
    alive = norm.alive
    deviation = np.sqrt(np.maximum(squares - np.square(means), 0.0))
    offsets = ((means - norm.mean) / np.maximum(norm.deviation, np.finfo(np.float64).tiny))[alive]
    sizes = deviation[alive] / norm.deviation[alive]
    return Fit(norm=norm.where, offset=_rms(offsets), size=_rms(sizes))


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def drowning_of(graph: ir.Model, calibration: Calibration) -> float | None:
    """Of the first linear op: median size of what its weights make of the inputs, over the median of its biases."""
    for node in graph.graph:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        x, weight = node.inputs[0], facts.constant(node.inputs[1])
        bias = facts.constant(node.inputs[2]) if len(node.inputs) > 2 else None
        name = x.name or "" if x is not None else ""
        if weight is None or bias is None or name not in calibration.inputs:
            return None
        axis = 0 if node.op_type == "Conv" or facts.attribute(node, "transB", 0) else 1
        rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
        sizes = np.linalg.norm(rows.astype(np.float64), axis=1) * _deviation(*calibration.all[name].points())
        typical = float(np.median(np.abs(bias)))
        return float(np.median(sizes)) / typical if typical else None
    return None


def _deviation(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    mean = np.average(values, weights=counts)
    return float(np.sqrt(np.average(np.square(values - mean), weights=counts)))


def scale_spread(plan: Plan, calibration: Calibration) -> Spread | None:
    """Over the tensors whose scale the samples decide."""
    names = [name for group in plan.groups if group.fixed is None for name in group.observed]
    return spread_of({name: calibration.extremes[name] for name in names if name in calibration.extremes})


def spread_of(extremes: Mapping[str, NDArray[np.float32]]) -> Spread | None:
    """extremes: tensor -> (N, 2) the smallest and the largest value in each sample. The same draws for every tensor."""
    draws: dict[int, NDArray[np.int64]] = {}
    spreads: dict[str, float] = {}
    for name, pairs in extremes.items():
        count = len(pairs)
        if count not in draws:
            draws[count] = np.random.default_rng(count).integers(0, count, (REPLICATES, count))
        low, high = np.minimum(pairs[:, 0], 0.0)[draws[count]], np.maximum(pairs[:, 1], 0.0)[draws[count]]
        width = high.max(axis=1).astype(np.float64) - low.min(axis=1)
        spreads[name] = float(width.std() / width.mean()) if width.any() else 0.0
    if not spreads:
        return None
    worst = max(spreads, key=lambda name: spreads[name])
    return Spread(median=float(np.median([*spreads.values()])), worst=spreads[worst], tensor=worst)
