"""Small nets with every way in which channels are coupled, and what is expected of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit
from tests.models import graph, node, weights

Image = (1, 3, 8, 8)


@dataclass
class Net:
    """A graph in the making: each method adds a node and returns the name of its output."""

    inputs: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray] = {}

    def op(self, kind: str, *inputs: str, name: str = "", outputs: Sequence[str] = (), **attributes: object) -> str:
        made = list(outputs) or [name or f"{kind.lower()}_{len(self.nodes)}"]
        self.nodes.append(node(kind, inputs, made, **attributes))
        return made[0]

    def constant(self, array: NDArray | Sequence[int] | float) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def w(self, *shape: int) -> str:
        return self.constant(weights(*shape, seed=len(self.constants)))

    def conv(self, x: str, i: int, o: int, k: int = 3, groups: int = 1, name: str = "", **attributes: object) -> str:
        attributes = {"pads": [k // 2] * 4, **attributes}
        return self.op("Conv", x, self.w(o, i // groups, k, k), self.w(o), name=name, group=groups, **attributes)

    def linear(self, x: str, i: int, o: int, name: str = "") -> str:
        """On tokens: a product and a bias."""
        return self.op("Add", self.op("MatMul", x, self.w(i, o), name=name), self.w(o))

    def ints(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))

    def head(self, x: str, channels: int, classes: int = 5) -> str:
        pooled = self.op("GlobalAveragePool", x)
        flat = self.op("Flatten", pooled, axis=1)
        return self.op("Gemm", flat, self.w(classes, channels), self.w(classes), name="y", transB=1)

    def graph(self, *outputs: str) -> ir.Model:
        return graph(self.inputs, self.nodes, self.constants, outputs or ("y",))


def image() -> Net:
    return Net({"x": Image})


def chain() -> ir.Model:
    net = image()
    a = net.op("Relu", net.conv("x", 3, 8, name="a"))
    b = net.op("Clip", net.conv(a, 8, 12, name="b"), net.constant(np.float32(0)), net.constant(np.float32(6)))
    net.head(net.op("MaxPool", b, kernel_shape=[2, 2], strides=[2, 2]), 12)
    return net.graph()


def residual() -> ir.Model:
    net = image()
    a = net.op("Relu", net.conv("x", 3, 8, name="a"))
    inner = net.op("HardSwish", net.conv(a, 8, 12, name="b"))
    net.head(net.op("LeakyRelu", net.op("Add", net.conv(inner, 12, 8, name="c"), a), alpha=0.1), 8)
    return net.graph()


def padded_shortcut() -> ir.Model:
    """ResNet's option A: the shortcut gets channels of zeros."""
    net = image()
    a = net.op("Relu", net.conv("x", 3, 4, name="a"))
    steps = [net.ints(0, 0), net.ints(8, 8), net.ints(2, 3), net.ints(2, 2)]
    short = net.op("Pad", net.op("Slice", a, *steps), net.ints(0, 2, 0, 0, 0, 2, 0, 0))
    net.head(net.op("Relu", net.op("Add", net.conv(a, 4, 8, name="b", strides=[2, 2]), short)), 8)
    return net.graph()


def depthwise() -> ir.Model:
    net = image()
    a = net.op("Relu", net.conv("x", 3, 8, name="a"))
    b = net.op("Gelu", net.conv(a, 8, 16, groups=8, name="b"))  # two outputs for each input
    net.head(net.conv(b, 16, 6, 1, name="c"), 6)
    return net.graph()


def grouped() -> ir.Model:
    net = image()
    a = net.op("Elu", net.conv("x", 3, 12, name="a"))
    b = net.op(
        "ConvTranspose", net.conv(a, 12, 8, groups=4, name="b"), net.w(8, 3, 2, 2), net.w(6), group=2, strides=[2, 2]
    )
    net.head(net.op("ConvTranspose", b, net.w(6, 5, 3, 3), net.w(5), name="d"), 5)
    return net.graph()


def concats() -> ir.Model:
    net = image()
    a = net.op("Relu", net.conv("x", 3, 6, name="a"))
    b = net.op("Relu", net.conv(a, 6, 4, name="b"))
    c = net.op("Sigmoid", net.conv(a, 6, 4, name="c"))
    both = net.op("Concat", b, a, c, "x", axis=1)
    net.op("Split", both, net.ints(5, 12), outputs=["left", "right"], axis=1)
    part = net.op("Slice", "right", net.ints(-9), net.ints(2**40), net.ints(1))
    net.head(net.op("Concat", net.conv("left", 5, 6, 1, name="d"), net.conv(part, 9, 6, 1, name="e"), axis=1), 12)
    return net.graph()


