from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgekit.graph import files
from edgekit.quantize.trial import relative_error, scale_inputs, with_scale_inputs
from edgekit.run.trial import Signal, Trial
from tests.models import graph, node, run, weights
from tests.quantize.steps import observed

STEP = observed(graph({"x": (1, 4, 6, 6)}, [node("Conv", ["x", "w"])], {"w": weights(4, 4, 3, 3)}))


def opened(quantized):
    return files.to_bytes(with_scale_inputs(quantized, [group.name for group in STEP.plan.groups]))


def trial():
    made = Trial(files.to_bytes(STEP.model), STEP.rows)
    made.open(opened(STEP.quantized()))
    return made


def test_errors_are_those_of_the_graph_with_these_scales():
    found = trial().errors(scale_inputs(STEP.scales()))
    model = STEP.quantized()
    for row, [(error, signal)] in zip(STEP.rows, found, strict=True):
        real, quantized = run(STEP.model, row)["y"], run(model, row)["y"]
        assert error == pytest.approx(np.square(quantized - real, dtype=np.float64).sum())
        assert signal == pytest.approx((real.sum(), np.square(real, dtype=np.float64).sum(), real.size), rel=1e-5)


def test_other_scales_give_other_errors():
    made, scales = trial(), STEP.scales()
    good = relative_error(made.errors(scale_inputs(scales)))
    coarse = {**scales, "y": replace(scales["y"], scale=np.asarray(scales["y"].scale * np.float32(8)))}
    assert relative_error(made.errors(scale_inputs(coarse))) > 4 * good


def of(*values):
    """The signal of an output's values in one sample."""
    return Signal(sum(values), sum(value**2 for value in values), len(values))


def test_the_error_is_summed_over_samples_then_outputs():
    errors = [[(1.0, of(1, 3)), (2.0, of(0, 2))], [(3.0, of(5, 7)), (2.0, of(2, 4))]]
    assert relative_error(errors) == pytest.approx(4 / 20 + 4 / 8)


def test_an_output_of_one_number_varies_from_sample_to_sample():
    assert relative_error([[(1.0, of(2.0))], [(1.0, of(4.0))]]) == pytest.approx(2 / 2)


def test_an_output_that_never_changes_is_measured_by_its_size():
    assert relative_error([[(1.0, of(3.0, 3.0))], [(1.0, of(3.0, 3.0))]]) == pytest.approx(2 / 36)


def test_an_output_that_is_always_zero_is_measured_by_its_error():
    assert relative_error([[(0.25, of(0.0, 0.0))]]) == 0.25


def test_the_error_does_not_depend_on_who_measured_which_sample():
    errors = [[(0.1 * 3**i, of(0.7**i, 0.3**i))] for i in range(12)]
    assert relative_error(errors) == relative_error(errors[::2] + errors[1::2])


def test_masks_and_small_integers_are_subtracted_as_numbers():
    model = graph({"x": (1, 4)}, [node("Greater", ["x", "limit"], ["y"])], {"limit": np.float32([[0, 1, 2, 3]])})
    model.graph.outputs[0].type = ir.TensorType(ir.DataType.BOOL)
    made = Trial(files.to_bytes(model), [{"x": np.float32([[1, 1, 1, 1]])}])
    flipped = model.clone()
    flipped.graph.initializers["limit"].const_value = ir.tensor(np.float32([[2, 1, 2, 3]]))
    made.open(files.to_bytes(flipped))
    assert made.errors({}) == [[(1.0, Signal(1.0, 1.0, 4))]]
