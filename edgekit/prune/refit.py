"""Layers refitted after a cut, without training: from the first to the last, each gets the weights that come nearest to
what its channels that are left gave before, on what the layers before it give now.

With x' what a layer is given in the cut graph and y what it gave in the whole one, that is

    min over V, c of  E |V x' + c - y|^2 + r |V - W|^2        r = ridge * mean of diag cov(x', x')

with W the weights as they were cut, and no c where a layer has no bias: then the means stay in. The ridge is each
layer's own: the one that does best on samples that it was not fitted to. An infinite one, which is W itself with the
mean put right, is among them.

Source: He, Zhang and Sun 2017, "Channel Pruning for Accelerating Very Deep Neural Networks", arXiv:1707.06168, equation
3, for the refit of the readers; what a layer is to give is what it gave before anything was cut, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.graph import edit, facts
from edgekit.progress import Progress
from edgekit.run import linear
from edgekit.run.linear import Moments
from edgekit.run.one_thread import one_thread
from edgekit.run.torch_view import Tensors, to_torch
from edgekit.run.torch_view.frontier import Frontier, bytes_per_sample, stages
from edgekit.run.torch_view.windows import positions
from edgekit.samples import Samples

SAMPLES = 512
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
STILL = 1e-8  # of the mean square of what a group of inputs is: a smaller variance is rounding, and says nothing
TRIED_ON = 4  # every so many samples one is not fitted to, but tells which ridge is best

Survivors = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class _Layer:
    """node: of the cut graph; twin: of the whole one; left: which of the twin's outputs are left."""

    node: ir.Node
    twin: ir.Node
    left: NDArray[np.bool_]

    @property
    def has_bias(self) -> bool:
        return len(self.node.inputs) > 2 and self.node.inputs[2] is not None

    def expected(self, x: Tensor) -> Tensor:
        """(g, places, o) of the cut node, from what the twin multiplies its weights with, (groups, places, inputs)."""
        weight, bias = (facts.constant(value) for value in (*self.twin.inputs, None)[1:3])
        assert weight is not None
        rows = linear.rows(self.twin, torch.from_numpy(weight.astype(np.float64)))
        y = (x.double() @ rows.transpose(1, 2)).transpose(0, 1).flatten(1)
        if bias is not None:
            y = y + torch.from_numpy(bias.reshape(-1).astype(np.float64))
        groups = facts.attribute(self.node, "group", 1)
        return y[:, torch.from_numpy(self.left)].reshape(len(y), groups, -1).transpose(0, 1)


