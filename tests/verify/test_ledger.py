"""How a node of the model is found among the ops that ran."""

import pytest

from edgekit.artifact import REORDERED
from edgekit.lower import Wishes, lower
from edgekit.run.runner import Runner
from edgekit.verify import ledger
from edgekit.verify.executed import ExecutedOp
from tests.models import graph, node, weights
from tests.quantize.steps import observed

MODEL = graph({"x": (1, 4, 6, 6)}, [node("Conv", ["x", "w"])], {"w": weights(4, 4, 3, 3)})
ASKED = ledger.Asked()


def test_by_an_output_whose_channels_stand_in_another_order():
    op = ExecutedOp(name="", op="CONV_2D", outputs=(f"y{REORDERED}",), dtype="int8")
    (row,) = ledger._rows(MODEL, [op], ASKED)
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
            ledgers[format] = ledger.read(format, runner, model)
    share = 4 * 9 / (4 * 9 + 8)
    onnx, lite = ledgers["onnx"], ledgers["tflite"]
    assert [row.precision for row in lite.rows] == ["int16", "int16", "int8"]
    assert (lite.int8_macs_share, lite.int16_macs_share) == (pytest.approx(1 - share), pytest.approx(share))
    assert lite.rows[0].reason == "int16 in the file"
    assert [row.precision for row in onnx.rows] == ["float32", "float32", "int8"]
    assert (onnx.int8_macs_share, onnx.int16_macs_share) == (pytest.approx(1 - share), 0)
    assert [row.reason for row in onnx.rows] == [ledger.ON_INT16, ledger.ON_INT16, None]
    assert [row.node for row in lite.ran_in("int16")] == ["node_a", "node_r"]
