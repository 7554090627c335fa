"""What a file will cost on a device that is not at hand: from the device's fitted parameters, with an interval.

    seconds = sum over kernels: factor * sum over terms: parameter * amount        (`factors.py`, `terms.py`)
    energy  = mean power of the board in that runtime and precision * seconds

An estimate is a type of its own and never a measured latency. It comes with a 90 % interval made of families that were
not fitted (`fit.py`), and beside it stand the two simplest estimates that there are: MACs alone, and the time of a
sibling device times one factor. What the fit cannot speak of is refused: an op that nothing is known of, a precision
that was not measured, a model far smaller or larger than those that were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit import units
from edgekit.device import Device, Evidence, LatencyModel, load_device
from edgekit.errors import EdgekitError
from edgekit.profile.factors import factors, is_like
from edgekit.profile.kernels import Kernel, Precision, is_tflite, kernels_of
from edgekit.profile.placement import Fallen, fallen_from, placed
from edgekit.profile.terms import of_kernel

FAR = 8.0
"""A model with so many times the MACs of the largest that was measured, or so few of the smallest, is refused."""
PRIOR_SPREAD = math.log(2.0)
"""What a term may be off by where no run shows it: counted instructions and the other terms tell it no better."""
NEGLIGIBLE = 0.02  # of the time: what is known less well below this does not move an estimate
GUESS_EFFICIENCY = 0.25
"""Of the peak in a specification: the nets of ncnn's benchmark reach 5 % to 60 % of theirs on CPUs."""
GUESS_SPREAD = math.log(5.0)
START_S = 5e-6
"""About what a GPU's driver takes to launch a kernel. Where the kernels together compute for less, a peak says nothing.
"""
READS_FILES = frozenset(
    {"tflite", "armnn", "edgetpu", "stm32cube-ai", "plumerai", "tensorrt", "qnn-dlc", "litert", "onnxruntime"}
)
"""Runtimes that run a TFLite or an ONNX file, or what their compiler makes of one."""
BESIDE_A_CPU = frozenset({"npu", "gpu"})
ACROSS_RUNTIMES = "on a Raspberry Pi 4, one runtime takes 1.2 times (median) to 1.5 times what another takes"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A simple estimate to see a careful one beside. name: what it knows."""

    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one kernel, or all kernels of one op, takes of the estimate."""

    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One sample through one file on a device that was not there. Estimated, not measured.

    low_s, high_s: the 90 % interval; energy_j likewise, None where no power is known; evidence: A to D as a device's
    file has it, D being a guess from specifications; kernels, ops: what each takes, in the order they run, and most
    first; fallen: kernels that leave the accelerator; doubts: why not to believe the numbers.
    """

    path: str
    device: str
    runtime: str
    version: str
    threads: int
    precision: str
    macs: int
    seconds: float
    low_s: float
    high_s: float
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    evidence: Evidence
    basis: str
    baselines: tuple[Baseline, ...]
    kernels: tuple[Part, ...]
    ops: tuple[Part, ...]
    fallen: tuple[Fallen, ...] = ()
    doubts: tuple[str, ...] = ()


def estimate(path: Path, device: Device, computing: Precision | None = None) -> tuple[Estimate, ...]:
    """One estimate per runtime that the device has parameters for, best known first; a guess where it has none.

    computing: what a float file's kernels are taken to compute in, None for what they do; so it stands for the files
    that are yet to be made of it, but for the ops that only these have (at their ends, say).
    Raises EK711 to EK715 and EK717 where nothing can be said, EK710 where the file cannot be read.
    """
    kernels = kernels_of(path)
    if computing is not None:
        kernels = tuple(_computing_in(computing, kernel, device) for kernel in kernels)
    _check_known(path, kernels)
    _check_taken(path, device, kernels)
    if not device.latency:
        return (_guess(path, device, kernels),)
    precision = main_precision(kernels)
    other = "onnx" if is_tflite(path) else "tflite"
    fitting = [m for m in device.latency if _holds_for(m, precision) and ONLY.get(m.runtime) != other]
    if not fitting:
        raise EdgekitError(
            "EK712",
            f"cannot estimate '{path}' on '{device.name}'",
            f"it computes in {precision}, and that device was measured in {_list(m.precision for m in device.latency)}",
            "estimate a file of such a precision, or measure it: edgekit profile FILE --on ssh://...",
        )
    made: list[Estimate] = []
    refusals: list[EdgekitError] = []
    for model in sorted(fitting, key=lambda model: (model.evidence, model.half_width)):
        try:
            made.append(_estimated(path, device, model, kernels))
        except EdgekitError as refused:
            refusals.append(refused)
    if not made:
        raise refusals[0]
    return tuple(made)


FLOATS = frozenset({"float32", "float16"})
ONLY = {"onnxruntime": "onnx", "litert": "tflite", "tflite-runtime": "tflite"}
"""Runtimes of one format. A device may name others by what was published of them: those stand for files of both."""


def _computing_in(precision: Precision, kernel: Kernel, device: Device) -> Kernel:
    """Integer weights have a scale per channel, unless the device asks for another scheme."""
    if kernel.precision not in FLOATS:
        return kernel
    per_channel = precision not in FLOATS and kernel.weights > 0 and device.scheme != "per-tensor"
    return replace(kernel, precision=precision, per_channel=per_channel)


def _holds_for(model: LatencyModel, precision: str) -> bool:
    """Float files of either width compute alike: CPUs widen float16 weights, accelerators run float32 in float16."""
    return precision == model.precision or (precision in FLOATS and model.precision in FLOATS)


def main_precision(kernels: Sequence[Kernel]) -> str:
    """What most MACs compute in; without any, what most kernels do."""
    shares: dict[str, float] = {}
    total = sum(kernel.macs for kernel in kernels)
    for kernel in kernels:
        shares[kernel.precision] = shares.get(kernel.precision, 0.0) + (kernel.macs if total else 1)
    return max(shares, key=lambda precision: shares[precision])


def _estimated(path: Path, device: Device, model: LatencyModel, kernels: Sequence[Kernel]) -> Estimate:
    macs = sum(kernel.macs for kernel in kernels)
    _check_size(path, device, model, macs)
    fallen = fallen_from(device.accelerator, kernels) if model.processor in BESIDE_A_CPU else ()
    costs, doubts, vague = _costs(path, device, model, kernels, fallen)
    seconds = model.seconds.get("run", 0.0) + sum(costs)
    half = math.hypot(model.half_width, PRIOR_SPREAD * vague / seconds)
    low, high = seconds * math.exp(-half), seconds * math.exp(half)
    power = model.power_w
    if vague > NEGLIGIBLE * seconds:
        doubts.append(
            f"{units.percent(vague / seconds, 0)} of the time is in kernels that no measured run had enough of"
        )
    return Estimate(
        path=str(path),
        device=device.name,
        runtime=model.runtime,
        version=model.version,
        threads=model.threads,
        precision=main_precision(kernels),
        macs=macs,
        seconds=seconds,
        low_s=low,
        high_s=high,
        energy_j=None if power is None else power * seconds,
        energy_low_j=None if power is None else power * low,
        energy_high_j=None if power is None else power * high,
        evidence=_evidence(model, vague / seconds),
        basis=f"{model.runs} runs of {_list(model.families)}",
        baselines=_baselines(model, kernels, macs),
        kernels=tuple(Part(name=k.name, seconds=cost) for k, cost in zip(kernels, costs, strict=True)),
        ops=_by_op(kernels, costs),
        fallen=fallen,
        doubts=tuple(doubts),
    )


def _costs(
    path: Path, device: Device, model: LatencyModel, kernels: Sequence[Kernel], fallen: Sequence[Fallen]
) -> tuple[list[float], list[str], float]:
    """Seconds of each kernel; doubts; and how many of the seconds rest on the prior alone."""
    away = {found.kernel: found.reason for found in fallen}
    costs, vague, borrowed, moved = [], 0.0, set(), set()
    models = [_model_of(path, device, model, kernel, away) for kernel in kernels]
    for kernel, used, factor in zip(kernels, models, _factors(kernels, models), strict=True):
        if used is model and not _holds_for(model, kernel.precision):
            borrowed.add(kernel.op)
        parts = {
            term: factor * used.seconds.get(term, 0.0) * work
            for term, work in of_kernel(kernel, used.cache_bytes).items()
        }
        costs.append(sum(parts.values()))
        strange = not is_like(kernel, used.factors)
        if kernel.name in away and used is model:
            moved.add(kernel.op)
            vague += costs[-1]
        else:
            vague += sum(cost for term, cost in parts.items() if strange or term in used.unseen)
    doubts = []
    if borrowed:
        doubts.append(f"{_list(sorted(borrowed))} compute in another precision than was measured there")
    if model.runtime not in READS_FILES:
        doubts.append(f"measured in {model.runtime}, which runs no such file; {ACROSS_RUNTIMES}")
    if fallen:
        doubts.append(f"{units.plural(len(fallen), 'op')} leave the accelerator for the CPU: {fallen[0].reason}")
    if moved:
        doubts.append(f"{_list(sorted(moved))} run on the CPU, which was not measured: taken at the accelerator's cost")
    return costs, doubts, vague


def _factors(kernels: Sequence[Kernel], models: Sequence[LatencyModel]) -> list[float]:
    """Of each kernel, by the model that it is priced by."""
    found = [1.0] * len(kernels)
    for model in {id(model): model for model in models}.values():
        theirs = [i for i, used in enumerate(models) if used is model]
        for i, factor in zip(theirs, factors([kernels[i] for i in theirs], model.factors), strict=True):
            found[i] = float(factor)
    return found


def _model_of(path: Path, device: Device, model: LatencyModel, kernel: Kernel, away: Mapping[str, str]) -> LatencyModel:
    """The parameters of the kernel's own precision, in the same runtime; the CPU's where it leaves the accelerator.

    away: kernel -> why it does. What only moves values is taken at the accelerator's cost where the CPU is not known.
    """
    if kernel.name in away:
        on_cpu = [m for m in device.latency if m.processor == "cpu" and m.precision == kernel.precision]
        if on_cpu:
            return on_cpu[0]
        if kernel.macs:
            raise _left(path, device, kernel.op, kernel.name, away[kernel.name])
        return model
    if _holds_for(model, kernel.precision):
        return model
    same = [
        m
        for m in device.latency
        if (m.runtime, m.version, m.threads) == (model.runtime, model.version, model.threads)
        and _holds_for(m, kernel.precision)
    ]
    if same:
        return same[0]
    if kernel.macs == 0:
        return model
    raise EdgekitError(
        "EK712",
        f"cannot estimate '{path}' on '{device.name}'",
        f"{kernel.op} '{kernel.name}' computes in {kernel.precision}, which was not measured there in {model.runtime}",
        "keep the whole model in one precision, or measure it: edgekit profile FILE --on ssh://...",
    )


def _left(path: Path, device: Device, op: str, kernel: str, reason: str) -> EdgekitError:
    return EdgekitError(
        "EK714",
        f"cannot estimate '{path}' on '{device.name}'",
        f"{op} '{kernel}' leaves the accelerator ({reason}), and the CPU beside it was not measured",
        "keep such ops out of the model, or measure it: edgekit profile FILE --on ssh://...",
    )


def _check_taken(path: Path, device: Device, kernels: Sequence[Kernel]) -> None:
    found = placed(device.accelerator, kernels)
    if found is not None and found.refused:
        raise EdgekitError(
            "EK717",
            f"'{device.name}' does not take '{path}'",
            f"{found.fallen[0].reason} ({found.fallen[0].op} '{found.fallen[0].kernel}')",
            "replace such ops in the model, or write plugins for them",
        )


def _check_known(path: Path, kernels: Sequence[Kernel]) -> None:
    if not kernels:
        raise EdgekitError(
            "EK711", f"nothing to estimate in '{path}'", "it computes nothing", "name a file with a model in it"
        )
    unknown = sorted({kernel.op for kernel in kernels if kernel.kind == "other"})
    if unknown:
        raise EdgekitError(
            "EK711",
            f"cannot estimate '{path}'",
            f"nothing is known of what {_list(unknown)} cost",
            "measure the file: edgekit profile FILE --on ssh://...",
        )


def _check_size(path: Path, device: Device, model: LatencyModel, macs: int) -> None:
    least, most = model.macs[0] / FAR, model.macs[1] * FAR
    if not least <= macs <= most:
        raise EdgekitError(
            "EK713",
            f"cannot estimate '{path}' on '{device.name}'",
            f"it has {macs / 1e6:.3g} M MACs; {model.runtime} was measured there with {model.macs[0] / 1e6:.3g} M to "
            f"{model.macs[1] / 1e6:.3g} M, and {FAR:.0f} times beyond that nothing is said",
            "measure the file: edgekit profile FILE --on ssh://...",
        )


def _evidence(model: LatencyModel, vague: float) -> Evidence:
    """No better than C where more than a third of the time is what the prior says."""
    return max(model.evidence, "C") if vague > 1 / 3 else model.evidence


def _baselines(model: LatencyModel, kernels: Sequence[Kernel], macs: int) -> tuple[Baseline, ...]:
    found = [Baseline(name="MACs alone", seconds=model.seconds_per_mac * macs)]
    if model.sibling and model.sibling_factor is not None:
        there = sibling_model(load_device(model.sibling), model)
        if there is not None:
            work = sum(
                there.seconds.get(term, 0.0) * amount
                for kernel in kernels
                for term, amount in of_kernel(kernel, there.cache_bytes).items()
            )
            seconds = model.sibling_factor * (there.seconds.get("run", 0.0) + work)
            found.append(Baseline(name=f"{model.sibling} times {model.sibling_factor:.3g}", seconds=seconds))
    return tuple(found)


def sibling_model(sibling: Device, model: LatencyModel) -> LatencyModel | None:
    """The same runtime and precision there."""
    alike = [m for m in sibling.latency if (m.runtime, m.precision) == (model.runtime, model.precision)]
    return min(alike, key=lambda m: (m.version != model.version, m.threads != model.threads), default=None)


def _guess(path: Path, device: Device, kernels: Sequence[Kernel]) -> Estimate:
    """From the peak that a specification gives, and no more."""
    precision = main_precision(kernels)
    peak = device.compute.int8_macs_per_s if precision == "int8" else device.compute.float_macs_per_s
    macs = sum(kernel.macs for kernel in kernels)
    if peak is None or not macs:
        raise EdgekitError(
            "EK715",
            f"cannot estimate '{path}' on '{device.name}'",
            f"no run was measured there, and its file gives no peak in {precision}"
            if macs
            else "it multiplies nothing, and a peak says nothing of what only moves values",
            "measure the file: edgekit profile FILE --on ssh://...",
        )
    fallen = fallen_from(device.accelerator, kernels)
    if (left := next((one for one in fallen if one.macs), None)) is not None:
        raise _left(path, device, left.op, left.kernel, left.reason)
    costs = [kernel.macs / (GUESS_EFFICIENCY * peak.value) for kernel in kernels]
    seconds = sum(costs)
    if seconds < START_S * len(kernels):
        raise EdgekitError(
            "EK715",
            f"cannot estimate '{path}' on '{device.name}'",
            f"at the peak, its {len(kernels)} kernels would compute for {units.time(seconds)} in all, less than it"
            " takes to start them, of which nothing is known there",
            "measure the file: edgekit profile FILE --on ssh://...",
        )
    return Estimate(
        path=str(path),
        device=device.name,
        runtime=device.runtimes[0],
        version="",
        threads=1,
        precision=precision,
        macs=macs,
        seconds=seconds,
        low_s=seconds * math.exp(-GUESS_SPREAD),
        high_s=seconds * math.exp(GUESS_SPREAD),
        energy_j=None,
        energy_low_j=None,
        energy_high_j=None,
        evidence="D",
        basis=f"{units.percent(GUESS_EFFICIENCY, 0)} of the peak, {peak.status}, {peak.source or 'no source'}",
        baselines=(Baseline(name="the peak itself", seconds=macs / peak.value),),
        kernels=tuple(Part(name=k.name, seconds=cost) for k, cost in zip(kernels, costs, strict=True)),
        ops=_by_op(kernels, costs),
        fallen=fallen,
        doubts=("a guess from specifications: no run was ever measured there",),
    )


def _by_op(kernels: Sequence[Kernel], costs: Sequence[float]) -> tuple[Part, ...]:
    sums: dict[str, float] = {}
    for kernel, cost in zip(kernels, costs, strict=True):
        sums[kernel.op] = sums.get(kernel.op, 0.0) + cost
    ordered = sorted(sums.items(), key=lambda entry: -entry[1])
    return tuple(Part(name=op, seconds=seconds) for op, seconds in ordered)


def _list(words: object) -> str:
    return ", ".join(dict.fromkeys(str(word) for word in words))  # type: ignore[attr-defined]
