"""Which units go, so that the graph reaches a goal: a share of its MACs, or of its parameters.

A layer that keeps the share k of its scores is taken to pass on k of its signal, and a net the product of its layers'.
So what cutting costs is, over all groups g with n_g weights that make their channels,

    loss = - sum_g n_g log k_g

and the block of units goes next that loses least for what it saves, the lowest scores of a group first. A group comes
in blocks that leave its width a multiple of what kernels like, and never falls below a floor.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.prune.groups import Channels, Group
from edgekit.prune.labels import FIXED, Ids
from edgekit.prune.score import Scores

MULTIPLE = 8
"""Channels of a kernel's block: 8 floats of AVX2, or the 8 columns of XNNPACK's float kernels for Arm. A device may ask
for others. With AVX512, all kernels of both runtimes step at multiples of 16: 40 channels take 17 % less than 48 at
best, and often as long, where 32 take 17 % to 66 % less (benchmarks/widths.py); finer widths are kept as the default,
since what is pruned here mostly runs elsewhere.
"""
BLOCKS = 4  # a width is cut in at least so many blocks, smaller ones where need be
FLOOR = 0.125  # of a group's units


@dataclass(frozen=True, kw_only=True)
class Goal:
    """share: of the graph's, at most; multiple: what widths are rounded to, where the group allows it; floor: share of
    a group's units that stays; units: group -> how many it began with, where channels were cut before."""

    of: Literal["macs", "parameters"] = "macs"
    share: float
    multiple: int = MULTIPLE
    floor: float = FLOOR
    units: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """kept: group -> positions among its units; gone: the units to cut; share: of the goal's measure that is left;
    multiple: what widths were rounded to, None where nothing was to be cut."""

    kept: Mapping[str, tuple[int, ...]]
    gone: frozenset[int]
    share: float
    multiple: int | None = None


def choose(graph: ir.Model, channels: Channels, scores: Scores, goal: Goal) -> Choice:
    """Raises EK303 where the goal is out of reach."""
    ledger = _Ledger(channels, list(_macs(channels) if goal.of == "macs" else _parameters(graph, channels)))
    groups = {group.name: group for group in channels.groups}
    order = {name: np.argsort(scores[name], kind="stable") for name in groups}
    makers = Counter(unit for use in channels.slices if use.weighs for unit in set(use.labels.tolist()))
    gone = dict.fromkeys(groups, 0)
    steps: list[tuple[str, int]] = []
    while ledger.left > goal.share * ledger.whole:
        best: tuple[float, str, int] | None = None
        for name, group in groups.items():
            count = _block(group, gone[name], goal)
            if count and (saved := ledger.saving(group, count)) > 0:
                held = scores[name][order[name][gone[name] :]]
                gone_share = held[:count].sum() / held.sum() if held.sum() > 0 else count / len(held)
                lost = makers[group.units[0]] * -math.log(max(1 - gone_share, 1e-12))
                best = min(best or (math.inf, "", 0), (lost / saved, name, count))
        if best is None:
            raise _out_of_reach(goal, ledger.left / ledger.whole, channels)
        _, name, count = best
        ledger.cut(groups[name], count)
        gone[name] += count
        steps.append((name, count))
    for name, count in _room_for(steps, groups, ledger, goal):
        gone[name] -= count
    kept = {name: tuple(sorted(order[name][gone[name] :].tolist())) for name in groups}
    cut = frozenset(groups[name].units[i] for name in groups for i in order[name][: gone[name]].tolist())
    return Choice(kept=kept, gone=cut, share=ledger.left / ledger.whole, multiple=goal.multiple)


def _room_for(
    steps: list[tuple[str, int]], groups: Mapping[str, Group], ledger: _Ledger, goal: Goal
) -> Iterator[tuple[str, int]]:
    """The last step saved more than was missing: what there is room for again, most valuable first."""
    closed: set[str] = set()
    for name, count in reversed(steps):
        if name in closed:
            continue
        ledger.cut(groups[name], -count)
        if ledger.left <= goal.share * ledger.whole:
            yield name, count
        else:
            ledger.cut(groups[name], count)
            closed.add(name)  # what went before this step stays under it


