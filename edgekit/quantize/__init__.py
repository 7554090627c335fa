"""The door of quantize: a float graph and calibration samples become a QDQ graph under the INT8 contract.

assign    which ops compute in INT8, which values share a scale
observe   what values each tensor takes on the samples
equalize  channels of one size, where that helps
choose    one scale per group of values
insert    write it all into the graph
repair    make up for rounded weights, where that helps
learn     round weights as the samples ask for, where that helps
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import onnx_ir as ir

from edgekit.graph import cost, facts
from edgekit.progress import SILENT, Progress
from edgekit.quantize.agree import agreeing_scales
from edgekit.quantize.assign import Plan, Scales, assign
from edgekit.quantize.blocks import cut
from edgekit.quantize.borders import even_borders
from edgekit.quantize.calibrate import Calibration, calibrate
from edgekit.quantize.choose import TRIALS, Choice, first_choice, method_of, scales_of, search, search_by_blocks
from edgekit.quantize.equalize import equalize
from edgekit.quantize.learn import Effort, learned
from edgekit.quantize.norms import NO_NORMS, Norms
from edgekit.quantize.ranges import Method
from edgekit.quantize.repair import FIRST as FIRST_REPAIR
from edgekit.quantize.repair import Repaired, repaired, written
from edgekit.quantize.result import Base, Quantized
from edgekit.quantize.scheme import DEFAULT, Scheme
from edgekit.quantize.trial import Trials
from edgekit.run.worker import Worker
from edgekit.samples import Samples

Ranges = Literal["auto", "minmax", "percentile", "mse", "entropy"]
HELD_OUT_AT_MOST = 12
HELD_OUT_AT_LEAST = 4
SEARCH_MACS = 3 * 10**11
"""What the search of the ranges may compute: larger models are searched on fewer samples, down to the least, and what
is still too large block by block."""
EQUALIZED, EQUALIZED_BY_FEW = 0.6, 0.25
"""Share of the error that equalized channels may leave, to be worth it. Each channel then fills the range that it has
shown, so that a new sample is cut off in one of many, the likelier the fewer samples there were: a keyword spotter with
0.66 on held-out samples had 1.8 on others."""
VALUE_MACS = 50  # what a value costs that is written, quantized and read again, in ONNX Runtime on x86
GROUPS_PER_BLOCK = 4  # at least: what a range does to the values behind it shows a few ops later


def quantize(
    graph: ir.Model,
    samples: Samples,
    workers: Sequence[Worker],
    ranges: Ranges = "auto",
    keep_float: Iterable[str] = (),
    progress: Progress = SILENT,
    *,
    io_int8: bool = False,
    norms: Norms = NO_NORMS,
    int16: Iterable[str] = (),
    scheme: Scheme = DEFAULT,
    effort: Effort = "default",
) -> Quantized:
    """Quantize a simplified float graph on calibration samples, whose inputs are named as the graph's.

    workers: who runs the model; the result does not depend on how many they are; io_int8: the files take integers;
    norms: values of the graph whose training statistics are known, to hold the samples' against;
    int16: names of nodes that compute on int16 activations; scheme: which integers;
    effort: high also learns how weights are rounded.

    Raises EK411 and EK412 where no scale can be found (NaN, infinity, nothing but zeros).
    """
    keep_float, int16 = tuple(keep_float), tuple(int16)
    plan = assign(graph, keep_float, int16, scheme)
    held_out = _held_out_count(graph, plan, len(samples))
    bases = [Base(graph, calibrate(graph, plan, samples, held_out, workers, progress, norms))]
    if (even := even_borders(graph, plan, bases[0].calibration.peaks, io_int8=io_int8)) is not None:
        graph, plan = even, assign(even, keep_float, int16, scheme)
        bases = [Base(graph, calibrate(graph, plan, samples, held_out, workers, progress, norms))]
    few = bases[0].calibration.few
    if (even := equalize(graph, bases[0].calibration.peaks, few=few)) is not None:
        bases.append(Base(even, calibrate(even, plan, samples, held_out, workers, progress)))
    plain = bases[0]
    with Trials(graph, plan, plain.calibration.held_out, workers) as trials:

        def candidate(base: Base) -> _Candidate:
            made = _candidate(plan, base, ranges, trials, progress)
            return _learned(plan, made, samples, trials, progress) if effort == "high" else made

        if effort == "default" or few:  # else what equalizing is worth is known once the rounding is learned
            bases = [_worthy(plan, bases, trials)]
        found = min((candidate(base) for base in bases), key=lambda made: made.best.error)
    base, best = found.base, found.best
    return Quantized(
        graph=best.graph,
        base=base.graph,
        calibrated=plain,
        plan=plan,
        scales=found.scales,
        methods={group.name: method_of(group, found.choice) for group in plan.groups if group.fixed is None},
        weight_rule=best.repair.weights,
        rounding_learned=best.repair.learned,
        equalized=base is not plain,
        biases_corrected=best.repair.biases,
        error_before=found.plain.error,
        error_after=best.error,
        calibration_count=len(samples),
        weights=best.weights,
        means=base.calibration.means,
        extremes={name: (seen.low, seen.high) for name, seen in base.calibration.all.items()},
        held_out=base.calibration.held_out,
    )


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A graph with its ranges chosen, rounded plainly and by the repairs that help."""

    base: Base
    choice: Choice
    scales: Scales
    plain: Repaired
    best: Repaired


