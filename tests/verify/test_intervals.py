from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.verify.intervals import LARGE, bootstrap, tango, wilson
from edgekit.verify.result import Interval

# R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
WILSON_PUBLISHED = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]

# (1, 7, 21): M. W. Fagerland, S. Lydersen, P. Laake, Statistical Analysis of Contingency Tables (2017), chapter 8,
# airway hyper-responsiveness before and after stem cell transplantation.
# (150, 86, 1600): A. Agresti, Categorical Data Analysis, approval of the prime minister: 0.04 with a standard error of
# 0.0095; his is the Wald interval, and with 1600 pairs the two agree in these digits.
TANGO_PUBLISHED = [(1, 7, 21, -0.517, -0.026), (150, 86, 1600, 0.021, 0.059)]


@pytest.mark.parametrize(("successes", "count", "low", "high"), WILSON_PUBLISHED)
def test_wilson_gives_the_published_intervals(successes: int, count: int, low: float, high: float) -> None:
    interval = wilson(successes, count)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@pytest.mark.parametrize(("lost", "won", "count", "low", "high"), TANGO_PUBLISHED)
def test_tango_gives_the_published_intervals(lost: int, won: int, count: int, low: float, high: float) -> None:
    interval = tango(lost, won, count)
    assert (round(interval.low, 3), round(interval.high, 3)) == (low, high)


counts = st.integers(1, 10_000).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(b), st.integers(0, n - b), st.just(n)))
)


@given(counts)
def test_tango_contains_the_drop_and_mirrors(case: tuple[int, int, int]) -> None:
    lost, won, count = case
    interval = tango(lost, won, count)
    assert -1 <= interval.low <= (lost - won) / count <= interval.high <= 1
    assert interval.low < interval.high
    mirrored = tango(won, lost, count)
    assert interval.low == pytest.approx(-mirrored.high, abs=1e-9)
    assert interval.high == pytest.approx(-mirrored.low, abs=1e-9)


@given(st.integers(1, 100_000))
def test_no_flips_still_leave_doubt_that_shrinks_with_the_samples(count: int) -> None:
    interval = tango(0, 0, count)
    assert interval.low == pytest.approx(-interval.high, abs=1e-9)
    assert interval.high == pytest.approx(3.8414588 / (count + 3.8414588), rel=1e-6)  # z^2 / (n + z^2), Tango (1998)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_rate(case: tuple[int, int]) -> None:
    successes, count = case
    interval = wilson(successes, count)
    assert 0 <= interval.low <= successes / count <= interval.high <= 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_bootstrap_stays_among_the_values_and_is_repeatable(values: list[float]) -> None:
    x = np.asarray(values)
    interval = bootstrap(x)
    slack = 1e-9 * max(1.0, float(np.abs(x).max()))
    assert x.min() - slack <= interval.low <= interval.high <= x.max() + slack
    assert bootstrap(x) == interval


def test_bootstrap_of_many_values_is_the_normal_interval() -> None:
    x = np.random.default_rng(3).normal(2.0, 1.0, LARGE)
    exact, sampled = bootstrap(x), bootstrap(x[:-1])
    assert exact.low == pytest.approx(sampled.low, abs=1e-3)
    assert exact.high == pytest.approx(sampled.high, abs=1e-3)


def _covered(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


# 400 trials have a standard error of 1.1 points around 95 %, and score intervals may be off by a point or two.
COVERAGE = (0.92, 0.98)


@pytest.mark.parametrize(("p_lost", "p_won", "count"), [(0.02, 0.01, 500), (0.05, 0.05, 100), (0.1, 0.02, 60)])
def test_tango_covers(p_lost: float, p_won: float, count: int) -> None:
    draws = np.random.default_rng(5).multinomial(count, [p_lost, p_won, 1 - p_lost - p_won], 400)
    covered = _covered([tango(int(lost), int(won), count) for lost, won, _ in draws], p_lost - p_won)
    assert COVERAGE[0] <= covered <= COVERAGE[1] + 0.01


def test_bootstrap_covers() -> None:
    draws = np.random.default_rng(6).exponential(1.0, (400, 60))
    assert (
        0.90 <= _covered([bootstrap(row) for row in draws], 1.0) <= COVERAGE[1]
    )  # percentile intervals are a bit short
