"""What heat does to a latency: where the times of a long run settle, and how far from where they began.

The run is cut into windows, each with the median of its times. In the logarithm of these, a change point is where two
means fit better than one by more than chance explains, tried again on either side (binary segmentation):

    gain = n log(S / (S_left + S_right)) > PENALTY log n,  S: sum of squared distances from the mean

Source: L. Vostrikova, "Detecting disorder in multidimensional random processes" (Soviet Mathematics Doklady 24, 1981)
for the segmentation; the bound is the Bayesian information criterion's with three more parameters per change (a mean, a
place, and one for the search over places).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PENALTY = 3.0
SHORTEST = 5  # windows of a stretch: fewer are a disturbance
LEAST_SHIFT = 0.02  # what is less is no change that anybody would plan with
LATE = 0.2  # of the run: a change in its last fifth leaves open whether another one follows
TINY = 1e-18  # windows may be equal to the last bit


@dataclass(frozen=True, kw_only=True)
class Soak:
    """soaked_s: how long it ran; first_s, steady_s: median latency before the first change and after the last one;
    steady_after_s: when the last change was, 0 where there was none; steady: no change came late; temperatures and
    clocks: at the beginning and in the steady state, None where the device does not say."""

    soaked_s: float
    first_s: float
    steady_s: float
    steady_after_s: float
    steady: bool
    first_c: float | None
    steady_c: float | None
    first_hz: float | None
    steady_hz: float | None

    @property
    def slowdown(self) -> float:
        """By how much the steady state is slower: 0.25 is a quarter longer."""
        return self.steady_s / self.first_s - 1


def soak(
    at_s: Sequence[float],
    medians_s: Sequence[float],
    temperatures_c: Sequence[float | None],
    clocks_hz: Sequence[float | None],
) -> Soak:
    """Of windows in order: when each ended, and what was seen in it."""
    changes = change_points(np.asarray(medians_s))
    first, last = slice(0, changes[0] if changes else None), slice(changes[-1] if changes else 0, None)
    after_s = at_s[changes[-1] - 1] if changes else 0.0
    return Soak(
        soaked_s=at_s[-1],
        first_s=float(np.median(medians_s[first])),
        steady_s=float(np.median(medians_s[last])),
        steady_after_s=after_s,
        steady=after_s <= (1 - LATE) * at_s[-1],
        first_c=_first(temperatures_c),
        steady_c=_middle(temperatures_c[last]),
        first_hz=_first(clocks_hz),
        steady_hz=_middle(clocks_hz[last]),
    )


def change_points(values: NDArray[np.float64]) -> list[int]:
    """Indices at which a new stretch begins, in order. values: above 0."""
    return sorted(_changes(np.log(np.maximum(values, 1e-12)), 0))


def _changes(logs: NDArray[np.float64], offset: int) -> list[int]:
    n = len(logs)
    if n < 2 * SHORTEST:
        return []
    splits = range(SHORTEST, n - SHORTEST + 1)
    costs = [_spread(logs[:k]) + _spread(logs[k:]) for k in splits]
    best = int(np.argmin(costs))
    k, gain = splits[best], n * math.log((_spread(logs) + TINY) / (costs[best] + TINY))
    shift = abs(float(np.mean(logs[k:]) - np.mean(logs[:k])))
    if gain <= PENALTY * math.log(n) or shift < math.log1p(LEAST_SHIFT):
        return []
    return [*_changes(logs[:k], offset), offset + k, *_changes(logs[k:], offset + k)]


def _spread(logs: NDArray[np.float64]) -> float:
    return float(np.sum((logs - logs.mean()) ** 2))


def _first(readings: Sequence[float | None]) -> float | None:
    return next((reading for reading in readings if reading is not None), None)


def _middle(readings: Sequence[float | None]) -> float | None:
    known = [reading for reading in readings if reading is not None]
    return float(np.median(known)) if known else None
