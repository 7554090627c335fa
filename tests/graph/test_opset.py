import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph.opset import holds_int16, raise_to_21
from tests.models import feeds, graph, node, run, weights

IMAGE = {"x": (1, 6, 5, 5)}
NORM = node("GroupNormalization", ["x", "s", "b"], num_groups=3)


def test_a_group_normalization_means_the_same():
    model = graph(IMAGE, [NORM], {"s": weights(3) + 1, "b": weights(3, seed=1)})
    assert holds_int16(model)
    raised = model.clone()
    raise_to_21(raised)
    assert raised.opset_imports[""] == 21
    sample = feeds(model)
    np.testing.assert_allclose(run(raised, sample)["y"], run(model, sample)["y"], rtol=1e-5, atol=1e-6)


def test_a_computed_scale_is_refused():
    model = graph({**IMAGE, "s": (3,)}, [NORM], {"b": weights(3)})
    assert not holds_int16(model)
    with pytest.raises(EdgekitError) as caught:
        raise_to_21(model)
    assert caught.value.code == "EK415"


def test_a_newer_opset_stays():
    model = graph(IMAGE, [node("Relu", ["x"])])
    model.opset_imports[""] = 23
    raise_to_21(model)
    assert model.opset_imports[""] == 23
