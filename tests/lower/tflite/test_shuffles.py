"""Channel shuffles end in the order of weights, where their readers are convolutions."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.artifact import REORDERED
from edgekit.lower.tflite import TFLiteFile, to_tflite
from edgekit.run.litert import Interpreter
from tests.lower.tflite.cases import weights
from tests.lower.tflite.graphs import Graph, as_ir, node
from tests.models import run
from tests.quantize.steps import observed

SIDE, CHANNELS = 6, 16
HALF = CHANNELS // 2
SHAPES = {
    "apart": np.array([-1, 2, HALF, SIDE, SIDE]),
    "together": np.array([-1, CHANNELS, SIDE, SIDE]),
    "halves": np.array([HALF, HALF]),
    "flat": np.array([-1, CHANNELS]),
}


def conv(x, weight, result, **attributes):
    return node("Conv", [x, weight], [result], **attributes)


def shuffle(x, result):
    return [
        node("Reshape", [x, "apart"], [f"{x}_apart"]),
        node("Transpose", [f"{x}_apart"], [f"{x}_swapped"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", [f"{x}_swapped", "together"], [result]),
    ]


def unit(x, index, result):
    """Half of the channels pass, the other half goes through convolutions."""
    deep = {"kernel_shape": [3, 3], "pads": [1] * 4, "group": HALF}
    a, b, d, e, joined = (f"{name}{index}" for name in "abdej")
    return [
        node("Split", [x, "halves"], [a, b], axis=1),
        conv(b, f"p{index}", d),
        conv(d, f"w{index}", e, **deep),
        conv(e, f"q{index}", f"f{index}"),
        node("Relu", [f"f{index}"], [f"g{index}"]),
        node("Concat", [a, f"g{index}"], [joined], axis=1),
        *shuffle(joined, result),
    ]


def stack(tail, outputs=("y",), units=3):
    """A stage of units between a convolution and `tail`, which reads 's'."""
    nodes = [conv("x", "stem", "u0")]
    constants = {"stem": weights(CHANNELS, 3, 1, 1), **SHAPES}
    for i in range(units):
        nodes += unit(f"u{i}", i, f"u{i + 1}" if i < units - 1 else "s")
        constants |= {f"p{i}": weights(HALF, HALF, 1, 1), f"q{i}": weights(HALF, HALF, 1, 1)}
        constants |= {f"w{i}": weights(HALF, 1, 3, 3)}
    constants |= {"k": weights(5, CHANNELS, 1, 1), "deep": weights(CHANNELS, 1, 3, 3), "fc": weights(4, CHANNELS)}
    used = {name for one in [*nodes, *tail] for name in one.input}
    constants = {name: array for name, array in constants.items() if name in used}
    return Graph({"x": (1, 3, SIDE, SIDE)}, [*nodes, *tail], constants, outputs)


DEEP = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4, "group": CHANNELS}
FREE = {
    "a convolution": stack([conv("s", "k", "y")]),
    "two branches": stack([conv("s", "k", "y"), conv("s", "deep", "t", **DEEP), conv("t", "k", "z")], ("y", "z")),
    "one unit": stack([conv("s", "k", "y")], units=1),
}
POOLED = [
    node("GlobalAveragePool", ["s"], ["t"]),
    node("Reshape", ["t", "flat"], ["v"]),
    node("Gemm", ["v", "fc"], transB=1),
]
BOUND = {
    "a pool": stack(POOLED),
    "the file": stack([node("Relu", ["s"], ["y"])]),
    "a grouped convolution": stack([conv("s", "g", "y", group=2)]),
}
BOUND["a grouped convolution"].constants["g"] = weights(4, HALF, 1, 1)


def agreed(case: Graph, *, int8: bool) -> TFLiteFile:
    """The case as a file, once it gave what ONNX Runtime gives. int8: by edgekit's plan, where moves share a scale."""
    model = as_ir(case.model())
    model = observed(model).quantized() if int8 else model
    file = to_tflite(model, nhwc=True, io_int8=False, metadata={})
    (sample,) = case.samples(11)
    expected = run(model, sample, fuse=False)
    found = Interpreter(file.data).run({spec.name: spec.to_file(sample[spec.name]) for spec in file.inputs})
    for spec in file.outputs:
        real = expected[spec.name]
        tolerance = (0.02 if int8 else 1e-5) * float(np.abs(real).max())
        np.testing.assert_allclose(spec.from_file(found[spec.name]), real, rtol=0, atol=tolerance)
    return file


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("case", FREE.values(), ids=FREE)
def test_convolutions_take_any_order(case, int8):
    assert agreed(case, int8=int8).transposes == 0


def test_what_stands_elsewhere_is_named_so():
    """Or a comparison layer by layer would take it for wrong."""
    model = as_ir(FREE["a convolution"].model())
    file = Interpreter(to_tflite(model, nhwc=True, io_int8=False, metadata={}).data)
    names = [name for kernel in file.ops() for name in kernel.outputs]
    assert f"g1{REORDERED}" in names
    assert "g1" not in names


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("case", BOUND.values(), ids=BOUND)
def test_where_the_order_matters_it_is_made(case, int8):
    assert agreed(case, int8=int8).transposes > 0
