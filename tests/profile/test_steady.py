from __future__ import annotations

import numpy as np
import pytest

from edgekit.profile.steady import Soak, change_points, soak


def noisy(*stretches: tuple[int, float], noise: float = 0.01, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.concatenate([level * np.exp(noise * random.standard_normal(n)) for n, level in stretches])


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_changes_nothing(seed: int) -> None:
    assert change_points(noisy((300, 0.01), seed=seed)) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_device_that_slows_down_once(seed: int) -> None:
    (found,) = change_points(noisy((120, 0.010), (480, 0.013), seed=seed))
    assert abs(found - 120) <= 2


def test_a_device_that_slows_down_in_steps() -> None:
    found = change_points(noisy((60, 0.010), (60, 0.011), (200, 0.014)))
    assert np.allclose(found, [60, 120], atol=2)


def test_what_is_too_small_or_too_short() -> None:
    assert change_points(noisy((300, 0.010), (300, 0.0101), noise=0.001)) == []
    assert change_points(noisy((9, 0.010), (300, 0.02))[:9]) == []
    assert change_points(np.full(100, 0.01)) == []
    assert change_points(noisy((100, 0.01), (2, 0.05), (100, 0.01))) == [], "two windows are a disturbance"


def soaked(medians: np.ndarray, clocks: list[float | None] | None = None) -> Soak:
    n = len(medians)
    heat: list[float | None] = [None, *np.linspace(45, 80, n - 1)]
    return soak([float(i + 1) for i in range(n)], list(medians), heat, clocks or [None] * n)


def test_first_against_steady() -> None:
    clocks: list[float | None] = [1.8e9] * 100 + [1.2e9] * 200
    found = soaked(noisy((100, 0.010), (200, 0.015)), clocks)
    assert found.slowdown == pytest.approx(0.5, abs=0.02)
    assert found.steady_after_s == pytest.approx(100, abs=2)
    assert found.steady
    assert (found.first_hz, found.steady_hz) == (1.8e9, 1.2e9)
    assert found.first_c == 45
    assert found.steady_c is not None
    assert found.steady_c > 60


def test_no_change_and_a_late_one() -> None:
    calm = soaked(noisy((100, 0.010)))
    assert (calm.steady_after_s, calm.steady, calm.first_hz) == (0.0, True, None)
    assert calm.slowdown == 0
    assert not soaked(noisy((100, 0.010), (10, 0.015))).steady
