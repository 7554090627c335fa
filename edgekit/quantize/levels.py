"""Inputs that take few levels, all multiples of one step: pixels. An INT8 scale of that step holds them exactly.

A range that is a hundredth shorter cuts off nothing that matters and rounds every pixel anew, for which the first
layer's noise is a few times larger.

Pixels around their middle, (u - 127.5) / 127.5, have 0 halfway between two levels, while 0 must be a step: on steps as
long as theirs every level is a tie, rounded by half a step, the way that float32 happened to err. Steps longer by 1/255
part them: errors of all sizes then, of a third of the squares, and hardly a tie.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEPS = 255
LEAST_STEPS = 128
"""Between the smallest and the largest level: values of fewer steps may be a sample of something finer."""
OFF_STEP = 0.02  # steps: what float32 leaves of a pixel's scaling
PARTED = (STEPS + 1) / STEPS


def range_of_levels(levels: NDArray[np.float32]) -> tuple[float, float] | None:
    """The range of 255 steps on which all levels lie, or which parts those halfway between steps; None where there is
    none with 0 among its steps.

    levels: ascending. The steps that nobody has seen are beyond the largest level, or at both ends where there are
    negative ones.
    """
    values = levels.astype(np.float64)
    if values.size < 2:
        return None
    width = values[-1] - values[0]
    steps = round(width / np.diff(values).min())
    if not LEAST_STEPS <= steps <= STEPS:
        return None
    step = width / steps
    places = values / step
    first, last = round(places[0]), round(places[-1])
    if np.abs(places - np.floor(places) - 0.5).max() < OFF_STEP and np.abs(places).max() < (STEPS + 1) / 2:
        return -(STEPS + 1) / 2 * step * PARTED, (STEPS - 1) / 2 * step * PARTED
    if np.abs(places - np.rint(places)).max() > OFF_STEP or max(last, 0) - min(first, 0) > STEPS:
        return None
    low = min(first, 0)
    unseen = STEPS - (max(last, 0) - low)
    low -= unseen // 2 if low < 0 else 0
    return low * step, (low + STEPS) * step
