"""Measure files on a device: send them with the agent, and make of its answer what a person wants to know.

The same agent runs the same files here once, so that what the device computes is held against what this machine does.
Everything in here was measured; an estimate is another type, in another column.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import INTEGERS, Arrays, Artifact
from edgekit.profile import address, answer, parcel, per_op, remote, single_ops
from edgekit.profile.agree import Agreement, agreement
from edgekit.profile.measure import doubts
from edgekit.profile.per_op import PerOp
from edgekit.profile.single_ops import Cuts, cut_ops
from edgekit.profile.steady import Soak, soak
from edgekit.progress import SILENT, Progress
from edgekit.run import timing

OUTPUTS_BYTES = 2**22  # of a file's output that is brought along to be compared value by value
LIMIT_S = 600.0  # for one answer of a file: hundreds of runs of a slow one
CLOCK_MOVES = 0.02  # between the rounds of a measurement; a fixed clock reads the same each time
HOT_C = 80.0  # where a Raspberry Pi begins to slow down; others follow from there
HERE = address.Address("local", "local")


@dataclass(frozen=True, kw_only=True)
class Power:
    """A rail while a file ran. watts: the mean; idle_watts: while nothing ran; None where the sensor did not say, and
    unavailable says why."""

    name: str
    source: str
    watts: float | None
    idle_watts: float | None
    unavailable: str | None = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One file on a device. *_s: seconds; load_s: from the file to a runtime that can run it; first_s: the first run of
    all; runs: counted ones; peak_rss_bytes: of its process, of which base_rss_bytes were Python and the runtime;
    energy_j: of one run, by the first rail; outputs: None where nothing was compared; per_op: None where nobody asked;
    doubts: why not to believe it."""

    file: str
    label: str
    size_bytes: int
    runtime: str
    numpy: str
    threads: int
    runs: int
    median_s: float
    p05_s: float
    p25_s: float
    p75_s: float
    p95_s: float
    min_s: float
    max_s: float
    load_s: float
    first_s: float
    peak_rss_bytes: int | None
    base_rss_bytes: int | None
    power: tuple[Power, ...]
    energy_j: float | None
    outputs: Agreement | None
    doubts: tuple[str, ...]
    per_op: PerOp | None = None
    times_s: tuple[float, ...] = field(repr=False)
    kind: str = "measured"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where it was measured. Each reading is a value with its source, or the reason why there is none."""

    on: str
    system: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def title(self) -> str:
        """The device's own name, as far as it has one."""
        names = [self.before[key].get("value") for key in ("board", "cpu")]
        return ", ".join(str(name) for name in names if name) or self.system["architecture"]


@dataclass(frozen=True, kw_only=True)
class MeasuredThere:
    """All files of one measurement, in the order in which they were given; sample: where their inputs were from; soak:
    of the only file, where it was asked for."""

    place: Place
    measurements: tuple[Measurement, ...]
    sample: str
    soak: Soak | None = None
    doubts: tuple[str, ...] = ()


