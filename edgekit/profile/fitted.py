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
from edgekit.profile.terms import TERMS, Term, amounts, of_kernel

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
class Part:
    """What a net shows of one precision. kernels: those in it; rest_s: what its others take, in another precision."""

    net: Measured
    kernels: tuple[Kernel, ...]
    rest_s: float


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Parameters by which kernels of a precision are priced."""

    seconds: Mapping[Term, float]
    factors: tuple[Factor, ...]

    def of(self, groups: Sequence[Sequence[Kernel]]) -> list[float]:
        """Seconds of each group of kernels, without the call."""
        kernels = [kernel for group in groups for kernel in group]
        terms = [sum(self.seconds.get(t, 0.0) * amount for t, amount in of_kernel(k, 0).items()) for k in kernels]
        costs = np.array(terms) * factors(kernels, self.factors)
        ends = np.cumsum([len(group) for group in groups])
        return [float(costs[end - len(group) : end].sum()) for end, group in zip(ends, groups, strict=True)]


def model_of(
    nets: Sequence[Measured], precision: Precision, context: Context, other: LatencyModel | None = None
) -> LatencyModel:
    """nets: in one precision, but for kernels that it has none for; other: the parameters of these."""
    parts = parted(nets, precision, other)
    costs = fitted(parts)
    errors = [abs(s / part.net.seconds - 1) for s, part in zip(priced(parts, costs), parts, strict=True)]
    residuals = left_out(parts)
    sizes = [(net, sum(kernel.macs for kernel in net.kernels)) for net in nets]
    macs = [count for _, count in sizes if count]
    blocks = tuple(dict.fromkeys(net.family for net in nets if net.family))
    held_out = float(np.median([abs(math.expm1(-residual)) for _, residual in residuals]))
    noise = max(context.noise, LEAST_NOISE)
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
        half_width=rounded(half_width(residuals, noise)),
        noise=rounded(noise),
        macs=(float(min(macs)), float(max(macs))),
        cache_bytes=0,
        seconds_per_mac=rounded(float(np.median([net.seconds / count for net, count in sizes if net.family]))),
        seconds={term: rounded(value) for term, value in costs.seconds.items() if value > 0},
        factors=costs.factors,
        source=context.source,
        status="measured",
    )


def parted(nets: Sequence[Measured], precision: Precision, other: LatencyModel | None) -> tuple[Part, ...]:
    """other: the parameters of kernels that are not in the precision; None where all are to be counted to it."""
    if other is None:
        return tuple(Part(net=net, kernels=net.kernels, rest_s=0.0) for net in nets)
    theirs = [[kernel for kernel in net.kernels if kernel.precision != precision] for net in nets]
    rests = Costs(seconds=_terms_of(other), factors=other.factors).of(theirs)
    return tuple(
        Part(net=net, kernels=tuple(k for k in net.kernels if k.precision == precision), rest_s=rest)
        for net, rest in zip(nets, rests, strict=True)
    )


def _terms_of(model: LatencyModel) -> dict[Term, float]:
    return {term: model.seconds[term] for term in TERMS if term in model.seconds}


def fitted(parts: Sequence[Part]) -> Costs:
    """The parameters that say best what the nets took."""
    runs = [
        Run(
            model=part.net.name,
            family=part.net.family,
            amounts=amounts(part.kernels, 0),
            seconds=part.net.seconds - part.rest_s,
        )
        for part in parts
        if part.net.seconds - part.rest_s > LEAST_SHARE * part.net.seconds
    ]
    seconds = fit(runs, PRIOR)
    timed = [
        Timed(kernels=part.kernels, seconds=part.net.seconds, rest_s=part.rest_s + seconds.get("run", 0.0))
        for part in parts
        if part.kernels
    ]
    return Costs(seconds=seconds, factors=fit_factors(timed, seconds, 0))


def priced(parts: Sequence[Part], costs: Costs) -> list[float]:
    """Seconds of each net."""
    call_s = costs.seconds.get("run", 0.0)
    ours = costs.of([part.kernels for part in parts])
    return [call_s + seconds + part.rest_s for seconds, part in zip(ours, parts, strict=True)]


def left_out(parts: Sequence[Part]) -> tuple[tuple[Run, float], ...]:
    """Each block with log(measured / estimated) from a fit that saw no block of its kind."""
    found: list[tuple[Run, float]] = []
    for family in dict.fromkeys(part.net.family for part in parts if part.net.family):
        away = [part for part in parts if part.net.family == family]
        costs = fitted([part for part in parts if part.net.family != family])
        for part, seconds in zip(away, priced(away, costs), strict=True):
            run = Run(model=part.net.name, family=family, amounts={}, seconds=part.net.seconds)
            found.append((run, math.log(part.net.seconds / seconds)))
    return tuple(found)


def _evidence(nets: int, held_out: float) -> Evidence:
    """As `edgekit.device.Evidence` says."""
    if nets >= 30 and held_out <= 0.15:
        return "A"
    return "B" if nets >= 10 else "C"


def rounded(value: float) -> float:
    """Four digits: a fitted figure carries no more."""
    return float(f"{value:.4g}")
