from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.graph.check import checked
from edgekit.quantize.reconstruct import layers_of, reconstruct
from edgekit.quantize.repair import written_with
from edgekit.run import linear
from edgekit.samples import load_samples
from tests.models import feeds, graph, node, run, weights
from tests.quantize.steps import observed

CHANNELS = 6
IMAGE = (1, CHANNELS, 8, 8)


def smooth(seed, count=24):
    """Neighbouring pixels are alike, as in images: that is what rounding can be learned from."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.5, 1, (count, *IMAGE[1:])).cumsum(2).cumsum(3)
    return (x / np.abs(x).max()).astype(np.float32)


def alike(width, count=64):
    """Rows of which three numbers say nearly all."""
    rng = np.random.default_rng(0)
    rows = rng.normal(0.5, 0.5, (count, 3)) @ rng.normal(0, 0.5, (3, width)) + rng.normal(0, 0.02, (count, width))
    return rows.astype(np.float32)


def convolutions():
    nodes = [
        node("Conv", ["x", "w1"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "w2", "b2"], ["d"], pads=[1] * 4, group=CHANNELS),
        node("Relu", ["d"], ["s"]),
        node("Add", ["s", "r"], ["t"]),
        node("GlobalAveragePool", ["t"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "v", "c"], transB=1),
    ]
    constants = {
        "w1": weights(CHANNELS, CHANNELS, 3, 3),
        "w2": weights(CHANNELS, 1, 3, 3),
        "b2": weights(CHANNELS),
        "v": weights(4, CHANNELS),
        "c": weights(4),
    }
    return graph({"x": IMAGE}, nodes, constants)


@dataclass
class Case:
    """A float model with a plan, and samples to learn from."""

    model: object
    x: np.ndarray
    name: str = "x"

    def __post_init__(self):
        self.step = observed(self.model)
        self.scales = self.step.scales()

    def samples(self, order=slice(None)):
        return load_samples({self.name: self.x[order]}).renamed([value.name for value in self.model.graph.inputs])

    def learned(self, order=slice(None), ridge=0.3):
        start = self.step.weights()
        return reconstruct(self.model, self.step.plan, self.scales, start, self.samples(order), ridge, lambda _: None)

    def error(self, found, x):
        quantized = checked(written_with(self.model, self.step.plan, self.scales, found, None))
        real, rough = (run(model, {self.name: x})["y"] for model in (self.model, quantized))
        return float(np.square(real - rough).sum())


@pytest.fixture(scope="module")
def case():
    return Case(convolutions(), smooth(0))


def same(first, second):
    return all(
        np.array_equal(first[name].q, second[name].q) and np.array_equal(first[name].bias, second[name].bias)
        for name in first
    )


def test_outputs_come_closer_on_other_samples(case):
    found = case.learned()
    assert case.error(found, smooth(1)) < 0.5 * case.error(case.step.weights(), smooth(1))


def test_weights_stay_in_the_narrow_range_on_their_scales(case):
    start = case.step.weights()
    for name, weight in case.learned().items():
        assert weight.q.dtype == np.int8 and weight.q.shape == start[name].q.shape and abs(weight.q).max() <= 127
        assert weight.qparams == start[name].qparams


def test_an_op_without_a_bias_gets_one(case):
    found = case.learned()
    assert found["node_a"].bias.shape == (CHANNELS,)
    quantized = written_with(case.model, case.step.plan, case.scales, found, None)
    conv = next(each for each in quantized.graph if each.name == "node_a")
    assert len(conv.inputs) == 3


def test_the_order_of_samples_and_the_threads_change_nothing(case):
    found = case.learned()
    assert same(found, case.learned(order=np.random.default_rng(3).permutation(len(case.x))))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert same(found, case.learned())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_sample_counts_once(case):
    assert same(case.learned(), case.learned(order=[0, 0, 0, *range(len(case.x))]))


def test_a_graph_with_a_fixed_batch_is_given_one_sample_at_a_time():
    nodes = [node("Concat", ["x", "k"], ["c"], axis=2), node("Conv", ["c", "w"], ["y"], pads=[1] * 4)]
    constants = {"k": weights(1, CHANNELS, 2, 8), "w": weights(CHANNELS, CHANNELS, 3, 3)}
    model = graph({"x": IMAGE}, nodes, constants)
    for value in (*model.graph.inputs, *(made for each in model.graph for made in each.outputs)):
        value.shape = ir.Shape((1, *value.shape[1:]))
    case = Case(model, smooth(0))
    found = case.learned()
    assert case.error(found, smooth(1)[:1]) <= case.error(case.step.weights(), smooth(1)[:1])


def test_memory_bounds_the_samples(case, monkeypatch):
    seen = []
    real = linear.batches
    monkeypatch.setattr(
        linear, "batches", lambda graph, samples, count: seen.append(count) or real(graph, samples, count)
    )
    monkeypatch.setattr(linear, "BYTES", 5000)
    case.learned()
    values = CHANNELS * 64
    assert seen == [5000 // (4 * values + values)]  # one value lives between two stages, in floats and in integers


def test_what_reads_too_much_is_left_alone(case, monkeypatch):
    monkeypatch.setattr(linear, "WIDEST", 9)
    assert [each.name for each in layers_of(case.model, case.step.plan)] == ["node_d", "node_y"]
    found = case.learned()
    assert found["node_a"].bias is None and np.array_equal(found["node_a"].q, case.step.weights()["node_a"].q)
    assert found["node_d"].bias is not None


def test_products_of_rows_have_no_bias():
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Relu", ["a"], ["r"]), node("Gemm", ["r", "v"])]
    model = graph({"x": (1, 12)}, nodes, {"w": weights(12, 8), "v": weights(8, 5)})
    rows = alike(12)
    case = Case(model, rows[:32])
    found = case.learned()
    assert found["node_a"].bias is None and found["node_y"].bias.shape == (5,)
    assert case.error(found, rows[32:]) < case.error(case.step.weights(), rows[32:])


def test_steps_of_one_layer_learn_one_set_of_weights():
    """The same weights twice in a row."""
    nodes = [
        node("Gemm", ["x", "w", "b"], ["a"]),
        node("Tanh", ["a"], ["t"]),
        node("Gemm", ["t", "w", "b"], ["c"]),
        node("Tanh", ["c"], ["y"]),
    ]
    model = graph({"x": (1, 8)}, nodes, {"w": weights(8, 8), "b": weights(8)})
    rows = alike(8)
    case = Case(model, rows[:32])
    start = case.step.weights()
    found = case.learned()
    if start["node_a"].qparams == start["node_c"].qparams:
        assert found["node_a"] is found["node_c"]
    quantized = written_with(case.model, case.step.plan, case.scales, found, None)
    stored = [name for name in quantized.graph.initializers if name.endswith("_quantized") and name.startswith("w")]
    assert len(stored) == 1
    assert case.error(found, rows[32:]) < case.error(start, rows[32:])


def test_layers_that_share_weights_but_no_bias_keep_what_each_learned():
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "w", "c"], ["y"], pads=[1] * 4),
    ]
    constants = {"w": weights(CHANNELS, CHANNELS, 3, 3), "b": weights(CHANNELS), "c": weights(CHANNELS, seed=1)}
    case = Case(graph({"x": IMAGE}, nodes, constants), smooth(0))
    found = case.learned()
    quantized = written_with(case.model, case.step.plan, case.scales, found, None)
    read = {n.name: facts.constant(n.inputs[1].producer().inputs[0]) for n in quantized.graph if n.op_type == "Conv"}
    assert len(read) == 2 and not np.array_equal(*read.values())
    for name, integers in read.items():
        assert np.array_equal(integers, found[name].q)


def test_an_op_without_gradients_is_refused():
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("GlobalAveragePool", ["a"], ["p"]),
        node("Det", ["a"], ["z"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "v"]),
    ]
    model = graph({"x": IMAGE}, nodes, {"w": weights(CHANNELS, CHANNELS, 3, 3), "v": weights(CHANNELS, 4)}, ("y", "z"))
    with pytest.raises(EdgekitError, match="Det") as refused:
        Case(model, smooth(0)).learned()
    assert refused.value.code == "EK911"


def test_an_int16_op_learns_too():
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["r"]), node("Conv", ["r", "u"])]
    model = graph({"x": IMAGE}, nodes, {"w": weights(6, 6, 3, 3), "u": weights(4, 6, 3, 3)})
    case = Case(model, smooth(0))
    case.step = observed(model, int16=["node_a", "node_r", "node_y"])
    case.scales = case.step.scales()
    assert case.error(case.learned(), smooth(1)) < case.error(case.step.weights(), smooth(1))


def test_the_learned_bias_goes_with_the_integers_only():
    """Under a plan that leaves an op in float, its own bias is the right one."""
    case = Case(convolutions(), smooth(0))
    found = case.learned()
    plan = observed(case.model, keep_float=["node_y"]).plan
    scales = {group.name: case.scales[group.name] for group in plan.groups}
    quantized = written_with(case.model, plan, scales, {k: w for k, w in found.items() if k != "node_y"}, None)
    head = next(each for each in quantized.graph if each.name == "node_y")
    np.testing.assert_array_equal(facts.constant(head.inputs[2]), weights(4))
    assert feeds(quantized, 1)
