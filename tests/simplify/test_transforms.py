"""DFT and Col2Im against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.simplify import simplify
from tests.models import run

SIGNAL = (2, 6, 5)


def model(op: str, shape: tuple[int, ...], settings: list[list[int] | int | None], **attributes: object) -> ir.Model:
    constants = {f"s{i}": np.asarray(value, np.int64) for i, value in enumerate(settings) if value is not None}
    names = [f"s{i}" if value is not None else "" for i, value in enumerate(settings)]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], name="node", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, data_prop=True))


CASES = {
    "real": model("DFT", (*SIGNAL, 1), [None, 1]),
    "complex": model("DFT", (*SIGNAL, 2), [None, 2]),
    "inverse": model("DFT", (*SIGNAL, 2), [None, 1], inverse=1),
    "half": model("DFT", (*SIGNAL, 1), [None, 1], onesided=1),
    "shorter": model("DFT", (*SIGNAL, 1), [4, 1]),
    "longer": model("DFT", (*SIGNAL, 2), [9, -2]),
    "columns": model("Col2Im", (1, 8, 9), [[4, 4], [2, 2]]),
    "columns with strides": model("Col2Im", (1, 8, 4), [[5, 5], [2, 2]], strides=[2, 2]),
    "columns with pads": model("Col2Im", (1, 8, 12), [[3, 2], [2, 2]], pads=[1, 1, 1, 1], dilations=[1, 1]),
}


@pytest.mark.parametrize("name", CASES)
def test_is_a_linear_op(name: str) -> None:
    after = simplify(CASES[name])
    assert not {"DFT", "Col2Im"} & {node.op_type for node in after.graph}
    shape = [int(size) for size in CASES[name].graph.inputs[0].shape or ()]
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    expected, found = run(CASES[name], {"x": x})["y"], run(after, {"x": x})["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
