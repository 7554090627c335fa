import numpy as np
import pytest

from edgekit.lower.tflite import to_tflite
from edgekit.run import litert
from tests.models import graph, node, run, weights
from tests.quantize.steps import observed


@pytest.mark.parametrize("bounds", [(0.5, 1.0), (-1.0, -0.25), (0.25, 100.0)], ids=str)
def test_the_bounds_of_a_clip_are_real_numbers(bounds):
    low, high = (np.float32(bound) for bound in bounds)
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Clip", ["a", "low", "high"])]
    constants = {"w": weights(4, 4, 1, 1), "low": low, "high": high}
    step = observed(graph({"x": (1, 4, 6, 6)}, nodes, constants))
    model = step.quantized()
    file = to_tflite(model, nhwc=False, io_int8=False, metadata={})
    found = litert.Interpreter(file.data).run(step.rows[0])["y"]
    np.testing.assert_allclose(found, run(model, step.rows[0])["y"], atol=float(step.scales()["a"].scale) * 1.01)
