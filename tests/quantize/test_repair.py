from types import SimpleNamespace

import numpy as np

from edgekit.progress import SILENT
from edgekit.quantize.repair import PLAIN, Repair, repaired, written
from edgekit.quantize.weights import WeightRule
from tests.models import graph, node, run, weights
from tests.quantize.steps import observed

KERNELS = graph(
    {"x": (1, 4, 8, 8)},
    [node("Conv", ["x", "w", "b"], ["a"]), node("Relu", ["a"], ["r"]), node("Conv", ["r", "v", "b"])],
    {"w": weights(4, 4, 3, 3), "v": weights(4, 4, 3, 3, seed=1), "b": weights(4, seed=2)},
)
MATRIX = graph({"x": (1, 8)}, [node("Gemm", ["x", "w"], transB=1)], {"w": weights(6, 8)})


def tried(model, error):
    """(what was written, plain, best) under an error that is a function of the quantized graph."""
    step, seen = observed(model), []

    def of(quantized, _):
        seen.append(quantized)
        return error(step, quantized)

    means = SimpleNamespace(means=step.means, fit_means=step.means)
    plain, best = repaired(model, step.plan, step.scales(), step.scales(), means, SimpleNamespace(of=of), SILENT)
    return seen, plain, best


def squared(step, quantized):
    return sum(np.square(run(quantized, row)["y"] - run(step.model, row)["y"]).sum() for row in step.rows)


def test_the_repair_with_the_least_error_is_kept():
    seen, plain, best = tried(KERNELS, squared)
    step = observed(KERNELS)
    assert len(seen) == 8
    assert plain.repair == PLAIN and plain.error == squared(step, plain.graph)
    assert best.error == min(squared(step, quantized) for quantized in seen) < plain.error
    again = written(KERNELS, step.plan, step.scales(), step.means, best.repair)
    assert squared(step, again) == best.error


def test_without_kernels_rounding_is_not_tried():
    seen, _, best = tried(MATRIX, squared)
    assert len(seen) == 6
    assert best.repair.weights.rounding == "nearest"


def test_what_does_not_help_is_left_out():
    _, plain, best = tried(KERNELS, lambda *_: 1.0)
    assert best.error == plain.error and best.repair == Repair(WeightRule("minmax", "nearest"), biases=False)
