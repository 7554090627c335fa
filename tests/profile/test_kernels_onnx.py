"""What ONNX Runtime fuses is no kernel of its own; what it cannot fuse is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from edgekit.profile.kernels import kernels_of
from tests.lower.tflite.graphs import Graph, node
from tests.profile.nets import onnx_file

WEIGHT = np.random.default_rng(0).normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)
ONES = np.ones(4, np.float32)


def test_batch_norm_and_activation_go_into_the_convolution(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]),
        node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        node("Relu", ["n"]),
    ]
    case = Graph({"x": (1, 3, 8, 8)}, nodes, {"w": WEIGHT, "s": ONES, "b": ONES, "m": ONES, "v": ONES})
    assert [kernel.op for kernel in kernels_of(onnx_file(tmp_path, case, integers=False))] == ["Conv"]


def test_an_activation_stays_where_its_input_is_used_twice(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]),
        node("Relu", ["c"], ["r"]),
        node("Add", ["c", "r"]),
    ]
    case = Graph({"x": (1, 3, 8, 8)}, nodes, {"w": WEIGHT})
    assert [kernel.op for kernel in kernels_of(onnx_file(tmp_path, case, integers=False))] == ["Conv", "Relu", "Add"]


def test_an_op_that_nobody_knows(tmp_path: Path) -> None:
    case = Graph({"x": (1, 3, 8, 8)}, [node("Hardmax", ["x"])])
    (kernel,) = kernels_of(onnx_file(tmp_path, case, integers=False))
    assert (kernel.kind, kernel.macs) == ("other", 0)


def test_pairs_around_what_computes_in_float_are_kernels(tmp_path: Path) -> None:
    sigmoid = [node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]), node("Sigmoid", ["c"])]
    path = onnx_file(tmp_path, Graph({"x": (1, 3, 8, 8)}, sigmoid, {"w": WEIGHT}))
    assert [k.op for k in kernels_of(path)] == ["QuantizeLinear", "Conv", "Sigmoid", "DequantizeLinear"]
    model = onnx.load(path)
    curve = next(n for n in model.graph.node if n.op_type == "Sigmoid")
    end = next(n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.output[0] == "y")
    before = next(n for n in model.graph.node if n.output[0] == end.input[0])
    model.graph.node.remove(end)
    model.graph.node.remove(before)
    curve.output[0] = "y"
    onnx.save(model, path)
    found = [(k.op, k.precision) for k in kernels_of(path)]
    assert found == [
        ("QuantizeLinear", "int8"),
        ("Conv", "int8"),
        ("DequantizeLinear", "int8"),
        ("Sigmoid", "float32"),
    ]
