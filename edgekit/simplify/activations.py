"""One form of each activation, so that later stages know it by name.

Clip(x, 0, inf) = Relu(x);     x * HardSigmoid(x) = HardSwish(x)    (alpha 1/6, beta 1/2)
HardSigmoid(W x + b) = Clip((alpha W) x + (alpha b + beta), 0, 1):  no runtime has an int8 hard sigmoid
x / c = x * (1/c);   -x = x * (-1);   x ^ 2 = x * x;   x tanh(softplus(x)) = Mish(x)
0.5 x (1 + erf(x / sqrt 2)) = Gelu(x)
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts

STEPS = frozenset(
    {"Floor", "Ceil", "Round", "Mod", "Sign", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"}
)
KEEPS_STEPS = frozenset(
    {
        *(
            "Reshape",
            "Flatten",
            "Squeeze",
            "Unsqueeze",
            "Transpose",
            "Slice",
            "Split",
            "Concat",
            "Pad",
            "Expand",
            "Tile",
        ),
        *("Identity", "Cast", "Gather", "GatherElements", "GatherND", "Where", "Min", "Max", "Clip", "Relu"),
        *("Add", "Sub", "Mul", "Neg", "Abs", "MaxPool", "ReduceMax", "ReduceMin"),
    }
)
"""Ops through which a value may reach a step function with nothing rounded but itself."""


def canonical_activations(graph: ir.Model) -> ir.Model:
    graph = graph.clone()
    for node in list(graph.graph):
        match node.op_type:
            case "Clip" if facts.is_float(node.inputs[0]) and _bounds(node) == (0.0, math.inf):
                edit.replace(graph, node, [edit.new_node(node, "Relu", [node.inputs[0]])])
            case "Clip" if _bounds(node) == (-math.inf, math.inf) and edit.can_bypass(node):
                edit.bypass(graph, node)
            case "Mul" if facts.is_float(node.outputs[0]):
                _hard_swish(graph, node) or _gelu(graph, node) or _mish(graph, node)
            case "Neg" if facts.is_float(node.inputs[0]):
                minus = edit.add_constant(graph, f"{node.name}_minus", np.asarray(-1, np.float32))
                edit.replace(graph, node, [edit.new_node(node, "Mul", [node.inputs[0], minus])])
            case "Sum" | "Mean" if facts.is_float(node.outputs[0]):
                _two_at_a_time(graph, node)
            case "Div" if (divisor := facts.constant(node.inputs[1])) is not None and facts.is_float(node.inputs[0]):
                if _can_invert(divisor) and (_inverts_exactly(divisor) or not _is_stepped(node.outputs[0])):
                    inverse = edit.add_constant(graph, f"{node.name}_inverse", edit.float_tensor(1.0 / divisor))
                    edit.replace(graph, node, [edit.new_node(node, "Mul", [node.inputs[0], inverse])])
            case "Pow" if facts.scalar(node.inputs[1]) == 2.0 and _has_shape_of(node.outputs[0], node.inputs[0]):
                edit.replace(graph, node, [edit.new_node(node, "Mul", [node.inputs[0], node.inputs[0]])])
            case _:
                pass
    for node in list(graph.graph):
        if node.op_type == "HardSigmoid" and facts.is_float(node.outputs[0]):
            _fold_hard_sigmoid(graph, node)
    edit.drop_unused(graph)
    return graph


def _can_invert(divisor: NDArray[np.floating]) -> bool:
    return bool(np.all(np.abs(divisor) >= np.finfo(np.float32).tiny))


def _inverts_exactly(divisor: NDArray[np.floating]) -> bool:
    """Powers of two whose inverses are normal numbers."""
    return bool(np.all(np.abs(np.frexp(divisor)[0]) == 0.5) and _can_invert(1.0 / divisor))


def _is_stepped(value: ir.Value) -> bool:
    """Whether a step function reads the value, perhaps moved or shifted: 49 * (1 / 49) is less than 1."""
    reached = [value]
    for found in reached:
        for reader in facts.consumers(found):
            if reader.op_type in STEPS or (reader.op_type == "Cast" and not facts.is_float(reader.outputs[0])):
                return True
            if reader.op_type in KEEPS_STEPS:
                reached += [output for output in reader.outputs if output not in reached]
    return False


def _has_shape_of(value: ir.Value, other: ir.Value | None) -> bool:
    """A number of higher rank gives its rank to the result."""
    return value.shape is not None and other is not None and value.shape == other.shape


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    """(min, max) of a Clip with constant bounds."""
    values = [*node.inputs[1:], None, None][:2]
    low = -math.inf if values[0] is None else facts.scalar(values[0])
    high = math.inf if values[1] is None else facts.scalar(values[1])
    if low is None or high is None:
        return None
    largest = float(np.finfo(np.float32).max)
    return low, (math.inf if high >= largest else high)


def _hard_swish(graph: ir.Model, node: ir.Node) -> bool:
    """x * HardSigmoid(x, 1/6, 1/2) is HardSwish(x)."""
    for x, gate in (node.inputs, node.inputs[::-1]):
        producer = gate.producer() if gate is not None else None
        if producer is not None and producer.op_type == "HardSigmoid" and producer.inputs[0] is x:
            slope, offset = facts.attribute(producer, "alpha", 0.2), facts.attribute(producer, "beta", 0.5)
            if abs(slope - 1 / 6) < 1e-6 and offset == 0.5:
                edit.replace(graph, node, [edit.new_node(node, "HardSwish", [x])])
                return True
    return False


def _mish(graph: ir.Model, node: ir.Node) -> bool:
    """x * tanh(softplus(x))"""
    for x, gate in (node.inputs, node.inputs[::-1]):
        tanh = gate.producer() if gate is not None else None
        inner = tanh.inputs[0].producer() if tanh is not None and tanh.inputs and tanh.inputs[0] is not None else None
        if tanh is None or inner is None or (tanh.op_type, inner.op_type) != ("Tanh", "Softplus"):
            continue
        if inner.inputs[0] is x:
            edit.replace(graph, node, [edit.new_node(node, "Mish", [x])])
            return True
    return False


def _two_at_a_time(graph: ir.Model, node: ir.Node) -> None:
    """A Sum as additions, a Mean as their result by 1/n."""
    first, *others = node.inputs
    made: list[ir.Node] = []
    for index, other in enumerate(others):
        made.append(edit.new_node(node, "Add", [first, other]))
        made[-1].name, first = f"{node.name}_{index}", made[-1].outputs[0]
        first.name, first.shape = f"{node.outputs[0].name}_{index}", _broadcast(made[-1])
    share = edit.add_constant(graph, f"{node.name}_share", np.asarray(1 / len(node.inputs), np.float32))
    if node.op_type == "Mean":
        made.append(edit.new_node(node, "Mul", [first, share]))
    elif not made:
        made.append(edit.new_node(node, "Identity", [first]))
    made[-1].outputs[0].shape = node.outputs[0].shape
    made[-1].outputs[0].name, made[-1].name = node.outputs[0].name, node.name
    edit.replace(graph, node, made)


def _broadcast(add: ir.Node) -> ir.Shape:
    """The shape of a sum: along each axis the size that is not 1, an open one where no other is."""
    shapes = [list(value.shape) for value in add.inputs if value is not None and value.shape is not None]
    rank = max(map(len, shapes))
    aligned = [[*[1] * (rank - len(shape)), *shape] for shape in shapes]
    return ir.Shape([next((dim for dim in dims if dim != 1), 1) for dims in zip(*aligned, strict=True)])


def _gelu(graph: ir.Model, node: ir.Node) -> bool:
    """0.5 * x * (1 + erf(x / sqrt 2)), in the orders that exporters write it."""
    factors = _factors(node)
    numbers = [c for c in map(facts.scalar, factors) if c is not None]
    values = [v for v in factors if facts.scalar(v) is None]
    if len(values) != 2 or not math.isclose(math.prod(numbers), 0.5, rel_tol=1e-5):
        return False
    for x, gate in (values, values[::-1]):
        if _is_one_plus_erf(gate, x) and _has_shape_of(node.outputs[0], x):
            edit.replace(graph, node, [edit.new_node(node, "Gelu", [x], {"approximate": "none"})])
            return True
    return False


def _factors(node: ir.Node) -> list[ir.Value]:
    """The factors of a product, one level of single-use Mul below it opened."""
    found: list[ir.Value] = []
    for value in node.inputs:
        assert value is not None
        below = value.producer()
        if below is not None and below.op_type == "Mul" and facts.only_consumer(value) is node:
            found += [v for v in below.inputs if v is not None]
        else:
            found.append(value)
    return found


def _is_one_plus_erf(gate: ir.Value, x: ir.Value) -> bool:
    """gate = 1 + erf(x / sqrt 2)."""
    add = gate.producer()
    if add is None or add.op_type != "Add":
        return False
    erf = next((v.producer() for v in add.inputs if v is not None and facts.scalar(v) is None), None)
    if erf is None or erf.op_type != "Erf" or 1.0 not in [facts.scalar(v) for v in add.inputs]:
        return False
    scaled = erf.inputs[0].producer() if erf.inputs[0] is not None else None
    if scaled is None or x not in (scaled.inputs[:1] if scaled.op_type == "Div" else scaled.inputs):
        return False
    number = next((c for c in map(facts.scalar, scaled.inputs) if c is not None), None)
    expected = {"Mul": 1 / math.sqrt(2), "Div": math.sqrt(2)}.get(scaled.op_type)
    return number is not None and expected is not None and math.isclose(number, expected, rel_tol=1e-5)


def _fold_hard_sigmoid(graph: ir.Model, node: ir.Node) -> None:
    """Behind a linear op: Mul and Add, which the affine fold takes into the weights, and a Clip to [0, 1]."""
    x = node.inputs[0]
    producer = x.producer() if x is not None else None
    if x is None or producer is None or producer.op_type not in ("Conv", "Gemm") or facts.only_consumer(x) is not node:
        return
    slope, offset = facts.attribute(node, "alpha", 0.2), facts.attribute(node, "beta", 0.5)
    operands = [
        edit.add_constant(graph, f"{node.name}_{n}", np.asarray(c, np.float32))
        for n, c in (("a", slope), ("b", offset))
    ]
    zero, one = (
        edit.add_constant(graph, f"{node.name}_{n}", np.asarray(c, np.float32)) for n, c in (("low", 0), ("high", 1))
    )
    product = edit.new_node(node, "Mul", [x, operands[0]])
    total = edit.new_node(node, "Add", [product.outputs[0], operands[1]])
    for part, suffix in ((product, "mul"), (total, "add")):
        part.name, part.outputs[0].name = f"{node.name}_{suffix}", f"{node.outputs[0].name}_{suffix}"
    edit.replace(graph, node, [product, total, edit.new_node(node, "Clip", [total.outputs[0], zero, one])])