def halves() -> ir.Model:
    """Split without sizes; each half has units of its own."""
    net = image()
    net.op("Split", net.conv("x", 3, 8, name="a"), outputs=["low", "high"], axis=1, num_outputs=2)
    both = net.op("Add", net.conv("low", 4, 4, name="b"), "high")
    net.head(net.op("Concat", "low", both, axis=1), 8)
    return net.graph()


def shuffle() -> ir.Model:
    net = image()
    a, b = net.conv("x", 3, 6, name="a"), net.conv("x", 3, 6, name="b")
    five = net.op("Reshape", net.op("Concat", a, b, axis=1), net.ints(-1, 2, 6, 8, 8))
    turned = net.op("Transpose", five, perm=[0, 2, 1, 3, 4])
    back = net.op("Reshape", turned, net.ints(-1, 12, 8, 8))
    net.op("Split", back, net.ints(6, 6), outputs=["low", "high"], axis=1)
    net.head(net.op("Concat", "low", net.conv("high", 6, 4, name="c"), axis=1), 10)
    return net.graph()


def squeeze_excite() -> ir.Model:
    net = image()
    a = net.op("Relu", net.conv("x", 3, 12, name="a"))
    b = net.conv(net.op("ReduceMean", a, net.ints(2, 3)), 12, 6, 1, name="b")
    gate = net.op("HardSigmoid", net.conv(net.op("Relu", b), 6, 12, 1, name="c"))
    net.head(net.op("Mul", a, gate), 12)
    return net.graph()


def flatten() -> ir.Model:
    """A channel is 64 columns in one linear layer, and every sixth in the other."""
    net = image()
    a = net.op("Relu", net.conv("x", 3, 6, name="a"))
    first = net.op("Gemm", net.op("Flatten", a), net.w(384, 7), net.w(7), name="b")
    turned = net.op("Transpose", a, perm=[0, 2, 3, 1])
    second = net.op("Gemm", net.op("Reshape", turned, net.ints(-1, 384)), net.w(7, 384), name="c", transB=1)
    net.op("Gemm", net.op("Relu", net.op("Add", first, second)), net.w(7, 5), net.w(5), name="y")
    return net.graph()


def rests() -> ir.Model:
    """Activations that make a half, and more, of nothing: into convolutions, linear layers and products."""
    net = image()
    a = net.op("Sigmoid", net.conv("x", 3, 8, name="a"))
    b = net.op("Softplus", net.op("Conv", a, net.w(8, 8, 1, 1), name="b"))
    c = net.op("Cos", net.op("Mul", net.conv(b, 8, 6, 1, name="c"), net.w(6, 1, 1)))
    d = net.op("Sigmoid", net.op("Gemm", net.op("Flatten", c), net.w(384, 8), name="d", alpha=0.5))
    e = net.op("Exp", net.op("Tanh", net.op("MatMul", d, net.w(8, 6), name="e")))
    net.op("MatMul", e, net.w(6, 5), name="y")
    return net.graph()


def questions() -> ir.Model:
    """What is chosen by comparing: a Softplus as torch writes it, a maximum, and a mask."""
    net = image()
    a = net.conv("x", 3, 8, name="a")
    soft = net.op("Log", net.op("Add", net.op("Exp", a), net.constant(np.float32(1))))
    b = net.op("Where", net.op("Greater", a, net.constant(np.float32(20))), a, soft)
    c = net.op("Conv", b, net.w(8, 8, 1, 1), net.w(8), name="c")
    larger = net.op("Where", net.op("GreaterOrEqual", c, b), c, b)
    inside = net.op("And", net.op("Less", b, net.constant(np.float32(2))), net.op("Not", net.op("Equal", b, c)))
    net.head(net.op("Where", inside, larger, net.constant(np.float32(-0.5))), 8)
    return net.graph()


def padded_rest() -> ir.Model:
    net = image()
    a = net.op("Sigmoid", net.conv("x", 3, 8, name="a"))
    net.head(net.op("Relu", net.conv(a, 8, 6, name="b")), 6)
    return net.graph()


def norms() -> ir.Model:
    """Batch norms that cannot be folded, since several read one value; a norm of each channel."""
    net = image()
    a = net.conv("x", 3, 8, name="a")

    def batch_norm(x: str, name: str) -> str:
        positive = net.constant(np.abs(weights(8, seed=9)) + 0.5)
        return net.op("BatchNormalization", x, net.w(8), net.w(8), net.w(8), positive, name=name)

    b = net.conv(net.op("Relu", batch_norm(a, "n")), 8, 8, name="b")
    c = net.op("InstanceNormalization", batch_norm(net.op("Add", a, b), "m"), net.w(8), net.w(8))
    net.head(net.op("PRelu", net.conv(c, 8, 6, name="e"), net.w(6, 1, 1)), 6)
    return net.graph()


