"""What each op costs: the error of the model's outputs when it alone is rounded, and all the rest computes in float.

Rounding errors of different ops hardly know of each other, so that their squares add up: the most sensitive ops are
those whose leaving INT8 helps most. The error is that of the outputs (`trial.relative_error`) on calibration samples
that no range was taken from. Why not the accuracy: an op alone changes the answer of one sample in a hundred or of
none, which hundreds of labelled samples cannot tell from another's; and the samples that a model is judged on should
not have chosen its precisions.

Source: Wu et al. 2020, "Integer Quantization for Deep Learning Inference", section 5.1: one layer quantized at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Queue

from edgekit.graph import opset
from edgekit.progress import Progress
from edgekit.quantize.assign import Plan, Scales
from edgekit.quantize.clusters import Cluster, clusters
from edgekit.quantize.result import Quantized
from edgekit.quantize.trial import Trials
from edgekit.quantize.wider import inherited_scales, only, widened_plan
from edgekit.run.worker import Worker

CEILING_DB = 146.0  # what float32 carries


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What a cluster loses by itself: squared error of the outputs over their variance, summed over the outputs.

    error: in the precision that it has; int16_error: on int16 activations, None where that was not measured or is what
    it has.
    """

    cluster: Cluster
    error: float
    int16_error: float | None = None


def in_db(error: float) -> float:
    """Signal to noise."""
    return CEILING_DB if error <= 0 else min(CEILING_DB, -10 * math.log10(error))


def sensitivities(
    quantized: Quantized, workers: Sequence[Worker], progress: Progress, *, int16: bool = False
) -> tuple[Sensitivity, ...]:
    """Of every cluster, the most sensitive first. int16: also measure what int16 activations would lose."""
    found = clusters(quantized.base, quantized.plan)
    if not found:
        return ()
    widest = _int16(quantized, found) if int16 else None

    def measured(cluster: Cluster) -> Sensitivity:
        trials = free.get()
        try:
            error = _alone(quantized, quantized.plan, quantized.scales, cluster, trials)
            widens = widest is not None and not quantized.plan.int8_nodes.isdisjoint(cluster.nodes)
            int16_error = _alone(quantized, *widest, cluster, trials) if widest is not None and widens else None
        finally:
            free.put(trials)
        return Sensitivity(cluster=cluster, error=error, int16_error=int16_error)

    free: Queue[Trials] = Queue()
    with ExitStack() as stack:
        for worker in workers:  # each runs all samples of a graph: opening one costs more than running it
            free.put(stack.enter_context(Trials(quantized.base, quantized.plan, quantized.held_out, [worker])))
        pool = stack.enter_context(ThreadPoolExecutor(len(workers)))
        advance = stack.enter_context(progress.step("measuring sensitivity", len(found)))
        ranked: list[Sensitivity] = []
        for each in pool.map(measured, found):
            ranked.append(each)
            advance(1)
    return tuple(sorted(ranked, key=lambda each: -each.error))


def _int16(quantized: Quantized, found: Sequence[Cluster]) -> tuple[Plan, Scales] | None:
    """Everything on int16 activations; None where the graph cannot hold them."""
    if not opset.holds_int16(quantized.base):
        return None
    plan = widened_plan(quantized, {name: "int16" for cluster in found for name in cluster.computing}, {})
    return plan, inherited_scales(quantized, plan)


def _alone(quantized: Quantized, plan: Plan, scales: Scales, cluster: Cluster, trials: Trials) -> float:
    """The error with the plan kept for this cluster's ops only."""
    narrow, narrow_scales = only(plan, scales, quantized.base, cluster.nodes)
    if not narrow.integer_nodes:
        return 0.0
    return trials.of_constant(quantized.written(narrow, narrow_scales))
