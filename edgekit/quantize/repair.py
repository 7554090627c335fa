"""What makes up for the rounding of weights: each repair is kept where it lowers the error on held-out samples.

Tried from plain rounding on, one choice after the other: which scales, which rounding, corrected biases or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx_ir as ir

from edgekit.graph import facts
from edgekit.progress import Progress
from edgekit.quantize.assign import LINEAR, Plan, Scales
from edgekit.quantize.calibrate import Calibration
from edgekit.quantize.correct import Means, correct_biases, with_learned_biases
from edgekit.quantize.insert import insert, insert_into
from edgekit.quantize.rounding import Rounding, has_kernels
from edgekit.quantize.trial import Trials
from edgekit.quantize.weights import IntegerWeights, Rule, WeightRule, round_weights


@dataclass(frozen=True)
class Repair:
    """How weights are rounded, by rule or learned from there on; whether biases are corrected."""

    weights: WeightRule
    biases: bool
    learned: bool = False


PLAIN = Repair(WeightRule("minmax", "nearest"), biases=False)
FIRST = Repair(WeightRule("minmax", "balanced"), biases=True)
"""While ranges are chosen: what most models come to."""

SCALES: tuple[Rule, ...] = ("minmax", "mse")
ROUNDINGS: tuple[Rounding, ...] = ("nearest", "balanced")


@dataclass(frozen=True)
class Repaired:
    """A quantized graph with its weights, what was repaired, and its relative squared output error on the held-out
    samples."""

    graph: ir.Model
    weights: IntegerWeights
    repair: Repair
    error: float


def written(graph: ir.Model, plan: Plan, scales: Scales, means: Means, repair: Repair) -> ir.Model:
    """The quantized graph."""
    weights = round_weights(graph, plan, scales, repair.weights)
    return written_with(graph, plan, scales, weights, means if repair.biases else None)


def written_with(graph: ir.Model, plan: Plan, scales: Scales, weights: IntegerWeights, means: Means | None) -> ir.Model:
    """means: of the channels, where biases are to be corrected by them."""
    graph = with_learned_biases(graph, plan, weights)
    if means is None:
        return insert(graph, plan, scales, weights)
    return insert_into(correct_biases(graph, plan, weights, means), plan, scales, weights)


def repaired(
    graph: ir.Model,
    plan: Plan,
    scales: Scales,
    fit_scales: Scales,
    calibration: Calibration,
    trials: Trials,
    progress: Progress,
) -> tuple[Repaired, Repaired]:
    """The quantized graph with nothing repaired, and the one whose outputs come closest to the float ones.

    fit_scales: of the samples that are not held out, by which the repairs are chosen: those that judge them have not
    been seen before.
    """

    def tried(repair: Repair, scales: Scales, means: Means) -> Repaired:
        weights = round_weights(graph, plan, scales, repair.weights)
        quantized = written_with(graph, plan, scales, weights, means if repair.biases else None)
        advance(1)
        return Repaired(quantized, weights, repair, trials.of(quantized, scales))

    def fitted(repair: Repair) -> Repaired:
        return tried(repair, fit_scales, calibration.fit_means)

    rules = _rules(graph)
    with progress.step("choosing repairs", len(rules) + 4) as advance:
        best = fitted(PLAIN)
        for rule in rules:
            best = min(best, fitted(Repair(rule, biases=True)), key=_error)
        best = min(best, fitted(replace(best.repair, biases=not best.repair.biases)), key=_error)
        plain, found = (tried(repair, scales, calibration.means) for repair in (PLAIN, best.repair))
    return plain, found


def _error(found: Repaired) -> float:
    return found.error


def _rules(graph: ir.Model) -> list[WeightRule]:
    """Balanced rounding only where there is something to balance."""
    given = [facts.constant(node.inputs[1]) for node in graph.graph if node.op_type in LINEAR]
    kernels = any(weight is not None and has_kernels(weight) for weight in given)
    return [WeightRule(scale, how) for how in ROUNDINGS[: 1 + kernels] for scale in SCALES]
