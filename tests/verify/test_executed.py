from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.run.litert import Kernel
from edgekit.verify.executed import from_litert, from_onnxruntime


def dtypes_of(*nodes: onnx.NodeProto) -> dict[str, str | None]:
    """The dtype by node name, for nodes that read 'x' (float32) or each other."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [],
        [numpy_helper.from_array(np.int8(0).reshape(()), "z8"), numpy_helper.from_array(np.float32(1), "s")],
    )
    ops = from_onnxruntime(helper.make_model(graph).SerializeToString())
    return {op.name: op.dtype for op in ops}


def node(op: str, inputs: list[str], output: str, domain: str = "", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes)


QUANTIZE = node("QuantizeLinear", ["x", "s", "z8"], "q")


class TestOnnxRuntime:
    def test_types_are_followed_from_op_to_op(self) -> None:
        found = dtypes_of(
            QUANTIZE,
            node("MaxPool", ["q"], "pool", kernel_shape=[1]),
            node("QLinearSigmoid", ["pool", "s", "z8", "s", "z8"], "sigmoid", "com.microsoft"),
            node("Reshape", ["sigmoid", "shape"], "flat"),
            node("DequantizeLinear", ["flat", "s", "z8"], "real"),
            node("Tanh", ["real"], "tanh"),
        )
        assert found == {
            "q": None,
            "pool": "int8",
            "sigmoid": "int8",
            "flat": "int8",
            "real": None,
            "tanh": "float32",
        }

    def test_half_precision_and_shapes(self) -> None:
        found = dtypes_of(
            node("Cast", ["x"], "half", to=TensorProto.FLOAT16),
            node("Relu", ["half"], "relu"),
            node("Shape", ["relu"], "shape"),
            node("Neg", ["shape"], "neg"),
        )
        assert (found["half"], found["relu"], found["neg"]) == (None, "float16", "int64")

    @pytest.mark.parametrize(
        ("op", "after"),
        [
            ("MatMulIntegerToFloat", "float32"),
            ("QAttention", "float32"),
            ("DynamicQuantizeMatMul", "float32"),
            ("QGemm", "float32"),
            ("ConvInteger", "int32"),
            ("QLinearMatMul", "int8"),
        ],
    )
    def test_integer_kernels_and_what_they_give(self, op: str, after: str) -> None:
        found = dtypes_of(QUANTIZE, node(op, ["q", "s"], "y", "com.microsoft"), node("Relu", ["y"], "relu"))
        assert (found["y"], found["relu"]) == ("int8", after)

    def test_names_of_replaced_nodes_lead_back(self) -> None:
        nchwc = helper.make_node("Conv", ["x"], ["a"], name="conv_nchwc", domain="com.microsoft.nchwc")
        nhwc = helper.make_node("QLinearConv", ["x"], ["b"], name="conv2_token_0_token_3", domain="com.microsoft")
        own = helper.make_node("Relu", ["x"], ["c"], name="relu_token_1")
        assert set(dtypes_of(nchwc, nhwc, own)) == {"conv", "conv2", "relu_token_1"}


def kernel(op: str, inputs: str, outputs: str, operands: str, delegated: bool = True) -> Kernel:
    return Kernel(
        op=op,
        inputs=tuple(inputs.split()),
        outputs=tuple(outputs.split()),
        operand_dtypes=tuple(operands.split()),
        result_dtypes=("int8",),
        delegated=delegated,
    )


class TestLiteRT:
    def test_types_are_those_of_the_operands(self) -> None:
        ops = from_litert(
            (
                kernel("QUANTIZE", "x", "q", "float32"),
                kernel("TRANSPOSE_CONV", "shape w q", "t", "int32 int8 int8"),
                kernel("GATHER", "i", "g", "int64", delegated=False),
                kernel("FULLY_CONNECTED", "t w", "y_int8", "uint8 uint8"),
                kernel("DEQUANTIZE", "y_int8", "y", "int8"),
                kernel("TANH", "y", "z", "float32", delegated=False),
            )
        )
        assert [op.dtype for op in ops] == [None, "int8", "int64", "int8", None, "float32"]
        assert ops[3].outputs == ("y_int8", "y")  # the model's output is what the op's result is converted to
        assert [op.kernel for op in ops[-2:]] == ["XNNPACK", "builtin"]