def _worthy(plan: Plan, bases: Sequence[Base], trials: Trials) -> Base:
    """The equalized one where that is worth it."""
    base, *others = bases
    worth = EQUALIZED_BY_FEW if base.calibration.few else EQUALIZED
    better = [even for even in others if _first_error(plan, even, trials) < worth * _first_error(plan, base, trials)]
    return better[0] if better else base


def _candidate(plan: Plan, base: Base, ranges: Ranges, trials: Trials, progress: Progress) -> _Candidate:
    graph, calibration = base.graph, base.calibration
    choice = _methods(plan, calibration, ranges, trials, graph, progress)
    fit_scales, scales = (
        agreeing_scales(graph, plan, scales_of(plan, statistics, choice))
        for statistics in (calibration.fit, calibration.all)
    )
    plain, best = repaired(graph, plan, scales, fit_scales, calibration, trials, progress)
    return _Candidate(base=base, choice=choice, scales=scales, plain=plain, best=best)


def _learned(plan: Plan, made: _Candidate, samples: Samples, trials: Trials, progress: Progress) -> _Candidate:
    base = made.base
    best = learned(base.graph, plan, made.scales, made.best, samples, base.calibration, trials, progress)
    return replace(made, best=best)


def _first_error(plan: Plan, base: Base, trials: Trials) -> float:
    """What a graph loses before anything is searched."""
    scales = scales_of(plan, base.calibration.fit, first_choice(plan, few=base.calibration.few))
    return trials.of(written(base.graph, plan, scales, base.calibration.fit_means, FIRST_REPAIR), scales)


def _methods(
    plan: Plan, calibration: Calibration, ranges: Ranges, trials: Trials, graph: ir.Model, progress: Progress
) -> Choice:
    """The rule of each group's range: the user's, or the best found."""
    if ranges != "auto":
        return dict.fromkeys((group.name for group in plan.groups), ranges)
    first = first_choice(plan, few=calibration.few)
    if calibration.few:
        return first
    start = scales_of(plan, calibration.fit, first)
    quantized = written(graph, plan, start, calibration.fit_means, FIRST_REPAIR)
    trials.open(quantized)
    blocks = _block_count(graph, plan, len(calibration.held_out))
    with progress.step("searching ranges", len(plan.groups)) as advance:
        if blocks == 1:
            return search(plan.groups, calibration.fit, start, trials.error, advance)[0]
        return search_by_blocks(cut(graph, quantized, plan, blocks), calibration.fit, start, trials, advance)


def _held_out_count(graph: ir.Model, plan: Plan, samples: int) -> int:
    """How many samples the statistics do without while ranges are chosen."""
    wanted = min(HELD_OUT_AT_MOST, max(HELD_OUT_AT_LEAST, SEARCH_MACS // _search_macs(graph, plan)))
    return int(min(wanted, max(1, samples // 2)))


def _block_count(graph: ir.Model, plan: Plan, samples: int) -> int:
    """In how many blocks the ranges are searched so that it stays within what it may compute."""
    needed = math.ceil(_search_macs(graph, plan) * samples / SEARCH_MACS)
    return max(1, min(needed, len(plan.groups) // GROUPS_PER_BLOCK))


def _search_macs(graph: ir.Model, plan: Plan) -> int:
    """Of all trials on one sample, with what it costs to quantize every value."""
    values = sum(math.prod(facts.static_shape(value)) for node in graph.graph for value in node.outputs if value.shape)
    once = sum(cost.macs_by_node(graph).values()) + VALUE_MACS * values
    return max(once, 1) * (len(plan.groups) * len(TRIALS) + 1)


__all__ = ["Method", "Quantized", "Ranges", "quantize"]
