"""How much to prune for a goal that only the finished file tells: bytes, or seconds measured or estimated.

The share of the MACs (or parameters) that is left is moved until the file keeps the goal. The cost is taken to lie on a
straight line between the shares tried last on either side of the goal:

    share = share_0 + (goal - cost_0) * (share_1 - share_0) / (cost_1 - cost_0)

and widths come in blocks, so that shares near each other often mean the same cut, which is tried once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from edgekit.errors import EdgekitError
from edgekit.report.facts import How, PruningTrial

TRIALS = 8
CLOSE = 0.02  # as near to the goal as this share of it is near enough
EDGE = 0.1  # of the bracket: a share that the line puts nearer to its ends is put here


class Candidate(Protocol):
    """A model that was cut."""

    @property
    def left(self) -> float:
        """The share that was asked for, as it came out."""

    @property
    def cut_away(self) -> frozenset[int]:
        """What tells it from others."""


C = TypeVar("C", bound=Candidate)
Costs = Mapping[str, float]
"""File -> what it costs, as a share of the unpruned one's."""


@dataclass(frozen=True)
class Reached(Generic[C]):
    """The largest model that keeps the goal, and all that were tried."""

    candidate: C
    trials: tuple[PruningTrial, ...]


def reached(
    goal: float, of: str, cut: Callable[[float], C], cost: Callable[[C], Costs], how: How, *, margin: float = 0.0
) -> Reached[C]:
    """of: what the goal is on, in words; how: a cost is known; margin: share of the goal to stay below it, for one that
    is measured.

    Raises EK303 where no trial keeps it.
    """
    aim = goal * (1 - margin)
    over, under = (1.0, 1.0), None  # (share, cost) on either side of the goal
    best: tuple[float, C] | None = None
    known: dict[frozenset[int], Costs] = {}
    trials: list[PruningTrial] = []
    share, floor, refusal = goal, 0.0, None
    for _ in range(TRIALS):
        try:
            candidate = cut(share)
        except EdgekitError as error:
            if error.code != "EK303":
                raise
            floor, refusal = share, error
            share = (floor + over[0]) / 2
            continue
        costs = known.get(candidate.cut_away)
        if costs is None:
            costs = known[candidate.cut_away] = cost(candidate)
            trials.append(PruningTrial(left=candidate.left, costs=dict(costs), how=how))
        most = max(costs.values())
        if most <= aim:
            under = (share, most)
            if best is None or candidate.left > best[0]:
                best = (candidate.left, candidate)
            if most >= aim * (1 - CLOSE):
                break
        else:
            over = (share, most)
        share = _next(aim, over, under or (floor, 0.0))
    if best is None:
        raise _out_of_reach(goal, of, trials, refusal)
    return Reached(best[1], tuple(trials))


def _next(aim: float, over: tuple[float, float], under: tuple[float, float]) -> float:
    (high, most), (low, least) = over, under
    at = (aim - least) / (most - least) if most > least else 0.5
    return low + (high - low) * min(max(at, EDGE), 1 - EDGE)


def _out_of_reach(goal: float, of: str, trials: list[PruningTrial], refusal: EdgekitError | None) -> EdgekitError:
    if not trials:
        assert refusal is not None
        return refusal
    least = min(max(trial.costs.values()) for trial in trials)
    tried = f"the smallest of {len(trials)} models that were tried has {least:.0%} of it"
    why = f"{tried}; {refusal.why}" if refusal is not None else tried
    return EdgekitError(
        "EK303", f"cannot prune to {goal:.0%} of the {of}", why, f"ask for {math.ceil(100 * least)}% or more"
    )
