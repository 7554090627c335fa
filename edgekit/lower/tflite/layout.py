"""Choose the stored order of axes of every value: which axis of the model stands where in the file.

TFLite's image ops want channels last. Everything else can follow: an elementwise op takes the order of its operands, a
Transpose renames axes and moves nothing, a Reshape carries the order where whole groups of axes are merged or split.
This file decides; `draft.py` moves data where a node takes a value in another order than the one it is stored in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.ops import Node, Order, Program, Value, image, moves_data, plain, stored_shape

Orders = Mapping[Value, Order]
Placement = tuple[tuple[Order, ...], tuple[Order, ...]]  # the order each input is taken in, and each output stored in


@dataclass(frozen=True)
class Layout:
    """stored: the order of every computed value; taken: per node, the order it wants each input in."""

    stored: Mapping[Value, Order]
    taken: Mapping[Node, tuple[Order, ...]]


def choose(program: Program, *, nhwc: bool) -> Layout:
    """nhwc: rank-4 inputs of the file are channels last."""
    stored: dict[Value, Order] = {value: border(value, nhwc) for _, value in program.inputs}
    taken: dict[Node, tuple[Order, ...]] = {}
    outputs = {value for _, value in program.outputs}
    for node in program.nodes:
        if node.op == "Dequantize" and node.output in outputs:  # move the bytes, not the floats
            gives: tuple[Order, ...] = (border(node.output, nhwc),)
            taken[node] = gives
        else:
            taken[node], gives = RULES.get(node.op, _plain)(node, stored)
        stored.update(zip(node.outputs, gives, strict=True))
    return Layout(stored, taken)


def border(value: Value, nhwc: bool) -> Order:
    """The order of a graph input or output."""
    return image(4) if nhwc and value.rank == 4 else plain(value.rank)


# -- rules: node and orders so far -> what it takes and gives ---------------------------------------------------------


def _plain(node: Node, _: Orders) -> Placement:
    return _takes(node, [plain(_rank(v)) for v in node.inputs]), tuple(plain(v.rank) for v in node.outputs)


def _image(node: Node, _: Orders) -> Placement:
    takes = [image(node.input(0).rank), *(plain(_rank(v)) for v in node.inputs[1:])]
    return _takes(node, takes), tuple(image(v.rank) for v in node.outputs)


def _same(node: Node, stored: Orders) -> Placement:
    """One operand that matters, all outputs like it."""
    order = _order(node.input(0), stored)
    takes = [order, *(plain(_rank(v)) for v in node.inputs[1:])]
    return _takes(node, takes), tuple(order for _ in node.outputs)


def _batched(node: Node, stored: Orders) -> Placement:
    """Like its operand, the batch first."""
    order = _order(node.input(0), stored)
    order = order if order[0] == 0 else plain(len(order))
    return _takes(node, [order, *(plain(_rank(v)) for v in node.inputs[1:])]), (order,)


def _elementwise(node: Node, stored: Orders) -> Placement:
    """The order of the largest operand; operands of lower rank are taken plain and widened by the lowering."""
    rank = node.output.rank
    order = _shared([v for v in node.inputs if v is not None], rank, stored)
    takes = [order if _rank(v) == rank else plain(_rank(v)) for v in node.inputs]
    return _takes(node, takes), (order,) * len(node.outputs)


def _transpose(node: Node, stored: Orders) -> Placement:
    order = _order(node.input(0), stored)
    permutation = node.ints("perm", range(node.input(0).rank)[::-1])
    return (order,), (tuple(permutation.index(axis) for axis in order),)


def _reshape(node: Node, stored: Orders) -> Placement:
    before, after, order = node.input(0).shape, node.output.shape, _order(node.input(0), stored)
    take, give = carry(before, after, order)
    if take != order and len(after) == 2:  # data must move: rows are read in the model's order, by a linear layer
        take, give = carry(before, after, plain(len(before)))
    return _takes(node, [take, (0,)]), (give,)


def _expand(node: Node, stored: Orders) -> Placement:
    """Like its operand; what has fewer axes is taken plain and widened by the lowering."""
    x, rank = node.input(0), node.output.rank
    order = _order(x, stored) if x.rank == rank else plain(rank)
    return _takes(node, [order if x.rank == rank else plain(x.rank), (0,)]), (order,)


def _softmax(node: Node, stored: Orders) -> Placement:
    order = _order(node.input(0), stored)
    axis = node.attributes.get("axis", -1) % node.input(0).rank
    if order[-1] != axis:
        order = (*(a for a in order if a != axis), axis)
    return (order,), (order,)


def _top(node: Node, stored: Orders) -> Placement:
    (order, *_), _ = _softmax(node, stored)
    return _takes(node, [order, plain(_rank(node.input(1)))]), (order,) * len(node.outputs)


def _place(node: Node, stored: Orders) -> Placement:
    """Along one axis, which may go."""
    order, axis = _order(node.input(0), stored), node.attributes.get("axis", 0) % node.input(0).rank
    return (order,), (order if node.attributes.get("keepdims", 1) else _without(order, {axis}),)


def _reduce(node: Node, stored: Orders) -> Placement:
    order = _order(node.input(0), stored)
    takes = _takes(node, [order, *(plain(_rank(v)) for v in node.inputs[1:])])
    if node.attributes.get("keepdims", 1):
        return takes, (order,)
    return takes, (_without(order, set(reduced_axes(node))),)


def _matmul(node: Node, stored: Orders) -> Placement:
    """Constant weights: only the last axis must stand last. Two computed operands: the second may lie transposed."""
    first, second = _order(node.input(0), stored), node.input(1)
    if second.data is None and _order(second, stored) == transposed(second.rank):
        takes, gives = _plain(node, stored)
        return (takes[0], transposed(second.rank)), gives
    if node.constant(1) is None or first[-1] != len(first) - 1 or second.rank != 2:
        return _plain(node, stored)
    return _takes(node, [first, *(plain(_rank(v)) for v in node.inputs[1:])]), (first,)


def transposed(rank: int) -> Order:
    """The last two axes exchanged."""
    return (*range(rank - 2), rank - 1, rank - 2)


def _gather(node: Node, stored: Orders) -> Placement:
    order = _order(node.input(0), stored)
    indices, axis = node.input(1), node.attributes.get("axis", 0) % node.input(0).rank
    if indices.rank > 1:
        return _plain(node, stored)
    gives = order if indices.rank == 1 else _without(order, {axis})
    return (order, plain(indices.rank)), (gives,)


_MOVERS = ("Quantize", "Dequantize", "Requantize", "Cast", "Identity", "Pad", "Slice", "Split", "Tile")
_CURVES = ("Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Gelu", "Elu", "Selu", "Celu")
_MORE_CURVES = ("Softplus", "Softsign", "Mish", "Swish", "ThresholdedRelu", "Shrink", "Hardmax")
_FUNCTIONS = ("Exp", "Log", "Sqrt", "Reciprocal", "Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Erf")
_CIRCULAR = ("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh")
_TESTS = ("Not", "BitwiseNot", "IsNaN", "IsInf")
_NORMS = ("BatchNormalization", "LayerNormalization", "RMSNormalization", "InstanceNormalization")
_MORE_NORMS = ("MeanVarianceNormalization", "LpNormalization")
_POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "PRelu", "Concat", "Where")
_LOGIC = ("And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift")
_REDUCTIONS = ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd")
_MORE_REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
_COMPARISONS = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")

RULES: Mapping[str, Callable[[Node, Orders], Placement]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", *_POOLS, "Resize", "DepthToSpace", "SpaceToDepth"), _image),
    **dict.fromkeys(("LRN", "GridSample"), _image),
    **dict.fromkeys((*_ARITHMETIC, *_LOGIC, *_COMPARISONS), _elementwise),
    **dict.fromkeys((*_MOVERS, *_CURVES, *_MORE_CURVES, *_FUNCTIONS, *_CIRCULAR, *_TESTS, "CumSum"), _same),
    **dict.fromkeys((*_NORMS, *_MORE_NORMS), _same),
    "GroupNormalization": _batched,
    **dict.fromkeys((*_REDUCTIONS, *_MORE_REDUCTIONS), _reduce),
    **dict.fromkeys(("ArgMax", "ArgMin"), _place),
    "TopK": _top,
    "Transpose": _transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Expand": _expand,
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "MatMul": _matmul,
    "Gather": _gather,
}


def _takes(node: Node, orders: Sequence[Order]) -> tuple[Order, ...]:
    return tuple(orders[: len(node.inputs)])


def _rank(value: Value | None) -> int:
    return 0 if value is None else value.rank


def _order(value: Value, stored: Orders) -> Order:
    return stored.get(value, plain(value.rank))


def _shared(values: Sequence[Value], rank: int, stored: Orders) -> Order:
    """The order of the largest operand; among equals one that is not plain, since that came from an image op."""
    computed = [v for v in values if v.data is None and v.rank == rank]
    if not computed:
        return plain(rank)
    return _order(max(computed, key=lambda v: (v.size, _order(v, stored) != plain(rank))), stored)


def _without(order: Order, axes: set[int]) -> Order:
    kept = [axis for axis in order if axis not in axes]
    return tuple(sorted(kept).index(axis) for axis in kept)


def reduced_axes(node: Node) -> tuple[int, ...]:
    """The model's axes that a Reduce op reduces: all where it names none, unless that means none."""
    rank, axes = node.input(0).rank, node.constant(1)
    if axes is None and node.optional(1) is not None:
        raise refuse.computed(node, "axes")
    named = node.ints("axes", ()) if axes is None else tuple(int(a) for a in axes.reshape(-1))
    if not named and not node.attributes.get("noop_with_empty_axes", 0):
        return plain(rank)
    return tuple(sorted({axis % rank for axis in named}))


