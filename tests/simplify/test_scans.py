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


def test_two_scans_of_one_body() -> None:
    """Their bodies' constants have the same names, and one is a row of the result itself."""
    vector = [helper.make_tensor_value_info(name, F32, (3,)) for name in ("r", "o", "c")]
    table = onnx.numpy_helper.from_array(np.array([1, 2, 3], np.float32), "c")
    body = helper.make_graph(
        [helper.make_node("Mul", ["r", "c"], ["o"], name="m")], "b", vector[:1], vector[1:], [table]
    )
    nodes = [
        helper.make_node("Scan", ["x"], ["y", "k"], name="first", body=body, num_scan_inputs=1),
        helper.make_node("Scan", ["y"], ["z", "l"], name="second", body=body, num_scan_inputs=1),
    ]
    values = [helper.make_tensor_value_info(name, F32, (2, 3)) for name in ("x", "k", "z")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    after = fold_constants(ir.from_proto(model))
    x, row = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32), np.array([1, 2, 3], np.float32)
    found = run(after, {"x": x})
    np.testing.assert_array_equal(found["k"], [row, row])
    np.testing.assert_array_equal(found["z"], x * row * row)
