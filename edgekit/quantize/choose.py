"""One scale per group of values.

A method names a rule for the range (`ranges`). `auto` tries several per group and keeps, group by group from the input
on, the one with which the whole quantized graph's outputs come closest to the float ones on calibration samples that
the statistics have not seen; the winning rule is then applied to the statistics of all samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgekit import affine
from edgekit.quantize.assign import Plan, ScaleGroup
from edgekit.quantize.blocks import Block
from edgekit.quantize.observe import Statistics
from edgekit.quantize.ranges import Method, candidate
from edgekit.quantize.scheme import fitted
from edgekit.quantize.trial import Trials

Choice = Mapping[str, Method]
"""Group name -> the rule that gives its range."""

FIRST: Method = "mse"
FOR_FEW: Method = "reach"
TRIALS: tuple[Method, ...] = ("minmax", "percentile", "entropy")
GAIN = 0.005  # a rule must lower the error by this share to replace another: less is noise of few samples
SAME = 0.04  # ranges no end of which is further apart than this share are one trial: what is won by less is noise


def first_choice(plan: Plan, *, few: bool) -> Choice:
    """Before anything is searched; of few samples nothing is to be searched, for none can be spared to judge on."""
    return dict.fromkeys((group.name for group in plan.groups), FOR_FEW if few else FIRST)


def scales_of(plan: Plan, statistics: Mapping[str, Statistics], choice: Choice) -> dict[str, affine.QParams]:
    """The parameters of every group."""
    return {group.name: scale_of(group, statistics, method_of(group, choice)) for group in plan.groups}


def method_of(group: ScaleGroup, choice: Choice) -> Method:
    """16 bits have steps enough for the whole range."""
    return "minmax" if group.dtype == affine.INT16 else choice.get(group.name, FIRST)


def scale_of(group: ScaleGroup, statistics: Mapping[str, Statistics], method: Method) -> affine.QParams:
    if group.fixed is not None:
        return group.fixed
    low, high = candidate(Statistics.merged([statistics[name] for name in group.observed]), method)
    return fitted(low, high, group.dtype, symmetric=group.symmetric)


def search(
    groups: Sequence[ScaleGroup],
    statistics: Mapping[str, Statistics],
    scales: Mapping[str, affine.QParams],
    error: Callable[[Mapping[str, affine.QParams]], float],
    trial_done: Callable[[int], None],
) -> tuple[Choice, dict[str, affine.QParams]]:
    """Coordinate descent over the groups, from `scales` on: what was chosen, and the scales with it.

    error: the output error of the quantized graph under the given scales, on samples held out from `statistics`.
    """
    found = dict(scales)
    choice: dict[str, Method] = {}
    best = error(found)
    for group in groups:
        for method, qparams in _trials(group, statistics, found[group.name]):
            trial = error({**found, group.name: qparams})
            if trial < best * (1 - GAIN):
                best, choice[group.name] = trial, method
                found[group.name] = qparams
        trial_done(1)
    return choice, found


def search_by_blocks(
    blocks: Sequence[Block],
    statistics: Mapping[str, Statistics],
    scales: Mapping[str, affine.QParams],
    trials: Trials,
    trial_done: Callable[[int], None],
) -> Choice:
    """The same for a large graph: each trial looks no further than the end of its block.

    A block's choice is kept where the outputs of the whole graph come closer with it.
    """
    kept: dict[str, Method] = {}
    best = trials.error(scales)
    for block in blocks:
        trials.enter(block)
        choice, found = search(block.groups, statistics, scales, trials.block_error, trial_done)
        if choice and (error := trials.error(found)) < best:
            best, scales = error, found
            kept |= choice
        trials.leave(scales)
    return kept


def _trials(
    group: ScaleGroup, statistics: Mapping[str, Statistics], current: affine.QParams
) -> Sequence[tuple[Method, affine.QParams]]:
    """The rules that give the group a scale which is not yet among the tried ones."""
    if group.fixed is not None or group.dtype != affine.INT8:
        return ()
    found: list[tuple[Method, affine.QParams]] = []
    for method in TRIALS:
        qparams = scale_of(group, statistics, method)
        seen = [current, *(tried for _, tried in found)]
        if all(_differ(qparams, other) for other in seen):
            found.append((method, qparams))
    return found


def _differ(a: affine.QParams, b: affine.QParams) -> bool:
    (low, high), (other_low, other_high) = a.real_range, b.real_range
    return max(abs(low - other_low), abs(high - other_high)) > SAME * (other_high - other_low)