def refit(cut: ir.Model, whole: ir.Model, samples: Samples, survivors: Survivors, progress: Progress) -> ir.Model:
    """The cut graph with other weights and biases. survivors: which channels of the whole graph's values are left.

    Raises EK911 for an op that PyTorch cannot run a graph with.
    """
    layers = _layers(cut, whole, survivors)
    if not layers:
        return cut
    graph = cut.clone()
    nodes = {node.name: node for node in graph.graph}
    with one_thread(), progress.step("refitting layers", len(layers)) as advance:
        exact_stages = stages(whole, [[linear.read(layer.twin)] for layer in layers])
        rough_stages = stages(cut, [[linear.read(layer.node)] for layer in layers])
        each = bytes_per_sample(whole, exact_stages) + bytes_per_sample(cut, rough_stages) + _input_bytes(cut)
        batches = list(linear.batches(cut, samples, max(1, min(SAMPLES, linear.BYTES // max(each, 1)))))
        exact = Frontier(to_torch(whole), exact_stages, batches)
        rough = Frontier(to_torch(cut), rough_stages, batches)
        replaced: Tensors = {}
        for layer in layers:
            weight, bias = _refitted(layer, exact.advance({}), rough.advance(replaced), len(batches))
            replaced.update(_put(graph, nodes[layer.node.name], layer.node, weight, bias))
            advance(1)
    edit.drop_unused(graph)
    return graph


def _input_bytes(graph: ir.Model) -> int:
    """Of a sample, which both graphs begin with."""
    return sum(4 * math.prod(facts.static_shape(value)) for value in graph.graph.inputs)


def _layers(cut: ir.Model, whole: ir.Model, survivors: Survivors) -> list[_Layer]:
    """In the order they run: with weights, and a bias if any, that no other layer shares."""
    twins = {node.name: node for node in whole.graph}
    found = []
    for node in cut.graph:
        twin = twins.get(node.name)
        left = survivors.get(node.outputs[0].name or "")
        if twin is None or left is None or not (linear.is_plain(node) and linear.is_plain(twin)):
            continue
        own = [value for value in node.inputs[1:] if value is not None]
        if any(facts.constant(value) is None or len(value.uses()) > 1 for value in own):
            continue
        if _outputs(twin) == len(left) and _outputs(node) == left.sum():
            found.append(_Layer(node, twin, left))
    return found


def _outputs(node: ir.Node) -> int:
    """Of its weights; 0 where its bias is another number of values, or its channels lie along another axis."""
    weight = facts.constant(node.inputs[1])
    assert weight is not None
    groups, outputs, _ = linear.rows(node, torch.empty(weight.shape)).shape
    count = groups * outputs
    bias = facts.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    along = facts.shape(node.outputs[0])[1 if node.op_type == "Conv" else -1]
    return count if along == count and (bias is None or bias.size == count) else 0


def _refitted(layer: _Layer, exact: Iterator[Tensors], rough: Iterator[Tensors], batches: int) -> tuple[Tensor, Tensor]:
    """Weights (g, o, n) and bias (g, o), zeros where the layer has none."""
    weight = facts.constant(layer.node.inputs[1])
    assert weight is not None
    rows = linear.rows(layer.node, torch.from_numpy(weight.astype(np.float64)))
    groups, outputs, inputs = rows.shape
    seen, held_out = (Moments.none(groups, inputs, outputs) for _ in range(2))
    most, done = linear.places(inputs, batches), 0
    for index, (was, now) in enumerate(zip(exact, rough, strict=True)):
        y = layer.expected(positions(layer.twin, was[linear.read(layer.twin)], most, index))
        given = now[linear.read(layer.node)]
        x = positions(layer.node, given, most, index).double()
        apart = (done + torch.arange(x.shape[1]) * len(given) // x.shape[1]) % TRIED_ON == TRIED_ON - 1
        held_out.add(x[:, apart], y[:, apart])
        seen.add(x[:, ~apart], y[:, ~apart])
        done += len(given)
    kept = (rows, seen.shift(rows) * layer.has_bias)
    if not held_out.count:
        return kept
    candidates = [*_solved(seen, rows, has_bias=layer.has_bias), kept]
    errors = [_error(held_out, *candidate) for candidate in candidates]
    return candidates[int(np.argmin([error if np.isfinite(error) else np.inf for error in errors]))]


def _solved(moments: Moments, rows: Tensor, *, has_bias: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """For each ridge. A group whose inputs stand still keeps its weights."""
    x, y = (total / moments.count * has_bias for total in (moments.input, moments.output))
    squares = (moments.inputs / moments.count).diagonal(dim1=1, dim2=2).mean(1)
    h = (moments.inputs / moments.count).baddbmm_(x.unsqueeze(2), x.unsqueeze(1), alpha=-1)
    c = (moments.crossed / moments.count).baddbmm_(x.unsqueeze(2), y.unsqueeze(1), alpha=-1)
    diagonal = h.diagonal(dim1=1, dim2=2)
    size = diagonal.mean(1)
    still = size <= STILL * squares
    size = torch.where(still, torch.ones_like(size), size)
    added = 0.0
    for ridge in RIDGES:
        diagonal += ((ridge - added) * size).unsqueeze(1)
        added = ridge
        wanted = c + (ridge * size)[:, None, None] * rows.transpose(1, 2)
        factor, failed = torch.linalg.cholesky_ex(h)
        solved = torch.cholesky_solve(wanted, factor).transpose(1, 2)
        weight = torch.where((still | (failed != 0))[:, None, None], rows, solved)
        yield weight, moments.shift(weight) * has_bias


def _error(moments: Moments, weight: Tensor, bias: Tensor) -> float:
    """Sum over places of |V x + c - y|^2, but for |y|^2."""
    products = (weight @ moments.inputs * weight).sum() - 2 * (weight.transpose(1, 2) * moments.crossed).sum()
    means = (weight @ moments.input.unsqueeze(2)).squeeze(2) - moments.output
    return float(products + 2 * (bias * means).sum() + moments.count * bias.square().sum())


def _put(graph: ir.Model, node: ir.Node, before: ir.Node, weight: Tensor, bias: Tensor) -> Tensors:
    """Into the graph; and what the layer reads from now on, by the names in the cut one."""
    tensors = [linear.stored(node, weight), bias]
    found: Tensors = {}
    for position, (tensor, old) in enumerate(zip(tensors, before.inputs[1:], strict=False), start=1):
        assert old is not None
        array = tensor.float().numpy().reshape(facts.static_shape(old))
        node.replace_input_with(position, edit.add_constant(graph, old.name or "", array))
        found[old.name or ""] = torch.from_numpy(np.ascontiguousarray(array))
    return found
