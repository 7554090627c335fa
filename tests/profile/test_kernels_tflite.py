"""TFLite files beyond the plain: groups, products of activations, pools, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.profile.kernels import kernels_of
from tests.lower.tflite.graphs import Graph, node
from tests.profile.nets import tflite_file


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tflite_file(tmp_path)
    path.write_bytes(path.read_bytes()[:64])
    with pytest.raises(EdgekitError, match=r"(?s)EK710.*no whole TFLite file"):
        kernels_of(path)


def test_a_pool_and_a_transposed_convolution(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(0, 0.3, (4, 6, 2, 2)).astype(np.float32)
    nodes = [
        node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", ["p", "w"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    case = Graph({"x": (1, 4, 8, 8)}, nodes, {"w": weight})
    pool, spread = (k for k in kernels_of(tflite_file(tmp_path, case, integers=False)) if k.kind != "move")
    assert (pool.kind, pool.taps, pool.stride, pool.outputs) == ("pool", (2, 2), 2, 64)
    assert (spread.kind, spread.macs, spread.weights) == ("transpose-conv", 64 * 6 * 4, weight.size)


def test_a_product_of_activations_has_no_weights(tmp_path: Path) -> None:
    case = Graph({"x": (1, 5, 6), "z": (1, 6, 7)}, [node("MatMul", ["x", "z"])])
    (product,) = kernels_of(tflite_file(tmp_path, case, integers=False))
    assert (product.kind, product.macs, product.weights, product.inputs) == ("matmul", 5 * 6 * 7, 0, 72)
