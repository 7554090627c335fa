"""The op table of the TFLite writer through PyTorch and ONNX Runtime: float to 1e-5, integers and steps exactly."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto

from edgekit.errors import EdgekitError
from edgekit.run.torch_view import to_torch
from edgekit.run.torch_view.ops import row_of
from tests.lower.tflite import function_cases, index_cases, window_cases
from tests.lower.tflite.cases import IMAGE, cases, one, weights
from tests.lower.tflite.graphs import INT8, Graph, as_ir, node, quantized, run_onnx, steps
from tests.run.torch_view.cases import more_cases

FLOAT_TOLERANCE = 1e-5  # relative to the largest output: sums in another order
NEAR_TIES = 0.01  # share of the elements that may round the other way, by one step: float sums in another order
TIES = 0.05  # of a linear resize, whose weights are halves and quarters: of sums of integers, many are ties
WINDOWS = ("conv-k", "conv1d-k", "convtranspose-k", "maxpool-k", "averagepool-k")


def table():
    """The windows' products of kernel, stride, pads and groups thinned out: they are one row of ops.py each."""
    rows = dict(cases()) | dict(function_cases.cases()) | dict(index_cases.cases()) | dict(window_cases.cases())
    windows = [name for name in rows if name.startswith(WINDOWS)]
    left_out = {*windows} - {*windows[::5]} | {name for name in rows if name.startswith(("uint16-", "uint32-"))}
    return {name: case for name, case in rows.items() if name not in left_out} | dict(more_cases())


TABLE = table()
LARGE = {name for name in TABLE if name == "pad-large" or (name.startswith("clip-") and len(name) > 24)}
UNROUNDED = {"gemm-turned"} | LARGE  # the tests' quantizer has no such weights; large integers are no codes


def run(model, sample):
    found = to_torch(as_ir(model))({name: torch.from_numpy(x) for name, x in sample.items()})
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


@pytest.mark.parametrize("name", TABLE)
def test_float(name):
    case = TABLE[name]
    model = case.model()
    sample = case.samples(11)[0]
    expected, found = run_onnx(model, sample), run(model, sample)
    for output in case.outputs:
        assert found[output].shape == expected[output].shape
        assert found[output].dtype == expected[output].dtype
        largest = max(1.0, float(np.abs(expected[output]).max()))
        np.testing.assert_allclose(found[output], expected[output], rtol=0, atol=FLOAT_TOLERANCE * largest)


@pytest.mark.parametrize("name", [name for name in TABLE if name not in UNROUNDED])
def test_quantized(name):
    """As the graph is written: without ONNX Runtime's fusion to integer kernels."""
    case = TABLE[name]
    model = quantized(case, INT8)
    sample = case.samples(11)[0]
    expected, found, size = run_onnx(model, sample, fuse=False), run(model, sample), steps(case)
    for output in case.outputs:
        if output not in size:  # integers
            np.testing.assert_array_equal(found[output], expected[output])
            continue
        apart = np.rint(np.abs(found[output] - expected[output]) / size[output])
        assert apart.max() <= 1
        assert np.mean(apart > 0) <= (TIES if name.startswith("resize") else NEAR_TIES)


def test_later_norms():
    """Of opsets beyond the table's."""
    x = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32)
    scale, bias = weights(6), weights(6, seed=2)
    for each in (1, 3):
        norm = ir.node("GroupNormalization", [], {"num_groups": 2, "epsilon": 1e-3})
        groups = x.reshape(2, 2, 15)
        plain = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-3)
        expected = (
            plain.reshape(x.shape) * np.repeat(scale[::each], each)[:, None] + np.repeat(bias[::each], each)[:, None]
        )
        found = row_of(norm)(*map(torch.from_numpy, (x, scale[::each].copy(), bias[::each].copy())))
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    norm = ir.node("RMSNormalization", [], {"axis": -1})
    expected = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-5) * weights(5)
    np.testing.assert_allclose(row_of(norm)(torch.from_numpy(x), torch.from_numpy(weights(5))), expected, atol=1e-5)


REFUSED = {
    "an op without a row": (one("Det", (1, 3, 3)), "no form"),
    "indices of a pool": (
        Graph({"x": IMAGE}, [node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2])], outputs=("y", "i")),
        "indices",
    ),
    "a scatter that multiplies": (
        Graph(
            {"x": (1, 5), "u": (1, 1)},
            [node("ScatterND", ["x", "i", "u"], reduction="mul")],
            {"i": np.asarray([[[0, 1]]])},
        ),
        "'mul'",
    ),
    "a cast to strings": (one("Cast", (1, 3), to=TensorProto.STRING), "STRING"),
    "pads by the result's size": (
        one("ConvTranspose", IMAGE, {"w": weights(6, 4, 3, 3)}, kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        "SAME_UPPER",
    ),
    "four axes": (one("AveragePool", (1, 1, 3, 3, 3, 3), kernel_shape=[1] * 4), "4 axes"),
    "a look outside": (
        Graph(
            {"x": IMAGE},
            [node("Resize", ["x", "roi", "", "s"], coordinate_transformation_mode="tf_crop_and_resize", mode="linear")],
            {"roi": np.float32([0, 0, -1, 0, 1, 1, 1, 1]), "s": np.asarray([1, 6, 5, 5])},
        ),
        "outside",
    ),
    "statistics made anew": (
        Graph(
            {"x": IMAGE},
            [node("BatchNormalization", ["x", "s", "s", "s", "s"], ["y", "m", "v"], training_mode=1)],
            {"s": np.ones(6, np.float32)},
        ),
        "anew",
    ),
    "another GRU": (
        Graph(
            {"x": (4, 1, 8)},
            [node("GRU", ["x", "w", "r"], hidden_size=6)],
            {"w": weights(1, 18, 8), "r": weights(1, 18, 6)},
        ),
        "linear_before_reset",
    ),
    "an LSTM backwards": (
        Graph(
            {"x": (4, 1, 8)},
            [node("LSTM", ["x", "w", "r"], hidden_size=6, direction="reverse")],
            {"w": weights(1, 24, 8), "r": weights(1, 24, 6)},
        ),
        "order of steps",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    case, reason = REFUSED[name]
    with pytest.raises(EdgekitError, match=reason) as caught:
        to_torch(as_ir(case.model()))
    assert caught.value.code == "EK911" and case.nodes[-1].name in caught.value.what


def test_sizes_that_are_computed_are_refused():
    value = [
        ir.Value(name=name, shape=ir.Shape(shape)) for name, shape in (("x", (1, 6, 9, 8)), ("r", ()), ("s", (4,)))
    ]
    output = ir.Value(name="y", shape=ir.Shape((1, 6, 18, 16)))
    with pytest.raises(EdgekitError, match="computed"):
        row_of(ir.node("Resize", value, outputs=[output], name="n"))


@pytest.mark.parametrize(
    ("dtype", "attributes", "reason"),
    [(ir.DataType.INT4, {}, "INT4"), (ir.DataType.INT8, {"block_size": 2}, "block")],
)
def test_roundings_that_are_refused(dtype, attributes, reason):
    output = ir.Value(name="q", type=ir.TensorType(dtype))
    with pytest.raises(EdgekitError, match=reason):
        row_of(ir.node("QuantizeLinear", [ir.Value(name="x")], attributes, outputs=[output], name="n"))
