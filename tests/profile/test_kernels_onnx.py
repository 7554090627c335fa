"""What ONNX Runtime fuses is no kernel of its own; what it cannot fuse is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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
