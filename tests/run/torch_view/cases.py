"""Rows beyond those that TFLite is tested with: what a graph for training may hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import TensorProto

from tests.lower.tflite.cases import IMAGE, one, weights
from tests.lower.tflite.graphs import Graph, node

ROWS = (1, 5, 12)


def more_cases() -> Iterator[tuple[str, Graph]]:
    yield from auto_pads()
    yield from layers()
    yield from shapes()
    yield "einsum", Graph({"x": (1, 3, 4), "z": (1, 5, 4)}, [node("Einsum", ["x", "z"], equation="bij,bkj->bik")])
    yield (
        "matmul-bias",
        Graph(
            {"x": ROWS},
            [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"])],
            {"w": weights(12, 4), "b": weights(4)},
        ),
    )
    yield (
        "gemm-turned",
        one("Gemm", (12, 3), {"w": weights(7, 12), "b": weights(3, 7)}, transA=1, transB=1, alpha=0.5, beta=2.0),
    )
    yield "trilu", one("Trilu", (1, 5, 5), {"k": np.asarray(1)}, upper=0)
    yield "global-lp-pool", one("GlobalLpPool", IMAGE, p=2)
    yield (
        "scatter-max",
        Graph(
            {"x": ROWS, "z": (1, 1, 12), "u": (1, 1, 12)},
            [node("ScatterElements", ["x", "z", "u"], reduction="max", axis=1)],
            int64_inputs={"z": 5},
        ),
    )


def auto_pads() -> Iterator[tuple[str, Graph]]:
    for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        constants = {"w": weights(5, 6, 4, 3)}
        yield f"conv-{auto}", one("Conv", IMAGE, constants, kernel_shape=[4, 3], strides=[2, 1], auto_pad=auto)
        yield f"max-{auto}", one("MaxPool", IMAGE, kernel_shape=[4, 3], strides=[2, 1], auto_pad=auto)
    constants = {"w": weights(6, 4, 3, 3)}
    for auto in ("NOTSET", "SAME_UPPER"):
        attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "output_shape": [18, 17], "auto_pad": auto}
        yield f"convtranspose-shape-{auto}", one("ConvTranspose", IMAGE, constants, **attributes)


def layers() -> Iterator[tuple[str, Graph]]:
    for op, gates, ways in (("LSTM", 4, 1), ("LSTM", 4, 2), ("GRU", 3, 1), ("GRU", 3, 2)):
        width = 6
        constants = {
            "w": weights(ways, gates * width, 8),
            "r": weights(ways, gates * width, width),
            "b": weights(ways, 2 * gates * width),
        }
        more = {"linear_before_reset": 1} if op == "GRU" else {}
        direction = "bidirectional" if ways == 2 else "forward"
        outputs = ("y", "h", "c") if op == "LSTM" else ("y", "h")
        layer = node(op, ["x", "w", "r", "b"], outputs, hidden_size=width, direction=direction, **more)
        yield f"{op.lower()}-{ways}", Graph({"x": (4, 1, 8)}, [layer], constants, outputs)


def shapes() -> Iterator[tuple[str, Graph]]:
    """Shapes that are computed while the model runs."""
    nodes = [
        node("Shape", ["x"], ["s"], start=1),
        node("Concat", ["minus", "s"], ["t"], axis=0),
        node("Reshape", ["x", "t"]),
    ]
    yield "reshape-computed", Graph({"x": ROWS}, nodes, {"minus": np.asarray([-1])})
    filled = [node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["f"]), node("Add", ["x", "f"])]
    yield "constant-of-shape", Graph({"x": ROWS}, filled)
    counted = [
        node("Size", ["x"], ["s"]),
        node("Range", ["zero", "s", "step"], ["r"]),
        node("Cast", ["r"], ["f"], to=TensorProto.FLOAT),
        node("ReduceSum", ["f"], ["t"], keepdims=0),
        node("Mul", ["x", "t"]),
    ]
    yield "range", Graph({"x": ROWS}, counted, {"zero": np.asarray(0), "step": np.asarray(7)})