# -- reshapes ---------------------------------------------------------------------------------------------------------


def carry(before: Sequence[int], after: Sequence[int], order: Order) -> tuple[Order, Order]:
    """The order in which a Reshape must take its input, and the order that its result then has.

    Axes fall into groups that the reshape merges or splits as a whole: (N, C, H, W) -> (N, C, H*W) has the groups
    N | C | H W. Groups may stand in any order, within a group axes must be in the model's order.
    """
    groups = _groups(before, after)
    # A group stands where its first axis that is not of size 1 stands: axes of size 1 are nowhere in memory.
    places: list[float] = []
    for axes, _ in groups:
        wide = [axis for axis in axes if before[axis] != 1] or axes
        places.append(min((order.index(a) for a in wide), default=(places[-1] if places else -1) + 0.1))
    sequence = sorted(range(len(groups)), key=lambda index: places[index])
    take = tuple(axis for index in sequence for axis in groups[index][0])
    give = tuple(axis for index in sequence for axis in groups[index][1])
    same = not moves_data(stored_shape(before, order), tuple(order.index(axis) for axis in take))
    return (order if same else take), give


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The finest matching of axes before and after with equal products."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        left, right = [], []
        product_left = product_right = 1
        if i < len(before):
            left.append(i)
            product_left, i = before[i], i + 1
        if j < len(after):
            right.append(j)
            product_right, j = after[j], j + 1
        while product_left != product_right:
            if product_left < product_right:
                left.append(i)
                product_left, i = product_left * before[i], i + 1
            else:
                right.append(j)
                product_right, j = product_right * after[j], j + 1
        groups.append((left, right))
    return groups
