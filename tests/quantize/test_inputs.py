import numpy as np
import pytest

from edgekit.graph import facts
from edgekit.quantize.assign import assign
from edgekit.quantize.inputs import REASON, even_inputs
from edgekit.simplify.batch import settle_shapes
from tests.models import graph, node, ops, run, weights

PEAKS = np.array([350.0, 20.0, 8.0, 4.0])
ROWS = [node("Reshape", ["x", "rows"], ["r"]), node("Gemm", ["r", "w", "b"], transB=1)]
CONV = [node("Conv", ["x", "k"])]
KNOWN = {
    "w": weights(5, 4) / PEAKS.astype(np.float32),  # as training leaves it
    "b": weights(5),
    "k": weights(5, 4, 3, 3) / PEAKS.astype(np.float32).reshape(4, 1, 1),
    "rows": np.array([-1, 4]),
}


def evened(nodes, shape, name, peaks=PEAKS):
    used = {i for n in nodes for i in n.input}
    model = settle_shapes(graph({"x": shape}, nodes, {k: v for k, v in KNOWN.items() if k in used}))
    return model, even_inputs(model, {name: peaks})


@pytest.mark.parametrize(
    ("nodes", "shape", "name"), [(ROWS, (1, 6, 4), "r"), (CONV, (1, 4, 5, 5), "x")], ids=["rows", "conv"]
)
def test_uneven_channels_are_brought_to_one_size(nodes, shape, name):
    before, after = evened(nodes, shape, name)
    assert ops(after) == ["Mul", *ops(before)]
    channels = -1 if name == "r" else 1
    x = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    x *= PEAKS.reshape([-1 if i == channels % len(shape) else 1 for i in range(len(shape))]).astype(np.float32)
    real, found = run(before, {"x": x})["y"], run(after, {"x": x})["y"]
    np.testing.assert_allclose(found, real, rtol=0, atol=1e-5 * np.abs(real).max())
    sizes = PEAKS * facts.constant(after.graph[0].inputs[1]).reshape(-1)
    assert sizes.max() / sizes.min() < PEAKS.max() / PEAKS.min() / 4


def test_the_product_stays_in_float():
    _, after = evened(ROWS, (1, 6, 4), "r")
    assert assign(after).kept_float == {"x_even": REASON}


def test_even_channels_are_left_alone():
    assert evened(ROWS, (1, 6, 4), "r", np.array([3.0, 2.0, 2.5, 1.0]))[1] is None


def test_an_input_that_others_read_is_left_alone():
    assert (
        evened([*ROWS[:1], node("Gemm", ["r", "w", "b"], ["g"], transB=1), node("Relu", ["x"])], (1, 6, 4), "r")[1]
        is None
    )


def test_a_channel_of_zeros_does_no_harm():
    _, after = evened(ROWS, (1, 6, 4), "r", np.array([350.0, 0.0, 8.0, 4.0]))
    assert np.isfinite(facts.constant(after.graph[0].inputs[1])).all()
