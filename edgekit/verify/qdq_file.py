"""What an ONNX QDQ file asks for: which values are integers, and which ops lie between them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import numpy_helper


@dataclass(frozen=True, kw_only=True)
class QdqFile:
    """quantized: the model's value -> its QuantizeLinear (an output's under the output's name);
    int8_nodes: names of the nodes that lie between DQ and Q; signed: activations are int8, not uint8;
    output_scales: by output name, where the output is quantized."""

    quantized: dict[str, onnx.NodeProto]
    int8_nodes: frozenset[str]
    signed: bool
    output_scales: dict[str, float]


def read(path: Path) -> QdqFile:
    graph = onnx.load(str(path), load_external_data=False).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    quantizers = {node.input[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    dequantized = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    integers = {node.output[0]: node for node in quantizers.values()}
    for output in graph.output:
        if (away := dequantized.get(output.name)) and (made := integers.get(away.input[0])):
            quantizers[output.name] = quantizers.pop(made.input[0])
    readers: defaultdict[str, list[str]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node.op_type)
    zero_points = {constants[node.input[2]].data_type for node in quantizers.values() if node.input[2] in constants}
    return QdqFile(
        quantized=quantizers,
        int8_nodes=frozenset(
            node.name
            for node in graph.node
            if any(name in dequantized for name in node.input)
            and all(set(readers[name]) == {"QuantizeLinear"} for name in node.output if name)
        ),
        signed=onnx.TensorProto.INT8 in zero_points,
        output_scales={
            output.name: float(numpy_helper.to_array(constants[scale]))
            for output in graph.output
            if output.name in dequantized and (scale := dequantized[output.name].input[1]) in constants
        },
    )
