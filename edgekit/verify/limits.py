"""A drop in the unit that people set limits in, and what the samples can show at all.

    rates (top1, top5)              points
    ratios in dB (psnr)             dB
    errors (mse, mae)               per cent of the reference's error
    whatever else (cosine)          the metric's own numbers

A limit is on the largest drop of all files. `measured` is what the samples show, `upper` the end of its 95 % interval:
as bad as it may really be. The reference's error is taken as exact where a drop is a share of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgekit.verify import intervals
from edgekit.verify.result import Score, Verification


@dataclass(frozen=True)
class Drop:
    """The largest drop of several files in a limit's unit; negative where all are better than the reference."""

    measured: float
    upper: float


class Scale(Protocol):
    """What a metric and a verification both say of their numbers."""

    @property
    def unit(self) -> str: ...
    @property
    def higher_is_better(self) -> bool: ...


def unit(scale: Scale) -> str:
    """ "points", "dB", "%" or "" for the metric's own numbers."""
    if scale.unit == "share":
        return "points"
    if scale.unit:
        return scale.unit
    return "" if scale.higher_is_better else "%"


def in_words(drop: float, unit: str) -> str:
    """'0.06 points'."""
    return f"{drop:.4g} {unit}".strip()


def largest(verification: Verification, scores: Sequence[Score]) -> Drop | None:
    """Over some of the verification's scores; None where none has a drop."""
    factor = _factor(verification)
    measured = [_times(factor, score.drop) for score in scores if score.drop is not None]
    upper = [_times(factor, score.drop_interval.high) for score in scores if score.drop_interval is not None]
    return Drop(max(measured), max(upper)) if measured and upper else None


def least(scale: Scale, count: int) -> float:
    """The upper end that so many samples leave where not one of them changes, in the limit's unit."""
    return 100 * intervals.tango(0, 0, count).high if scale.unit == "share" else 0.0  # equal numbers have no spread


def least_samples(scale: Scale, limit: float) -> int:
    """How many samples could show that a drop is within the limit where not one of them changes. limit: above 0."""
    return intervals.least_count(limit / 100) if scale.unit == "share" and limit < 100 else 1


def samples_needed(scale: Scale, count: int, drop: Drop, limit: float) -> int | None:
    """About how many samples would show a drop like this one to be within the limit; None where it is not.

    An interval's width falls with the square root of the samples, but for one without a change.
    """
    if drop.measured >= limit:
        return None
    if drop.upper <= least(scale, count):
        return least_samples(scale, limit)
    needed = count * ((drop.upper - drop.measured) / (limit - drop.measured)) ** 2
    return max(least_samples(scale, limit), math.ceil(needed))


def _factor(verification: Verification) -> float:
    match unit(verification):
        case "points":
            return 100.0
        case "%":
            exact = verification.reference.value
            return 100.0 / exact if exact > 0 else math.inf
        case _:
            return 1.0


def _times(factor: float, drop: float) -> float:
    return drop * factor if drop else 0.0  # no drop is no drop, also from a perfect reference
