"""Bias correction: take out the shift of each channel's mean that rounding its weights causes.

    E[W_q x] - E[W x] = (W_q - W) E[x]        which the bias can absorb:   b <- b - (W_q - W) E[x]

The mean input per channel comes with the calibration statistics, so this costs no pass of its own.
Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts, marks
from edgekit.quantize import weights
from edgekit.quantize.assign import Plan
from edgekit.quantize.weights import IntegerWeights

Means = Mapping[str, NDArray[np.float64]]
"""Value -> (C,) mean of each channel over the calibration samples."""

CORRECTED = frozenset({"Conv", "Gemm"})
Layer = tuple[str, ir.Value | None, ir.Value | None]
"""A family of steps, its weights and its bias: steps with biases of their own are layers of their own."""


def channel_axes(graph: ir.Model, plan: Plan) -> dict[str, int]:
    """Value -> channel axis, for the inputs whose means the correction needs."""
    return {(node.inputs[0].name or ""): 1 for node in _corrected_nodes(graph, plan) if node.inputs[0] is not None}


def correct_biases(graph: ir.Model, plan: Plan, rounded: IntegerWeights, means: Means) -> ir.Model:
    """The float graph with biases that make up for the rounding of its weights. means: of the inputs."""
    graph = graph.clone()
    corrected_biases: dict[Layer, ir.Value] = {}
    layer_means = _layer_means(graph, plan, means)
    for node in _corrected_nodes(graph, plan):
        layer = _layer(node)
        weight, axis = facts.constant(node.inputs[1]), weights.output_axis(node)
        bias = facts.constant(node.inputs[2]) if len(node.inputs) > 2 else None
        assert weight is not None and axis is not None
        if rounded[node.name or ""].bias is not None:  # learned: it has made up for the rounding
            continue
        error = rounded[node.name or ""].real.astype(np.float64) - weight
        if layer not in corrected_biases:
            shift = _mean_shift(node, error, layer_means[layer], axis)
            corrected = edit.float_tensor((0.0 if bias is None else bias) - shift)
            corrected_biases[layer] = edit.add_constant(graph, f"{node.name}_corrected_bias", corrected)
        if len(node.inputs) < 3:
            node.resize_inputs(3)
        node.replace_input_with(2, corrected_biases[layer])
    edit.drop_unused(graph)
    return graph


def with_learned_biases(graph: ir.Model, plan: Plan, rounded: IntegerWeights) -> ir.Model:
    """The float graph with the biases that were learned together with the weights."""
    learned = {name: weight.bias for name, weight in rounded.items() if weight.bias is not None}
    return _with_biases(graph, plan, learned, "learned") if learned else graph


def with_zero_biases(graph: ir.Model, plan: Plan) -> ir.Model:
    """The float graph with a bias of zeros on every op that could have one and has none."""
    zeros: dict[str, NDArray[np.float32]] = {}
    for node in _corrected_nodes(graph, plan):
        if len(node.inputs) < 3 or node.inputs[2] is None:
            zeros[node.name or ""] = np.zeros(_outputs(node), np.float32)
    return _with_biases(graph, plan, zeros, "zero")


def _with_biases(graph: ir.Model, plan: Plan, biases: Mapping[str, NDArray[np.float32]], kind: str) -> ir.Model:
    graph = graph.clone()
    for node in _corrected_nodes(graph, plan):
        if (bias := biases.get(node.name or "")) is not None:
            node.resize_inputs(max(len(node.inputs), 3))
            node.replace_input_with(2, edit.add_constant(graph, f"{node.name}_{kind}_bias", bias))
    edit.drop_unused(graph)
    return graph


def _outputs(node: ir.Node) -> int:
    weight, axis = facts.constant(node.inputs[1]), weights.output_axis(node)
    assert weight is not None and axis is not None
    return int(weight.shape[axis])


def _layer(node: ir.Node) -> Layer:
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return marks.family(node) or node.name or "", node.inputs[1], bias


def _layer_means(
    graph: ir.Model, plan: Plan, means: Mapping[str, NDArray[np.float64]]
) -> dict[Layer, NDArray[np.float64]]:
    """The mean input of each layer, over all its steps: they have one bias."""
    inputs: dict[Layer, list[NDArray[np.float64]]] = {}
    for node in _corrected_nodes(graph, plan):
        assert node.inputs[0] is not None
        inputs.setdefault(_layer(node), []).append(means[node.inputs[0].name or ""])
    return {layer: np.mean(found, axis=0) for layer, found in inputs.items()}


def _mean_shift(node: ir.Node, error: NDArray[np.float64], mean: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """(O,) the shift of each output channel's mean; zero padding at the borders is taken for data."""
    if node.op_type == "Gemm":
        return np.tensordot(error, mean, ([1 - axis], [0]))
    groups, outputs = facts.attribute(node, "group", 1), error.shape[0]
    per_output = np.repeat(mean.reshape(groups, -1), outputs // groups, axis=0)
    shift: NDArray[np.float64] = (error.reshape(*per_output.shape, -1).sum(axis=2) * per_output).sum(axis=1)
    return shift


def _corrected_nodes(graph: ir.Model, plan: Plan) -> list[ir.Node]:
    return [
        node
        for node in graph.graph
        if node.name in plan.integer_nodes and node.op_type in CORRECTED and facts.constant(node.inputs[1]) is not None
    ]
