import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.lower.half import halve_weights
from tests.models import feeds, graph, histogram, node, run, weights

HALF = 2.0**-11  # relative, of rounding to float16


def network(weight):
    nodes = [node("Conv", ["x", "w", "b"], ["a"]), node("Conv", ["a", "w", "b"])]
    return graph({"x": (1, 8, 6, 6)}, nodes, {"w": weight, "b": weights(8)})


def test_weights_are_halved_once_and_biases_stay():
    model = network(weights(8, 8, 3, 3))
    halved = halve_weights(model)
    kinds = {value.name: facts.constant(value).dtype.name for value in halved.graph.initializers.values()}
    assert kinds == {"w_half": "float16", "b": "float32"}
    assert histogram(halved) == {"Cast": 1, "Conv": 2}
    inputs = feeds(model)
    real, found = run(model, inputs)["y"], run(halved, inputs)["y"]
    assert np.abs(found - real).max() < 8 * HALF * np.abs(real).max()


def test_a_weight_beyond_float16_is_refused():
    weight = weights(8, 8, 3, 3)
    weight[0, 0, 0, 0] = -70_000
    with pytest.raises(EdgekitError, match="largest magnitude is 70000") as refused:
        halve_weights(network(weight))
    assert refused.value.code == "EK504"


def test_integers_and_small_constants_stay():
    model = graph({"x": (1, 8)}, [node("Gather", ["x", "i"], axis=1)], {"i": np.zeros(100, np.int64)})
    assert histogram(halve_weights(model)) == {"Gather": 1}
