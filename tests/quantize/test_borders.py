import numpy as np
import pytest

from edgekit.graph import facts
from edgekit.quantize.assign import assign
from edgekit.quantize.borders import REASON, even_borders
from edgekit.simplify.batch import settle_shapes
from tests.models import graph, node, ops, run, weights

PEAKS = np.array([350.0, 20.0, 8.0, 4.0])
ROWS = [node("Reshape", ["x", "rows"], ["r"]), node("Gemm", ["r", "w", "b"], transB=1)]
CONV = [node("Conv", ["x", "k"])]
KNOWN = {
    "w": weights(5, 4) / PEAKS.astype(np.float32),  # as training leaves it
    "b": weights(5),
    "k": weights(5, 4, 3, 3) / PEAKS.astype(np.float32).reshape(4, 1, 1),
    "one": weights(5, 4, 1, 1),
    "g": 1 + weights(4, scale=0.1),
    "rows": np.array([-1, 4]),
}


def evened(nodes, shape, name, peaks=PEAKS, io_int8=False):
    used = {i for n in nodes for i in n.input}
    model = settle_shapes(graph({"x": shape}, nodes, {k: v for k, v in KNOWN.items() if k in used}))
    return model, even_borders(model, assign(model), {name: peaks}, io_int8=io_int8)


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


ROOT = [node("Abs", ["x"], ["a"]), node("Sqrt", ["a"], ["s"])]


def test_what_a_float_op_gives_is_evened_for_its_int8_readers():
    first = [node("Conv", ["s", "k"], ["c"]), node("GlobalAveragePool", ["c"], ["p"])]
    second = [node("Log", ["s"], ["l"]), node("GlobalAveragePool", ["l"], ["m"]), node("Conv", ["m", "one"], ["q"])]
    before, after = evened([*ROOT, *first, *second, node("Add", ["p", "q"])], (1, 4, 5, 5), "s", PEAKS)
    assert after.graph[1].op_type == "Sqrt" and after.graph[2].op_type == "Mul"
    product = after.graph[2].outputs[0]
    assert [use.node.op_type for use in product.uses()] == ["Conv"]
    (logarithm,) = (made for made in after.graph if made.op_type == "Log")
    assert logarithm.inputs[0] is after.graph[1].outputs[0], "float readers get it as it was"
    x = np.random.default_rng(0).uniform(0.1, 1, (1, 4, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(run(after, {"x": x})["y"], run(before, {"x": x})["y"], rtol=1e-5, atol=1e-6)


def test_integer_inputs_are_left_alone():
    assert evened(CONV, (1, 4, 5, 5), "x", io_int8=True)[1] is None
    assert evened([*ROOT, node("Conv", ["s", "k"])], (1, 4, 5, 5), "s", io_int8=True)[1] is not None


def test_a_layer_norm_takes_the_factors_itself():
    nodes = [node("LayerNormalization", ["x", "g"], ["n"]), node("Reshape", ["n", "rows"], ["r"])]
    assert evened([*nodes, node("Gemm", ["r", "w", "b"], transB=1)], (1, 6, 4), "r")[1] is None


def test_weights_that_others_compute_with_stay():
    twice = [node("Conv", ["s", "k"], ["c"]), node("Relu", ["x"], ["p"]), node("Conv", ["p", "k"], ["q"])]
    assert evened([*ROOT, *twice, node("Add", ["c", "q"])], (1, 4, 5, 5), "s")[1] is None
