"""Seconds per unit of work, fitted to measured runs, and how far a prediction from them may be off.

Least absolute relative errors with seconds >= 0, held by a weak prior that only says how the terms compare with each
other; what the runs do not tell apart stays near it:

    minimize over t >= 0:  sum_i |sum_k a_ik t_k / y_i - 1| + weight * sum_k (t_k / (s p_k) - 1)^2

(the sum of absolute values by iterated weights). s is one scale, so that the prior carries no speed of its own.

An interval is made of residuals of families that were not fitted: rows of one family are alike, and a residual of a row
whose family was fitted says little of a model that is new. Where few families speak, their quantile is widened by
Student's factor for as many degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgekit.profile.terms import TERMS, Amounts, Term

Array = NDArray[np.float64]

PRIOR_WEIGHT = 1e-3
SMALLEST_RESIDUAL = 0.02  # below the noise of the best published measurements, residuals count alike
ROUNDS = 8  # of iterated weights; they move by less than 1e-3 from then on
COVERAGE = 0.9
NORMAL_95 = 1.645
STUDENT_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
"""The 95 % point of Student's t for 1 to 10 degrees of freedom, any table."""
SEEN_SHARE = 0.02
"""A term is seen where it makes up this share of some measured run."""


@dataclass(frozen=True, kw_only=True)
class Prior:
    """compared: how the terms compare, in any unit; tied: terms that cost a fixed multiple of another, since a runtime
    does the same thing there, or since runs cannot tell them apart."""

    compared: Mapping[Term, float]
    tied: Mapping[Term, tuple[Term, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measured model. seconds: of one sample; family: of architectures that resemble it."""

    model: str
    family: str
    amounts: Amounts
    seconds: float


def fit(runs: Sequence[Run], prior: Prior, weight: float = PRIOR_WEIGHT) -> dict[Term, float]:
    """Seconds per unit of every term that the prior knows."""
    known = [term for term in TERMS if prior.compared.get(term, 0.0) > 0]
    compared = np.array([prior.compared[term] for term in known])
    work = _matrix(runs, known, prior.tied) * compared
    times = np.array([run.seconds for run in runs])
    scale = float(np.exp(np.median(np.log(times / work.sum(axis=1)))))
    relative = work * scale / times[:, None]
    found = np.ones(len(known))
    importance = np.ones(len(runs))
    hold = math.sqrt(weight) * np.eye(len(known))
    for _ in range(ROUNDS):
        roots = np.sqrt(importance)
        found = nonnegative(np.vstack([relative * roots[:, None], hold]), np.concatenate([roots, hold.sum(axis=1)]))
        importance = 1 / np.maximum(np.abs(relative @ found - 1), SMALLEST_RESIDUAL)
        importance /= importance.mean()
    seconds = {term: float(value) for term, value in zip(known, found * compared * scale, strict=True)}
    return seconds | {term: times * seconds[like] for term, (like, times) in prior.tied.items()}


def predict(seconds: Mapping[Term, float], work: Amounts) -> float:
    """Seconds of a run."""
    return sum(seconds.get(term, 0.0) * amount for term, amount in work.items())


def seen(runs: Sequence[Run], seconds: Mapping[Term, float]) -> tuple[Term, ...]:
    """Terms that some run has enough of: the others are what the prior says of them, and no more."""
    return tuple(
        term
        for term in TERMS
        if any(seconds.get(term, 0.0) * run.amounts.get(term, 0.0) > SEEN_SHARE * run.seconds for run in runs)
    )


def held_out(runs: Sequence[Run], prior: Prior, weight: float = PRIOR_WEIGHT) -> tuple[tuple[Run, float], ...]:
    """Each run with log(measured / predicted) from a fit that saw no run of its family."""
    found: list[tuple[Run, float]] = []
    for family in dict.fromkeys(run.family for run in runs):
        rest = [run for run in runs if run.family != family]
        seconds = fit(rest, prior, weight)
        found += [(run, math.log(run.seconds / predict(seconds, run.amounts))) for run in runs if run.family == family]
    return tuple(found)


def half_width(residuals: Sequence[tuple[Run, float]], noise: float) -> float:
    """Half of the 90 % interval in log space, each family counting alike. noise: of repeated measurements."""
    families = [run.family for run, _ in residuals]
    count = len(set(families))
    sizes = np.abs([residual for _, residual in residuals])
    order = np.argsort(sizes)
    shares = np.array([1 / families.count(family) / count for family in families])[order]
    least = min(1.0, COVERAGE * (1 + 1 / len(sizes)))  # the finite-sample step of conformal prediction
    quantile = float(sizes[order][np.searchsorted(np.cumsum(shares), least - 1e-9)])
    student = STUDENT_95[count - 1] if count <= len(STUDENT_95) else NORMAL_95 * (1 + 1 / count)
    return max(noise, quantile * student / NORMAL_95)


def nonnegative(matrix: Array, target: Array) -> Array:
    """x >= 0 (K,) that minimizes |matrix x - target|. matrix: (N, K), N >= K.

    The active-set method of Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23.
    """
    size = matrix.shape[1]
    found = np.zeros(size)
    free = np.zeros(size, bool)
    for _ in range(3 * size):
        slope = matrix.T @ (target - matrix @ found)
        slope[free] = -np.inf
        if free.all() or slope.max() <= 1e-10 * float(np.abs(matrix).sum()):
            break
        free[int(slope.argmax())] = True
        found, free = _inside(matrix, target, found, free)
    return found


def _inside(matrix: Array, target: Array, found: Array, free: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """The best point of the free coordinates, stepping back to the border where it lies beyond."""
    while True:
        best = np.zeros_like(found)
        best[free] = np.linalg.lstsq(matrix[:, free], target, rcond=None)[0]
        beyond = free & (best <= 0)
        if not beyond.any():
            return best, free
        steps = found[beyond] / np.maximum(found[beyond] - best[beyond], 1e-300)
        found = found + float(steps.min()) * (best - found)
        free = free & (found > 1e-15)
        found = np.where(free, found, 0.0)


def _matrix(runs: Sequence[Run], terms: Sequence[Term], tied: Mapping[Term, tuple[Term, float]]) -> Array:
    """(runs, terms): the work of each, that of tied terms counted with those that they are tied to."""

    def work(run: Run, term: Term) -> float:
        followers = sum(times * run.amounts.get(other, 0.0) for other, (like, times) in tied.items() if like == term)
        return run.amounts.get(term, 0.0) + followers

    return np.array([[work(run, term) for term in terms] for run in runs], float)
