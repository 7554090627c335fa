"""The steps of quantizing on a few random samples, without workers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit import affine
from edgekit.artifact import Arrays
from edgekit.graph.check import checked
from edgekit.quantize import observe
from edgekit.quantize.assign import Plan, assign
from edgekit.quantize.choose import scales_of
from edgekit.quantize.correct import channel_axes
from edgekit.quantize.insert import insert
from edgekit.quantize.observe import Statistics
from edgekit.quantize.result import Base, Quantized
from edgekit.quantize.scheme import DEFAULT
from edgekit.quantize.weights import WeightRule, round_weights
from edgekit.run.observer import Observer, mean_of
from tests.models import feeds


@dataclass
class Step:
    """A float graph, observed on `rows`."""

    model: ir.Model
    plan: Plan
    rows: list[Arrays]
    statistics: dict[str, Statistics]
    means: dict[str, np.ndarray]

    def scales(self, method="minmax") -> dict[str, affine.QParams]:
        return scales_of(self.plan, self.statistics, {group.name: method for group in self.plan.groups})

    def weights(self, rule="minmax", method="minmax", rounding="nearest"):
        return round_weights(self.model, self.plan, self.scales(method), WeightRule(rule, rounding))

    def quantized(self, method="minmax", rule="minmax") -> ir.Model:
        return checked(insert(self.model, self.plan, self.scales(method), self.weights(rule, method)))


def observed(model: ir.Model, count: int = 8, keep_float=(), int16=(), scheme=DEFAULT) -> Step:
    plan = assign(model, keep_float, int16, scheme)
    axes = channel_axes(model, plan)
    values = sorted({name for group in plan.groups for name in group.observed} | {*axes, *plan.counted_as})
    observer = Observer(observe.observable(model, values), values, axes, plan.counted_as)
    rows = [feeds(model, 1, seed) for seed in range(count)]
    observer.update(rows)
    sums, samples = observer.channel_sums()
    return Step(
        model,
        plan,
        rows,
        {name: Statistics(*found) for name, found in observer.statistics().items()},
        {name: mean_of(total, samples) for name, total in sums.items()},
    )


def finished(step: Step) -> Quantized:
    """What quantizing by the exact ranges comes to, without repairs."""
    rule = WeightRule("minmax", "nearest")
    weights = round_weights(step.model, step.plan, step.scales(), rule)
    return Quantized(
        graph=insert(step.model, step.plan, step.scales(), weights),
        base=step.model,
        calibrated=Base(step.model, None),
        plan=step.plan,
        scales=step.scales(),
        methods={},
        weight_rule=rule,
        equalized=False,
        biases_corrected=False,
        error_before=0.0,
        error_after=0.0,
        calibration_count=len(step.rows),
        weights=weights,
        means=step.means,
        extremes={name: (found.low, found.high) for name, found in step.statistics.items()},
        held_out=step.rows[:3],
    )


def sqnr_db(real: np.ndarray, found: np.ndarray) -> float:
    signal = np.square(real, dtype=np.float64).sum()
    return float(10 * np.log10(signal / max(np.square(real - found, dtype=np.float64).sum(), 1e-30)))
