from __future__ import annotations

import time

import numpy as np
import pytest

from edgekit.run import timing


def test_outliers_by_the_modified_z_score() -> None:
    # Iglewicz and Hoaglin's own kind of case: median 5, MAD 1, so that 3.5 is passed from 5 + 3.5/0.6745 = 10.19 on
    times = np.array([3.0, 4, 4, 5, 5, 5, 6, 6, 10.1])
    assert timing.outliers(times) == 0
    times[-1] = 10.3
    assert timing.outliers(times) == 1


def test_equal_times_have_no_outliers() -> None:
    assert timing.outliers(np.array([1.0, 1.0, 1.0, 9.0])) == 0


def test_times_every_counted_run_and_no_other() -> None:
    calls = []
    timed = timing.time_runs(lambda: calls.append(time.sleep(0.003)), 5)
    assert len(timed.times_s) == 5
    assert len(calls) == 6  # one to wake up
    assert min(timed.times_s) >= 0.003
    assert timed.cpu_share < 0.5  # asleep, not computing


def test_warms_up_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "WARM_UP_S", 0.02)
    warmth = timing.warm_up(lambda: time.sleep(0.001))
    assert 0.001 <= warmth.run_s < 0.02


def test_says_when_runs_still_get_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own: on a busy machine a sleep may take any time."""
    monkeypatch.setattr(timing, "WARM_UP_MAX_S", 0.15)
    clock, pause = [0.0], [0.02]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def faster() -> None:
        pause[0] *= 0.9
        clock[0] += pause[0]

    assert not timing.warm_up(faster).steady


def test_slow_models_get_few_warm_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "WARM_UP_MAX_S", 0.04)
    calls = []
    timing.warm_up(lambda: calls.append(time.sleep(0.03)))
    assert len(calls) <= 4


def test_the_plan_spends_a_bounded_time() -> None:
    for run_s in (1e-9, 1e-5, 1e-3, 0.01, 0.05, 1.0, 10.0, 60.0):
        rounds, turns = timing.plan([run_s] * 4)
        count = rounds * turns[0]
        assert 3 <= count <= timing.MOST_RUNS
        assert count >= timing.WANTED_RUNS or run_s >= 0.5
        rounding = rounds * run_s * 4
        assert count * run_s * 4 <= max(timing.FAST_S, 60.0, 3 * run_s * 4) + rounding
    assert timing.plan([1e-5, 1e-4]) == (timing.ROUNDS, [50, 50])
    assert timing.plan([2.0, 0.001]) == (2, [8, int(timing.FAST_S / 2 / 0.001) // 2])
    assert timing.plan([]) == (timing.ROUNDS, [])


def test_the_plan_keeps_to_a_wanted_count() -> None:
    assert timing.plan([1e-5, 1.0], wanted=100) == (timing.ROUNDS, [10, 10])
    assert timing.plan([1e-5], wanted=3) == (3, [1])
    assert timing.plan([1e-3], 2.0) == (timing.ROUNDS, [50])