def group_norm() -> ir.Model:
    """Four groups of three channels, with a factor for each channel, as of opset 21."""
    net = image()
    a = net.op("InstanceNormalization", net.conv("x", 3, 12, name="a"), net.w(12), net.w(12), name="n")
    net.head(net.op("Relu", net.conv(a, 12, 6, name="b")), 6)
    model = net.graph()
    norm = next(found for found in model.graph if found.name == "node_n")
    norm.op_type = "GroupNormalization"
    norm.attributes["num_groups"] = ir.AttrInt64("num_groups", 4)
    model.opset_imports[""] = 21
    return model


def older_group_norm() -> ir.Model:
    """Before opset 21 there is a factor for each group."""
    model = group_norm()
    model.opset_imports[""] = 20
    norm = next(found for found in model.graph if found.name == "node_n")
    for position in (1, 2):
        norm.replace_input_with(position, edit.add_constant(model, f"of_group_{position}", weights(4, seed=position)))
    edit.drop_unused(model)
    return model


def transformer() -> ir.Model:
    """Two heads of eight, an MLP, layer norms over the stream."""
    net = Net({"x": (1, 6, 16)})

    def norm(x: str, name: str) -> str:
        return net.op("LayerNormalization", x, net.w(16), net.w(16), name=name)

    def heads(x: str, name: str) -> str:
        split = net.op("Reshape", net.linear(x, 16, 32, name), net.ints(0, 6, 4, 8))
        return net.op("Transpose", split, perm=[0, 2, 1, 3])

    h = norm("x", "n1")
    q, k, v = heads(h, "q"), heads(h, "k"), heads(h, "v")
    scores = net.op(
        "Mul", net.op("MatMul", q, net.op("Transpose", k, perm=[0, 1, 3, 2])), net.constant(np.float32(0.3))
    )
    biased = net.op("Add", scores, net.w(1, 4, 6, 6))
    mixed = net.op("Transpose", net.op("MatMul", net.op("Softmax", biased, axis=-1), v), perm=[0, 2, 1, 3])
    out = net.linear(net.op("Reshape", mixed, net.ints(-1, 6, 32)), 32, 16, "o")
    stream = net.op("Add", out, "x")
    mlp = net.linear(net.op("Gelu", net.linear(norm(stream, "n2"), 16, 24, "up")), 24, 16, "down")
    last = norm(net.op("Add", mlp, stream), "n3")
    net.linear(net.op("ReduceMean", last, net.ints(1), keepdims=0), 16, 5, "head")
    net.nodes[-1].output[0] = "y"
    return net.graph()


def columns() -> ir.Model:
    """Products of what is computed: what is summed over goes on both sides; weights on the left."""
    net = Net({"x": (1, 6, 16)})
    q, k = net.op("MatMul", "x", net.w(16, 8), name="q"), net.op("MatMul", "x", net.w(16, 8), name="k")
    scores = net.op("Softmax", net.op("MatMul", q, net.op("Transpose", k, perm=[0, 2, 1])), axis=-1)
    v = net.op("MatMul", scores, net.op("MatMul", "x", net.w(16, 10), name="v"))
    turned = net.op("Transpose", v, perm=[0, 2, 1])
    mixed = net.op("MatMul", net.w(12, 10), net.op("Sigmoid", turned), name="left")
    net.op("MatMul", net.w(3, 12), mixed, name="y")
    return net.graph()


def moves() -> ir.Model:
    net = image()
    a = net.op("Relu", net.conv("x", 3, 12, name="a"))
    picked = net.op("Gather", a, net.ints(3, 1, -1, 7, 3), axis=1)
    b = net.op("DepthToSpace", a, blocksize=2, mode="CRD")
    c = net.op("Resize", b, "", "", net.ints(3, 8, 8), mode="nearest", axes=[1, 2, 3])
    d = net.op("SpaceToDepth", net.op("Tile", picked, net.ints(1, 2, 1, 1)), blocksize=2)
    e = net.op("AveragePool", d, kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1)
    f = net.op(
        "Squeeze",
        net.op("Unsqueeze", net.op("Resize", e, "", net.constant(np.float32([1, 1, 2, 2]))), net.ints(1)),
        net.ints(1),
    )
    g = net.op(
        "Pad",
        net.op("Concat", f, net.op("Neg", c), axis=1),
        net.ints(1, 1, 2, 0),
        net.constant(np.float32(0)),
        net.ints(2, 3),
    )
    net.head(g, 43)
    return net.graph()


