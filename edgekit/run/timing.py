"""What measuring shares: runs under a clock, and what to think of the times.

An outlier is a run whose modified z-score is above 3.5:

    z = 0.6745 (t - median) / MAD,  MAD = median |t - median|

Source: B. Iglewicz, D. Hoaglin, "How to Detect and Handle Outliers" (ASQC Quality Press, 1993), page 11 for the score
and the 3.5; 0.6745 is the 75 % point of the normal distribution, which makes the MAD of normal times their deviation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OUTLIER_Z = 3.5
WINDOW = 5  # runs whose median stands for the speed of now
STEADY = 0.98  # a window within 2 % of the one before is as fast as it gets
WARM_UP_S = 0.1  # allocators, caches and clocks settle within tens of milliseconds; the rest is margin
WAKE_UP_S = 0.002  # caches that others have used meanwhile fill again
WARM_UP_MAX_S = 5.0  # whoever still gets faster then is reported as unsteady

Run = Callable[[], object]


@dataclass(frozen=True)
class Warmth:
    """run_s: one warm run; steady: runs had stopped getting faster."""

    run_s: float
    steady: bool


@dataclass(frozen=True)
class Timed:
    """times_s: of each run; cpu_share: processor seconds per second of wall clock, 1.0 is one core kept busy."""

    times_s: tuple[float, ...]
    cpu_share: float


def warm_up(run: Run) -> Warmth:
    """Run until runs stop getting faster, for a bounded time."""
    start = time.perf_counter()
    before = _window(run)
    while True:
        now = _window(run)
        steady = now >= STEADY * before
        spent_s = time.perf_counter() - start
        if (steady and spent_s >= WARM_UP_S) or spent_s > WARM_UP_MAX_S:
            return Warmth(now, steady)
        before = now


def time_runs(run: Run, count: int) -> Timed:
    """count runs, each under the clock, after some that are not counted: the process may have slept until now."""
    woken = time.perf_counter()
    run()
    while time.perf_counter() - woken < WAKE_UP_S:
        run()
    times_ns = []
    cpu_start, start = time.process_time(), time.perf_counter()
    for _ in range(count):
        begin = time.perf_counter_ns()
        run()
        times_ns.append(time.perf_counter_ns() - begin)
    wall_s = time.perf_counter() - start
    return Timed(tuple(t / 1e9 for t in times_ns), (time.process_time() - cpu_start) / max(wall_s, 1e-9))


def outliers(times_s: NDArray[np.float64]) -> int:
    """How many of the times are outliers."""
    off = np.abs(times_s - np.median(times_s))
    mad = np.median(off)
    if mad == 0:  # more than half of the runs took the very same time: no scale to judge the others by
        return 0
    return int(np.sum(0.6745 * off / mad > OUTLIER_Z))


def _window(run: Run) -> float:
    times = []
    for _ in range(WINDOW):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
        if sum(times) > WARM_UP_MAX_S / 2:  # seconds per run: one or two are all the warmth there is time for
            break
    return float(np.median(times))
