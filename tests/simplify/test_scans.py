"""A Scan is its steps, forwards and backwards, along any axis."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from edgekit.simplify.constants import fold_constants
from tests.models import run

F32 = TensorProto.FLOAT


def scan(**attributes: object) -> ir.Model:
    """A running sum of rows, and each row's product with it."""
    rows = [helper.make_tensor_value_info(name, F32, (3,)) for name in ("s", "r", "t", "o")]
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "r"], ["t"], name="a"), helper.make_node("Mul", ["t", "r"], ["o"], name="m")],
        "body",
        rows[:2],
        rows[2:],
    )
    graph = helper.make_graph(
        [helper.make_node("Scan", ["z", "x"], ["e", "y"], name="scan", body=body, num_scan_inputs=1, **attributes)],
        "g",
        [helper.make_tensor_value_info("z", F32, (3,)), helper.make_tensor_value_info("x", F32, (3, 3))],
        [helper.make_tensor_value_info("e", F32, (3,)), helper.make_tensor_value_info("y", F32, (3, 3))],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


BACKWARD = {"scan_output_axes": [1], "scan_output_directions": [1]}


@pytest.mark.parametrize("attributes", [{}, {"scan_input_axes": [1]}, {"scan_input_directions": [1]}, BACKWARD])
def test_steps(attributes: dict[str, list[int]]) -> None:
    model = scan(**attributes)
    after = fold_constants(model)
    assert "Scan" not in {node.op_type for node in after.graph}
    onnx.checker.check_model(ir.to_proto(after))
    rng = np.random.default_rng(0)
    feeds = {"z": rng.normal(size=3).astype(np.float32), "x": rng.normal(size=(3, 3)).astype(np.float32)}
    expected, found = run(model, feeds), run(after, feeds)
    for name in ("e", "y"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
