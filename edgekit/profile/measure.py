"""Latency on this machine: every artifact in turn, round after round, so that a change of the machine hits them all.

Each artifact sits in a worker of its own (a crash keeps its name), and only one of them runs at any time. A worker has
slept while the others ran, so the first runs of each turn are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.progress import SILENT, Progress
from edgekit.run import timing
from edgekit.run.runner import Runner

OUTLIERS_SHARE = 0.1  # normal times have 0.05 % beyond z = 3.5; a tenth is another population
WIDE_SPREAD = 0.25  # (p95 - p05) / median; still runs of one model stay within 0.1
DRIFT = 0.05  # between the medians of the first and the second half
BUSY_CORE = 0.95  # a thread that gets less of its core shares it with somebody

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")  # Linux only


@dataclass(frozen=True, kw_only=True)
class Latency:
    """One sample through one artifact. *_s: seconds; runs: counted ones; load_s: from the file to the first run;
    doubts: why not to believe the numbers, empty where nothing speaks against them."""

    label: str
    runtime: str
    threads: int
    runs: int
    median_s: float
    p05_s: float
    p95_s: float
    min_s: float
    load_s: float
    doubts: tuple[str, ...] = ()


def measure(runners: Sequence[Runner], sample: Arrays, *, progress: Progress = SILENT) -> tuple[Latency, ...]:
    """sample: one sample by the model's input names, batch axis of 1. In the order of the runners."""
    if wrong := [name for name, x in sample.items() if len(x) != 1]:
        raise EdgekitError(
            "EK702",
            "cannot measure latency",
            f"'{wrong[0]}' holds {len(sample[wrong[0]])} samples, a latency is that of one",
            "give a single sample with a batch axis of 1",
        )
    with progress.step("measuring latency", timing.ROUNDS) as advance:
        for runner in runners:
            runner.prepare(sample)
        warmths = [runner.warm_up() for runner in runners]
        rounds, turns = timing.plan([warmth.run_s for warmth in warmths])
        timed: list[list[timing.Timed]] = [[] for _ in runners]
        for _ in range(rounds):
            for runner, turn, rows in zip(runners, turns, timed, strict=True):
                rows.append(runner.time_runs(turn))
            advance(timing.ROUNDS // rounds)
        return tuple(
            _latency(runner, warmth, rows) for runner, warmth, rows in zip(runners, warmths, timed, strict=True)
        )


def _latency(runner: Runner, warmth: timing.Warmth, rows: Sequence[timing.Timed]) -> Latency:
    times = np.concatenate([row.times_s for row in rows])
    p05, median, p95 = np.percentile(times, [5, 50, 95])
    return Latency(
        label=runner.artifact.label,
        runtime=runner.runtime(),
        threads=runner.threads,
        runs=times.size,
        median_s=float(median),
        p05_s=float(p05),
        p95_s=float(p95),
        min_s=float(times.min()),
        load_s=runner.load_s(),
        doubts=doubts(times, warmth.steady, float(np.median([row.cpu_share for row in rows])), governor()),
    )


def doubts(times_s: NDArray[np.float64], steady: bool, cpu_share: float, clock: str | None) -> tuple[str, ...]:
    """Why not to believe times_s: in the order they were measured. clock: the frequency governor, None if unknown."""
    p05, median, p95 = np.percentile(times_s, [5, 50, 95])
    first, second = (float(np.median(half)) for half in np.array_split(times_s, 2))
    odd = timing.outliers(times_s)
    spread, drift = (p95 - p05) / median, second / first - 1
    findings = (
        (times_s.size < timing.WANTED_RUNS, f"only {times_s.size} runs, {timing.WANTED_RUNS} were wanted"),
        (not steady, "still getting faster when the warm-up ended"),
        (odd > OUTLIERS_SHARE * times_s.size, f"{odd} of {times_s.size} runs were outliers"),
        (spread > WIDE_SPREAD, f"wide spread: from the 5th to the 95th percentile is {spread:.0%} of the median"),
        (abs(drift) > DRIFT, f"drifted by {drift:+.0%} between the first and the second half"),
        (cpu_share < BUSY_CORE, f"shared its core with other programs: it got {cpu_share:.0%} of it"),
        (clock not in {None, "performance"}, f"clock frequency not fixed (governor '{clock}')"),
    )
    return tuple(text for doubtful, text in findings if doubtful)


def governor() -> str | None:
    """What sets the clock of the first core, None where the system does not say."""
    try:
        return GOVERNOR.read_text().strip()
    except OSError:  # not Linux, or a virtual machine
        return None
