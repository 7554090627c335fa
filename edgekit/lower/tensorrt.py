"""TensorRT's rules for ONNX files with Q/DQ pairs, checked on the file itself, since no TensorRT is at hand.

    Q, DQ         scale a constant, one positive number, or one per output channel of weights; zero point 0; int8
    activations   every int8 value is made by a Q and read by DQs alone, one scale for the whole tensor
    weights       int8 constants in [-127, 127] behind a DQ, just where their op reads a dequantized activation
    biases        float constants: a DQ takes 8 bits and no int32
    additions     both branches rounded, or none, so that the addition fuses with the DQs before it (advice)

Sources: TensorRT documentation, "Explicit Quantization", sections "Quantized Weights" and "Q/DQ Layer-Placement
Recommendations", and operator reference, "Quantize" and "Dequantize" (scales build-time constants, zero points 0);
NvInfer.h, IQuantizeLayer and IDequantizeLayer; onnx/onnx-tensorrt, onnxOpImporters.cpp, QuantDequantLinearHelper
("Non-zero zero point is not supported", "Scale coefficients must all be positive", the number of scales, 8-bit types);
NVIDIA/TensorRT issues 2774 and 4698. What none of them promises is that a GPU has an int8 kernel for every shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekit.errors import EdgekitError

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
OPSET = 13  # the first with an axis for Q and DQ
WEIGHT_MAX = 127


@dataclass(frozen=True)
class Violation:
    node: str
    rule: str


class _File:
    """A file's nodes by what they make and read, and its constants."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        self.nodes = list(graph.node)
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.makers = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.given = {value.name for value in graph.output}

    def array(self, name: str) -> NDArray[Any] | None:
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def maker(self, name: str) -> str:
        """The op that makes a value; nothing for constants and the graph's inputs."""
        return self.makers[name].op_type if name in self.makers else ""

    def weights(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """The DequantizeLinear of constant integers that gives a weighted op its weights."""
        maker: onnx.NodeProto | None = self.makers.get(node.input[1])
        if maker is None or maker.op_type != "DequantizeLinear" or maker.input[0] not in self.constants:
            return None
        return maker


def check(data: bytes) -> tuple[str, ...]:
    """What the file does that TensorRT advises against, in whole sentences.

    Raises EK506 where TensorRT would refuse the file, or not run in INT8 what the file wants in it.
    """
    file = _File(onnx.load_from_string(data))
    found = list(violations(file))
    if found:
        first, more = found[0], f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise EdgekitError(
            "EK506",
            f"TensorRT would not take '{first.node}' as it stands in the ONNX file",
            f"{first.rule}{more}",
            "keep the op in float with --keep-float, or leave --scheme symmetric out",
        )
    return tuple(f"TensorRT may run '{one.node}' in float: {one.rule}" for one in _broken(file, ADVICE))


def violations(file: _File) -> Iterator[Violation]:
    if file.opset < OPSET:
        yield Violation("the file", f"opset {file.opset} has no axis for Q and DQ; {OPSET} is the first")
    yield from _broken(file, RULES)


def _broken(file: _File, rules: Mapping[str, tuple[Rule, ...]]) -> Iterator[Violation]:
    for node in file.nodes:
        for rule in rules.get(node.op_type, ()):
            if (broken := rule(file, node)) is not None:
                yield Violation(node.name, broken)


Rule = Callable[[_File, onnx.NodeProto], str | None]
"""What of a rule the node breaks, None where it keeps it."""


def _scale(file: _File, node: onnx.NodeProto) -> str | None:
    scale = file.array(node.input[1])
    if scale is None:
        return "its scale is computed, not a constant"
    if scale.dtype != np.float32:
        return f"its scale is {scale.dtype}, not float32"
    if not np.all(np.isfinite(scale)) or not np.all(scale > 0):
        return "a scale is not a positive number"
    return None


def _zero_point(file: _File, node: onnx.NodeProto) -> str | None:
    if len(node.input) < 3 or not node.input[2]:
        return "without a zero point ONNX means uint8, which TensorRT does not take"
    zero, scale = file.array(node.input[2]), file.array(node.input[1])
    if zero is None:
        return "its zero point is computed, not a constant"
    if zero.dtype != np.int8:
        return f"its integers are {zero.dtype}; TensorRT takes int8"
    if np.any(zero):
        return f"its zero point is {int(zero.reshape(-1)[0])}; TensorRT takes 0 alone"
    return "it has not as many zero points as scales" if scale is not None and zero.size != scale.size else None


def _quantizer(file: _File, node: onnx.NodeProto) -> str | None:
    scale = file.array(node.input[1])
    if scale is not None and scale.size > 1:
        return "an activation takes one scale for the whole tensor"
    strangers = {reader.op_type for reader in file.readers.get(node.output[0], [])} - {"DequantizeLinear"}
    if strangers:
        return f"its integers are read by {', '.join(sorted(strangers))}; only a DequantizeLinear may"
    return "its integers are given away; the file must give real numbers" if node.output[0] in file.given else None


def _dequantizer(file: _File, node: onnx.NodeProto) -> str | None:
    integers = file.array(node.input[0])
    if integers is None:
        made = file.maker(node.input[0])
        return None if made == "QuantizeLinear" else f"its integers come from {made or 'an input of the file'}, not a Q"
    if integers.dtype != np.int8:
        return f"it dequantizes constants of {integers.dtype}; TensorRT takes int8, and biases in float"
    return None


def _per_channel(file: _File, node: onnx.NodeProto) -> str | None:
    scale, integers = file.array(node.input[1]), file.array(node.input[0])
    if scale is None or scale.size == 1:
        return None
    if scale.ndim != 1 or integers is None:
        return "only constant weights take more than one scale, one per output channel"
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1) % integers.ndim
    if integers.shape[axis] != scale.size:
        return f"it has {scale.size} scales for {integers.shape[axis]} channels"
    for reader in file.readers.get(node.output[0], []):
        if reader.op_type not in WEIGHTED or list(reader.input).index(node.output[0]) != 1:
            return f"{reader.op_type} reads it as an activation, which takes one scale for the whole tensor"
        if axis != _output_axis(reader, integers.ndim):
            return f"its scales lie along axis {axis}, the output channels of {reader.op_type} along another"
    return None


