"""What quantizing came to, with all that is needed to write the graph again under another plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from edgekit.artifact import Arrays
from edgekit.quantize.assign import Plan, Scales
from edgekit.quantize.calibrate import Calibration
from edgekit.quantize.choose import Choice
from edgekit.quantize.correct import Means
from edgekit.quantize.repair import written_with
from edgekit.quantize.weights import IntegerWeights, WeightRule, round_weights

Extremes = Mapping[str, tuple[float, float]]
"""Value -> the least and the greatest number that it held on the calibration samples."""


@dataclass(frozen=True)
class Base:
    """A float graph to quantize, and what its values are."""

    graph: ir.Model
    calibration: Calibration


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """The quantized graph and how it came about.

    base: the float graph that was quantized, equalized or as it came; calibrated: before it was equalized; methods:
    group -> the rule that gave its range; error_before, error_after: relative squared output error on the held-out
    samples, with plain rounding and with what was kept; weights: as integers; means, extremes: of the base's values;
    held_out: calibration samples that no range was taken from; int16_because: node -> why it is not in int8.
    """

    graph: ir.Model
    base: ir.Model
    calibrated: Base
    plan: Plan
    scales: Scales
    methods: Choice
    weight_rule: WeightRule
    rounding_learned: bool = False
    equalized: bool
    biases_corrected: bool
    error_before: float
    error_after: float
    calibration_count: int
    weights: IntegerWeights
    means: Means
    extremes: Extremes
    held_out: Sequence[Arrays]
    int16_because: Mapping[str, str] = field(default_factory=dict)

    def written(self, plan: Plan, scales: Scales) -> ir.Model:
        """The graph under another plan, with the weights and the repairs that were found."""
        if not plan.integer_nodes:  # equalization changes what is larger than it was on the calibration samples
            return self.calibrated.graph
        weights = round_weights(self.base, plan, scales, self.weight_rule, self.weights)
        return written_with(self.base, plan, scales, weights, self.means if self.biases_corrected else None)
