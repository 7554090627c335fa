"""Small nets as data, and the ONNX graphs that they become: in float32, or in integers of one scale.

Latency hangs on shapes and hardly on values, so that weights repeat a short pattern: a net of megabytes then packs into
kilobytes. In integers, every activation has the same scale and zero point, which keeps the rules of both formats (what
moves values shares its scale, a bias has that of input times weight) without a calibration; only softmax and sigmoid
have fixed scales of their own. Outputs mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 10
STEP, WEIGHT_STEP = 0.05, 0.01
FIXED: dict[str, tuple[float, int]] = {
    "Sigmoid": (1 / 256, -128),
    "Softmax": (1 / 256, -128),
    "HardSigmoid": (1 / 255, -128),
    "Tanh": (1 / 128, 0),
}
PATTERN = 251  # values until weights repeat: prime, so that no two rows are the same


@dataclass(frozen=True, kw_only=True)
class Conv:
    """groups: 0 for one per channel; relu: an activation behind it, which both runtimes fuse."""

    channels: int
    taps: int = 1
    stride: int = 1
    groups: int = 1
    relu: bool = False
    transposed: bool = False


@dataclass(frozen=True, kw_only=True)
class Dense:
    """On (1, features), or on each of the tokens of (1, tokens, features)."""

    features: int


@dataclass(frozen=True, kw_only=True)
class Op:
    """An op with one operand, and perhaps constants. attributes: of ONNX; integers: the shape that a Reshape makes, the
    axes of a reduction, from where to where a Slice goes along the channels, how many pixels a Pad adds at both ends;
    floats: scale of a Resize; kept: a Relu also in integers, where the range of what is before it does its work."""

    name: str
    attributes: tuple[tuple[str, Any], ...] = ()
    integers: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()
    kept: bool = False


@dataclass(frozen=True, kw_only=True)
class Join:
    """Paths from the same value, joined: Add, Mul, Concat or MatMul. An empty path is the value itself."""

    name: str
    paths: tuple[tuple[Layer, ...], ...]


Layer = Conv | Dense | Op | Join
GATE = Op(name="HardSigmoid", attributes=(("alpha", 1 / 6), ("beta", 0.5)))
PARTED_SWISH = Join(name="Mul", paths=((), (GATE,)))


@dataclass(frozen=True, kw_only=True)
class Net:
    """shape: of its input, channels before height and width; layers: in order; family: the architectures that it is a
    block of, "" where it is of none."""

    name: str
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    family: str = ""


def graph(net: Net, *, integers: bool, whole: bool = True) -> onnx.ModelProto:
    """The net in float32, or as a QDQ graph with int8 activations. whole: a hard swish stays one op in integers."""
    sketch = _Sketch(net.shape, integers, whole)
    end = sketch.layers(sketch.start(), net.layers)
    return sketch.model(end)


@dataclass(frozen=True)
class _Value:
    """A value in the graph. name: of the real numbers; shape: of one sample, with the batch."""

    name: str
    shape: tuple[int, ...]


class _Sketch:
    """The nodes and constants of one graph, in the order they are drawn."""

    def __init__(self, shape: tuple[int, ...], integers: bool, whole: bool) -> None:
        self._shape, self._integers, self._whole = shape, integers, whole
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._scales: dict[str, tuple[float, int]] = {}

    def start(self) -> _Value:
        return self._rounded(_Value("x", self._shape))

    def layers(self, x: _Value, layers: Sequence[Layer]) -> _Value:
        for layer in layers:
            match layer:
                case Conv():
                    x = self._conv(x, layer)
                case Dense():
                    x = self._dense(x, layer)
                case Op():
                    x = self._op(x, layer)
                case Join():
                    x = self._join(x, layer)
        return x

    def model(self, end: _Value) -> onnx.ModelProto:
        """end: what the graph gives."""
        output = helper.make_tensor_value_info(self._read(end), TensorProto.FLOAT, list(end.shape))
        start = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *self._shape[1:]])
        initializers = [numpy_helper.from_array(array, name) for name, array in self._constants.items()]
        made = helper.make_graph(self._nodes, "net", [start], [output], initializers)
        made.output[0].ClearField("type")
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)

    def _conv(self, x: _Value, layer: Conv) -> _Value:
        height, width = x.shape[2:]
        inputs, k, s = x.shape[1], layer.taps, layer.stride
        if layer.transposed:
            out = (1, layer.channels, height * s, width * s)
            weights = self._weights(x, (inputs, layer.channels, k, k), axis=1)
            options: dict[str, Any] = {"kernel_shape": [k, k], "strides": [s, s], "pads": [(k - 1) // 2] * 4}
            if s > 1:
                options["output_padding"] = [s - 1 - (k - 1) % 2] * 2
            return self._made("ConvTranspose", [x], out, *weights, **options)
        groups = layer.groups or inputs
        out = (1, layer.channels, -(-height // s), -(-width // s))
        weights = self._weights(x, (layer.channels, inputs // groups, k, k), axis=0)
        pads = [(k - 1) // 2 if k % 2 else 0] * 4  # as PyTorch's models have it: no SAME of TFLite's where s > 1
        options = {"kernel_shape": [k, k], "strides": [s, s], "pads": pads, "group": groups}
        return self._made("Conv", [x], out, *weights, relu=layer.relu, **options)

    def _dense(self, x: _Value, layer: Dense) -> _Value:
        flat = x
        if len(x.shape) > 2:  # tokens are rows, as `simplify` has them
            flat = self._op(x, Op(name="Reshape", integers=(math.prod(x.shape[:-1]), x.shape[-1])))
        weights = self._weights(x, (layer.features, x.shape[-1]), axis=0)
        y = self._made("Gemm", [flat], (flat.shape[0], layer.features), *weights, transB=1)
        if len(x.shape) > 2:
            return self._op(y, Op(name="Reshape", integers=(*x.shape[:-1], layer.features)))
        return y

    def _op(self, x: _Value, layer: Op) -> _Value:
        attributes, shape = dict(layer.attributes), list(x.shape)
        extra: list[str] = []
        if layer.name == "Relu" and self._integers and not layer.kept:
            return x
        if layer.name == "HardSwish" and self._integers and not self._whole:
            return self._join(x, PARTED_SWISH)
        match layer.name:
            case "Add" | "Mul":
                extra = [self._operand((x.shape[1], 1, 1))]
            case "Reshape":
                shape, extra = list(layer.integers), [self._constant(np.array(layer.integers))]
                shape[0] = shape[0] if shape[0] > 0 else 1
            case "Transpose":
                shape = [x.shape[axis] for axis in attributes["perm"]]
            case "GlobalAveragePool":
                shape[2:] = [1, 1]
            case "ReduceMean":
                shape = [1 if axis in layer.integers else side for axis, side in enumerate(shape)]
                extra = [self._constant(np.array(layer.integers))]
            case "MaxPool" | "AveragePool":
                sides = zip(shape[2:], attributes["kernel_shape"], attributes["strides"], strict=True)
                pads = attributes.get("pads", [0] * 4)
                shape[2:] = [(n + pads[i] + pads[i + 2] - k) // s + 1 for i, (n, k, s) in enumerate(sides)]
            case "Slice":
                shape[1] = layer.integers[1] - layer.integers[0]
                start, stop = layer.integers
                extra = [self._constant(np.array([number])) for number in (start, stop, 1)]
            case "Pad":
                (pixels,) = layer.integers
                shape[2:] = [side + pixels for side in shape[2:]]
                extra = [self._constant(np.array([0, 0, 0, 0, 0, 0, pixels, pixels]))]
            case "Resize":
                shape[2:] = [int(side * layer.floats[0]) for side in shape[2:]]
                extra = ["", self._constant(np.array([1, 1, layer.floats[0], layer.floats[0]], np.float32))]
            case "LayerNormalization":
                size = x.shape[-1]
                extra = [self._constant(np.ones(size, np.float32)), self._constant(np.zeros(size, np.float32))]
            case _:
                assert not layer.integers and not layer.floats, f"nothing is known of {layer.name}'s shape"
        return self._made(layer.name, [x], tuple(shape), *extra, **attributes)

    def _join(self, x: _Value, layer: Join) -> _Value:
        values = [self.layers(x, path) for path in layer.paths]
        shape = list(values[0].shape)
        match layer.name:
            case "Concat":
                shape[1] = sum(value.shape[1] for value in values)
                return self._made("Concat", values, tuple(shape), axis=1)
            case "MatMul":
                return self._made("MatMul", values, (*shape[:-1], values[1].shape[-1]))
            case _:
                wide = tuple(max(sides) for sides in zip(*(value.shape for value in values), strict=True))
                return self._made(layer.name, values, wide)

    def _made(
        self,
        op: str,
        operands: Sequence[_Value],
        shape: tuple[int, ...],
        *extra: str,
        relu: bool = False,
        **options: Any,
    ) -> _Value:
        """The op's output, rounded where there are integers. extra: names of constants."""
        made = _Value(f"{op.lower()}_{len(self._nodes)}", shape)
        inputs = [*(self._read(value) for value in operands), *extra]
        self._nodes.append(helper.make_node(op, inputs, [made.name], name=made.name, **options))
        if relu and not self._integers:  # in integers, the range does its work
            made = _Value(f"{made.name}_relu", shape)
            self._nodes.append(helper.make_node("Relu", [self._nodes[-1].output[0]], [made.name], name=made.name))
        return self._rounded(made, *FIXED.get(op, (STEP, 0)))

    def _rounded(self, x: _Value, scale: float = STEP, zero_point: int = 0) -> _Value:
        if self._integers:
            self._scales[x.name] = scale, zero_point
            inputs = [x.name, *self._qparams(scale, zero_point)]
            self._nodes.append(helper.make_node("QuantizeLinear", inputs, [f"{x.name}_q"], name=f"{x.name}_q"))
        return x

    def _read(self, x: _Value) -> str:
        """The name under which a node reads a value: each has a DequantizeLinear of its own."""
        if not self._integers:
            return x.name
        name = f"{x.name}_{len(self._nodes)}"
        inputs = [f"{x.name}_q", *self._qparams(*self._scales[x.name])]
        self._nodes.append(helper.make_node("DequantizeLinear", inputs, [name], name=name))
        return name

    def _weights(self, x: _Value, shape: tuple[int, ...], axis: int) -> tuple[str, str]:
        """Names of weights and bias for a product with x. axis: of the output channels."""
        channels = shape[axis]
        pattern = np.resize(np.random.default_rng(len(self._nodes)).integers(-99, 100, PATTERN), shape)
        bias = np.zeros(channels)
        if not self._integers:
            weights = (WEIGHT_STEP * pattern).astype(np.float32)
            return self._constant(weights), self._constant(bias.astype(np.float32))
        products = self._scales[x.name][0] * WEIGHT_STEP
        return (
            self._dequantized(pattern.astype(np.int8), WEIGHT_STEP, axis),
            self._dequantized(bias.astype(np.int32), products, 0),
        )

    def _operand(self, shape: tuple[int, ...]) -> str:
        """A constant that something is multiplied by, or added to."""
        if not self._integers:
            return self._constant(np.full(shape, STEP, np.float32))
        name = f"operand_{len(self._nodes)}"
        inputs = [self._constant(np.ones(shape, np.int8)), *self._qparams(STEP, 0)]
        self._nodes.append(helper.make_node("DequantizeLinear", inputs, [name], name=name))
        return name

    def _dequantized(self, array: NDArray[Any], scale: float, axis: int) -> str:
        """array: integers with the same scale for each channel."""
        channels = array.shape[axis]
        inputs = [
            self._constant(array),
            self._constant(np.full(channels, scale, np.float32)),
            self._constant(np.zeros(channels, array.dtype)),
        ]
        name = f"{inputs[0]}_real"
        self._nodes.append(helper.make_node("DequantizeLinear", inputs, [name], name=name, axis=axis))
        return name

    def _qparams(self, scale: float, zero_point: int) -> list[str]:
        return [self._constant(np.float32(scale)), self._constant(np.int8(zero_point))]

    def _constant(self, array: Any) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants[name] = np.asarray(array)
        return name
