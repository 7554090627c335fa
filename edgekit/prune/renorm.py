"""Batch norms for the length of a training, and none before or after it.

Norms that a model was trained with are factors and addends of its convolutions by the time that channels are cut. With
the channels cut that fed it, a convolution's outputs have another mean and variance, and training without norms takes
long to mend that. So while a cut graph is trained, each of its convolutions is followed by a norm over the batch

    z = gain * (y - mean(y)) / sqrt(var(y) + epsilon) + shift

that begins with what its outputs had before anything was cut, gain = sqrt(var + epsilon) and shift = mean: the graph
starts with its statistics put right. At the end mean and var are taken over many samples and everything is folded into
the convolution, which computes the same:

    w' = w * gain / sqrt(var + epsilon)         b' = shift + (b - mean) * gain / sqrt(var + epsilon)

No running statistics are kept: halves of a batch are computed at the same time, each with its own.

Source: Ioffe and Szegedy 2015, arXiv:1502.03167; Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm",
arXiv:2105.07576, section 3, for statistics taken anew at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgekit.graph import edit, facts
from edgekit.run.torch_view import Tensors, TorchView

NORMED = frozenset({"Conv", "ConvTranspose"})
WEIGHED = NORMED | {"Gemm", "MatMul", "LSTM", "GRU", "Einsum"}
EPSILON = 1e-5  # of the mean variance of an op's outputs
NO_NORMS: Mapping[str, Norm] = {}


@dataclass(frozen=True, eq=False)
class Moments:
    """(C,) float64 each."""

    mean: Tensor
    variance: Tensor

    def of(self, kept: NDArray[np.bool_]) -> Moments:
        mask = torch.from_numpy(kept)
        return Moments(self.mean[mask], self.variance[mask])


@dataclass(frozen=True, eq=False)
class Norm:
    """What follows a node's output while it is trained. gain, shift: (C,), learned."""

    gain: Tensor
    shift: Tensor
    epsilon: float

    def __call__(self, y: Tensor) -> Tensor:
        return functional.batch_norm(y, None, None, self.gain, self.shift, training=True, eps=self.epsilon)


def norm(began: Moments) -> Norm:
    """began: the mean and variance that its outputs begin with."""
    epsilon = EPSILON * float(began.variance.mean()) or EPSILON
    gain = (began.variance + epsilon).sqrt()
    return Norm(gain.float().requires_grad_(), began.mean.float().requires_grad_(), epsilon)


def normed(graph: ir.Model) -> list[str]:
    """The outputs that a norm may follow: of convolutions at several places, with weights of their own, behind which
    there are other layers with weights, as in models that had norms."""
    return [node.outputs[0].name or "" for node in graph.graph if _may_be_normed(node)]


def _may_be_normed(node: ir.Node) -> bool:
    if node.op_type not in NORMED or (node.op_type == "ConvTranspose" and facts.attribute(node, "group", 1) != 1):
        return False
    weight, out = node.inputs[1], node.outputs[0]
    if weight is None or facts.constant(weight) is None or len(weight.uses()) > 1 or out.is_graph_output():
        return False
    if len(node.inputs) > 2 and node.inputs[2] is not None and facts.constant(node.inputs[2]) is None:
        return False
    return any(size != 1 for size in facts.shape(out)[2:]) and not _is_last(out)


def _is_last(value: ir.Value) -> bool:
    """True where some output of the graph follows from it without another layer with weights."""
    seen: set[ir.Value] = set()
    open_ends = [value]
    while open_ends:
        at = open_ends.pop()
        if at.is_graph_output():
            return True
        seen.add(at)
        for node in facts.consumers(at):
            if node.op_type not in WEIGHED:
                open_ends += [out for out in node.outputs if out not in seen]
    return False


def moments(
    view: TorchView, batches: Iterable[Tensors], names: Sequence[str], norms: Mapping[str, Norm] = NO_NORMS
) -> dict[str, Moments]:
    """Of values that lead to outputs, before the norms that follow them, over batches of equal size."""
    sums = {name: [torch.zeros(()), torch.zeros(())] for name in names}

    def watching(name: str) -> Callable[[Tensor], Tensor]:
        behind = norms.get(name)

        def watch(y: Tensor) -> Tensor:
            variance, mean = torch.var_mean(y, [0, *range(2, y.dim())], correction=0)
            sums[name][0] = sums[name][0] + mean.double()
            sums[name][1] = sums[name][1] + variance.double() + mean.double().square()
            return y if behind is None else behind(y)

        return watch

    count = 0
    behind = {name: watching(name) for name in names}
    with torch.no_grad():
        for inputs in batches:
            view(inputs, None, behind)  # looked at in passing: all of them at once would take memory
            count += 1
    means = {name: (mean / count, square / count) for name, (mean, square) in sums.items()}
    return {name: Moments(mean, (square - mean.square()).clamp(min=0)) for name, (mean, square) in means.items()}


def folded(graph: ir.Model, norms: Mapping[str, Norm], found: Mapping[str, Moments]) -> ir.Model:
    """The graph with each norm, at the statistics found, part of the convolution before it."""
    graph = graph.clone()
    for node in list(graph.graph):
        name = node.outputs[0].name or "" if node.op_type in NORMED else ""
        if name in norms:
            _fold(graph, node, norms[name], found[name])
    edit.drop_unused(graph)
    return graph


def _fold(graph: ir.Model, node: ir.Node, norm: Norm, found: Moments) -> None:
    factor = (norm.gain.detach().double() / (found.variance + norm.epsilon).sqrt()).numpy()
    weight = facts.constant(node.inputs[1])
    bias = facts.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else 0.0
    assert weight is not None and node.inputs[1] is not None
    along = [-1 if axis == (0 if node.op_type == "Conv" else 1) else 1 for axis in range(weight.ndim)]
    shifted = norm.shift.detach().double().numpy() + (bias - found.mean.numpy()) * factor
    named = node.inputs[2] if len(node.inputs) > 2 else None
    name = (named.name if named is not None else None) or f"{node.name}_bias"
    scaled = weight * factor.reshape(along) + 0.0  # a zero without a sign, which compresses as others do
    node.replace_input_with(1, edit.add_constant(graph, node.inputs[1].name or "", edit.float_tensor(scaled)))
    node.resize_inputs(3)
    node.replace_input_with(2, edit.add_constant(graph, name, edit.float_tensor(shifted)))
