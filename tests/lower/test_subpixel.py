import numpy as np
import onnx
import pytest

from edgekit.graph.check import checked
from edgekit.graph.files import to_bytes
from edgekit.lower.onnx import to_onnx
from edgekit.lower.subpixel import interleave
from tests.models import graph, node, ops, run, weights
from tests.quantize.steps import observed

BLOCK = {"kernel": (3, 3), "strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}
CASES = {
    "doubles": {"kernel": (2, 2), "strides": [2, 2]},
    "overlapping": BLOCK,
    "even kernel": {"kernel": (4, 4), "strides": [2, 2], "pads": [1, 1, 1, 1]},
    "no stride": {"kernel": (3, 3), "pads": [1, 1, 1, 1]},
    "gaps": {"kernel": (2, 2), "strides": [3, 3], "output_padding": [1, 2]},
    "uneven": {"kernel": (3, 5), "strides": [2, 3], "pads": [0, 2, 1, 1]},
    "deep pads": {"kernel": (5, 5), "strides": [2, 2], "pads": [4, 3, 4, 2]},
    "groups": {**BLOCK, "group": 2},
    "one axis": {"kernel": (4,), "strides": [2], "pads": [1, 1]},
    "with a clamp": {**BLOCK, "relu": True},
}


def step(kernel, relu=False, bias=True, **attributes):
    inputs, outputs = 4, 6 // attributes.get("group", 1)
    nodes = [node("ConvTranspose", ["x", "w", *["b"] * bias], ["t" if relu else "y"], **attributes)]
    if relu:
        nodes.append(node("Clip", ["t", "low", "high"], ["y"]))
    constants = {"w": weights(inputs, outputs, *kernel), "b": weights(6)}
    constants |= {"low": np.float32(-0.3), "high": np.float32(0.9)} if relu else {}
    return observed(graph({"x": (1, inputs, *(5, 6)[: len(kernel)])}, nodes, constants))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_same_integers(case):
    made = step(**case)
    quantized = made.quantized()
    spread = quantized.clone()
    interleave(spread)
    checked(spread)
    assert "ConvTranspose" not in ops(spread)
    for row in made.rows:
        expected, found = run(quantized, row, fuse=False)["y"], run(spread, row, fuse=False)["y"]
        assert found.shape == expected.shape
        scale = float(made.scales()[made.plan.group_of["y"].name].scale)
        # The same sums of float32 in another order: a tie may round the other way.
        assert np.abs(found - expected).max() <= 1.01 * scale
        assert (found != expected).mean() < 0.01


def test_without_a_bias():
    made = step(bias=False, **BLOCK)
    spread = made.quantized()
    interleave(spread)
    assert "ConvTranspose" not in ops(spread)


def test_a_float_one_stays():
    made = observed(step(**BLOCK).model, keep_float=["node_y"])
    spread = made.quantized()
    interleave(spread)
    assert "ConvTranspose" in ops(spread)


def test_it_runs_in_integers(tmp_path):
    import onnxruntime

    made = step(**BLOCK)
    file = to_onnx(made.quantized(), activations=np.dtype(np.uint8), nhwc=False, io_int8=False, metadata={})
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    session = onnxruntime.InferenceSession(file.data, options, providers=["CPUExecutionProvider"])
    found = [one.op_type for one in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert "QLinearConv" in found
    assert "Conv" not in found
    batch = {"x": np.concatenate([row["x"] for row in made.rows[:3]])}
    expected = run(to_bytes(made.quantized()), batch)["y"]
    np.testing.assert_allclose(
        session.run(None, batch)[0], expected, atol=1.01 * float(made.scales()[made.plan.group_of["y"].name].scale)
    )


def test_one_on_int16_values_stays():
    nodes = [node("ConvTranspose", ["x", "w", "b"], ["t"], strides=[2, 2]), node("Relu", ["t"])]
    made = observed(graph({"x": (1, 4, 5, 5)}, nodes, {"w": weights(4, 6, 3, 3), "b": weights(6)}), int16=["node_t"])
    data = to_onnx(made.quantized(), activations=np.dtype(np.uint8), nhwc=False, io_int8=False, metadata={}).data
    assert "ConvTranspose" in [n.op_type for n in onnx.load_from_string(data).graph.node]
    for row in made.rows[:2]:
        real, found = run(made.model, row)["y"], run(data, row)["y"]
        assert np.abs(found - real).max() < 0.02 * np.abs(real).max()