def measure_there(
    there: address.Address,
    artifacts: Sequence[Artifact],
    samples: Sequence[Arrays],
    *,
    python: str,
    threads: int = 1,
    runs: int | None = None,
    soak_s: float | None = None,
    sources: Sequence[Mapping[str, str]] = (),
    silence_s: float = remote.SILENCE_S,
    sample_from: str = "",
    progress: Progress = SILENT,
) -> MeasuredThere:
    """samples: for each artifact its inputs by name, in the file's layout and types; python: the one to run there;
    runs: counted ones of each file, None for as many as give steady percentiles; soak_s: run the only file for so long
    beforehand, and look where its latency settles; sources: for each artifact node -> line, asks for times per op, for
    which TFLite files are cut."""
    names = tuple(artifact.path.name for artifact in artifacts)
    job: dict[str, object] = {"threads": threads, "runs": runs, "outputs_bytes": OUTPUTS_BYTES}
    job["limit_s"] = max(LIMIT_S, silence_s)
    assert soak_s is None or len(artifacts) == 1, "two files would heat the device in turns"
    lines = sources or [{}] * len(artifacts)
    cuts: list[Cuts | None] = [None] * len(artifacts)
    if sources:
        with progress.step("cutting TFLite files into their ops"):
            cuts = [cut_ops(one.path) if one.format == "tflite" else None for one in artifacts]
    sent = packed(artifacts, samples, {**job, "soak_s": soak_s, "per_op": bool(sources)}, cuts)
    with progress.step(f"measuring on {there.text}", timing.ROUNDS) as advance:
        document = remote.run(there, sent, python=python, silence_s=silence_s, advance=_counting(advance))
    found = answer.measurements(document, there, names)
    here = None
    if there.kind != "local":
        with progress.step("computing the same here"):
            here = _here(artifacts, samples, names)
    return MeasuredThere(
        place=Place(
            on=there.text,
            system=found.system.model_dump(),
            before=found.before.model_dump(exclude_none=True),
            after=found.after.model_dump(exclude_none=True),
        ),
        measurements=tuple(
            _measurement(
                there,
                artifact,
                one,
                found,
                threads,
                None if here is None else here.artifacts[i],
                _per_op(there, one, cuts[i], lines[i]),
            )
            for i, (artifact, one) in enumerate(zip(artifacts, found.artifacts, strict=True))
        ),
        sample=sample_from,
        soak=_soaked(found.soak),
        doubts=device_doubts(found),
    )


def _here(artifacts: Sequence[Artifact], samples: Sequence[Arrays], names: tuple[str, ...]) -> answer.Measurements:
    """One run of each on this machine, by the same agent."""
    job: dict[str, object] = {"threads": 1, "runs": 1, "outputs_bytes": OUTPUTS_BYTES, "limit_s": LIMIT_S}
    document = remote.run(HERE, packed(artifacts, samples, job), python=remote.this_python())
    return answer.measurements(document, HERE, names)


def packed(
    artifacts: Sequence[Artifact],
    samples: Sequence[Arrays],
    job: dict[str, object],
    cuts: Sequence[Cuts | None] = (),
) -> parcel.Parcel:
    """Files go by their number: their names are the user's, and no business of a device's. cuts: of each artifact, to
    be measured beside it."""
    files: dict[str, bytes | Path] = {}
    entries: list[dict[str, object]] = []
    for i, (artifact, sample) in enumerate(zip(artifacts, samples, strict=True)):
        archive = io.BytesIO()
        held: dict[str, Any] = {str(k): sample[spec.name] for k, spec in enumerate(artifact.inputs)}
        np.savez(archive, **held)
        files |= {f"{i}.{artifact.format}": artifact.path, f"{i}.npz": archive.getvalue()}
        entries.append({"path": f"{i}.{artifact.format}", "format": artifact.format, "inputs": f"{i}.npz"})
        if cuts and (cut := cuts[i]) is not None and cut.cuts:
            files[f"{i}.ops"] = cut.own
            entries[-1]["ops"] = {"path": f"{i}.ops", "cuts": list(single_ops.entries(cut))}
    return parcel.parcel({**job, "artifacts": entries}, files)


