import numpy as np
import pytest

from edgekit import affine
from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.graph.check import checked
from edgekit.quantize import weights_only
from edgekit.quantize.weights_only import quantize_weights
from tests.models import feeds, graph, histogram, node, run, weights

IMAGE = {"x": (1, 8, 6, 6)}
W = weights(8, 8, 3, 3)


def conv(x, y, w="w", **attributes):
    return node("Conv", [x, w], [y], **attributes)


def test_weights_become_integers_and_biases_stay():
    model = graph(IMAGE, [node("Conv", ["x", "w", "b"], ["a"]), node("Relu", ["a"])], {"w": W, "b": weights(8)})
    made = quantize_weights(model)
    assert made.kept_float == {}
    assert histogram(checked(made.graph)) == {"DequantizeLinear": 1, "Conv": 1, "Relu": 1}
    dequantizer = next(n for n in made.graph.graph if n.op_type == "DequantizeLinear")
    q, scale = (facts.constant(value) for value in dequantizer.inputs[:2])
    assert (q.dtype, scale.shape, facts.attribute(dequantizer, "axis")) == (np.int8, (8,), 0)
    assert np.abs(q.reshape(8, -1)).max(axis=1).tolist() == [127] * 8
    inputs = feeds(model)
    real, found = run(model, inputs)["y"], run(made.graph, inputs)["y"]
    assert 0 < np.abs(found - real).max() < 0.02 * np.abs(real).max()


@pytest.mark.parametrize(
    ("one", "constants", "axis"),
    [
        (node("Gemm", ["x", "w"], transB=1), {"w": weights(20, 16)}, 0),
        (node("Gemm", ["x", "w"]), {"w": weights(16, 20)}, 1),
        (node("MatMul", ["x", "w"]), {"w": weights(16, 20)}, 1),
    ],
    ids=["transposed", "plain", "matmul"],
)
def test_products_with_weights(one, constants, axis):
    made = quantize_weights(graph({"x": (1, 16)}, [one], constants))
    dequantizer = made.graph.graph[0]
    assert facts.attribute(dequantizer, "axis") == axis
    scale = facts.constant(dequantizer.inputs[1])
    assert np.allclose(scale, np.abs(constants["w"]).max(axis=1 - axis) / affine.WEIGHT_MAX)


def test_one_scale_for_all_channels():
    made = quantize_weights(graph(IMAGE, [conv("x", "y")], {"w": W}), per_channel=False)
    assert facts.constant(made.graph.graph[0].inputs[1]).shape == ()


def test_weights_that_two_ops_read_are_stored_once():
    made = quantize_weights(graph(IMAGE, [conv("x", "a", pads=[1] * 4), conv("a", "y")], {"w": W}))
    assert histogram(made.graph) == {"DequantizeLinear": 1, "Conv": 2}


@pytest.mark.parametrize(
    ("one", "constants", "reason"),
    [
        (node("Conv", ["x", "w"], group=8), {"w": weights(8, 1, 6, 6)}, weights_only.DEPTHWISE),
        (node("ConvTranspose", ["x", "w"]), {"w": W}, weights_only.TRANSPOSED),
        (node("MatMul", ["x", "w"]), {"w": weights(8, 6, 6)}, weights_only.BATCHED),
        (node("MatMul", ["x", "x"]), {}, weights_only.COMPUTED),
        (node("Conv", ["x", "w"]), {"w": weights(4, 8, 1, 1)}, weights_only.SMALL),
    ],
    ids=["depthwise", "transposed", "batched", "computed", "small"],
)
def test_what_stays_has_its_reason(one, constants, reason):
    made = quantize_weights(graph(IMAGE, [one], constants))
    assert made.kept_float == {"node_y": reason}
    assert len(histogram(made.graph)) == 1


def test_kept_on_request():
    model = graph(IMAGE, [conv("x", "y")], {"w": W})
    assert quantize_weights(model, ["node_y"]).kept_float == {"node_y": "kept float on request"}
    with pytest.raises(EdgekitError, match="did you mean 'node_y'"):
        quantize_weights(model, ["nodey"])
