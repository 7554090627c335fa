"""What cutting wins on a device that is not at hand: estimates of a smaller model's files beside the unpruned one's.

Both are estimated from the same parameters, those of one runtime, version, precision and number of threads: what these
are off by in all of a model stands on both sides, and leaves their ratio alone. The best known runtime that reads a
file speaks for it. Where none of those measured there does (ncnn has a format of its own), the best known speaks for
every file that the device takes, and the estimate doubts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit import units
from edgekit.artifact import FORMAT_NAMES, Artifact, Format, Precision
from edgekit.device import Device
from edgekit.errors import EdgekitError
from edgekit.profile import Estimate, estimate
from edgekit.profile.estimate import FLOATS
from edgekit.report.facts import EstimatedLatency

READERS: Mapping[Format, frozenset[str]] = {
    "tflite": frozenset({"tflite", "litert", "armnn", "edgetpu", "stm32cube-ai", "plumerai", "qnn-dlc"}),
    "onnx": frozenset({"onnxruntime", "tensorrt", "stm32cube-ai", "qnn-dlc"}),
}
"""Runtimes that run such a file, or what their compiler makes of it."""


@dataclass(frozen=True)
class Target:
    """A device that is not at hand. precision: of the files that it is to be given; threads: that run them."""

    device: Device
    precision: Precision
    threads: int = 1

    @property
    def estimated_in(self) -> Precision:
        """The precision wanted where it was measured there, else one that was: the ops are the same."""
        known = {model.precision for model in self.device.latency}
        tried: tuple[Precision, ...] = (self.precision, "float32", "int8")
        return next((one for one in tried if one in known or (one in FLOATS and known & FLOATS)), self.precision)


@dataclass(frozen=True)
class Unpruned:
    """What the unpruned model takes there. estimates: format -> of its file."""

    target: Target
    estimates: Mapping[Format, Estimate]


def check_estimable(target: Target, formats: Sequence[Format]) -> None:
    """Before any work is done. Raises EK305."""
    device = target.device
    if not device.latency:
        raise _not_estimable(device, "no run was measured there, and a guess from its peak says no more than MACs do")
    if not set(formats) & set(device.formats):
        asked, taken = (" or ".join(FORMAT_NAMES[one] for one in names) for names in (formats, device.formats))
        raise _not_estimable(device, f"the files are to be {asked}, and {' or '.join(device.runtimes)} takes {taken}")


def unpruned(files: Sequence[Artifact], target: Target) -> Unpruned:
    """files: of the unpruned model in float, in the formats that are written. Raises EK305 where nothing can be said of
    any of them."""
    found: dict[Format, tuple[Estimate, ...]] = {}
    refusals: list[EdgekitError] = []
    for file in files:
        if file.format in target.device.formats:
            try:
                found[file.format] = estimate(file.path, target.device, target.estimated_in)
            except EdgekitError as refused:
                refusals.append(refused)
    if not found:
        raise _not_estimable(target.device, refusals[0].why)
    read = {format: [one for one in made if one.runtime in READERS[format]] for format, made in found.items()}
    known = {format: _nearest(made, target.threads) for format, made in read.items() if made}
    return Unpruned(target, known or {format: _nearest(made, target.threads) for format, made in found.items()})


def _nearest(made: Sequence[Estimate], threads: int) -> Estimate:
    """The best known with so many threads; else the best known."""
    return next((one for one in made if one.threads == threads), made[0])


def latencies(before: Unpruned, files: Sequence[Artifact]) -> tuple[EstimatedLatency, ...]:
    """files: of a smaller model in float. Raises EK305 where it is too small for what its device was measured with."""
    return tuple(_latency(before, file) for file in files if file.format in before.estimates)


def _latency(before: Unpruned, file: Artifact) -> EstimatedLatency:
    target, whole = before.target, before.estimates[file.format]
    try:
        made = estimate(file.path, target.device, target.estimated_in)
    except EdgekitError as refused:
        raise _not_estimable(target.device, refused.why) from refused
    found = next((one for one in made if _alike(one, whole)), None)
    if found is None:
        macs, runtime = units.count(made[0].macs), f"{whole.runtime} {whole.version}".strip()
        raise _not_estimable(target.device, f"no model as small as one of {macs} MACs was measured there in {runtime}")
    return EstimatedLatency(
        file=file.label,
        device=target.device.name,
        runtime=found.runtime,
        version=found.version,
        threads=found.threads,
        precision=found.precision,
        evidence=found.evidence,
        unpruned_s=whole.seconds,
        seconds=found.seconds,
        low_s=found.low_s,
        high_s=found.high_s,
        doubts=(*_otherwise(target, found), *found.doubts),
    )


def _alike(one: Estimate, other: Estimate) -> bool:
    """From the same parameters."""
    return (one.runtime, one.version, one.threads) == (other.runtime, other.version, other.threads)


def _otherwise(target: Target, found: Estimate) -> tuple[str, ...]:
    """In which ways another case than the one asked for."""
    said = []
    if target.estimated_in != target.precision:
        said.append(f"estimated in {target.estimated_in}: nothing was measured there in {target.precision}")
    if found.threads != target.threads:
        asked = units.plural(target.threads, "thread")
        said.append(f"estimated with {units.plural(found.threads, 'thread')}: nothing that reads it was with {asked}")
    return tuple(said)


def _not_estimable(device: Device, why: str) -> EdgekitError:
    return EdgekitError(
        "EK305",
        f"cannot prune to a latency on '{device.name}'",
        why,
        "leave --device out to measure on this machine, or give --macs instead",
    )
