"""Read a QDQ graph: absorb Q/DQ pairs into int8 values, fuse activations, say where int8 meets float.

An op runs in int8 when its float inputs all come from int8 values, its output goes to one Q, and TFLite has an int8
kernel for it (softmax has one for steps of 1/256 alone). Everything else runs in float32, with Quantize and Dequantize
nodes at the border: that computes exactly what the QDQ graph says, so an op without an int8 kernel costs time but no
meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit import affine
from edgekit.affine import QParams
from edgekit.lower.tflite import qdq
from edgekit.lower.tflite.ops import Array, Node, Program, Value
from edgekit.lower.tflite.rules import FIXED_OUTPUT

# Ops with an int8 kernel in LiteRT and in tflite-runtime 2.14. The others get a float island.
INT8_KERNELS = frozenset(
    {
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "Add",
        "Sub",
        "Mul",
        "Relu",
        "Clip",
        "LeakyRelu",
        "PRelu",
        "HardSwish",
        "HardSigmoid",
        "Sigmoid",
        "Tanh",
        "Gelu",
        "Elu",
        "Softmax",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceSum",
        "Concat",
        "Pad",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Slice",
        "Split",
        "Resize",
        "DepthToSpace",
        "SpaceToDepth",
        "Expand",
        "Tile",
        "Gather",
        "GatherElements",
        "GatherND",
        "ScatterElements",
        "ScatterND",
        "Where",
        "Abs",
        "Min",
        "Max",
        "Identity",
    }
)
# What of these has no int16 kernel in one of the two, or one that is wrong: LiteRT's PRELU and SUM, and its bilinear
# resize, which rounds to 1/1024 of a pixel.
INT16_KERNELS = INT8_KERNELS - {"PRelu", "Elu", "Gelu", "HardSwish", "ReduceSum", "Tile"}
WIDER = 128  # int16 steps in one of int8: at 256 the largest distance from a zero point would not fit
# Inputs that are numbers for the converter, never tensors of the computation: read as they are.
SETTINGS: Mapping[str, tuple[int, ...]] = {
    "Reshape": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Pad": (1, 3),
    "Expand": (1,),
    "Tile": (1,),
    "Resize": (1, 2, 3),
    "Gather": (1,),
    "ReduceMean": (1,),
    "ReduceMax": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    **dict.fromkeys(("ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"), (1,)),
    **dict.fromkeys(("CumSum", "TopK", "GatherElements", "GatherND", "ScatterElements", "ScatterND"), (1,)),
    "OneHot": (1, 2),
    "Where": (0,),
    "Clip": (1, 2),
}


def read(model: ir.Model, *, io_int8: bool) -> Program:
    """io_int8: give quantized graph inputs and outputs as int8, instead of float32 with a border op."""
    return _Reader(qdq.with_batch_one(model)).program(io_int8)


class _Reader:
    """One walk over the graph.

    floats, quantized: what each ONNX value name became in either precision; widened: int8 values as int16
    ops take them.
    """

    def __init__(self, model: ir.Model) -> None:
        self.graph = model.graph
        self.nodes: list[Node] = []
        self.floats: dict[str, Value] = {}
        self.quantized: dict[str, Value] = {}
        self.dequantized: dict[Value, Value] = {}
        self.widened: dict[Value, Value] = {}
        self.names: set[str] = set()

    def program(self, io_int8: bool) -> Program:
        inputs = [(qdq.name_of(value), self.entry(value, io_int8)) for value in self.graph.inputs]
        for value in self.graph.initializers.values():
            if value.name not in dict(inputs):
                self.constant(value, qdq.content(value))
        followers = {qdq.name_of(n.inputs[0]): n for n in self.graph if qdq.fused_activation(n) is not None}
        for node in self.graph:
            self.step(node, followers)
        outputs = [(qdq.name_of(value), self.exit(value, io_int8)) for value in self.graph.outputs]
        return Program(inputs=tuple(inputs), outputs=tuple(outputs), nodes=tuple(self.nodes))

    def entry(self, value: ir.Value, io_int8: bool) -> Value:
        qparams = qdq.qparams_after(value) if io_int8 else None
        dtype = qparams.dtype if qparams else qdq.dtype_of(value)
        read = Value(name=self.unique(qdq.name_of(value)), shape=qdq.fixed_shape(value), dtype=dtype, qparams=qparams)
        (self.quantized if qparams else self.floats)[qdq.name_of(value)] = read
        return read

    def exit(self, value: ir.Value, io_int8: bool) -> Value:
        name = qdq.name_of(value)
        if name in self.quantized and (io_int8 or name not in self.floats):
            quantized = self.quantized[name]
            given = io_int8 or qdq.dtype_of(value) == quantized.dtype
            return quantized if given else self.as_float(name, prefer=name)
        return self.floats[name]

    def step(self, node: ir.Node, followers: Mapping[str, ir.Node]) -> None:
        match node.op_type:
            case "Constant":
                self.constant(node.outputs[0], qdq.constant_content(node))
            case "QuantizeLinear":
                self.quantize(node)
            case "DequantizeLinear":
                self.dequantize(node)
            case "Cast" if self.is_constant(qdq.name_of(node.inputs[0])):
                self.cast(node)
            case "Identity":
                source, name = qdq.name_of(node.inputs[0]), qdq.name_of(node.outputs[0])
                for table in (self.floats, self.quantized):
                    if source in table:
                        table[name] = table[source]
            case _ if qdq.name_of(node.inputs[0]) in followers and qdq.taken_by_producer(node):
                return  # an activation that its producer applied
            case _:
                self.compute(node)

    def quantize(self, node: ir.Node) -> None:
        source, out = qdq.name_of(node.inputs[0]), qdq.name_of(node.outputs[0])
        qparams = qdq.qparams_of(node)
        if source in self.quantized:
            stored = self.quantized[source]  # the op before stores int8 already, perhaps at another scale
            if stored.qparams != qparams:
                self.emit("Requantize", (stored,), self.fresh(node.outputs[0], out, qparams), node)
                stored = self.nodes[-1].output
            self.quantized[out] = stored
            return
        value = self.floats[source]
        if value.data is not None:
            self.constant(node.outputs[0], affine.quantize(value.real, qparams), qparams)
            return
        self.emit("Quantize", (value,), self.fresh(node.outputs[0], out, qparams), node)
        self.quantized[out] = self.nodes[-1].output

    def dequantize(self, node: ir.Node) -> None:
        source, out = qdq.name_of(node.inputs[0]), qdq.name_of(node.outputs[0])
        if source in self.floats:  # an integer initializer: a weight, a bias, a constant
            stored = self.floats[source]
            assert stored.data is not None
            value = Value(
                name=stored.name, shape=stored.shape, dtype=stored.dtype, data=stored.data, qparams=qdq.qparams_of(node)
            )
            self.quantized[out] = value
            return
        self.quantized[out] = self.quantized[source]

    def cast(self, node: ir.Node) -> None:
        """A constant cast: float16 weights stay float16 in the file, anything else is folded."""
        value = self.floats[qdq.name_of(node.inputs[0])]
        assert value.data is not None
        to = ir.DataType(node.attributes["to"].as_int()).numpy()
        widened = value.data.dtype == np.float16 and to == np.float32
        self.constant(node.outputs[0], value.data if widened else value.data.astype(to), widened=widened)

    def compute(self, node: ir.Node) -> None:
        follower = qdq.follower(node)
        result = follower.outputs[0] if follower is not None else node.outputs[0]
        activation = qdq.fused_activation(follower) if follower is not None else "NONE"
        settings = SETTINGS.get(node.op_type, ())
        operands = [qdq.name_of(v) for i, v in enumerate(node.inputs) if v is not None and i not in settings]
        qparams = [qdq.qparams_after(out) for out in (result, *node.outputs[1:])]
        dtype = self.computes_in(node, operands, qparams)
        inputs: list[Value | None] = []
        for index, value in enumerate(node.inputs):
            if value is None or value.name == "":
                inputs.append(None)
            elif dtype is not None and index not in settings:
                inputs.append(self.as_integers(qdq.name_of(value), dtype, is_weight=self.is_weight(node, index, value)))
            elif index == 1 and self.is_hybrid(node):
                inputs.append(self.quantized[qdq.name_of(value)])
            else:
                inputs.append(self.as_float(qdq.name_of(value)))
        outputs = tuple(
            self.fresh(out, qdq.name_of(out), None if dtype is None else q)
            for out, q in zip((result, *node.outputs[1:]), qparams, strict=True)
        )
        for out, made in zip((result, *node.outputs[1:]), outputs, strict=True):
            (self.floats if dtype is None else self.quantized)[qdq.name_of(out)] = made
        attributes = {name: qdq.attribute_value(attribute) for name, attribute in node.attributes.items()}
        self.nodes.append(
            Node(
                op=node.op_type,
                inputs=tuple(inputs),
                outputs=outputs,
                attributes=attributes,
                activation=activation or "NONE",
                origin=node,
            )
        )

    # -- values -------------------------------------------------------------------------------------------------------

    def is_constant(self, name: str) -> bool:
        value = self.floats.get(name)
        return value is not None and value.data is not None

    def computes_in(
        self, node: ir.Node, operands: Sequence[str], outputs: Sequence[QParams | None]
    ) -> np.dtype[Any] | None:
        """The integers that the node computes in, None where it computes in float."""
        found = outputs[0]
        if found is None or any(q is None or q.dtype != found.dtype for q in outputs):
            return None
        if not self.has_kernel(node, found.dtype) or not any(name in self.quantized for name in operands):
            return None
        if not all(self.has_integers(name, found.dtype) for name in operands):
            return None
        if node.op_type == "Softmax" and found != FIXED_OUTPUT["Softmax", found.dtype]:
            return None
        return found.dtype

    def has_kernel(self, node: ir.Node, dtype: np.dtype[Any]) -> bool:
        """Some kernels have integers for certain settings only."""
        if dtype == np.int16 and (node.op_type not in INT16_KERNELS or _interpolates(node)):
            return False
        match node.op_type:
            case "Elu":
                return "alpha" not in node.attributes or node.attributes["alpha"].as_float() == 1.0
            case "Clip":
                return all(self.is_constant(qdq.name_of(value)) for value in node.inputs[1:] if value is not None)
            case "Conv" | "ConvTranspose" if len(qdq.fixed_shape(_first(node))) > 4:
                return False
            case "AveragePool" if len(qdq.fixed_shape(_first(node))) > 4 or _is_dilated(node):
                return False
            case "PRelu":
                return self.is_known(qdq.name_of(node.inputs[1]))
            case "ScatterElements" | "ScatterND":
                plain = "reduction" not in node.attributes or node.attributes["reduction"].as_string() == "none"
                return plain and self.is_constant(qdq.name_of(node.inputs[1]))
            case op:
                return op in INT8_KERNELS

    def is_known(self, name: str) -> bool:
        """A constant, quantized or not."""
        return self.is_constant(name) or (name in self.quantized and self.quantized[name].data is not None)

    def has_integers(self, name: str, dtype: np.dtype[Any]) -> bool:
        """A quantized value no wider than this, or a constant: a real one can be quantized now (a bias)."""
        if self.is_known(name):
            return True
        return name in self.quantized and self.quantized[name].dtype.itemsize <= dtype.itemsize

    def as_integers(self, name: str, dtype: np.dtype[Any], *, is_weight: bool) -> Value:
        value = self.quantized[name] if name in self.quantized else self.floats[name]
        if is_weight or value.qparams is None or value.dtype == dtype:
            return value
        if value not in self.widened:
            self.widened[value] = self.wide(value)
        return self.widened[value]

    def is_weight(self, node: ir.Node, index: int, value: ir.Value) -> bool:
        """Weights and biases have integers of their own; but a product of matrices takes two operands of one type."""
        match node.op_type:
            case "Conv" | "ConvTranspose" | "Gemm":
                return index > 0
            case "MatMul":
                return index == 1 and self.is_known(qdq.name_of(value)) and len(qdq.fixed_shape(value)) == 2
            case _:
                return False

    def is_hybrid(self, node: ir.Node) -> bool:
        """A float op whose INT8 weights a kernel takes as they are: LiteRT's and 2.14's, per channel.

        Both take the first channel's scale for all in a depthwise convolution per tensor, 2.14 also in FULLY_CONNECTED
        per channel: those are written as convolutions.
        """
        name = qdq.name_of(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else ""
        weight = self.quantized.get(name)
        if weight is None or weight.data is None or weight.qparams is None or weight.dtype != np.int8:
            return False
        match node.op_type:
            case "Conv":
                return weight.rank < 5 and (weight.qparams.axis == 0 or weight.shape[1] > 1)
            case "Gemm" | "MatMul":
                return weight.rank == 2
            case _:
                return False

    def wide(self, value: Value) -> Value:
        """int8 as int16, exactly: a finer scale, and room for the zero point."""
        assert value.qparams is not None
        scale = np.asarray(value.qparams.scale / np.float32(WIDER), np.float32)
        qparams = QParams(scale, 0, np.dtype(np.int16), value.qparams.axis)
        made = replace(value, name=self.unique(f"{value.name}_int16"), dtype=qparams.dtype, qparams=qparams)
        if value.data is None:
            self.nodes.append(Node(op="Requantize", inputs=(value,), outputs=(made,)))
            return made
        return replace(made, data=((value.data.astype(np.int64) - value.qparams.zero_point) * WIDER).astype(np.int16))

    def as_float(self, name: str, prefer: str | None = None) -> Value:
        if name in self.floats:
            return self.floats[name]
        value = self.quantized[name]
        if value in self.dequantized:
            return self.dequantized[value]
        assert value.qparams is not None
        if value.data is not None:
            real = affine.dequantize(value.data, value.qparams)
            found = Value(name=value.name, shape=value.shape, dtype=real.dtype, data=real)
        else:
            label = self.unique(prefer or f"{value.name}_dequantized")
            found = Value(name=label, shape=value.shape, dtype=np.dtype(np.float32))
            self.nodes.append(Node(op="Dequantize", inputs=(value,), outputs=(found,)))
        self.dequantized[value] = found
        return found

    def constant(self, value: ir.Value, data: Array, qparams: QParams | None = None, *, widened: bool = False) -> None:
        name = qdq.name_of(value)
        dtype = np.dtype(np.float32) if widened else data.dtype
        found = Value(name=self.unique(name), shape=data.shape, dtype=dtype, data=data, qparams=qparams)
        (self.quantized if qparams else self.floats)[name] = found

    def fresh(self, value: ir.Value, name: str, qparams: QParams | None) -> Value:
        dtype = qdq.dtype_of(value) if qparams is None else qparams.dtype
        return Value(name=self.unique(name), shape=qdq.fixed_shape(value), dtype=dtype, qparams=qparams)

    def emit(self, op: str, inputs: tuple[Value, ...], output: Value, origin: ir.Node) -> None:
        self.nodes.append(Node(op=op, inputs=inputs, outputs=(output,), origin=origin))

    def unique(self, name: str) -> str:
        found, count = name, 1
        while found in self.names:
            found, count = f"{name}_{count}", count + 1
        self.names.add(found)
        return found


def _interpolates(node: ir.Node) -> bool:
    mode = node.attributes.get("mode")
    return node.op_type == "Resize" and mode is not None and mode.as_string() != "nearest"


def _first(node: ir.Node) -> ir.Value:
    assert node.inputs[0] is not None
    return node.inputs[0]


def _is_dilated(node: ir.Node) -> bool:
    dilations = node.attributes.get("dilations")
    return dilations is not None and any(dilation != 1 for dilation in dilations.as_ints())
