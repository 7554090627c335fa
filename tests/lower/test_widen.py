import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekit.graph.check import checked
from edgekit.graph.files import to_bytes
from edgekit.lower.onnx import to_onnx
from edgekit.lower.widen import INPUTS, LANES, widen
from tests.models import graph, node, run, weights
from tests.quantize.steps import observed

IMAGE = {"x": (1, 3, 12, 12)}


def mobile(channels=8, tail=(), bias=True, int16=()):
    """Stem, depthwise, pointwise; `tail` also reads what the depthwise convolution gives."""
    biases = ["b"] if bias else []
    nodes = [
        node("Conv", ["x", "stem", "b"], ["s"], pads=[1] * 4, strides=[2, 2]),
        node("Relu", ["s"], ["sr"]),
        node("Conv", ["sr", "deep", *biases], ["d"], pads=[1] * 4, group=channels),
        node("Relu", ["d"], ["dr"]),
        node("Conv", ["dr", "point", "c"]),
        *tail,
    ]
    constants = {"stem": weights(channels, 3, 3, 3), "deep": weights(channels, 1, 3, 3, seed=1), "b": weights(channels)}
    constants |= {"point": weights(24, channels, 1, 1, seed=2), "c": weights(24, seed=3)}
    return observed(graph(IMAGE, nodes, constants, ("y", "z") if tail else ("y",)), int16=int16)


def groups_and_shapes(model):
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = {output: n for n in model.graph.node for output in n.output}
    found = []
    for conv in (n for n in model.graph.node if n.op_type == "Conv"):
        (group,) = [a.i for a in conv.attribute if a.name == "group"] or [1]
        found.append((group, values[made[conv.input[1]].input[0]].shape[:2]))
    return found


def lowered(model):
    return onnx.load_from_string(
        to_onnx(model, activations=np.dtype(np.uint8), nhwc=False, io_int8=False, metadata={}).data
    )


@pytest.mark.parametrize("fuse", [True, False])
def test_every_integer_stays(fuse):
    step = mobile()
    quantized = step.quantized()
    wide = quantized.clone()
    widen(wide)
    checked(wide)
    for row in step.rows:
        expected, found = run(to_bytes(quantized), row, fuse=fuse), run(to_bytes(wide), row, fuse=fuse)
        np.testing.assert_array_equal(found["y"], expected["y"])


def test_a_thin_depthwise_convolution_takes_all_lanes():
    model = lowered(mobile().quantized())
    assert groups_and_shapes(model) == [(1, (LANES, INPUTS)), (LANES, (LANES, 1)), (1, (24, LANES))]
    assert [n.op_type for n in model.graph.node].count("Pad") == 1
    onnx.checker.check_model(model, full_check=True)


def test_a_wide_one_stays():
    model = lowered(mobile(channels=LANES).quantized())
    assert groups_and_shapes(model) == [(1, (LANES, INPUTS)), (LANES, (LANES, 1)), (1, (24, LANES))]


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param([node("Sigmoid", ["dr"], ["z"])], id="read by another op"),
        pytest.param([node("Relu", ["sr"], ["z"])], id="its input read by another op"),
    ],
)
def test_what_others_read_stays(tail):
    assert groups_and_shapes(lowered(mobile(tail=tail).quantized()))[1] == (8, (8, 1))


def test_without_a_bias_it_stays():
    assert groups_and_shapes(lowered(mobile(bias=False).quantized()))[1] == (8, (8, 1))


def test_an_image_that_comes_channels_last_stays():
    data = to_onnx(mobile().quantized(), activations=np.dtype(np.uint8), nhwc=True, io_int8=False, metadata={}).data
    assert "Pad" not in {n.op_type for n in onnx.load_from_string(data).graph.node}


@pytest.mark.parametrize("int16", [["node_s"], ["node_d"], ["node_s", "node_d", "node_y"]], ids=len)
def test_int16_values_keep_their_channels(int16):
    """ONNX Runtime computes them in float, and has no Pad of 16 bits."""
    step = mobile(int16=int16)
    model = lowered(step.quantized())
    assert all(group != LANES for group, _ in groups_and_shapes(model))
    for row in step.rows[:2]:
        real, found = run(step.model, row)["y"], run(model.SerializeToString(), row)["y"]
        assert np.abs(found - real).max() < 0.02 * np.abs(real).max()
