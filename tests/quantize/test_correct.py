import numpy as np
import onnx_ir as ir
import pytest

from edgekit.graph import facts, marks
from edgekit.quantize.correct import channel_axes, correct_biases
from tests.models import graph, node, ops, run, weights
from tests.quantize.steps import observed

PLANE = {"x": (1, 8, 6, 6)}
CASES = {
    "conv": (PLANE, node("Conv", ["x", "w", "b"]), (6, 8, 1, 1)),
    "depthwise": (PLANE, node("Conv", ["x", "w", "b"], group=8), (16, 1, 3, 3)),
    "grouped": (PLANE, node("Conv", ["x", "w", "b"], group=4), (12, 2, 3, 3)),
    "gemm": ({"x": (1, 8)}, node("Gemm", ["x", "w", "b"], transB=1), (6, 8)),
    "gemm, weights the other way": ({"x": (1, 8)}, node("Gemm", ["x", "w", "b"]), (8, 6)),
}


def with_rounded_weights(model, rounded):
    """The float graph with the weights that the integers stand for."""
    model = model.clone()
    for made in model.graph:
        if made.name in rounded:
            made.inputs[1].const_value = ir.tensor(rounded[made.name].real)
    return model


def means(model, rows):
    found = np.concatenate([run(model, row)["y"] for row in rows])
    return found.mean(axis=(0, 2, 3) if found.ndim == 4 else 0, dtype=np.float64)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_the_mean_of_each_channel_is_that_of_float(case, bias):
    inputs, layer, shape = CASES[case]
    outputs = shape[1] if case.endswith("other way") else shape[0]
    constants = {"w": weights(*shape), "b": weights(outputs, seed=1)}
    if not bias:
        del layer.input[2:], constants["b"]
    # Planes of one number each: behind a kernel of more than one tap, only they have the mean that the rule assumes.
    level = [node("GlobalAveragePool", ["x"], ["g"]), node("Expand", ["g", "plane"], ["e"])]
    if spread := len(shape) == 4:
        layer.input[0], constants["plane"] = "e", np.array([1, 1, 6, 6])
    step = observed(graph(inputs, [*level * spread, layer], constants))
    rounded = step.weights()
    corrected = correct_biases(step.model, step.plan, rounded, step.means)
    real = means(step.model, step.rows)
    plain = means(with_rounded_weights(step.model, rounded), step.rows)
    repaired = means(with_rounded_weights(corrected, rounded), step.rows)
    assert np.abs(repaired - real).max() < 2e-6  # float32 sums
    assert np.abs(plain - real).max() > 1e-4
    if not bias:
        layer.input.append("b")


def test_only_layers_with_constant_weights_are_corrected():
    nodes = [node("Conv", ["x", "w"], ["a"]), node("ConvTranspose", ["a", "w"], ["t"]), node("Relu", ["t"])]
    step = observed(graph(PLANE, nodes, {"w": weights(8, 8, 1, 1)}), keep_float=[])
    assert channel_axes(step.model, step.plan) == {"x": 1}
    corrected = correct_biases(step.model, step.plan, step.weights(), step.means)
    assert ops(corrected) == ["Conv", "ConvTranspose", "Relu"]
    assert [len(made.inputs) for made in corrected.graph] == [3, 2, 1]
    assert len(step.model.graph[0].inputs) == 2, "a pass does not change its input"


def test_a_layer_kept_float_is_not_corrected():
    model = graph(PLANE, [node("Conv", ["x", "w"])], {"w": weights(8, 8, 1, 1)})
    step = observed(model, keep_float=["node_y"])
    assert channel_axes(step.model, step.plan) == {}


@pytest.mark.parametrize("own", [False, True], ids=["one bias", "biases of their own"])
def test_steps_of_one_layer_share_their_bias_where_they_have_one(own):
    names = ["b", "c" if own else "b"]
    steps = [node("Gemm", [x, "w", b], [y], transB=1) for x, b, y in zip("xa", names, "ay", strict=True)]
    constants = {"w": weights(8, 8), "b": weights(8, seed=1), **({"c": weights(8, seed=2, scale=5)} if own else {})}
    model = graph({"x": (1, 8)}, steps, constants)
    for step in model.graph:
        marks.share_scale(step, "w_product")
    seen = observed(model)
    corrected = correct_biases(seen.model, seen.plan, seen.weights(), seen.means)
    given, found = ([facts.constant(step.inputs[2]) for step in one.graph] for one in (model, corrected))
    assert (corrected.graph[0].inputs[2] is corrected.graph[1].inputs[2]) is not own
    for before, after in zip(given, found, strict=True):
        assert 0 < np.abs(after - before).max() < 0.05
