"""The fit finds parameters that made the times, holds to the prior where runs say nothing, and knows what it missed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgekit.profile import fit
from edgekit.profile.fit import Prior, Run, half_width, held_out, nonnegative, predict, seen
from edgekit.profile.terms import Term

TRUE: dict[Term, float] = {"mac": 1e-10, "conv_output": 2e-9, "op": 1e-5}
PRIOR = Prior(compared={"mac": 1, "conv_output": 10, "op": 1e5, "curve": 30}, tied={"window_mac": ("mac", 2.0)})


def runs(families: int = 3, each: int = 8, noise: float = 0.0) -> list[Run]:
    rng = np.random.default_rng(0)
    made = []
    for family in range(families):
        for index in range(each):
            work: dict[Term, float] = {
                "mac": 10 ** rng.uniform(6, 9),
                "conv_output": 10 ** rng.uniform(4, 7),
                "op": float(rng.integers(10, 100)),
            }
            seconds = predict(TRUE, work) * math.exp(noise * rng.normal())
            made.append(Run(model=f"{family}-{index}", family=str(family), amounts=work, seconds=seconds))
    return made


def test_what_made_the_times_is_found() -> None:
    found = fit.fit(runs(), PRIOR)
    for term, value in TRUE.items():
        assert found[term] == pytest.approx(value, rel=0.02)


def test_one_odd_run_moves_nothing() -> None:
    measured = runs()
    odd = Run(model="odd", family="odd", amounts=measured[0].amounts, seconds=10 * measured[0].seconds)
    found = fit.fit([*measured, odd], PRIOR)
    assert found["mac"] == pytest.approx(TRUE["mac"], rel=0.05)


def test_a_term_without_runs_is_what_the_prior_says() -> None:
    measured = runs()
    found = fit.fit(measured, PRIOR)
    assert 0 < found["curve"] < 1e-7
    assert "curve" not in seen(measured, found)
    assert {"mac", "conv_output"} <= set(seen(measured, found))


def test_a_tied_term_costs_its_multiple() -> None:
    found = fit.fit(runs(), PRIOR)
    assert found["window_mac"] == 2 * found["mac"]
    windows = [
        replace(run, amounts={**run.amounts, "mac": 0.0, "window_mac": run.amounts["mac"] / 2}) for run in runs()
    ]
    assert fit.fit(windows, PRIOR)["mac"] == pytest.approx(found["mac"])


def test_residuals_of_families_that_were_left_out() -> None:
    residuals = held_out(runs(noise=0.05), PRIOR)
    assert len(residuals) == 24
    assert 0.02 < float(np.median(np.abs([residual for _, residual in residuals]))) < 0.1


def test_an_interval_covers_and_is_wider_for_fewer_families() -> None:
    many = half_width(held_out(runs(families=6, noise=0.05), PRIOR), noise=0.01)
    few = half_width(held_out(runs(families=2, noise=0.05), PRIOR), noise=0.01)
    assert 0.05 < many < few
    assert half_width(held_out(runs(), PRIOR), noise=0.07) == 0.07


def test_many_families_take_the_normal_factor() -> None:
    residuals = held_out(runs(families=12, each=3, noise=0.05), PRIOR)
    assert 0.05 < half_width(residuals, noise=0.01) < 0.3


def test_nonnegative_least_squares() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        matrix, target = rng.normal(size=(12, 5)), rng.normal(size=12)
        found = nonnegative(matrix, target)
        slope = matrix.T @ (target - matrix @ found)
        assert (found >= 0).all()  # with the two below: the conditions of Karush, Kuhn and Tucker
        assert (slope <= 1e-8).all()
        assert np.abs(slope[found > 0]).max(initial=0.0) < 1e-8
