"""What an ONNX QDQ file asks for: which values are integers, and which ops lie between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import numpy_helper

CLAMPS = frozenset({"Relu", "Clip"})
FLOAT = int(onnx.TensorProto.FLOAT)


@dataclass(frozen=True, kw_only=True)
class QdqFile:
    """quantized: the model's value -> its QuantizeLinear (an output's under the output's name);
    int8_nodes, int16_nodes: names of the nodes that lie between DQ and Q; int8_weights: of those whose weights alone
    are integers, by a Cast and a Mul; signed: activations of 8 bits are int8, not uint8;
    output_scales: by output name, where the output is quantized."""

    quantized: dict[str, onnx.NodeProto]
    int8_nodes: frozenset[str]
    int16_nodes: frozenset[str]
    int8_weights: frozenset[str]
    signed: bool
    output_scales: dict[str, float]


def read(path: Path) -> QdqFile:
    graph = onnx.load(str(path), load_external_data=False).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    quantizers = {node.input[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    dequantized = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    integers = {node.output[0]: node for node in quantizers.values()}
    between = _between(graph, dequantized.keys(), constants)
    for output in graph.output:
        if (away := dequantized.get(output.name)) and (made := integers.get(away.input[0])):
            quantizers[output.name] = quantizers.pop(made.input[0])
    zero_points = {constants[node.input[2]].data_type for node in quantizers.values() if node.input[2] in constants}
    return QdqFile(
        quantized=quantizers,
        int8_nodes=frozenset(name for name, kind in between.items() if kind != onnx.TensorProto.INT16),
        int16_nodes=frozenset(name for name, kind in between.items() if kind == onnx.TensorProto.INT16),
        int8_weights=_with_int8_weights(graph, constants),
        signed=onnx.TensorProto.INT8 in zero_points,
        output_scales={
            output.name: float(numpy_helper.to_array(constants[scale]))
            for output in graph.output
            if output.name in dequantized and (scale := dequantized[output.name].input[1]) in constants
        },
    )


def _with_int8_weights(graph: onnx.GraphProto, constants: Mapping[str, onnx.TensorProto]) -> frozenset[str]:
    int8 = {name for name, tensor in constants.items() if tensor.data_type == onnx.TensorProto.INT8}
    wide = {node.output[0] for node in graph.node if node.op_type == "Cast" and node.input[0] in int8}
    weights = {node.output[0] for node in graph.node if node.op_type == "Mul" and node.input[0] in wide}
    return frozenset(node.name for node in graph.node if weights.intersection(node.input[1:2]))


def _between(
    graph: onnx.GraphProto, dequantized: Collection[str], constants: Mapping[str, onnx.TensorProto]
) -> dict[str, int | None]:
    """Node name -> the integers that its results are rounded to, behind a clamp at most; for those that read a DQ."""
    readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)

    def rounded_to(value: str) -> set[int | None]:
        found: set[int | None] = set()
        for reader in readers[value]:
            if reader.op_type == "QuantizeLinear":
                zero_point = constants.get(reader.input[2])
                found.add(zero_point.data_type if zero_point is not None else None)
            else:
                found |= rounded_to(reader.output[0]) if reader.op_type in CLAMPS else {FLOAT}
        return found

    kinds = {
        node.name: set[int | None]().union(*(rounded_to(name) for name in node.output if name))
        for node in graph.node
        if any(name in dequantized for name in node.input)
    }
    return {name: next(iter(kind)) for name, kind in kinds.items() if len(kind) == 1 and FLOAT not in kind}
