"""What TFLite cannot express is refused by name, with the user's line and a way out."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, numpy_helper

from edgekit.errors import EdgekitError
from edgekit.lower.tflite import to_tflite
from tests.lower.tflite.cases import IMAGE, one, weights
from tests.lower.tflite.graphs import Graph, as_ir, node, quantized

CUBE = (1, 2, 5, 5, 5)
WIDE = {"w": weights(4, 6, 3, 3)}
REGION = {"roi": np.asarray([0, 0, 0, 0, 1, 1, 0.8, 0.8], "f4"), "scales": np.asarray([1, 1, 0.7, 0.7], "f4")}
DECONVOLUTION = {"w": weights(6, 4, 3, 3)}
CHANNELS = {name: weights(6, 1)[:, 0] for name in "sbm"}


REFUSED = {
    "an op of unknown shape": (one("NonZero", IMAGE), "no TFLite form of NonZero"),
    "an op without a form": (one("Det", (1, 3, 3)), "no TFLite form of Det"),
    "four axes": (one("Conv", (*CUBE, 5), {"w": weights(4, 2, 3, 3, 3, 3)}, kernel_shape=[3] * 4), "this one has 4"),
    "auto_pad": (one("Conv", IMAGE, WIDE, kernel_shape=[3, 3], auto_pad="SAME_LOWER"), "auto_pad"),
    "output_shape": (
        one("ConvTranspose", IMAGE, DECONVOLUTION, strides=[2, 2], output_shape=[18, 16]),
        "output_shape must have become explicit pads",
    ),
    "computed weights": (
        Graph({"x": IMAGE, "w": (1, 6, 3, 3)}, [node("Conv", ["x", "w"], kernel_shape=[3, 3])]),
        "computed at run time",
    ),
    "computed bias": (
        Graph({"x": IMAGE, "b": (4,)}, [node("Conv", ["x", "w", "b"], kernel_shape=[3, 3])], WIDE),
        "its bias is computed at run time",
    ),
    "gemm with alpha": (one("Gemm", (1, 12), {"w": weights(7, 12)}, transB=1, alpha=2.0), "must be folded first"),
    "gemm of computed weights": (
        Graph({"x": (1, 12), "w": (1, 12)}, [node("Gemm", ["x", "w"], transB=1)]),
        "computed at run time",
    ),
    "computed axis of a running sum": (
        Graph({"x": IMAGE, "a": (1,)}, [node("CumSum", ["x", "a"])], int64_inputs={"a": 4}),
        "its axis would be computed",
    ),
    "scatter of the largest": (
        Graph(
            {"x": (1, 5), "z": (1, 2), "u": (1, 2)},
            [node("ScatterElements", ["x", "z", "u"], reduction="max")],
            int64_inputs={"z": 1},
        ),
        "cannot scatter by 'max'",
    ),
    "real power of integers": (
        Graph({"z": (1, 5)}, [node("Pow", ["z", "c"])], {"c": np.float32(0.5)}, int64_inputs={"z": 4}),
        "no real powers of int64",
    ),
    "division of long integers": (
        Graph({"z": (1, 5)}, [node("Div", ["z", "c"])], {"c": np.asarray(2)}, int64_inputs={"z": 4}),
        "DIV does not compute in int64",
    ),
    "a type without tensors": (
        Graph({"x": (1, 5)}, [node("Cast", ["x"], to=TensorProto.UINT64)]),
        "no tensors of type uint64",
    ),
    "pads around many axes": (
        one("Pad", (1, 2, 2, 2, 2, 2), {"p": np.asarray([0, 1, 1, 1, 1, 1] * 2)}),
        "PAD takes 5 axes, this one has 6",
    ),
    "an even window of channels": (one("LRN", IMAGE, size=2), "an odd number of channels"),
    "celu with alpha below 0": (one("Celu", IMAGE, alpha=-1.0), "its alpha is -1.0"),
    "corners on fractions of a pixel": (
        Graph(
            {"x": IMAGE},
            [node("Resize", ["x", "", "scales"], mode="linear", coordinate_transformation_mode="align_corners")],
            {"scales": np.asarray([1, 1, 1.3, 1.3], np.float32)},
        ),
        "a fraction of a pixel",
    ),
    "a region on fractions of a pixel": (
        Graph(
            {"x": IMAGE},
            [node("Resize", ["x", *REGION], mode="linear", coordinate_transformation_mode="tf_crop_and_resize")],
            REGION,
        ),
        "a fraction of a pixel",
    ),
    "a computed number to pad with": (
        Graph(
            {"x": IMAGE, "z": (1, 3)},
            [node("ReduceMax", ["z"], ["v"], keepdims=0), node("Pad", ["x", "p", "v"])],
            {"p": np.asarray([0, 0, 1, 0] * 2)},
        ),
        "its value would be computed",
    ),
    "batch statistics": (
        Graph(
            {"x": IMAGE, "v": (1, 6)},
            [
                node("Reshape", ["v", "six"], ["r"]),
                node("BatchNormalization", ["x", *CHANNELS, "r"]),
            ],
            {**CHANNELS, "six": np.asarray([6])},
        ),
        "not constants",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(name: str) -> None:
    case, why = REFUSED[name]
    with pytest.raises(EdgekitError) as caught:
        to_tflite(as_ir(case.model()), nhwc=True, io_int8=False, metadata={})
    assert caught.value.code == "EK501"
    assert why in caught.value.why
    assert caught.value.fix


@pytest.mark.parametrize(
    ("op", "shape", "what"),
    [("Slice", (1, 2, 9, 8), "starts, ends"), ("Pad", (1, 8, 9, 8), "pads"), ("Tile", (1, 12, 9, 8), "repeats")],
)
def test_settings_that_are_computed_though_the_result_is_known(op: str, shape: tuple[int, ...], what: str) -> None:
    """An exporter may declare what it knows of the result and compute it all the same."""
    settings = {"Slice": ["z", "ends"], "Pad": ["p"], "Tile": ["z"]}[op]
    nodes = [node("Concat", ["z", "z"], ["p"], axis=0)] if op == "Pad" else []
    case = Graph(
        {"x": IMAGE, "z": (4,)}, [*nodes, node(op, ["x", *settings])], {"ends": np.asarray(IMAGE)}, (), {"z": 4}
    )
    model = as_ir(case.model())
    model.graph.inputs[0].shape, model.graph.inputs[1].shape = ir.Shape(IMAGE), ir.Shape([4])
    for step in model.graph:
        step.outputs[0].shape = ir.Shape([8] if step.op_type == "Concat" else shape)
    model.graph.outputs.append(model.graph[-1].outputs[0])
    with pytest.raises(EdgekitError, match="cannot lower") as refused:
        to_tflite(model, nhwc=False, io_int8=False, metadata={})
    assert refused.value.code == "EK501"
    assert what in refused.value.why


def test_refusal_names_node_and_line() -> None:
    model = as_ir(one("Det", (1, 3, 3)).model())
    trace = 'File "/home/user/net.py", line 41, in forward\n  File "/x/site-packages/torch/det.py", line 7, in det'
    model.graph[0].metadata_props["pkg.torch.onnx.stack_trace"] = trace
    with pytest.raises(EdgekitError, match=r"Det 'node_y' \(net\.py:41\)"):
        to_tflite(model, nhwc=False, io_int8=False, metadata={})


def test_open_axis() -> None:
    case = Graph({"x": (1, 8), "s": (2,)}, [node("Reshape", ["x", "s"])], int64_inputs={"s": 8})
    model = as_ir(case.model())
    model.graph.inputs[1].shape = ir.Shape([2])
    with pytest.raises(EdgekitError, match="only the batch axis may be open") as caught:
        to_tflite(model, nhwc=False, io_int8=False, metadata={})
    assert caught.value.code == "EK502"
    assert "--input" not in caught.value.fix


def test_open_axis_of_an_input() -> None:
    model = as_ir(one("Relu", IMAGE).model())
    model.graph.inputs[0].shape = ir.Shape(["batch", 6, "height", 8])
    with pytest.raises(EdgekitError, match="only the batch axis may be open") as caught:
        to_tflite(model, nhwc=False, io_int8=False, metadata={})
    assert "--input x=1x6xNx8 " in caught.value.fix


def test_unknown_shape() -> None:
    model = as_ir(one("Relu", IMAGE).model())
    model.graph.inputs[0].shape = None
    with pytest.raises(EdgekitError) as caught:
        to_tflite(model, nhwc=False, io_int8=False, metadata={})
    assert caught.value.code == "EK502"


def test_computed_scale() -> None:
    x = ir.Value(name="x", shape=ir.Shape([1, 4]), type=ir.TensorType(ir.DataType.FLOAT))
    scale = ir.Value(name="scale", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.FLOAT))
    y = ir.Value(name="y", shape=ir.Shape([1, 4]), type=ir.TensorType(ir.DataType.UINT8))
    graph = ir.Graph([x, scale], [y], nodes=[ir.node("QuantizeLinear", [x, scale], outputs=[y])], name="g")
    with pytest.raises(EdgekitError, match="must be a constant"):
        to_tflite(ir.Model(graph, ir_version=10), nhwc=False, io_int8=False, metadata={})


def test_unsigned_integers() -> None:
    case = one("Relu", IMAGE)
    with pytest.raises(EdgekitError, match="cannot lower QuantizeLinear") as refused:
        to_tflite(as_ir(quantized(case, np.dtype(np.uint8))), nhwc=False, io_int8=False, metadata={})
    assert refused.value.code == "EK501"
    assert "quantizes to uint8" in refused.value.why


def test_zero_points_of_channels() -> None:
    model = quantized(one("Conv", IMAGE, WIDE, kernel_shape=[3, 3]))
    (zeros,) = [tensor for tensor in model.graph.initializer if tensor.name == "w_zero"]
    zeros.CopyFrom(numpy_helper.from_array(np.ones(4, np.int8), "w_zero"))
    with pytest.raises(EdgekitError, match="cannot lower DequantizeLinear") as refused:
        to_tflite(as_ir(model), nhwc=False, io_int8=False, metadata={})
    assert refused.value.code == "EK501"
    assert "zero points other than 0" in refused.value.why


def test_computed_axes() -> None:
    case = Graph({"x": IMAGE, "a": (1,)}, [node("ReduceSum", ["x", "a"])], int64_inputs={"a": 4})
    model = as_ir(case.model())
    model.graph.inputs[1].shape = ir.Shape([1])
    model.graph[0].outputs[0].shape = ir.Shape([1, 6, 1, 8])
    with pytest.raises(EdgekitError, match="its axes would be computed at run time"):
        to_tflite(model, nhwc=False, io_int8=False, metadata={})


def test_an_output_without_elements() -> None:
    nothing = {"starts": np.asarray([0]), "ends": np.asarray([0]), "axes": np.asarray([1])}
    with pytest.raises(EdgekitError) as caught:
        to_tflite(as_ir(one("Slice", (1, 6), nothing).model()), nhwc=False, io_int8=False, metadata={})
    assert caught.value.code == "EK502"
