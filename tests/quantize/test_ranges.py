import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.quantize.observe import Statistics
from edgekit.quantize.ranges import _squared_error, candidate
from edgekit.run.observer import BINS

METHODS = ("minmax", "percentile", "mse", "entropy")
values = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=60)


def statistics(x) -> Statistics:
    x = np.asarray(x, np.float32)
    bins = x.view(np.uint32) >> 16
    return Statistics(float(x.min()), float(x.max()), np.bincount(bins, minlength=BINS))


@pytest.mark.parametrize("method", METHODS)
@given(values)
def test_every_range_holds_0_and_stays_within_the_extremes(method, x):
    found = statistics(x)
    low, high = candidate(found, method)
    assert min(found.low, 0.0) <= low <= 0.0 <= high <= max(found.high, 0.0)


@given(values)
def test_mse_is_never_worse_than_minmax_in_its_own_measure(x):
    found = statistics(x)
    points, counts = found.points()
    errors = [_squared_error(points, counts.astype(float), *candidate(found, method)) for method in ("mse", "minmax")]
    assert errors[0] <= errors[1]


def test_minmax_is_exact():
    x = np.array([-1.2345678, 3.4567891], np.float32)
    assert candidate(statistics(x), "minmax") == (float(x[0]), float(x[1]))


@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_zeros(method):
    assert candidate(statistics(np.zeros(9)), method) == (0.0, 0.0)


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy"])
def test_one_outlier_among_many_is_cut_off(method):
    x = np.append(np.random.default_rng(0).normal(0, 1, 200_000), 300.0)
    low, high = candidate(statistics(x), method)
    assert high < 250
    assert low < -2


def test_the_percentile_holds_what_it_says():
    x = np.random.default_rng(0).normal(0, 1, 100_000).astype(np.float32)
    low, high = candidate(statistics(x), "percentile")
    assert np.mean((x < low) | (x > high)) < 3e-4
    assert high < x.max()


def test_one_sided_values_give_a_one_sided_range():
    x = np.abs(np.random.default_rng(0).normal(0, 1, 10_000))
    assert all(candidate(statistics(x), method)[0] == 0.0 for method in METHODS)
