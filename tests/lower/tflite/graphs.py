"""Small ONNX graphs for the op table, float and QDQ, built in code.

A case is a chain of ONNX nodes on random weights. `quantized` runs the float graph in ONNX Runtime on random samples,
gives each float value the range it saw (kept to the INT8 contract's rules) and writes Q/DQ around everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgekit import affine
from edgekit.affine import QParams

OPSET = 20
OPSET_OF_INT16 = 21
INT8 = np.dtype(np.int8)


@dataclass
class Graph:
    """inputs: name -> shape; constants: float weights and integer settings; nodes in order; outputs by name."""

    inputs: dict[str, tuple[int, ...]]
    nodes: list[onnx.NodeProto]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("y",)
    int64_inputs: Mapping[str, int] = field(default_factory=dict)  # name -> upper bound

    def model(self, opset: int = OPSET) -> onnx.ModelProto:
        inputs = [
            helper.make_tensor_value_info(
                name, TensorProto.INT64 if name in self.int64_inputs else TensorProto.FLOAT, ["batch", *shape[1:]]
            )
            for name, shape in self.inputs.items()
        ]
        outputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in self.outputs]
        initializers = [numpy_helper.from_array(np.asarray(data), name) for name, data in self.constants.items()]
        graph = helper.make_graph(self.nodes, "case", inputs, outputs, initializers)
        return inferred(graph, opset)

    def samples(self, seed: int, count: int = 1) -> list[dict[str, np.ndarray]]:
        rng = np.random.default_rng(seed)
        return [
            {
                name: rng.integers(0, self.int64_inputs[name], shape)
                if name in self.int64_inputs
                else rng.normal(0, 1.5, shape).astype(np.float32)
                for name, shape in self.inputs.items()
            }
            for _ in range(count)
        ]


def inferred(graph: onnx.GraphProto, opset: int = OPSET) -> onnx.ModelProto:
    for value in graph.output:
        value.ClearField("type")
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), name=f"node_{outputs[0]}", **attributes)


def run_onnx(model: onnx.ModelProto, sample: dict[str, np.ndarray], fuse: bool = True) -> dict[str, np.ndarray]:
    session = session_of(model, fuse)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, sample), strict=True))


def session_of(model: onnx.ModelProto, fuse: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if not fuse:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def as_ir(model: onnx.ModelProto) -> ir.Model:
    return ir.from_proto(model)


# -- a quantizer for tests --------------------------------------------------------------------------------------------

INT16 = np.dtype(np.int16)
FIXED_INT16 = {
    op: QParams(np.asarray(1 / (32767 if op == "HardSigmoid" else 32768), np.float32), 0, INT16)
    for op in ("Sigmoid", "Softmax", "Tanh", "HardSigmoid")
}
FIXED = {"Sigmoid": (1 / 256, -128), "Softmax": (1 / 256, -128), "Tanh": (1 / 128, 0), "HardSigmoid": (1 / 255, -128)}
SAME = frozenset(
    {
        "Reshape",
        "Transpose",
        "Slice",
        "Split",
        "MaxPool",
        "GlobalMaxPool",
        "Pad",
        "Gather",
        "GatherElements",
        "GatherND",
        "ScatterElements",
        "ScatterND",
        "Where",
        "Tile",
        "Expand",
        "DepthToSpace",
        "SpaceToDepth",
        "Resize",
        "ReduceMax",
        "ReduceMin",
        "Concat",
        "Min",
        "Max",
    }
)
WEIGHTED: Mapping[str, int] = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0, "MatMul": -1}


def quantized(case: Graph, activation: np.dtype[Any] = INT8, calibration: int = 4) -> onnx.ModelProto:
    """The QDQ graph. activation: uint8 is the same graph with zero points shifted by 128."""
    ranges = _ranges(case, calibration)
    qparams = _qparams(case, ranges, activation)
    made: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {}
    uses = 0

    def parameters(name: str, params: QParams) -> list[str]:
        constants[f"{name}_scale"] = params.scale
        constants[f"{name}_zero"] = np.full(params.scale.shape, params.zero_point, params.dtype)
        return [f"{name}_scale", f"{name}_zero"]

    def quantize(name: str) -> None:
        params = qparams[name]
        made.append(helper.make_node("QuantizeLinear", [name, *parameters(name, params)], [f"{name}_q"]))

    def dequantized(name: str) -> str:
        nonlocal uses
        uses += 1
        out = f"{name}_dq{uses}"
        made.append(helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_scale", f"{name}_zero"], [out]))
        return out

    def constant(name: str, params: QParams) -> str:
        if f"{name}_q" in constants:
            return f"{name}_dq"
        constants[f"{name}_q"] = affine.quantize(case.constants[name], params)
        axis = {} if params.axis is None else {"axis": params.axis}
        made.append(
            helper.make_node("DequantizeLinear", [f"{name}_q", *parameters(name, params)], [f"{name}_dq"], **axis)
        )
        return f"{name}_dq"

    fused = _fused(case)
    for name in case.inputs:
        if name in qparams:
            quantize(name)
    for proto in case.nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(proto)
        weights: QParams | None = None
        for index, name in enumerate(proto.input):
            if name in qparams and name not in fused:
                copy.input[index] = dequantized(name)
            elif name in case.constants and case.constants[name].dtype == np.float32:
                data = case.constants[name]
                if proto.op_type in WEIGHTED and index == 1 and not (activation == INT16 and _is_operand(proto, data)):
                    weights = _weight_qparams(proto, data)
                    copy.input[index] = constant(name, weights)
                elif proto.op_type in WEIGHTED and index == 2 and activation == INT16:
                    constants[name] = data  # 32 bits are too few for it
                elif proto.op_type in WEIGHTED and index == 2:
                    assert weights is not None
                    scale = np.resize(qparams[proto.input[0]].scale * weights.scale, data.shape).astype(np.float32)
                    copy.input[index] = constant(name, QParams(scale, 0, np.dtype(np.int32), 0))
                elif proto.op_type == "Clip" or (proto.op_type, index) in (
                    ("Pad", 2),
                    ("Resize", 2),
                    ("HardSigmoid", 1),
                ):
                    constants[name] = data
                else:
                    params = (
                        qparams[proto.output[0]]
                        if proto.op_type in SAME
                        else _fitted(data.min(), data.max(), activation)
                    )
                    copy.input[index] = constant(name, params)
            elif name in case.constants:
                constants[name] = case.constants[name]
        made.append(copy)
        for name in proto.output:
            if name in qparams and name not in fused:
                if name in case.outputs:
                    copy.output[list(proto.output).index(name)] = f"{name}_raw"
                    params = qparams[name]
                    made.append(
                        helper.make_node("QuantizeLinear", [f"{name}_raw", *parameters(name, params)], [f"{name}_q"])
                    )
                    made.append(
                        helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_scale", f"{name}_zero"], [name])
                    )
                else:
                    quantize(name)
    opset = OPSET_OF_INT16 if activation == INT16 else OPSET
    return Graph(case.inputs, made, constants, case.outputs, case.int64_inputs).model(opset)


def steps(case: Graph, activation: np.dtype[Any] = INT8) -> dict[str, float]:
    """The size of one step of each output."""
    qparams = _qparams(case, _ranges(case, 4), activation)
    return {name: float(qparams[name].scale) for name in case.outputs if name in qparams}


def _ranges(case: Graph, count: int) -> dict[str, tuple[float, float]]:
    model = case.model()
    kinds = {v.name: v.type.tensor_type.elem_type for v in [*model.graph.value_info, *model.graph.output]}
    wanted = [n for proto in case.nodes for n in proto.output if kinds.get(n) == TensorProto.FLOAT]
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted)
    session = session_of(model) if wanted else None
    seen: dict[str, list[np.ndarray]] = {}
    for sample in case.samples(7, count):
        for name, x in [*sample.items(), *(zip(wanted, session.run(wanted, sample), strict=True) if session else ())]:
            if x.dtype == np.float32:
                seen.setdefault(name, []).append(x)
    return {name: (min(float(x.min()) for x in xs), max(float(x.max()) for x in xs)) for name, xs in seen.items()}


def _qparams(case: Graph, ranges: Mapping[str, tuple[float, float]], activation: np.dtype[Any]) -> dict[str, QParams]:
    """The contract: fixed outputs, one scale through ops that only move values."""
    found = {name: _fitted(*limits, activation) for name, limits in ranges.items()}
    for proto in case.nodes:
        if proto.op_type in FIXED:
            scale, zero = FIXED[proto.op_type]
            fixed = QParams(np.asarray(scale, np.float32), zero, INT8)
            found[proto.output[0]] = FIXED_INT16[proto.op_type] if activation == INT16 else fixed.shifted_to(activation)
        if proto.op_type in SAME:
            tied = [n for n in (*proto.input, *proto.output) if n in ranges]
            if not tied:  # of integers
                continue
            low, high = (f(ranges[n][i] for n in tied) for i, f in enumerate((min, max)))
            shared = found[tied[0]] if len(tied) > 1 and len([n for n in proto.input if n in ranges]) == 1 else None
            found.update(dict.fromkeys(tied, shared or _fitted(low, high, activation)))
    return found


def _fused(case: Graph) -> set[str]:
    """Values between a linear op and the clamp right behind it."""
    clamps = {proto.input[0] for proto in case.nodes if proto.op_type in ("Relu", "Clip")}
    linear = {n for proto in case.nodes if proto.op_type in (*WEIGHTED, "Add", "Sub", "Mul") for n in proto.output}
    return clamps & linear


def _weight_qparams(proto: onnx.NodeProto, data: np.ndarray) -> QParams:
    axis = WEIGHTED[proto.op_type] % data.ndim
    others = tuple(a for a in range(data.ndim) if a != axis)
    return affine.symmetric(np.abs(data).max(axis=others), axis)


def _is_operand(proto: onnx.NodeProto, data: np.ndarray) -> bool:
    """A product of two matrices of which none is weights."""
    return proto.op_type == "MatMul" and data.ndim != 2


def _fitted(low: float, high: float, activation: np.dtype[Any]) -> QParams:
    if activation == INT16:
        return affine.symmetric(np.asarray(max(-low, high), np.float32), None, INT16)
    return affine.from_range(low, high).shifted_to(activation)
