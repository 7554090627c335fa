"""Drops in the unit of a limit."""

from dataclasses import replace

import pytest

from edgekit.verify import intervals, limits
from edgekit.verify.limits import Drop
from edgekit.verify.result import Interval
from tests.reports import VERIFICATION


def judged(unit, *, higher=True, value=0.8, drops=((0.002, 0.005), (-0.001, 0.001))):
    """A verification of two files. drops: (measured, upper end) of each, in the metric's own unit."""
    score = VERIFICATION.scores[0]
    scores = tuple(replace(score, drop=drop, drop_interval=Interval(-1.0, high)) for drop, high in drops)
    reference = replace(VERIFICATION.reference, value=value)
    return replace(VERIFICATION, unit=unit, higher_is_better=higher, reference=reference, scores=scores)


@pytest.mark.parametrize(
    ("verification", "unit", "measured", "upper"),
    [
        (judged("share"), "points", 0.2, 0.5),
        (judged("dB"), "dB", 0.002, 0.005),
        (judged("", higher=False), "%", 0.25, 0.625),
        (judged(""), "", 0.002, 0.005),
        (judged("share", drops=((-0.02, -0.01),)), "points", -2.0, -1.0),
        (judged("share", drops=((0.0, 0.004), (0.002, 0.003))), "points", 0.2, 0.4),
        (judged("", higher=False, value=0.0, drops=((0.0, 0.0),)), "%", 0.0, 0.0),
        (judged("", higher=False, value=0.0), "%", float("inf"), float("inf")),
    ],
    ids=["rate", "dB", "error", "own", "better", "several", "perfect", "worse than perfect"],
)
def test_the_largest_drop(verification, unit, measured, upper):
    found = limits.largest(verification, verification.scores)
    assert limits.unit(verification) == unit
    assert (found.measured, found.upper) == (pytest.approx(measured), pytest.approx(upper))


def test_no_drop_is_known():
    scores = tuple(replace(score, drop=None, drop_interval=None) for score in VERIFICATION.scores)
    assert limits.largest(VERIFICATION, scores) is None


@pytest.mark.parametrize("count", [50, 383, 436, 10_000])
def test_what_the_samples_can_show(count):
    least = limits.least(VERIFICATION, count)
    assert least == pytest.approx(100 * intervals.tango(0, 0, count).high)
    assert abs(limits.least_samples(VERIFICATION, least) - count) <= 1


@pytest.mark.parametrize("limit", [0.1, 0.5, 1.0, 3.0])
def test_no_fewer_samples_would_do(limit):
    needed = limits.least_samples(VERIFICATION, limit)
    assert 100 * intervals.tango(0, 0, needed).high <= limit
    assert 100 * intervals.tango(0, 0, needed - 1).high > limit


def test_equal_numbers_need_no_samples():
    verification = replace(VERIFICATION, unit="dB")
    assert (limits.least(verification, 5), limits.least_samples(verification, 0.1)) == (0.0, 1)
    assert limits.least_samples(VERIFICATION, 100.0) == 1


def test_samples_that_would_show_a_drop_like_this():
    def needed(lost, won, count, limit):
        found = intervals.tango(lost, won, count)
        return limits.samples_needed(VERIFICATION, count, Drop(100 * (lost - won) / count, 100 * found.high), limit)

    assert needed(0, 0, 436, 0.5) == limits.least_samples(VERIFICATION, 0.5)
    assert needed(8, 4, 400, 1.0) is None
    assert needed(8, 4, 400, 0.9) is None
    more = needed(8, 6, 400, 1.0)
    times = more / 400
    assert intervals.tango(round(8 * times), round(6 * times), more).high == pytest.approx(0.01, rel=0.1)
