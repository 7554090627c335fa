"""Normalizations, softmaxes and reductions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

from edgekit.graph import facts
from edgekit.run.torch_view.reading import Function, integers
from edgekit.run.torch_view.refuse import refused

Reduction = Callable[[Tensor, list[int], bool], Tensor]


def batch_norm(node: ir.Node) -> Function:
    """With the statistics that the graph holds."""
    if facts.attribute(node, "training_mode", 0):
        raise refused(node, "it computes its statistics anew", "export the model in eval mode")
    epsilon = facts.attribute(node, "epsilon", 1e-5)

    def apply(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return functional.batch_norm(x, mean, variance, scale, bias, training=False, eps=epsilon)

    return apply


def layer_norm(node: ir.Node) -> Function:
    axis, epsilon = facts.attribute(node, "axis", -1), facts.attribute(node, "epsilon", 1e-5)
    alone = len(node.outputs) == 1

    def apply(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        shape = x.shape[axis % x.dim() :]
        if scale.shape != shape or (bias is not None and bias.shape != shape):
            scale, bias = scale.expand(shape), None if bias is None else bias.expand(shape)
        y = functional.layer_norm(x, shape, scale, bias, epsilon)
        if alone:
            return y
        over = list(range(axis % x.dim(), x.dim()))
        variance, mean = torch.var_mean(x, over, correction=0, keepdim=True)
        return y, mean, (variance + epsilon).rsqrt()

    return apply


def instance_norm(node: ir.Node) -> Function:
    epsilon = facts.attribute(node, "epsilon", 1e-5)
    return lambda x, scale, bias: functional.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


def group_norm(node: ir.Node) -> Function:
    """Scale and bias are per channel from opset 21 on, per group before."""
    groups, epsilon = facts.attribute(node, "num_groups"), facts.attribute(node, "epsilon", 1e-5)

    def apply(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        each = x.shape[1] // scale.numel()
        return functional.group_norm(x, groups, scale.repeat_interleave(each), bias.repeat_interleave(each), epsilon)

    return apply


def rms_norm(node: ir.Node) -> Function:
    axis, epsilon = facts.attribute(node, "axis", -1), facts.attribute(node, "epsilon", 1e-5)

    def apply(x: Tensor, scale: Tensor) -> Tensor:
        over = list(range(axis % x.dim(), x.dim()))
        y: Tensor = x * (x.square().mean(over, keepdim=True) + epsilon).rsqrt() * scale
        return y

    return apply


def lp_norm(node: ir.Node) -> Function:
    axis, p = facts.attribute(node, "axis", -1), facts.attribute(node, "p", 2)

    def apply(x: Tensor) -> Tensor:
        length = x.abs().sum(axis, keepdim=True) if p == 1 else x.square().sum(axis, keepdim=True).sqrt()
        return torch.where(length == 0, 0.0, x / length)

    return apply


def mean_variance_norm(node: ir.Node) -> Function:
    axes = list(facts.attribute(node, "axes", (0, 2, 3)))

    def apply(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        return (x - mean) / (variance.sqrt() + 1e-9)

    return apply


def local_response_norm(node: ir.Node) -> Function:
    size, bias = facts.attribute(node, "size"), facts.attribute(node, "bias", 1.0)
    alpha, beta = facts.attribute(node, "alpha", 1e-4), facts.attribute(node, "beta", 0.75)
    before = (size - 1) // 2

    def apply(x: Tensor) -> Tensor:
        squares = functional.pad(x.square().movedim(1, -1), (before, size - 1 - before))
        near = squares.unfold(-1, size, 1).sum(-1).movedim(-1, 1)
        y: Tensor = x / (bias + alpha / size * near).pow(beta)
        return y

    return apply


# ---- along axes ----------------------------------------------------------------------------------------------------


def along_axis(function: Callable[[Tensor, int], Tensor]) -> Callable[[ir.Node], Function]:
    """Softmax and its like; `axis` is the last one where it is not given (opset 13 on)."""

    def row(node: ir.Node) -> Function:
        axis = facts.attribute(node, "axis", -1)
        return lambda x: function(x, axis)

    return row


def hardmax(x: Tensor, axis: int) -> Tensor:
    """1 at the first of the largest."""
    largest = x == x.amax(axis, keepdim=True)
    return (largest & (largest.cumsum(axis) == 1)).to(x.dtype)


def reduction(function: Reduction) -> Callable[[ir.Node], Function]:
    """Over the axes that an input (an attribute in older opsets) names; over all where none does."""

    def row(node: ir.Node) -> Function:
        axes, keep = integers(node, 1, "axes"), bool(facts.attribute(node, "keepdims", 1))
        idle = facts.attribute(node, "noop_with_empty_axes", 0)

        def apply(*inputs: Tensor) -> Tensor:
            x = inputs[0]
            over = axes(inputs) or ([] if idle else list(range(x.dim())))
            if not over:  # an axis of one element, of which every reduction makes the same as of none
                return function(x.unsqueeze(0), [0], False)
            return function(x, over, keep).to(x.dtype)

        return apply

    return row


def product(x: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


REDUCTIONS: dict[str, Reduction] = {
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep),
    "ReduceL2": lambda x, axes, keep: x.square().sum(axes, keep).sqrt(),
    "ReduceLogSum": lambda x, axes, keep: x.sum(axes, keep).log(),
    "ReduceLogSumExp": lambda x, axes, keep: x.logsumexp(axes, keep),
    "ReduceMax": lambda x, axes, keep: x.amax(axes, keep),
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keep),
    "ReduceMin": lambda x, axes, keep: x.amin(axes, keep),
    "ReduceProd": product,
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keep),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keep),
}


def global_pool(function: Reduction) -> Callable[[ir.Node], Function]:
    return lambda _: lambda x: function(x, list(range(2, x.dim())), True)


def global_lp_pool(node: ir.Node) -> Function:
    p = facts.attribute(node, "p", 2)
    return lambda x: x.abs().pow(p).sum(list(range(2, x.dim())), True).pow(1 / p)


def size_of(x: Tensor) -> Tensor:
    return torch.tensor(math.prod(x.shape), dtype=torch.int64)
