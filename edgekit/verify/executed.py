"""The ops that a runtime executes, read from what it did and not from what the file asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

import onnx

from edgekit.run.litert import Kernel


@dataclass(frozen=True, kw_only=True)
class ExecutedOp:
    """One op as executed.

    name: the file's name for the node that it was made of, "" where none is known; outputs: tensor names;
    dtype: of the operands: "int8" for int8 and uint8, else numpy's name; None for an op that only converts;
    kernel: whose, where a runtime has several.
    """

    name: str
    op: str
    outputs: tuple[str, ...]
    dtype: str | None
    kernel: str = ""


_INTEGER_KERNELS = {
    "QGemm",
    "ConvInteger",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM",
    "QAttention",
}
_HYBRID = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
_CONVERSIONS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast", "QUANTIZE", "DEQUANTIZE", "CAST"}
_REAL = {
    "int8",
    "uint8",
    "int16",
    "float16",
    "float32",
}  # what stands for real numbers; the rest are shapes and indices
_COPY_MARK = re.compile(r"(_nchwc|_token_\d+)+$")  # what onnxruntime appends to a node that it replaces by its own


def from_onnxruntime(optimized: bytes) -> tuple[ExecutedOp, ...]:
    """optimized: the graph that ONNX Runtime saves after its rewriting, as an ONNX file.

    It holds no types of inner values, so they are followed from op to op.
    """
    graph = onnx.load_from_string(optimized).graph
    constants = {tensor.name: _name_of(tensor.data_type) for tensor in graph.initializer}
    dtypes = {value.name: _name_of(value.type.tensor_type.elem_type) for value in graph.input}
    ops: list[ExecutedOp] = []
    for node in graph.node:  # in topological order: what an op reads has a type by now
        operand = next((dtypes[name] for name in node.input if name in dtypes), "float32")
        dtypes.update(dict.fromkeys(node.output, _result(node, operand, constants)))
        integer = node.op_type.startswith("QLinear") or node.op_type in _INTEGER_KERNELS
        dtype = "int8" if integer or operand in {"int8", "uint8"} else operand
        ops.append(
            ExecutedOp(
                name=_COPY_MARK.sub("", node.name) if node.domain else node.name,
                op=node.op_type,
                outputs=tuple(node.output),
                dtype=None if node.op_type in _CONVERSIONS else dtype,
            )
        )
    return tuple(ops)


def from_litert(kernels: tuple[Kernel, ...]) -> tuple[ExecutedOp, ...]:
    """kernels: what the interpreter lists. An op whose result is only converted also gives what it is converted to."""
    converted = {op.inputs[0]: op.outputs for op in kernels if op.op in _CONVERSIONS}
    return tuple(
        ExecutedOp(
            name="",
            op=op.op,
            outputs=tuple(name for output in op.outputs for name in (output, *converted.get(output, ()))),
            dtype=None if op.op in _CONVERSIONS else _operand(op),
            kernel="XNNPACK" if op.delegated else "builtin",
        )
        for op in kernels
    )


def _operand(op: Kernel) -> str:
    """The type of an op's first real operand: a transposed convolution's first operand of all is a shape.

    A hybrid kernel, whose weights alone are integers, rounds that operand itself and computes in integers.
    """
    real = [dtype for dtype in op.operand_dtypes if dtype in _REAL] or [op.operand_dtypes[0]]
    hybrid = op.op in _HYBRID and real[:2] == ["float32", "int8"]
    return "int8" if hybrid or real[0] == "uint8" else real[0]


def _result(node: onnx.NodeProto, operand: str, constants: dict[str, str]) -> str:
    """The type of a node's outputs. operand: of its first input that is no constant."""
    match node.op_type:
        case "QuantizeLinear" | "DynamicQuantizeLinear":
            return constants.get(node.input[2], "uint8") if len(node.input) > 2 else "uint8"
        case "Cast":
            return _name_of(next(attribute.i for attribute in node.attribute if attribute.name == "to"))
        case "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero":
            return "int64"
        case "ConvInteger" | "MatMulInteger":
            return "int32"
        case "DequantizeLinear" | "MatMulIntegerToFloat" | "DynamicQuantizeMatMul" | "DynamicQuantizeLSTM":
            return "float32"
        case "QAttention":
            return "float32"
        case "QGemm":
            return "int8" if len(node.input) > 7 and node.input[7] else "float32"  # input 7: the output's scale
        case op:
            return "int8" if op.startswith("QLinear") else operand


def _name_of(element_type: int) -> str:
    return str(onnx.helper.tensor_dtype_to_np_dtype(element_type))
