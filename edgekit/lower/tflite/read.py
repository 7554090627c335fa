"""Read a QDQ graph: absorb Q/DQ pairs into int8 values, fuse activations, say where int8 meets float.

An op runs in int8 when its float inputs all come from int8 values, its output goes to one Q, and TFLite has an int8
kernel for it. Everything else runs in float32, with Quantize and Dequantize nodes at the border: that computes exactly
what the QDQ graph says, so an op without an int8 kernel costs time but no meaning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from edgekit import affine
from edgekit.affine import QParams
from edgekit.errors import EdgekitError
from edgekit.graph import source
from edgekit.lower.tflite.ops import Activation, Array, Node, Program, Value

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
        "Min",
        "Max",
        "Identity",
    }
)
FUSIBLE = frozenset({"Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div"})
CLIPS: Mapping[tuple[float, float], Activation] = {(0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}
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
    "Clip": (1, 2),
}
SYMBOL = re.compile(r"(\d+\*)*[A-Za-z_]\w*(\*\d+)*")


def read(model: ir.Model, *, io_int8: bool) -> Program:
    """io_int8: give quantized graph inputs and outputs as int8, instead of float32 with a border op."""
    return _Reader(with_batch_one(model)).program(io_int8)


def with_batch_one(model: ir.Model) -> ir.Model:
    """The graph with every symbolic axis of its inputs at 1, where that does not settle all shapes at once.

    A Reshape may fold the batch into another axis, so that its size is not the input's symbol any more.
    """
    known = {dim.value for value in model.graph.inputs for dim in value.shape or () if isinstance(dim, ir.SymbolicDim)}
    values = [value for node in model.graph for value in node.outputs]
    if all(isinstance(dim, int) or dim.value in known for value in values for dim in value.shape or (None,) if dim):
        return model
    fixed = model.clone()
    for value in fixed.graph.inputs:
        value.shape = ir.Shape(_shape(value))
    for value in [*(v for node in fixed.graph for v in node.outputs), *fixed.graph.outputs]:
        value.shape = None
    return ShapeInferencePass()(fixed).model


class _Reader:
    """One walk over the graph. floats, quantized: what each ONNX value name became in either precision."""

    def __init__(self, model: ir.Model) -> None:
        self.graph = model.graph
        self.nodes: list[Node] = []
        self.floats: dict[str, Value] = {}
        self.quantized: dict[str, Value] = {}
        self.dequantized: dict[Value, Value] = {}
        self.names: set[str] = set()

    def program(self, io_int8: bool) -> Program:
        inputs = [(_name(value), self.entry(value, io_int8)) for value in self.graph.inputs]
        for value in self.graph.initializers.values():
            if value.name not in dict(inputs):
                self.constant(value, _content(value))
        followers = {_name(n.inputs[0]): n for n in self.graph if _fused_activation(n) is not None}
        for node in self.graph:
            self.step(node, followers)
        outputs = [(_name(value), self.exit(value, io_int8)) for value in self.graph.outputs]
        return Program(inputs=tuple(inputs), outputs=tuple(outputs), nodes=tuple(self.nodes))

    def entry(self, value: ir.Value, io_int8: bool) -> Value:
        qparams = _qparams_after(value) if io_int8 else None
        dtype = np.dtype(np.int8) if qparams else _dtype(value)
        read = Value(name=self.unique(_name(value)), shape=_shape(value), dtype=dtype, qparams=qparams)
        (self.quantized if qparams else self.floats)[_name(value)] = read
        return read

    def exit(self, value: ir.Value, io_int8: bool) -> Value:
        name = _name(value)
        if name in self.quantized and (io_int8 or name not in self.floats):
            quantized = self.quantized[name]
            return quantized if io_int8 or _dtype(value) == np.int8 else self.as_float(name, prefer=name)
        return self.floats[name]

    def step(self, node: ir.Node, followers: Mapping[str, ir.Node]) -> None:
        match node.op_type:
            case "Constant":
                self.constant(node.outputs[0], _attribute_content(node))
            case "QuantizeLinear":
                self.quantize(node)
            case "DequantizeLinear":
                self.dequantize(node)
            case "Cast" if self.is_constant(_name(node.inputs[0])):
                self.cast(node)
            case "Identity":
                source, name = _name(node.inputs[0]), _name(node.outputs[0])
                for table in (self.floats, self.quantized):
                    if source in table:
                        table[name] = table[source]
            case _ if _name(node.inputs[0]) in followers and _producer_takes(node):
                return  # an activation that its producer applied
            case _:
                self.compute(node)

    def quantize(self, node: ir.Node) -> None:
        source, out = _name(node.inputs[0]), _name(node.outputs[0])
        qparams = _qparams(node)
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
        source, out = _name(node.inputs[0]), _name(node.outputs[0])
        if source in self.floats:  # an integer initializer: a weight, a bias, a constant
            stored = self.floats[source]
            assert stored.data is not None
            value = Value(
                name=stored.name, shape=stored.shape, dtype=stored.dtype, data=stored.data, qparams=_qparams(node)
            )
            self.quantized[out] = value
            return
        self.quantized[out] = self.quantized[source]

    def cast(self, node: ir.Node) -> None:
        """A constant cast: float16 weights stay float16 in the file, anything else is folded."""
        value = self.floats[_name(node.inputs[0])]
        assert value.data is not None
        to = ir.DataType(node.attributes["to"].as_int()).numpy()
        widened = value.data.dtype == np.float16 and to == np.float32
        self.constant(node.outputs[0], value.data if widened else value.data.astype(to), widened=widened)

    def compute(self, node: ir.Node) -> None:
        follower = _follower(node)
        result = follower.outputs[0] if follower is not None else node.outputs[0]
        activation = _fused_activation(follower) if follower is not None else "NONE"
        settings = SETTINGS.get(node.op_type, ())
        operands = [_name(v) for i, v in enumerate(node.inputs) if v is not None and i not in settings]
        qparams = [_qparams_after(out) for out in (result, *node.outputs[1:])]
        int8 = (
            node.op_type in INT8_KERNELS
            and all(q is not None for q in qparams)
            and all(self.has_int8(name) for name in operands)
            and any(name in self.quantized for name in operands)
        )
        inputs: list[Value | None] = []
        for index, value in enumerate(node.inputs):
            if value is None or value.name == "":
                inputs.append(None)
            elif int8 and index not in settings:
                inputs.append(self.as_int8(_name(value)))
            else:
                inputs.append(self.as_float(_name(value)))
        outputs = tuple(
            self.fresh(out, _name(out), q if int8 else None)
            for out, q in zip((result, *node.outputs[1:]), qparams, strict=True)
        )
        for out, made in zip((result, *node.outputs[1:]), outputs, strict=True):
            (self.quantized if int8 else self.floats)[_name(out)] = made
        attributes = {name: _attribute(attribute) for name, attribute in node.attributes.items()}
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

    def has_int8(self, name: str) -> bool:
        """A quantized value, or a float constant, which can be quantized now (a bias)."""
        return name in self.quantized or self.is_constant(name)

    def as_int8(self, name: str) -> Value:
        return self.quantized[name] if name in self.quantized else self.floats[name]

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
        name = _name(value)
        dtype = np.dtype(np.float32) if widened else data.dtype
        found = Value(name=self.unique(name), shape=data.shape, dtype=dtype, data=data, qparams=qparams)
        (self.quantized if qparams else self.floats)[name] = found

    def fresh(self, value: ir.Value, name: str, qparams: QParams | None) -> Value:
        dtype = _dtype(value) if qparams is None else np.dtype(np.int8)
        return Value(name=self.unique(name), shape=_shape(value), dtype=dtype, qparams=qparams)

    def emit(self, op: str, inputs: tuple[Value, ...], output: Value, origin: ir.Node) -> None:
        self.nodes.append(Node(op=op, inputs=inputs, outputs=(output,), origin=origin))

    def unique(self, name: str) -> str:
        found, count = name, 1
        while found in self.names:
            found, count = f"{name}_{count}", count + 1
        self.names.add(found)
        return found


# -- questions about the ONNX graph -----------------------------------------------------------------------------------


def _qparams_after(value: ir.Value) -> QParams | None:
    """The parameters of the one Q that takes this value (through a Relu or Clip that nothing else sees)."""
    nodes = [use.node for use in value.uses()]
    if value.is_graph_output() or not nodes:
        return None
    if all(node.op_type == "QuantizeLinear" for node in nodes):
        found = {_qparams(node) for node in nodes}
        return found.pop() if len(found) == 1 else None
    if len(nodes) == 1 and nodes[0].op_type in ("Relu", "Clip"):
        return _qparams_after(nodes[0].outputs[0])
    if value.producer() is None:  # a graph input may feed float ops too
        found = {_qparams(node) for node in nodes if node.op_type == "QuantizeLinear"}
        return found.pop() if len(found) == 1 else None
    return None


def _qparams(node: ir.Node) -> QParams:
    """node: QuantizeLinear or DequantizeLinear with constant parameters."""
    scale = _content(node.inputs[1])
    zero = _content(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros((), np.int8)
    value = node.inputs[0] if node.op_type == "DequantizeLinear" else node.outputs[0]
    dtype = _dtype(value) if value is not None and value.dtype is not None else zero.dtype
    axis = None
    if scale.size > 1 or (scale.ndim == 1 and value is not None and value.const_value is not None):
        attribute = node.attributes.get("axis")
        axis = attribute.as_int() if attribute is not None else 1
        scale = scale.reshape(-1)
    else:
        scale = scale.reshape(())
    if axis is not None and axis < 0 and value is not None and value.shape is not None:
        axis += len(value.shape)
    return QParams(np.asarray(scale, np.float32), int(zero.reshape(-1)[0]), dtype, axis)


def _follower(node: ir.Node) -> ir.Node | None:
    """The activation that this node applies itself."""
    uses = list(node.outputs[0].uses()) if node.outputs else []
    if node.op_type not in FUSIBLE or len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    return uses[0].node if _fused_activation(uses[0].node) is not None else None


def _producer_takes(node: ir.Node) -> bool:
    source = node.inputs[0]
    producer = None if source is None else source.producer()
    return producer is not None and _follower(producer) is node


def _fused_activation(node: ir.Node) -> Activation | None:
    match node.op_type:
        case "Relu":
            return "RELU"
        case "Clip":
            low, high = (_bound(node, index) for index in (1, 2))
            if low == 0.0 and high is None:
                return "RELU"
            return None if low is None or high is None else CLIPS.get((low, high))
        case _:
            return None


def _bound(node: ir.Node, index: int) -> float | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else float(tensor.numpy().reshape(()))


def _name(value: ir.Value | None) -> str:
    assert value is not None and value.name is not None
    return value.name


def _content(value: ir.Value | None) -> Array:
    assert value is not None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None:
        raise EdgekitError(
            "EK502", f"cannot lower value '{value.name}' to TFLite", "it must be a constant", "use edgekit's own graph"
        )
    return tensor.numpy()


def _attribute_content(node: ir.Node) -> Array:
    tensor = ir.convenience.get_const_tensor(node.outputs[0])
    assert tensor is not None
    return tensor.numpy()


def _attribute(attribute: ir.Attr) -> Any:
    match attribute.type:
        case ir.AttributeType.INTS:
            return tuple(attribute.as_ints())
        case ir.AttributeType.STRING:
            return attribute.as_string()
        case _:
            return attribute.value


def _dtype(value: ir.Value) -> np.dtype[Any]:
    assert value.dtype is not None, f"{value.name} has no type"
    return np.dtype(value.dtype.numpy())


def _shape(value: ir.Value) -> tuple[int, ...]:
    """The shape with every symbolic axis at 1: a TFLite file has batch 1."""
    if value.shape is None:
        raise _unknown(value, "nothing is known about its shape")
    return tuple(_size(value, dim) for dim in value.shape)


def _size(value: ir.Value, dim: int | ir.SymbolicDim) -> int:
    if isinstance(dim, int):
        return dim
    text = (dim.value or "").replace(" ", "")
    if not SYMBOL.fullmatch(text):
        raise _unknown(value, f"one of its axes is {text or 'unknown'}")
    return int(np.prod([int(part) for part in text.split("*") if part.isdigit()], dtype=np.int64))


def _unknown(value: ir.Value, why: str) -> EdgekitError:
    producer = value.producer()
    where = f", made by {source.describe(producer)}" if producer is not None else ""
    return EdgekitError(
        "EK502",
        f"cannot lower value '{value.name}'{where} to TFLite",
        f"{why}; only the batch axis may be open",
        "give every input a fixed shape with --input name=1x3x224x224",
    )
