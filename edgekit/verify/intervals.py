"""95 % intervals for rates, means and paired differences.

wilson      one rate: E. B. Wilson, JASA 22 (1927) 209-212, equation for the score interval.
tango       the difference of two rates on the same samples, from the discordant counts alone: T. Tango, "Equivalence
            test and confidence interval for the difference in proportions for the paired-sample design", Statistics in
            Medicine 17 (1998) 891-908.
bootstrap   a mean of real numbers: percentile bootstrap, B. Efron, R. Tibshirani, "An Introduction to the Bootstrap"
            (1993), chapter 13. Given the per-sample differences it is the paired interval.

Why Tango's and not McNemar's test: a test says whether the files differ, an interval says by how much at most, which is
what a budget needs. It also has a width where no sample flipped: 0 flips in 100 samples is not a drop of exactly 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgekit.verify.result import Interval

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution
RESAMPLES = 2000  # the 2.5 % point then rests on 50 values; Efron and Tibshirani ask for 1000 and up
SEED = 20259
LARGE = 25_000  # from so many samples on, a mean is normal enough, and resampling would take seconds
CHUNK = 1 << 20  # indices drawn at once: 8 MiB


def wilson(successes: int, count: int) -> Interval:
    """The interval of a rate. count: at least 1."""
    assert 0 <= successes <= count > 0
    rate, z2 = successes / count, Z95**2
    centre = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = Z95 / (1 + z2 / count) * math.sqrt(rate * (1 - rate) / count + z2 / (4 * count**2))
    return Interval(centre - half if successes else 0.0, centre + half if successes < count else 1.0)


def tango(lost: int, won: int, count: int) -> Interval:
    """The interval of (lost - won) / count: the drop of a rate.

    lost: samples that only the reference has right; won: samples that only the other has right; count: all samples.
    """
    assert lost >= 0 and won >= 0 and lost + won <= count > 0
    drop = (lost - won) / count
    low = _root(lambda delta: _tango_score(lost, won, count, delta) - Z95, -1.0, drop)
    high = _root(lambda delta: _tango_score(lost, won, count, delta) + Z95, drop, 1.0)
    return Interval(low, high)


def least_count(drop: float) -> int:
    """How many samples Tango's interval needs to stay within `drop` (0..1) where not one of them changed.

    Without a change its upper end d solves n d = z^2 (1 - d).
    """
    assert 0 < drop < 1
    count = math.ceil(Z95**2 * (1 / drop - 1))
    return count if tango(0, 0, max(count, 1)).high <= drop else count + 1  # where rounding decides


def bootstrap(values: NDArray[np.float64]) -> Interval:
    """The interval of the mean of values: (N,), at least one."""
    if values.size >= LARGE:
        half = Z95 * float(np.std(values, ddof=1)) / math.sqrt(values.size)
        return Interval(float(np.mean(values)) - half, float(np.mean(values)) + half)
    draw = np.random.default_rng(SEED)
    rows = max(1, CHUNK // values.size)
    means = [
        values[draw.integers(0, values.size, (min(rows, RESAMPLES - start), values.size))].mean(axis=1)
        for start in range(0, RESAMPLES, rows)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Interval(float(low), float(high))


def _tango_score(lost: int, won: int, count: int, delta: float) -> float:
    """How many standard errors the counts are above a true difference of delta; falls with delta.

    q is the most likely rate of `won` when the difference is delta: the larger root of a q^2 + b q + c = 0.
    """
    a = 2 * count
    b = -lost - won + (2 * count - lost + won) * delta
    c = -won * delta * (1 - delta)
    q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = count * (2 * q + delta * (1 - delta))
    excess = lost - won - count * delta
    if variance <= 0:  # at delta = +-1, or where no sample flipped and delta = 0
        return math.copysign(math.inf, excess) if excess else 0.0
    return excess / math.sqrt(variance)


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling f crosses 0 in [low, high]; the end that is nearer where it does not."""
    if f(low) <= 0:
        return low
    if f(high) >= 0:
        return high
    for _ in range(60):  # halves an interval of at most 2 down to the spacing of doubles
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) > 0 else (low, middle)
    return (low + high) / 2
