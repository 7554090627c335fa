"""Measured nets become the parameters of a runtime in one precision.

Terms first (`fit.py`), then what kernels of a shape cost beside them (`factors.py`). The interval is made of blocks
that were left out, one kind of block at a time: chains of one kernel say little of how nets are estimated, and are
always fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.device import Device, Evidence, Factor, LatencyModel
from edgekit.profile.factors import Timed, factors, fit_factors
from edgekit.profile.fit import Prior, Run, fit, half_width
from edgekit.profile.kernels import Kernel, Precision
from edgekit.profile.terms import Term, amounts, of_kernel

PRIOR = Prior(
    compared={
        "mac": 1, "window_mac": 1, "grouped_mac": 3, "patch": 5, "conv_input": 20, "conv_output": 20, "weight": 5,
        "depthwise_mac": 5, "large_depthwise_mac": 5, "depthwise_input": 20, "depthwise_output": 20, "elementwise": 30,
        "curve": 60, "pool": 20, "move": 30, "op": 200e3, "run": 500e3,
    },
)  # fmt: skip
"""How terms compare where nets do not tell them apart, in units of a MAC: a vector unit multiplies some ten times while
a value comes and goes, a runtime walks from kernel to kernel in a microsecond, and a call costs some."""
LEAST_SHARE = 0.3
"""Of a net's time that must be in kernels of the precision in question, for its terms to be fitted to it."""
LEAST_NOISE = 0.02  # of a runtime's own: addresses, alignment, where it is in memory


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A net in one runtime and precision. family: its kind of block, "" for a chain, which is never left out."""

    name: str
    family: str
    kernels: tuple[Kernel, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Context:
    """What all parameters of one fit share. noise: by what repeated measurements differ, in log space."""

    runtime: str
    version: str
    threads: int
    source: str
    noise: float


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """What was not fitted, and why: a format, or a net in a format and precision."""

    what: str
    why: str


@dataclass(frozen=True, kw_only=True)
class FittedDevice:
    """device: with its parameters; nets: files that were run there; took_s: all in all; skipped: what was left out."""

    on: str
    device: Device
    nets: int
    took_s: float
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Parameters by which kernels of a precision are priced."""

    seconds: Mapping[Term, float]
    factors: tuple[Factor, ...]

    def of(self, kernels: Sequence[Kernel]) -> float:
        """Seconds of kernels, without the call."""
        terms = [sum(self.seconds.get(t, 0.0) * amount for t, amount in of_kernel(k, 0).items()) for k in kernels]
        return float(np.dot(terms, factors(kernels, self.factors))) if kernels else 0.0


def model_of(
    nets: Sequence[Measured], precision: Precision, context: Context, other: LatencyModel | None = None
) -> LatencyModel:
    """nets: in one precision, but for kernels that it has none for; other: the parameters of these."""
    costs = fitted(nets, precision, other)
    errors = [abs(priced(net, precision, costs, other) / net.seconds - 1) for net in nets]
    residuals = left_out(nets, precision, other)
    sizes = [(net, sum(kernel.macs for kernel in net.kernels)) for net in nets]
    macs = [count for _, count in sizes if count]
    blocks = tuple(dict.fromkeys(net.family for net in nets if net.family))
    held_out = float(np.median([abs(math.expm1(-residual)) for _, residual in residuals]))
    return LatencyModel(
        processor="cpu",
        runtime=context.runtime,
        version=context.version,
        threads=context.threads,
        precision="int8" if precision == "int8" else "float32",
        evidence=_evidence(len(nets), held_out),
        families=blocks,
        runs=len(nets),
        median_error=rounded(float(np.median(errors))),
        held_out_error=rounded(held_out),
        half_width=rounded(half_width(residuals, max(context.noise, LEAST_NOISE))),
        noise=rounded(max(context.noise, LEAST_NOISE)),
        macs=(float(min(macs)), float(max(macs))),
        cache_bytes=0,
        seconds_per_mac=rounded(float(np.median([net.seconds / count for net, count in sizes if net.family]))),
        seconds={term: rounded(value) for term, value in costs.seconds.items() if value > 0},
        factors=costs.factors,
        source=context.source,
        status="measured",
    )


def fitted(nets: Sequence[Measured], precision: Precision, other: LatencyModel | None) -> Costs:
    """The parameters that say best what the nets took."""
    ours = {net.name: [kernel for kernel in net.kernels if _is_ours(kernel, precision, other)] for net in nets}
    rest = {net.name: _rest(net, precision, other) for net in nets}
    runs = [
        Run(model=net.name, family=net.family, amounts=amounts(ours[net.name], 0), seconds=net.seconds - rest[net.name])
        for net in nets
        if net.seconds - rest[net.name] > LEAST_SHARE * net.seconds
    ]
    seconds = fit(runs, PRIOR)
    timed = [
        Timed(kernels=tuple(ours[net.name]), seconds=net.seconds, rest_s=rest[net.name] + seconds.get("run", 0.0))
        for net in nets
        if ours[net.name]
    ]
    return Costs(seconds=seconds, factors=fit_factors(timed, seconds, 0))


def priced(net: Measured, precision: Precision, costs: Costs, other: LatencyModel | None) -> float:
    """Seconds of a net by the parameters of its precision, and of the other."""
    ours = [kernel for kernel in net.kernels if _is_ours(kernel, precision, other)]
    return costs.seconds.get("run", 0.0) + costs.of(ours) + _rest(net, precision, other)


def left_out(
    nets: Sequence[Measured], precision: Precision, other: LatencyModel | None
) -> tuple[tuple[Run, float], ...]:
    """Each block with log(measured / estimated) from a fit that saw no block of its kind."""
    found: list[tuple[Run, float]] = []
    for family in dict.fromkeys(net.family for net in nets if net.family):
        costs = fitted([net for net in nets if net.family != family], precision, other)
        for net in nets:
            if net.family == family:
                run = Run(model=net.name, family=family, amounts={}, seconds=net.seconds)
                found.append((run, math.log(net.seconds / priced(net, precision, costs, other))))
    return tuple(found)


def _is_ours(kernel: Kernel, precision: Precision, other: LatencyModel | None) -> bool:
    return other is None or kernel.precision == precision


def _rest(net: Measured, precision: Precision, other: LatencyModel | None) -> float:
    if other is None:
        return 0.0
    theirs = [kernel for kernel in net.kernels if kernel.precision != precision]
    return Costs(seconds=other.seconds, factors=other.factors).of(theirs)  # type: ignore[arg-type]


def _evidence(nets: int, held_out: float) -> Evidence:
    """As `edgekit.device.Evidence` says."""
    if nets >= 30 and held_out <= 0.15:
        return "A"
    return "B" if nets >= 10 else "C"


def rounded(value: float) -> float:
    """Four digits: a fitted figure carries no more."""
    return float(f"{value:.4g}")
