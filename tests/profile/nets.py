"""A small net as TFLite and ONNX files, for the tests of what is read from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.lower.tflite import to_tflite
from tests.lower.tflite.graphs import Graph, as_ir, node, quantized

SIZE = 16


def net() -> Graph:
    """3x3 convolution with a ReLU, 5x5 depthwise, 1x1, residual sum, hard swish, mean, dense; NCHW."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    constants = {
        "w1": weights(8, 3, 3, 3),
        "b1": weights(8),
        "w2": weights(8, 1, 5, 5),
        "w3": weights(8, 8, 1, 1),
        "w4": weights(10, 8),
        "b4": weights(10),
        "axes": np.array([2, 3]),
        "flat": np.array([0, -1]),
    }
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], kernel_shape=[3, 3], pads=[0, 0, 1, 1], strides=[2, 2]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], kernel_shape=[5, 5], pads=[2, 2, 2, 2], group=8),
        node("Conv", ["c2", "w3"], ["c3"], kernel_shape=[1, 1]),
        node("Add", ["r1", "c3"], ["s"]),
        node("HardSwish", ["s"], ["h"]),
        node("ReduceMean", ["h", "axes"], ["m"], keepdims=1),
        node("Reshape", ["m", "flat"], ["f"]),
        node("Gemm", ["f", "w4", "b4"], ["y"], transB=1),
    ]
    return Graph({"x": (1, 3, SIZE, SIZE)}, nodes, constants)


def tflite_file(folder: Path, case: Graph | None = None, *, integers: bool = True) -> Path:
    model = quantized(case or net()) if integers else (case or net()).model()
    path = folder / ("net.int8.tflite" if integers else "net.tflite")
    path.write_bytes(to_tflite(as_ir(model), nhwc=True, io_int8=False, metadata={}).data)
    return path


def onnx_file(folder: Path, case: Graph | None = None, *, integers: bool = True) -> Path:
    model = quantized(case or net()) if integers else (case or net()).model()
    path = folder / ("net.int8.onnx" if integers else "net.onnx")
    path.write_bytes(model.SerializeToString())
    return path
