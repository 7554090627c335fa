"""Quantization-aware training from its samples to a graph that is kept where it is better on samples it never saw."""

from __future__ import annotations

from dataclasses import replace

from edgekit.progress import Progress
from edgekit.quantize.qat import Student
from edgekit.quantize.result import Quantized
from edgekit.run.objective import objective, remembering
from edgekit.run.teach import Training, Wanted, teach
from edgekit.run.torch_view import to_torch
from edgekit.samples import Samples


def retrain(quantized: Quantized, samples: Samples, wanted: Wanted, progress: Progress) -> tuple[Quantized, Training]:
    """The better one of a quantized graph and its trained self. samples: named as the graph's inputs."""
    base = quantized.base
    told = objective(to_torch(base), base, samples, wanted.distilled)
    if not wanted.course.augment:
        told = remembering(told, base, samples, progress)
    student = Student(quantized.graph, base, quantized.plan, quantized.scales, told)
    trained, training = teach(student, quantized.graph, told, samples, wanted, progress)
    if not training.kept:
        return quantized, training
    learned = replace(
        quantized,
        graph=trained.graph,
        base=trained.base,
        scales=trained.scales,
        weights=trained.weights,
        biases_corrected=False,  # they were learned
    )
    return learned, training
