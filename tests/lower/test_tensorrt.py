"""TensorRT's rules: a good file keeps them all, and each broken one is found."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.errors import EdgekitError
from edgekit.lower import Wishes, lower, tensorrt
from edgekit.lower.onnx import to_onnx
from edgekit.quantize.scheme import SCHEMES
from tests.models import graph, node, weights
from tests.quantize.steps import observed

NODES = [
    node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
    node("Relu", ["a"], ["r"]),
    node("Conv", ["r", "w", "b"], ["c"], pads=[1] * 4),
    node("Add", ["c", "x"], ["s"]),
    node("ConvTranspose", ["s", "w", "b"], ["t"], strides=[2, 2]),
    node("GlobalAveragePool", ["t"], ["p"]),
    node("Flatten", ["p"], ["f"]),
    node("Gemm", ["f", "v", "u"], ["z"]),
    node("Softmax", ["z"], ["y"]),
]
CONSTANTS = {"w": weights(4, 4, 3, 3), "b": weights(4), "v": weights(4, 5), "u": weights(5)}
STEP = observed(graph({"x": (1, 4, 8, 8)}, NODES, CONSTANTS), scheme=SCHEMES["symmetric"])


@pytest.fixture
def file() -> onnx.ModelProto:
    made = to_onnx(STEP.quantized(), activations=np.dtype(np.int8), nhwc=False, io_int8=False, metadata={}, plain=True)
    return onnx.load_from_string(made.data)


def broken(file: onnx.ModelProto) -> str:
    with pytest.raises(EdgekitError) as caught:
        tensorrt.check(file.SerializeToString())
    assert caught.value.code == "EK506"
    return caught.value.why


def made_by(file: onnx.ModelProto, op: str, index: int = 0) -> onnx.NodeProto:
    return [made for made in file.graph.node if made.op_type == op][index]


def weight_dequantizer(file: onnx.ModelProto) -> onnx.NodeProto:
    conv = made_by(file, "Conv")
    return next(made for made in file.graph.node if conv.input[1] in made.output)


def change(file: onnx.ModelProto, name: str, array: np.ndarray) -> None:
    tensor = next(tensor for tensor in file.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def test_what_we_write_keeps_the_rules(file: onnx.ModelProto) -> None:
    assert tensorrt.check(file.SerializeToString()) == ()


def test_the_default_scheme_does_not() -> None:
    made = observed(STEP.model).quantized()
    data = to_onnx(made, activations=np.dtype(np.int8), nhwc=False, io_int8=False, metadata={}).data
    with pytest.raises(EdgekitError, match="EK506"):
        tensorrt.check(data)


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_scales_are_positive_numbers(file: onnx.ModelProto, value: float) -> None:
    change(file, made_by(file, "QuantizeLinear").input[1], np.asarray(value, np.float32))
    assert "not a positive number" in broken(file)


def test_scales_are_float32(file: onnx.ModelProto) -> None:
    change(file, made_by(file, "QuantizeLinear").input[1], np.asarray(0.1, np.float16))
    assert "its scale is float16" in broken(file)


def test_scales_are_constants(file: onnx.ModelProto) -> None:
    name = made_by(file, "QuantizeLinear").input[1]
    file.graph.initializer.remove(next(tensor for tensor in file.graph.initializer if tensor.name == name))
    file.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, []))
    assert "its scale is computed" in broken(file)


@pytest.mark.parametrize(
    ("zero", "why"),
    [
        (np.int8(3), "its zero point is 3"),
        (np.uint8(0), "its integers are uint8"),
        (np.int16(0), "its integers are int16"),
        (np.zeros(2, np.int8), "not as many zero points as scales"),
    ],
)
def test_zero_points(file: onnx.ModelProto, zero: np.ndarray, why: str) -> None:
    change(file, made_by(file, "QuantizeLinear").input[2], np.asarray(zero))
    assert why in broken(file)


def test_a_zero_point_is_there_and_constant(file: onnx.ModelProto) -> None:
    quantizer = made_by(file, "QuantizeLinear")
    quantizer.input[2] = "elsewhere"
    assert "its zero point is computed" in broken(file)
    del quantizer.input[2:]
    assert "without a zero point" in broken(file)


def test_an_activation_takes_one_scale(file: onnx.ModelProto) -> None:
    quantizer = made_by(file, "QuantizeLinear")
    change(file, quantizer.input[1], np.full(4, 0.1, np.float32))
    change(file, quantizer.input[2], np.zeros(4, np.int8))
    assert "one scale for the whole tensor" in broken(file)


def test_integers_are_read_by_dequantizers_alone(file: onnx.ModelProto) -> None:
    made = made_by(file, "QuantizeLinear").output[0]
    file.graph.node.append(helper.make_node("Relu", [made], ["stranger"], name="stranger"))
    assert "its integers are read by Relu" in broken(file)


def test_integers_are_not_given_away(file: onnx.ModelProto) -> None:
    made = made_by(file, "QuantizeLinear").output[0]
    file.graph.output.append(helper.make_tensor_value_info(made, TensorProto.INT8, None))
    assert "given away" in broken(file)


def test_integers_come_from_a_quantizer(file: onnx.ModelProto) -> None:
    dequantizer = next(made for made in file.graph.node if made.input[0] == made_by(file, "QuantizeLinear").output[0])
    file.graph.input.append(helper.make_tensor_value_info("q", TensorProto.INT8, [1, 4, 8, 8]))
    dequantizer.input[0] = "q"
    assert "an input of the file, not a Q" in broken(file)


def test_no_integers_of_32_bits(file: onnx.ModelProto) -> None:
    """How a bias is written for ONNX Runtime."""
    dequantizer = weight_dequantizer(file)
    change(file, dequantizer.input[0], np.ones((4, 4, 3, 3), np.int32))
    assert "int32" in broken(file)


def test_a_bias_is_a_float_constant(file: onnx.ModelProto) -> None:
    conv = made_by(file, "Conv")
    name = conv.input[2]
    change(file, name, np.ones(4, np.float64))
    assert "its bias is float64" in broken(file)
    conv.input[2] = conv.input[0]
    assert "its bias comes from DequantizeLinear" in broken(file)


@pytest.mark.parametrize("axis", [1, 2])
def test_weights_have_scales_along_their_output_channels(file: onnx.ModelProto, axis: int) -> None:
    dequantizer = weight_dequantizer(file)
    dequantizer.attribute[0].i = axis
    why = "along axis 1, the output channels of Conv along another" if axis == 1 else "4 scales for 3 channels"
    assert why in broken(file)


def test_weights_are_read_as_weights(file: onnx.ModelProto) -> None:
    weight = weight_dequantizer(file).output[0]
    file.graph.node.append(helper.make_node("Relu", [weight], ["stranger"], name="stranger"))
    assert "Relu reads it as an activation" in broken(file)


def test_more_scales_are_for_constants(file: onnx.ModelProto) -> None:
    dequantizer = next(made for made in file.graph.node if made.input[0] == made_by(file, "QuantizeLinear").output[0])
    for position, array in ((1, np.full(4, 0.1, np.float32)), (2, np.zeros(4, np.int8))):
        file.graph.initializer.append(numpy_helper.from_array(array, f"many{position}"))
        dequantizer.input[position] = f"many{position}"
    assert "only constant weights take more than one scale" in broken(file)


def test_weights_keep_off_the_smallest_integer(file: onnx.ModelProto) -> None:
    change(file, weight_dequantizer(file).input[0], np.full((4, 4, 3, 3), -128, np.int8))
    assert "a weight is -128" in broken(file)


def test_weights_and_input_are_rounded_together(file: onnx.ModelProto) -> None:
    conv = made_by(file, "Conv")
    kept = list(conv.input)
    conv.input[0] = "x"
    assert "its weights are rounded and its input is not" in broken(file)
    file.graph.initializer.append(numpy_helper.from_array(CONSTANTS["w"], "real"))
    conv.input[0], conv.input[1] = kept[0], "real"
    assert "its input is rounded and its weights are not" in broken(file)


def test_an_old_opset(file: onnx.ModelProto) -> None:
    file.opset_import[0].version = 12
    assert "opset 12 has no axis" in broken(file)


def test_an_addition_with_one_branch_in_float_is_advised_against(file: onnx.ModelProto) -> None:
    add = made_by(file, "Add")
    add.input[1] = "x"
    (said,) = tensorrt.check(file.SerializeToString())
    assert said == f"TensorRT may run '{add.name}' in float: one branch is rounded and the other, from an input, is not"


def test_lowering_checks_the_file_that_it_writes(tmp_path) -> None:
    wishes = Wishes(activations="int8", nhwc=False, io_int8=False, tensorrt=True, metadata={})
    lower(STEP.quantized(), "onnx", "int8", tmp_path / "good.onnx", wishes)
    with pytest.raises(EdgekitError, match="EK506"):
        lower(observed(STEP.model).quantized(), "onnx", "int8", tmp_path / "bad.onnx", wishes)
    assert not (tmp_path / "bad.onnx").exists()