def lines(channels: Channels, choice: Choice) -> Iterator[str]:
    """A group a line: how many channels stay."""
    for group in channels.groups:
        stay = len(choice.kept[group.name])
        yield f"{group.name}: {stay * group.channels} of {len(group.units) * group.channels} channels"


def _block(group: Group, gone: int, goal: Goal) -> int:
    """Units to go next: what is over a multiple, then a multiple; 0 where the floor is reached."""
    step, whole = goal.multiple, goal.units.get(group.name, len(group.units))
    while step > 1 and whole * group.channels < BLOCKS * step:
        step //= 2
    step = max(1, step // group.channels)
    left = len(group.units) - gone
    count = left % step or step
    least = max(step, math.ceil(goal.floor * whole))
    return count if left - count >= least else 0


Term = tuple[int, tuple[Ids, ...]]
"""What something costs, and the labels whose kept shares it shrinks with."""


def _macs(channels: Channels) -> Iterable[Term]:
    return ((work.macs, work.over) for work in channels.work)


def _parameters(graph: ir.Model, channels: Channels) -> Iterable[Term]:
    over: dict[tuple[str, int], list[Ids]] = defaultdict(list)
    for use in channels.slices:
        over[use.node, use.position].append(use.labels)
    for value in graph.graph.initializers.values():
        if facts.is_float(value):
            read = next((over[node.name or "", i] for node, i in value.uses() if (node.name or "", i) in over), [])
            yield math.prod(facts.static_shape(value)), tuple(read)


class _Ledger:
    """What the graph costs while units go."""

    def __init__(self, channels: Channels, terms: list[Term]) -> None:
        found: dict[bytes, int] = {}
        self._sizes: list[int] = []
        self._units: list[Counter[int]] = []
        self._terms = [(cost, tuple(self._span(ids, found) for ids in over)) for cost, over in terms]
        self._kept = list(self._sizes)
        self._of_span: dict[int, list[int]] = defaultdict(list)
        for index, (_, over) in enumerate(self._terms):
            for span in dict.fromkeys(over):
                self._of_span[span].append(index)
        self._of_group = {
            group.name: [(span, count) for span, units in enumerate(self._units) if (count := units[group.units[0]])]
            for group in channels.groups
        }
        self.whole = self.left = math.fsum(self._cost(index) for index in range(len(self._terms)))

    def _span(self, labels: Ids, found: dict[bytes, int]) -> int:
        index = found.setdefault(labels.tobytes(), len(found))
        if index == len(self._sizes):
            self._sizes.append(len(labels))
            self._units.append(Counter(unit for unit in labels.tolist() if unit != FIXED))
        return index

    def _cost(self, index: int) -> float:
        cost, over = self._terms[index]
        return cost * math.prod(self._kept[span] / self._sizes[span] for span in over)

    def saving(self, group: Group, count: int) -> float:
        """As a share of the whole."""
        before = self.left
        self.cut(group, count)
        after = self.left
        self.cut(group, -count)
        self.left = before
        return (before - after) / self.whole

    def cut(self, group: Group, count: int) -> None:
        touched = self._of_group[group.name]
        indices = dict.fromkeys(index for span, _ in touched for index in self._of_span[span])
        before = math.fsum(map(self._cost, indices))
        for span, share in touched:
            self._kept[span] -= share * count
        self.left += math.fsum(map(self._cost, indices)) - before


def _out_of_reach(goal: Goal, share: float, channels: Channels) -> EdgekitError:
    reasons = Counter(blocked.why for blocked in channels.blocked).most_common(3)
    stays = "; ".join(why for why, _ in reasons)
    return EdgekitError(
        "EK303",
        f"cannot prune to {goal.share:.0%} of the {'MACs' if goal.of == 'macs' else goal.of}",
        f"with every group at its floor {share:.0%} is left" + (f"; what stays: {stays}" if stays else ""),
        f"ask for {math.ceil(100 * share)}% or more",
    )
