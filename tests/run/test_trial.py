from dataclasses import replace

import numpy as np
import pytest

from edgekit.graph import files
from edgekit.quantize.trial import relative_error, scale_inputs, with_scale_inputs
from edgekit.run.trial import Trial
from tests.models import graph, node, run, weights
from tests.quantize.steps import observed

STEP = observed(graph({"x": (1, 4, 6, 6)}, [node("Conv", ["x", "w"])], {"w": weights(4, 4, 3, 3)}))


def trial():
    made = Trial(files.to_bytes(STEP.model), STEP.rows)
    made.open(with_scale_inputs(STEP.quantized(), [group.name for group in STEP.plan.groups]))
    return made


def test_errors_are_those_of_the_graph_with_these_scales():
    found = trial().errors(scale_inputs(STEP.scales()))
    model = STEP.quantized()
    for row, [(error, signal)] in zip(STEP.rows, found, strict=True):
        real, quantized = run(STEP.model, row)["y"], run(model, row)["y"]
        assert error == pytest.approx(np.square(quantized - real, dtype=np.float64).sum())
        assert signal == pytest.approx(np.square(real - real.mean(), dtype=np.float64).sum())


def test_other_scales_give_other_errors():
    made, scales = trial(), STEP.scales()
    good = relative_error(made.errors(scale_inputs(scales)))
    coarse = {**scales, "y": replace(scales["y"], scale=np.asarray(scales["y"].scale * np.float32(8)))}
    assert relative_error(made.errors(scale_inputs(coarse))) > 4 * good


def test_the_error_is_summed_over_samples_then_outputs():
    assert relative_error([[(1.0, 4.0), (2.0, 1.0)], [(3.0, 4.0), (2.0, 3.0)]]) == pytest.approx(4 / 8 + 4 / 4)
