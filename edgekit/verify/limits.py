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

from edgekit.verify import intervals
from edgekit.verify.result import Score, Verification


@dataclass(frozen=True)
class Drop:
    """The largest drop of several files in a limit's unit; negative where all are better than the reference."""

    measured: float
    upper: float


def unit(verification: Verification) -> str:
    """ "points", "dB", "%" or "" for the metric's own numbers."""
    if verification.unit == "share":
        return "points"
    if verification.unit:
        return verification.unit
    return "" if verification.higher_is_better else "%"


def in_words(verification: Verification, drop: float) -> str:
    """'0.06 points'."""
    return f"{drop:.4g} {unit(verification)}".strip()


def largest(verification: Verification, scores: Sequence[Score] | None = None) -> Drop | None:
    """Over these scores, or all; None where none has a drop."""
    known = [score for score in scores or verification.scores if score.drop is not None and score.drop_interval]
    if not known:
        return None
    factor = _factor(verification)
    return Drop(
        measured=max(_times(factor, score.drop or 0.0) for score in known),
        upper=max(_times(factor, score.drop_interval.high) for score in known if score.drop_interval),
    )


def least(verification: Verification) -> float:
    """The upper end that these many samples leave where not one of them changes, in the limit's unit."""
    if verification.unit != "share":
        return 0.0  # equal numbers have no spread
    return 100 * intervals.tango(0, 0, verification.count).high


def samples_needed(verification: Verification, limit: float) -> int:
    """How many samples could show that a drop is within the limit where not one of them changes."""
    return intervals.least_count(limit / 100) if verification.unit == "share" else 1


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