def broadcast() -> ir.Model:
    net = image()
    pooled = net.op("GlobalMaxPool", net.conv("x", 3, 8, name="a"))
    wide = net.op("Expand", pooled, net.ints(1, 8, 8, 8))
    net.head(net.op("Sub", net.op("Div", wide, net.constant(np.float32(3))), net.conv("x", 3, 8, name="b")), 8)
    return net.graph()


def shared() -> ir.Model:
    """One layer's weights at two places."""
    net = image()
    weight, bias = net.w(8, 3, 1, 1), net.w(8)
    half = net.op("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2])
    a, b = net.op("Conv", "x", weight, bias, name="a"), net.op("Conv", half, weight, bias, name="b")
    next_ = net.w(6, 8, 1, 1)
    c, d = (net.op("GlobalAveragePool", net.op("Conv", net.op("Relu", v), next_)) for v in (a, b))
    net.head(net.op("Add", net.op("Relu", c), d), 6)
    return net.graph()


def lstm() -> ir.Model:
    net = Net({"x": (6, 1, 10)})
    a = net.op("Relu", net.linear("x", 10, 8, "a"))
    net.op("LSTM", a, net.w(1, 24, 8), net.w(1, 24, 6), net.w(1, 48), outputs=["h"], hidden_size=6)
    net.linear(net.op("Squeeze", "h", net.ints(1)), 6, 5, "head")
    net.nodes[-1].output[0] = "y"
    return net.graph()


def embedding() -> ir.Model:
    """Columns of a table that a gather reads, whose rows are chosen by the model."""
    net = image()
    chosen = net.op("ArgMax", net.op("Flatten", "x"), axis=1, keepdims=0)
    rows = net.op("Gather", net.w(192, 8), chosen, name="rows")
    net.op("Gemm", net.op("Tanh", rows), net.w(8, 5), name="y")
    return net.graph()


@dataclass(frozen=True)
class Expected:
    """groups: name -> units; stays: part of each reason that is given."""

    make: Callable[[], ir.Model]
    groups: Mapping[str, int]
    stays: tuple[str, ...] = ("'y' is an output",)


INPUT = "which keeps its channels"
NETS: dict[str, Expected] = {
    "chain": Expected(chain, {"node_a": 8, "node_b": 12}),
    "residual": Expected(residual, {"node_a": 8, "node_b": 12}),
    "padded_shortcut": Expected(padded_shortcut, {"node_a": 4, "node_b": 4}),
    "depthwise": Expected(depthwise, {"node_a": 8, "node_c": 6}),
    "grouped": Expected(grouped, {"node_a": 2, "node_d": 5}),
    "concats": Expected(
        concats, {"node_a": 1, "node_a/2": 3, "node_a/3": 2, "node_b": 4, "node_c": 4, "node_d": 6, "node_e": 6}
    ),
    "halves": Expected(halves, {"node_a": 4, "node_a/2": 4}),
    "shuffle": Expected(shuffle, {"node_a": 3, "node_a/2": 3, "node_c": 4}),
    "squeeze_excite": Expected(squeeze_excite, {"node_a": 12, "node_b": 6}),
    "flatten": Expected(flatten, {"node_a": 6, "node_b": 7}),
    "rests": Expected(rests, {"node_a": 8, "node_b": 8, "node_c": 6, "node_d": 8, "node_e": 6}),
    "questions": Expected(questions, {"node_a": 8}),
    "padded_rest": Expected(padded_rest, {"node_b": 6}, ("pads with zeros", "'y' is an output")),
    "norms": Expected(norms, {"node_a": 8, "node_e": 6}),
    "group_norm": Expected(group_norm, {"node_a": 4, "node_b": 6}),
    "older_group_norm": Expected(older_group_norm, {"node_a": 4, "node_b": 6}),
    "transformer": Expected(transformer, {"node_q": 4, "node_up": 24}, (INPUT, INPUT, "'y' is an output")),
    "columns": Expected(columns, {"node_q": 8, "node_v": 10, "node_left": 12}),
    "moves": Expected(moves, {"node_a": 1, "node_a/2": 2}),
    "broadcast": Expected(broadcast, {"node_a": 8}),
    "shared": Expected(shared, {"node_a": 8, "node_conv_4": 6}),
    "lstm": Expected(lstm, {"node_a": 8}, ("each of its states feeds", "'y' is an output")),
    "embedding": Expected(embedding, {"node_rows": 8}),
}
