"""How a node of the model is found among the ops that ran."""

import pytest

from edgekit.artifact import REORDERED
from edgekit.lower import Wishes, lower
from edgekit.quantize.weights_only import quantize_weights
from edgekit.run.runner import Runner
from edgekit.verify import ledger
from edgekit.verify.executed import ExecutedOp
from tests.models import graph, node, weights
from tests.quantize.steps import observed

MODEL = graph({"x": (1, 4, 6, 6)}, [node("Conv", ["x", "w"])], {"w": weights(4, 4, 3, 3)})
ASKED = ledger.Asked()


def test_by_an_output_whose_channels_stand_in_another_order():
    op = ExecutedOp(name="", op="CONV_2D", outputs=(f"y{REORDERED}",), dtype="int8")
    (row,) = ledger._rows(MODEL, [op], ASKED, {})
    assert row.precision == "int8"


def test_ops_on_int16_values(tmp_path):
    """LiteRT computes them in integers, ONNX Runtime in float, and the ledger says so."""
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["r"]), node("Conv", ["r", "v"])]
    model = graph({"x": (1, 4, 6, 6)}, nodes, {"w": weights(8, 4, 3, 3), "v": weights(8, 8, 1, 1)})
    step = observed(model, int16=["node_a"])
    wishes = Wishes(activations="uint8", nhwc=False, io_int8=False, metadata={})
    ledgers = {}
    for format in ("onnx", "tflite"):
        file = lower(step.quantized(), format, "int8", tmp_path / f"net.{format}", wishes)
        with Runner(file.artifact) as runner:
            ledgers[format] = ledger.read(format, runner, model, {"node_r": "over budget"})
    share = 4 * 9 / (4 * 9 + 8)
    onnx, lite = ledgers["onnx"], ledgers["tflite"]
    assert [row.precision for row in lite.rows] == ["int16", "int16", "int8"]
    assert (lite.int8_macs_share, lite.int16_macs_share) == (pytest.approx(1 - share), pytest.approx(share))
    assert [row.reason for row in lite.rows] == ["int16 in the file", "over budget", None]
    assert [row.precision for row in onnx.rows] == ["float32", "float32", "int8"]
    assert (onnx.int8_macs_share, onnx.int16_macs_share) == (pytest.approx(1 - share), 0)
    assert [row.reason for row in onnx.rows] == [ledger.ON_INT16, f"{ledger.ON_INT16}; over budget", None]
    assert [row.node for row in lite.ran_in("int16")] == ["node_a", "node_r"]


def test_int8_weights_alone(tmp_path):
    """LiteRT's hybrid kernels compute in integers, ONNX Runtime in float with weights that it widened."""
    nodes = [
        *(node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["r"]), node("Flatten", ["r"], ["f"])),
        node("Gemm", ["f", "v"]),
    ]
    model = graph({"x": (1, 8, 6, 6)}, nodes, {"w": weights(8, 8, 3, 3), "v": weights(128, 5)})
    made = quantize_weights(model).graph
    wishes = Wishes(activations="uint8", nhwc=False, io_int8=False, metadata={})
    ledgers = {}
    for format in ("onnx", "tflite"):
        file = lower(made, format, "int8-dynamic", tmp_path / f"net.{format}", wishes)
        with Runner(file.artifact) as runner:
            ledgers[format] = ledger.read(format, runner, model, {})
    assert {row.precision for row in ledgers["tflite"].rows} == {"int8"}
    assert ledgers["tflite"].int8_macs_share == 1
    reasons = {row.node: row.reason for row in ledgers["onnx"].rows if row.macs}
    assert reasons == dict.fromkeys(("node_a", "node_y"), ledger.ON_INT8_WEIGHTS)
    assert ledgers["onnx"].int8_macs_share == 0
