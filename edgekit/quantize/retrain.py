"""Quantization-aware training from its samples to a graph that is kept where it is better on samples it never saw."""

from __future__ import annotations

from dataclasses import replace

from edgekit.errors import EdgekitError
from edgekit.progress import Progress
from edgekit.quantize.assign import Scales
from edgekit.quantize.qat import Student
from edgekit.quantize.result import Extremes, Quantized
from edgekit.quantize.weights import WeightRule
from edgekit.run.objective import check_trainable, objective, remembering
from edgekit.run.teach import Wanted, teach
from edgekit.run.torch_view import to_torch
from edgekit.run.trained import Training
from edgekit.samples import Samples


def retrain(quantized: Quantized, samples: Samples, wanted: Wanted, progress: Progress) -> tuple[Quantized, Training]:
    """The better one of a quantized graph and its trained self. samples: named as the graph's inputs.

    Raises EK925 where there is nothing to train.
    """
    base = quantized.base
    check_trainable(base)
    told = objective(to_torch(base), base, samples, wanted.distilled)
    if not wanted.course.augment:
        told = remembering(told, base, samples, progress)
    student = Student(quantized.graph, base, quantized.plan, quantized.scales, told)
    if not student.has_weights:
        raise EdgekitError(
            "EK925",
            "cannot train the integers",
            "no op with weights or a bias of its own computes on integers",
            "leave --qat out, or keep fewer ops in float",
        )
    trained, training = teach(student, quantized.graph, told, samples, wanted, progress)
    if not training.kept:
        return quantized, training
    learned = replace(
        quantized,
        graph=trained.graph,
        base=trained.base,
        scales=trained.scales,
        weights=trained.weights,
        weight_rule=WeightRule("minmax", "nearest"),  # what was made of them before is forgotten
        rounding_learned=False,
        biases_corrected=False,
        extremes=_extremes(quantized, trained.scales),
    )
    return learned, training


def _extremes(quantized: Quantized, scales: Scales) -> Extremes:
    """What values held on the calibration samples, or what they may hold by now where that is more: nobody looked."""
    found: dict[str, tuple[float, float]] = {}
    for name, (low, high) in quantized.extremes.items():
        group = quantized.plan.group_of.get(name)
        least, largest = scales[group.name].real_range if group is not None else (low, high)
        found[name] = min(low, least), max(high, largest)
    return found
