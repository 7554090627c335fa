"""Learned rounding: weights are rounded as they do best on the samples, kept where that lowers the error on others.

How near the learned weights stay to the real ones is tried out, since it depends on how much the samples tell: a layer
that sees one position per sample is soon fitted to its noise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import onnx_ir as ir

from edgekit.progress import Progress
from edgekit.quantize.assign import Plan, Scales
from edgekit.quantize.calibrate import Calibration, held_apart
from edgekit.quantize.repair import Repaired, written_with
from edgekit.quantize.trial import Trials
from edgekit.samples import Samples

Effort = Literal["default", "high"]
RIDGES = (0.3, 1.0, 3.0, 10.0)
GAIN = 0.05  # learned weights must lower the error by this share to be kept: less is noise of few samples


def learned(
    graph: ir.Model,
    plan: Plan,
    scales: Scales,
    known: Repaired,
    samples: Samples,
    calibration: Calibration,
    trials: Trials,
    progress: Progress,
) -> Repaired:
    """The quantized graph with learned weights, or the one that is known where it is no worse.

    samples: all of the calibration; those that it holds out judge what was learned on the others.
    """
    from edgekit.quantize.reconstruct import layers_of, reconstruct  # not at the top: torch takes seconds to import

    if not (layers := layers_of(graph, plan)):
        return known
    means = calibration.means if known.repair.biases else None
    apart = held_apart(samples, len(calibration.held_out))
    others = [index for index, name in enumerate(samples.ids) if name not in apart]
    fit = samples.take(others) if others else samples
    found: list[Repaired] = []
    with progress.step("learning the rounding", len(RIDGES) * len(layers)) as advance:
        for ridge in RIDGES:
            weights = reconstruct(graph, plan, scales, known.weights, fit, ridge, advance)
            quantized = written_with(graph, plan, scales, weights, means)
            repair = replace(known.repair, learned=True)
            found.append(Repaired(quantized, weights, repair, trials.of(quantized, scales)))
    best = min(found, key=lambda repaired: repaired.error)
    return best if best.error < known.error * (1 - GAIN) else known