def _output_axis(node: onnx.NodeProto, rank: int) -> int:
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    match node.op_type:
        case "Conv":
            return 0
        case "Gemm" if attributes.get("transB", 0):
            return 0
        case "ConvTranspose" | "Gemm":
            return 1
        case _:
            return rank - 1


def _weights(file: _File, node: onnx.NodeProto) -> str | None:
    dequantizer = file.weights(node)
    rounded = file.maker(node.input[0]) == "DequantizeLinear"
    if dequantizer is None:
        if rounded and node.input[1] in file.constants:
            return "its input is rounded and its weights are not: it runs in INT8 only with both"
        return None
    if not rounded:
        return "its weights are rounded and its input is not: it runs in INT8 only with both"
    integers = file.array(dequantizer.input[0])
    if integers is not None and int(integers.min()) < -WEIGHT_MAX:
        return "a weight is -128; weights are in [-127, 127]"
    return None


def _bias(file: _File, node: onnx.NodeProto) -> str | None:
    if len(node.input) < 3 or not node.input[2] or file.weights(node) is None:
        return None
    bias = file.array(node.input[2])
    if bias is None:
        return f"its bias comes from {file.maker(node.input[2]) or 'an input'}; it must be a constant in float"
    return None if bias.dtype == np.float32 else f"its bias is {bias.dtype}; it must be in float"


def _addition(file: _File, node: onnx.NodeProto) -> str | None:
    readers = [reader.op_type for name in node.output for reader in file.readers.get(name, [])]
    if "QuantizeLinear" not in readers:
        return None
    branches = [file.maker(name) for name in node.input if name not in file.constants]
    rounded = [maker == "DequantizeLinear" for maker in branches]
    if any(rounded) and not all(rounded):
        return f"one branch is rounded and the other, from {branches[rounded.index(False)] or 'an input'}, is not"
    return None


RULES: Mapping[str, tuple[Rule, ...]] = {
    "QuantizeLinear": (_scale, _zero_point, _quantizer),
    "DequantizeLinear": (_scale, _zero_point, _dequantizer, _per_channel),
    "MatMul": (_weights,),
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm"), (_weights, _bias)),
}
ADVICE: Mapping[str, tuple[Rule, ...]] = {"Add": (_addition,)}
