"""Where transposes stay and where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.lower.tflite import TFLiteFile, layout, to_tflite
from edgekit.run.litert import Interpreter
from tests.lower.tflite.cases import IMAGE, cases, weights
from tests.lower.tflite.graphs import Graph, as_ir, node, quantized

FREE = (
    "flatten-gemm",
    "unflatten-conv",
    "squeeze-excite",
    "tokens",
    "conv1d-chain",
    "depthtospace-crd-conv",
    "add-after-conv",
    "group-norm",
    "image-pooling",
    "pools-in-three-dimensions",
)


def residual() -> Graph:
    """conv, depthwise, pointwise, addition, concat, pools, global mean, gemm: what small CNNs are made of."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "d"], ["e"], kernel_shape=[3, 3], pads=[1] * 4, group=8),
        node("Conv", ["e", "p"], ["f"], kernel_shape=[1, 1]),
        node("Add", ["f", "r"], ["s"]),
        node("Concat", ["s", "r"], ["c"], axis=1),
        node("MaxPool", ["c"], ["m"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        node("AveragePool", ["m"], ["v"], kernel_shape=[2, 2]),
        node("Sigmoid", ["v"], ["g"]),
        node("Mul", ["v", "g"], ["u"]),
        node("GlobalAveragePool", ["u"], ["t"]),
        node("Reshape", ["t", "shape"], ["h"]),
        node("Gemm", ["h", "k", "b"], ["y"], transB=1),
    ]
    constants = {
        "w": weights(8, 6, 3, 3),
        "d": weights(8, 1, 3, 3),
        "p": weights(8, 8, 1, 1),
        "k": weights(5, 16),
        "b": weights(5, 1)[:, 0],
        "shape": np.asarray([-1, 16]),
    }
    return Graph({"x": IMAGE}, nodes, constants)


def lowered(case: Graph, *, int8: bool, nhwc: bool = True) -> TFLiteFile:
    return to_tflite(as_ir(quantized(case) if int8 else case.model()), nhwc=nhwc, io_int8=False, metadata={})


@pytest.mark.parametrize("int8", [False, True])
def test_no_transpose_in_a_cnn(int8: bool) -> None:
    assert lowered(residual(), int8=int8).transposes == 0
    kept = lowered(residual(), int8=int8, nhwc=False)
    assert (kept.transposes, kept.transposed_bytes) == (
        1,
        np.prod(kept.inputs[0].shape) * (1 if int8 else 4),
    )  # the input


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("name", FREE)
def test_no_transpose(name: str, int8: bool) -> None:
    case = cases()[name]
    # a signal or a volume keeps the model's order
    borders = sum(len(shape) in (3, 5) for shape in case.inputs.values()) * 2
    assert lowered(case, int8=int8).transposes <= borders


def test_transposes_move_int8() -> None:
    case = cases()["conv-no-bias"]
    kernels = Interpreter(lowered(case, int8=True, nhwc=False).data).ops()
    assert [kernel.operand_dtypes[0] for kernel in kernels if kernel.op == "TRANSPOSE"] == ["int8", "int8"]


def test_specs_say_the_order() -> None:
    file = lowered(residual(), int8=False)
    assert file.inputs[0].axes == (0, 2, 3, 1)
    assert file.inputs[0].shape == (1, 9, 8, 6)
    assert file.outputs[0].axes is None
    assert lowered(residual(), int8=False, nhwc=False).inputs[0].axes is None


@pytest.mark.parametrize(
    ("before", "after", "order", "take", "give"),
    [
        ((1, 6, 9, 8), (1, 6, 72), (0, 2, 3, 1), (0, 2, 3, 1), (0, 2, 1)),  # H and W merge, C stays behind them
        ((1, 6, 9, 8), (1, 432), (0, 2, 3, 1), (0, 1, 2, 3), (0, 1)),  # C, H and W merge: the model's order
        ((1, 6, 1, 1), (1, 6), (0, 2, 3, 1), (0, 2, 3, 1), (0, 1)),  # axes of size 1 are nowhere
        ((1, 6, 9, 8), (1, 2, 3, 9, 8), (0, 2, 3, 1), (0, 2, 3, 1), (0, 3, 4, 1, 2)),  # C splits in place
        ((1, 12), (1, 3, 4), (0, 1), (0, 1), (0, 1, 2)),
    ],
)
def test_carry(
    before: tuple[int, ...],
    after: tuple[int, ...],
    order: tuple[int, ...],
    take: tuple[int, ...],
    give: tuple[int, ...],
) -> None:
    assert layout.carry(before, after, order) == (take, give)
