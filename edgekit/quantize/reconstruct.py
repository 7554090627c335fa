"""Weights learned layer by layer: on what the quantized ops before it give, each linear op shall give what it gave in
float.

The samples go once through the float and once through the quantized graph, stage by stage, so that every op is fitted
to the rounding of all before it, of activations and weights (see `least_squares` for how). Rounding to nearest knows
neither what a weight is multiplied with nor what came before.

An op is left as it is where its weights are computed, or where it reads too many inputs to hold their moments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit import affine
from edgekit.graph import facts
from edgekit.progress import Advance
from edgekit.quantize import weights
from edgekit.quantize.assign import Plan, Scales, data_inputs
from edgekit.quantize.correct import with_zero_biases
from edgekit.quantize.insert import insert
from edgekit.quantize.least_squares import descended
from edgekit.quantize.weights import IntegerWeight, IntegerWeights
from edgekit.run import linear
from edgekit.run.linear import Moments
from edgekit.run.one_thread import one_thread
from edgekit.run.torch_view import Tensors, to_torch
from edgekit.run.torch_view.frontier import Frontier, bytes_per_sample, stages
from edgekit.run.torch_view.windows import positions
from edgekit.samples import Samples

SAMPLES = 128


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear op to fit, or all steps of one that is repeated.

    nodes, quantized: in either graph; weight: (g, o, n) float64, one row per output; input_scale: of the first step.
    """

    nodes: Sequence[ir.Node]
    quantized: Sequence[ir.Node]
    weight: Tensor
    bias: NDArray[np.float32] | None
    input_scale: float
    start: IntegerWeight

    @property
    def node(self) -> ir.Node:
        return self.nodes[0]


def reconstruct(
    graph: ir.Model,
    plan: Plan,
    scales: Scales,
    start: IntegerWeights,
    samples: Samples,
    ridge: float,
    advance: Advance,
) -> IntegerWeights:
    """The integers of `start` as they do best on the samples, whose order does not matter, with biases.

    ridge: of `least_squares`; advance: told of every op. Raises EK911 for an op that PyTorch cannot run the graph with.
    """
    quantized = insert(with_zero_biases(graph, plan), plan, scales, start)
    layers = _layers(graph, quantized, plan, scales, start)
    found = dict(start)
    with one_thread():
        exact_stages = stages(graph, [[linear.read(node) for node in layer.nodes] for layer in layers])
        rough_stages = stages(quantized, [[linear.read(node) for node in layer.quantized] for layer in layers])
        each = bytes_per_sample(graph, exact_stages) + bytes_per_sample(quantized, rough_stages)
        batches = list(linear.batches(graph, samples, max(1, min(SAMPLES, linear.BYTES // max(each, 1)))))
        exact = Frontier(to_torch(graph), exact_stages, batches)
        rough = Frontier(to_torch(quantized), rough_stages, batches)
        replaced: Tensors = {}
        for layer in layers:
            moments = _moments(layer, exact.advance({}), rough.advance(replaced), len(batches))
            fitted = _fitted(layer, moments, ridge)
            found.update((node.name or "", fitted) for node in layer.nodes)
            replaced.update(_replaced(layer, fitted))
            advance(len(layer.nodes))
    return found


def layers_of(graph: ir.Model, plan: Plan) -> list[ir.Node]:
    """The linear ops whose weights can be learned."""
    return [node for node in graph.graph if node.name in plan.integer_nodes and linear.is_plain(node)]


def _layers(graph: ir.Model, quantized: ir.Model, plan: Plan, scales: Scales, start: IntegerWeights) -> list[Layer]:
    twins = {node.name: node for node in quantized.graph}
    found: dict[tuple[object, ...], Layer] = {}
    for node in layers_of(graph, plan):
        weight, given = facts.constant(node.inputs[1]), start[node.name or ""]
        assert weight is not None
        rows = linear.rows(node, torch.from_numpy(weight.astype(np.float64)))
        (x,) = data_inputs(node)
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        input_scale = float(scales[plan.group_read(node, x.name or "").name].scale)
        layer = Layer([node], [twins[node.name]], rows, facts.constant(bias), input_scale, given)
        key = (node.inputs[1], bias, given.qparams)
        if (first := found.get(key)) is not None:
            layer = replace(first, nodes=[*first.nodes, node], quantized=[*first.quantized, twins[node.name]])
        found[key] = layer
    return list(found.values())


def _moments(layer: Layer, exact: Iterator[Tensors], rough: Iterator[Tensors], batches: int) -> Moments:
    groups, outputs, inputs = layer.weight.shape
    moments = Moments.none(groups, inputs, outputs)
    most = linear.places(inputs, batches * len(layer.nodes))
    columns = layer.weight.float().transpose(1, 2)
    for index, (expected, found) in enumerate(zip(exact, rough, strict=True)):
        for node, twin in zip(layer.nodes, layer.quantized, strict=True):
            y = positions(node, expected[linear.read(node)], most, index) @ columns
            moments.add(positions(node, found[linear.read(twin)], most, index), y)
    return moments


def _fitted(layer: Layer, moments: Moments, ridge: float) -> IntegerWeight:
    has_bias = layer.node.op_type != "MatMul"
    groups, outputs, _ = layer.weight.shape
    qparams = layer.start.qparams
    scale = torch.from_numpy(np.broadcast_to(qparams.scale, (groups * outputs,)).astype(np.float64))
    scale = scale.reshape(groups, outputs)
    h, c = moments.problem(layer.weight, ridge, bias=has_bias)
    q = descended(linear.rows(layer.node, torch.from_numpy(layer.start.q.astype(np.float64))), h, c, scale)
    integers = linear.stored(layer.node, q).to(torch.int8).numpy()
    if not has_bias:
        return IntegerWeight(integers, qparams)
    shift = moments.shift(q * scale.unsqueeze(2)).reshape(-1).numpy()
    bias = shift if layer.bias is None else layer.bias.reshape(-1) + shift
    return IntegerWeight(integers, qparams, bias.astype(np.float32))


def _replaced(layer: Layer, fitted: IntegerWeight) -> Tensors:
    """What the fitted op reads from now on, by its name in the quantized graph."""
    found: Tensors = {}
    for node in layer.quantized:
        found[_name(node.inputs[1])] = torch.from_numpy(fitted.real)
        if fitted.bias is not None:
            qparams = weights.bias_qparams(fitted.qparams, layer.input_scale, fitted.bias.size)
            bias = affine.dequantize(affine.quantize(fitted.bias, qparams), qparams)
            found[_name(node.inputs[2])] = torch.from_numpy(bias)
    return found


def _name(value: ir.Value | None) -> str:
    assert value is not None
    return value.name or ""
