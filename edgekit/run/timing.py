"""What measuring shares: runs under a clock, how many there should be, and what to think of the times.

It also runs on a device, as part of the agent: Python 3.8, and nothing but numpy.

An outlier is a run whose modified z-score is above 3.5:

    z = 0.6745 (t - median) / MAD,  MAD = median |t - median|

Source: B. Iglewicz, D. Hoaglin, "How to Detect and Handle Outliers" (ASQC Quality Press, 1993), page 11 for the score
and the 3.5; 0.6745 is the 75 % point of the normal distribution, which makes the MAD of normal times their deviation.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # neither can be built by Python 3.8, nor is there a numpy.typing before NumPy 1.20
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Run = Callable[[], object]

OUTLIER_Z = 3.5
WINDOW = 5  # runs whose median stands for the speed of now
STEADY = 0.98  # a window within 2 % of the one before is as fast as it gets
WARM_UP_S = 0.1  # allocators, caches and clocks settle within tens of milliseconds; the rest is margin
WAKE_UP_S = 0.002  # caches that others have used meanwhile fill again
WARM_UP_MAX_S = 5.0  # whoever still gets faster then is reported as unsteady

WANTED_RUNS = 20  # the 5th and 95th percentile then have a run beyond them
FAST_S = 0.8  # all artifacts together, where they are fast
SLOW_S = 60.0  # all artifacts together, however slow: fewer than WANTED_RUNS then, and a doubt
MOST_RUNS = 500
FEWEST_RUNS = 3
ROUNDS = 10
SLOW_ROUNDS = 2  # each round costs an uncounted run


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


def warm_up(run: Run, least_s: float = WARM_UP_S) -> Warmth:
    """Run until runs stop getting faster, for a bounded time. least_s: however steady they are."""
    start = time.perf_counter()
    before = _window(run)
    while True:
        now = _window(run)
        steady = now >= STEADY * before
        spent_s = time.perf_counter() - start
        if (steady and spent_s >= least_s) or spent_s > WARM_UP_MAX_S:
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


def plan(runs_s: Sequence[float], fast_s: float = FAST_S, wanted: int | None = None) -> tuple[int, list[int]]:
    """Rounds, and the runs of each artifact per round.

    runs_s: what one warm run of each takes; fast_s: how long all of them together shall run, where they are fast;
    wanted: counted runs of each, at least, instead of as many as fit in that time.
    """
    counts = [wanted or _affordable(run_s, len(runs_s), fast_s) for run_s in runs_s]
    fewest = min(counts, default=WANTED_RUNS)
    rounds = min(ROUNDS, fewest) if wanted or fewest >= WANTED_RUNS else SLOW_ROUNDS
    return rounds, [math.ceil(count / rounds) for count in counts]


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


def _affordable(run_s: float, artifacts: int, fast_s: float) -> int:
    run_s = max(run_s, 1e-7)
    affordable = int(SLOW_S / artifacts / run_s)
    if affordable < WANTED_RUNS:
        return max(FEWEST_RUNS, affordable)
    return min(MOST_RUNS, max(WANTED_RUNS, int(fast_s / artifacts / run_s)))
