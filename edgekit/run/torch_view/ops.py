"""The table of ops: ONNX op type -> what computes a node of it in PyTorch.

A row takes a node and returns a function of the node's inputs; what the node fixes is read once, when the row is asked.
Rows compute what ONNX Runtime computes, to 1e-5 of the largest value: tests hold each to it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

from edgekit.graph import facts
from edgekit.run.torch_view import moves, norms, recurrent, rounding, windows
from edgekit.run.torch_view.reading import Function, given
from edgekit.run.torch_view.refuse import refused

Row = Callable[[ir.Node], Function]

TYPES: dict[ir.DataType, torch.dtype] = {
    ir.DataType.BOOL: torch.bool,
    ir.DataType.FLOAT: torch.float32,
    ir.DataType.FLOAT16: torch.float16,
    ir.DataType.DOUBLE: torch.float64,
    ir.DataType.INT8: torch.int8,
    ir.DataType.INT16: torch.int16,
    ir.DataType.INT32: torch.int32,
    ir.DataType.INT64: torch.int64,
    ir.DataType.UINT8: torch.uint8,
}


def plain(function: Function) -> Row:
    """An op whose node says nothing more."""
    return lambda _: function


def with_attributes(function: Function, **defaults: Any) -> Row:
    """An op whose attributes the function takes by name."""

    def row(node: ir.Node) -> Function:
        settings = {name: facts.attribute(node, name, default) for name, default in defaults.items()}
        return lambda *inputs: function(*inputs, **settings)

    return row


def folded(function: Callable[[Tensor, Tensor], Tensor]) -> Row:
    """An op of any number of operands."""
    return lambda _: lambda *operands: reduce(function, operands)


def clip(node: ir.Node) -> Function:
    """Bounds are inputs, attributes before opset 11; constant ones are numbers."""
    x = node.inputs[0]
    if x is not None and not facts.is_float(x):  # a number of Python's is a float, which a large integer does not fit
        return lambda x, low=None, high=None: x if low is None and high is None else x.clamp(low, high)
    if all(facts.constant(value) is not None for value in node.inputs[1:] if value is not None):
        bounds = [facts.scalar(value) for value in (*node.inputs[1:], None, None)[:2]]
        low, high = (facts.attribute(node, name, bound) for name, bound in zip(("min", "max"), bounds, strict=True))
        if low is None and high is None:
            return lambda x, *_: x
        return lambda x, *_: x.clamp(low, high)
    return lambda x, low=None, high=None: x.clamp(low, high)


def cast(node: ir.Node) -> Function:
    wanted = ir.DataType(facts.attribute(node, "to"))
    if wanted not in TYPES:
        raise refused(node, f"it casts to {wanted}, which PyTorch does not have")
    return lambda x: x.to(TYPES[wanted])


def gemm(node: ir.Node) -> Function:
    alpha, beta = facts.attribute(node, "alpha", 1.0), facts.attribute(node, "beta", 1.0)
    turn_a, turn_b = facts.attribute(node, "transA", 0), facts.attribute(node, "transB", 0)
    if (alpha, beta, turn_a, turn_b) == (1.0, 1.0, 0, 1) and _is_row(node):
        return functional.linear

    def apply(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = (a.T if turn_a else a) @ (b.T if turn_b else b)
        product = product if alpha == 1.0 else alpha * product
        return product if c is None else product + (c if beta == 1.0 else beta * c)

    return apply


def _is_row(node: ir.Node) -> bool:
    bias = node.inputs[2] if given(node, 2) else None
    return bias is None or len(facts.shape(bias)) == 1


def divide(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def power(x: Tensor, exponent: Tensor) -> Tensor:
    if exponent.numel() == 1 and not exponent.requires_grad:
        return x.pow(exponent.item()).to(x.dtype)
    return x.pow(exponent).to(x.dtype)


def slope(x: Tensor, slopes: Tensor) -> Tensor:
    """PRelu."""
    return torch.where(x < 0, x * slopes, x)


def shrink(x: Tensor, lambd: float, bias: float) -> Tensor:
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, 0.0))


def infinite(x: Tensor, detect_negative: int, detect_positive: int) -> Tensor:
    found = x.isposinf() if detect_positive else torch.zeros_like(x, dtype=torch.bool)
    return found | x.isneginf() if detect_negative else found


def shift(x: Tensor, by: Tensor, direction: bytes | str) -> Tensor:
    return x << by if direction == "LEFT" else x >> by


def mean(*operands: Tensor) -> Tensor:
    return reduce(operator.add, operands) / len(operands)


def einsum(*operands: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation, *operands)


ROWS: dict[str, Row] = {
    # linear
    "Conv": windows.conv,
    "ConvTranspose": windows.conv_transpose,
    "Gemm": gemm,
    "MatMul": plain(torch.matmul),
    "Einsum": with_attributes(einsum, equation=""),
    "LSTM": recurrent.lstm,
    "GRU": recurrent.gru,
    # arithmetic
    "Add": plain(torch.add),
    "Sub": plain(torch.sub),
    "Mul": plain(torch.mul),
    "Div": plain(divide),
    "Pow": plain(power),
    "Mod": with_attributes(lambda a, b, fmod: torch.fmod(a, b) if fmod else a % b, fmod=0),
    "Sum": folded(torch.add),
    "Mean": plain(mean),
    "Min": folded(torch.minimum),
    "Max": folded(torch.maximum),
    "Neg": plain(torch.neg),
    "Abs": plain(torch.abs),
    "Sign": plain(torch.sign),
    "Sqrt": plain(torch.sqrt),
    "Reciprocal": plain(torch.reciprocal),
    "Exp": plain(torch.exp),
    "Log": plain(torch.log),
    "Floor": plain(torch.floor),
    "Ceil": plain(torch.ceil),
    "Round": plain(torch.round),
    "Erf": plain(torch.erf),
    "Sin": plain(torch.sin),
    "Cos": plain(torch.cos),
    "Tan": plain(torch.tan),
    "Asin": plain(torch.asin),
    "Acos": plain(torch.acos),
    "Atan": plain(torch.atan),
    "Sinh": plain(torch.sinh),
    "Cosh": plain(torch.cosh),
    "Asinh": plain(torch.asinh),
    "Acosh": plain(torch.acosh),
    "Atanh": plain(torch.atanh),
    # activations
    "Relu": plain(torch.relu),
    "Clip": clip,
    "LeakyRelu": with_attributes(lambda x, alpha: functional.leaky_relu(x, alpha), alpha=0.01),
    "PRelu": plain(slope),
    "ThresholdedRelu": with_attributes(lambda x, alpha: torch.where(x > alpha, x, 0.0), alpha=1.0),
    "Elu": with_attributes(lambda x, alpha: functional.elu(x, alpha), alpha=1.0),
    "Celu": with_attributes(lambda x, alpha: functional.celu(x, alpha), alpha=1.0),
    "Selu": with_attributes(
        lambda x, alpha, gamma: gamma * functional.elu(x, alpha), alpha=1.6732632423543772, gamma=1.0507009873554805
    ),
    "Gelu": with_attributes(lambda x, approximate: functional.gelu(x, approximate=approximate), approximate="none"),
    "Mish": plain(functional.mish),
    "Softplus": plain(functional.softplus),
    "Softsign": plain(functional.softsign),
    "Shrink": with_attributes(shrink, lambd=0.5, bias=0.0),
    "Sigmoid": plain(torch.sigmoid),
    "Tanh": plain(torch.tanh),
    "HardSigmoid": with_attributes(lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1), alpha=0.2, beta=0.5),
    "HardSwish": plain(lambda x: x * (x / 6 + 0.5).clamp(0, 1)),
    "Swish": with_attributes(lambda x, alpha: x * torch.sigmoid(alpha * x), alpha=1.0),
    "Softmax": norms.along_axis(torch.softmax),
    "LogSoftmax": norms.along_axis(torch.log_softmax),
    "Hardmax": norms.along_axis(norms.hardmax),
    # norms, pools, reductions
    "BatchNormalization": norms.batch_norm,
    "LayerNormalization": norms.layer_norm,
    "InstanceNormalization": norms.instance_norm,
    "GroupNormalization": norms.group_norm,
    "RMSNormalization": norms.rms_norm,
    "LpNormalization": norms.lp_norm,
    "MeanVarianceNormalization": norms.mean_variance_norm,
    "LRN": norms.local_response_norm,
    "MaxPool": windows.max_pool,
    "AveragePool": windows.average_pool,
    "LpPool": windows.lp_pool,
    "GlobalMaxPool": norms.global_pool(norms.REDUCTIONS["ReduceMax"]),
    "GlobalAveragePool": norms.global_pool(norms.REDUCTIONS["ReduceMean"]),
    "GlobalLpPool": norms.global_lp_pool,
    **{name: norms.reduction(function) for name, function in norms.REDUCTIONS.items()},
    "CumSum": moves.cumulative_sum,
    # moves
    "Identity": plain(lambda x: x),
    "Dropout": plain(lambda x, *_: x),
    "Cast": cast,
    "Reshape": moves.reshape,
    "Flatten": moves.flatten,
    "Squeeze": moves.squeeze,
    "Unsqueeze": moves.unsqueeze,
    "Transpose": moves.transpose,
    "Expand": moves.expand,
    "Tile": moves.tile,
    "Concat": moves.concat,
    "Split": moves.split,
    "Slice": moves.slices,
    "Pad": windows.pad,
    "Resize": windows.resize,
    "DepthToSpace": moves.depth_to_space,
    "SpaceToDepth": moves.space_to_depth,
    "Gather": moves.gather,
    "GatherElements": moves.gather_elements,
    "GatherND": moves.gather_nd,
    "ScatterElements": moves.scatter_elements,
    "ScatterND": moves.scatter_nd,
    "GridSample": moves.grid_sample,
    "ReverseSequence": moves.reverse_sequence,
    "Trilu": moves.triangle,
    # choices
    "Where": plain(torch.where),
    "ArgMax": moves.arg_extreme(largest=True),
    "ArgMin": moves.arg_extreme(largest=False),
    "TopK": moves.top_k,
    "OneHot": moves.one_hot,
    "Equal": plain(torch.eq),
    "Less": plain(torch.lt),
    "LessOrEqual": plain(torch.le),
    "Greater": plain(torch.gt),
    "GreaterOrEqual": plain(torch.ge),
    "And": plain(torch.logical_and),
    "Or": plain(torch.logical_or),
    "Xor": plain(torch.logical_xor),
    "Not": plain(torch.logical_not),
    "IsNaN": plain(torch.isnan),
    "IsInf": with_attributes(infinite, detect_negative=1, detect_positive=1),
    "BitwiseAnd": plain(torch.bitwise_and),
    "BitwiseOr": plain(torch.bitwise_or),
    "BitwiseXor": plain(torch.bitwise_xor),
    "BitwiseNot": plain(torch.bitwise_not),
    "BitShift": with_attributes(shift, direction="LEFT"),
    # shapes
    "Shape": moves.shape_of,
    "Size": plain(norms.size_of),
    "ConstantOfShape": moves.constant_of_shape,
    "Range": plain(moves.counted),
    # rounding
    "QuantizeLinear": rounding.quantize,
    "DequantizeLinear": rounding.dequantize,
}


PARAMETERS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "LSTM", "GRU"), (1, 2, 3)),
    "MatMul": (0, 1),
    "PRelu": (1,),
    **dict.fromkeys(("BatchNormalization", "LayerNormalization", "InstanceNormalization"), (1, 2)),
    **dict.fromkeys(("GroupNormalization", "RMSNormalization"), (1, 2)),
}
"""The inputs that training may change: weights, biases, factors and addends of norms, slopes."""


def row_of(node: ir.Node) -> Function:
    """What computes the node."""
    row = ROWS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if row is None:
        raise refused(node, "edgekit has no form of this op with gradients")
    return row(node)


def trainable(value: ir.Value) -> bool:
    """True for a float constant that some node uses as a weight, a bias or the like."""
    if value.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE):
        return False
    return any(use.idx in PARAMETERS.get(use.node.op_type, ()) or _is_added_bias(use.node) for use in value.uses())


def _is_added_bias(node: ir.Node) -> bool:
    """An Add right behind a MatMul of constant weights: its other operand is the bias, (C,)."""
    if node.op_type != "Add":
        return False
    constants = [value for value in node.inputs if value is not None and facts.constant(value) is not None]
    makers = [value.producer() for value in node.inputs if value is not None]
    products = [maker for maker in makers if maker is not None and maker.op_type == "MatMul"]
    if len(constants) != 1 or len(products) != 1 or len(facts.shape(constants[0])) != 1:
        return False
    return any(facts.constant(value) is not None for value in products[0].inputs)
