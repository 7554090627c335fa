import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit.graph import files
from edgekit.lower.weights import widen_at_load
from edgekit.quantize.weights_only import quantize_weights
from tests.models import feeds, graph, histogram, node, run, weights

MODEL = graph(
    {"x": (1, 8, 6, 6)},
    [node("Conv", ["x", "w"], ["a"]), node("Reshape", ["a", "s"], ["r"]), node("Gemm", ["r", "v"])],
    {"w": weights(8, 8, 3, 3), "s": np.array([-1, 128]), "v": weights(128, 5)},
)


@pytest.mark.parametrize("per_channel", [True, False])
def test_the_same_numbers_without_a_dequantizer(per_channel):
    quantized = quantize_weights(MODEL, per_channel=per_channel).graph
    widened = widen_at_load(quantized)
    assert histogram(widened) == {"Cast": 2, "Mul": 2, "Conv": 1, "Reshape": 1, "Gemm": 1}
    inputs = feeds(MODEL)
    expected, found = run(quantized, inputs, fuse=False)["y"], run(widened, inputs, fuse=False)["y"]
    np.testing.assert_array_equal(found, expected)


def test_onnxruntime_computes_it_when_it_loads_the_file(tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    data = files.to_bytes(widen_at_load(quantize_weights(MODEL).graph))
    onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    ops = {made.op_type for made in onnx.load(tmp_path / "optimized.onnx").graph.node}
    assert ops.isdisjoint({"Cast", "Mul", "DequantizeLinear"})