def _counting(advance: Any) -> remote.Advance:
    """A bar's steps from the agent's count."""
    seen = [0]

    def count(done: int, total: int) -> None:
        now = min(timing.ROUNDS, done * timing.ROUNDS // max(total, 1))
        advance(max(0, now - seen[0]))
        seen[0] = max(seen[0], now)

    return count


def _measurement(
    there: address.Address,
    artifact: Artifact,
    found: answer.Measured,
    whole: answer.Measurements,
    threads: int,
    here: answer.Measured | None,
    ops: PerOp | None,
) -> Measurement:
    times = np.asarray(found.times_s)
    p05, p25, median, p75, p95 = (float(p) for p in np.percentile(times, [5, 25, 50, 75, 95]))
    idle = {rail.name: rail.watts for rail in whole.idle}
    power = tuple(
        Power(
            name=rail.name,
            source=rail.source,
            watts=rail.watts,
            idle_watts=idle.get(rail.name),
            unavailable=rail.unavailable,
        )
        for rail in found.power
    )
    governor = whole.before.governor.value
    try:
        outputs = None if here is None else agreement(artifact, here.outputs, found.outputs)
    except ValueError as wrong:
        raise remote.garbage(there, str(wrong)) from None
    found_doubts = doubts(times, found.steady, found.cpu_share, None if governor is None else str(governor))
    if ops is not None:
        found_doubts = (*found_doubts, *ops.doubts)
    if here is not None and outputs is not None and _odd(artifact, outputs, here, found):
        found_doubts = (*found_doubts, "other outputs than here, though the runtime is the same")
    return Measurement(
        file=artifact.path.name,
        label=artifact.label,
        size_bytes=artifact.size_bytes,
        runtime=f"{found.runtime} {found.version or 'of unknown version'}",
        numpy=found.numpy,
        threads=threads,
        runs=times.size,
        median_s=median,
        p05_s=p05,
        p25_s=p25,
        p75_s=p75,
        p95_s=p95,
        min_s=float(times.min()),
        max_s=float(times.max()),
        load_s=found.load_s,
        first_s=found.first_s,
        peak_rss_bytes=found.peak_rss_bytes,
        base_rss_bytes=found.base_rss_bytes,
        power=power,
        energy_j=power[0].watts * median if power and power[0].watts is not None else None,
        outputs=outputs,
        doubts=found_doubts,
        per_op=ops,
        times_s=found.times_s,
    )


def _per_op(
    there: address.Address, found: answer.Measured, cuts: Cuts | None, sources: Mapping[str, str]
) -> PerOp | None:
    whole_s = float(np.median(found.times_s))
    if cuts is None:
        return None if found.ops is None else per_op.of_profile(found.ops, whole_s, sources)
    try:
        return per_op.of_cuts(cuts, found.alone or (), whole_s, sources)
    except ValueError as wrong:
        raise remote.garbage(there, str(wrong)) from None


def _odd(artifact: Artifact, outputs: Agreement, here: answer.Measured, there: answer.Measured) -> bool:
    """The integer kernels of one runtime give the same bytes on every processor; real numbers are summed in another
    order by each."""
    same = (here.runtime, here.version) == (there.runtime, there.version)
    return same and outputs.verdict == "close" and artifact.precision in INTEGERS


def _soaked(windows: Sequence[answer.Window]) -> Soak | None:
    if not windows:
        return None
    return soak(
        [window.at_s for window in windows],
        [window.median_s for window in windows],
        [_number(window.temperature_c) for window in windows],
        [_number(window.clock_hz) for window in windows],
    )


def device_doubts(found: answer.Measurements) -> tuple[str, ...]:
    """What the surroundings say against the numbers of all files."""
    clocks = _numbers(moment.clock_hz for moment in found.during)
    temperatures = _numbers([found.after.temperature_c, *(moment.temperature_c for moment in found.during)])
    throttled = found.after.throttling.value
    slowed = [word for word in throttled if "since" not in word] if isinstance(throttled, tuple) else []
    counts = [_numbers([at.throttle_count]) for at in (found.before, found.after)]
    findings = (
        (bool(slowed), f"the device was slowed down at the end: {', '.join(slowed)}"),
        (_new(found), "under-voltage or throttling began while it was measured"),
        (counts[0] < counts[1], "cores were slowed down by heat while it was measured"),
        (bool(temperatures) and max(temperatures) >= HOT_C, f"hot: up to {max(temperatures, default=0.0):.0f} C"),
        (
            bool(clocks) and max(clocks) > (1 + CLOCK_MOVES) * min(clocks),
            f"the clock moved between {min(clocks, default=0) / 1e6:.0f} and {max(clocks, default=0) / 1e6:.0f} MHz",
        ),
    )
    return tuple(text for doubtful, text in findings if doubtful)


def _new(found: answer.Measurements) -> bool:
    """A bit that the firmware keeps since it was started, set in the meantime."""
    before, after = found.before.throttling.value, found.after.throttling.value
    if not isinstance(before, tuple) or not isinstance(after, tuple):
        return False
    return any("since" in word for word in set(after) - set(before))


def _numbers(readings: Any) -> list[float]:
    return [number for number in map(_number, readings) if number is not None]


def _number(reading: answer.Reading) -> float | None:
    return float(reading.value) if isinstance(reading.value, (int, float)) else None
