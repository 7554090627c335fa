"""Quantization-aware training: the weights, biases and scales of a quantized graph learn what rounding costs them.

The graph of integers itself is run, `run.torch_view` of it, with three things handed in: float weights rounded to their
scales on the way, real biases, and the scales of the activations. Gradients pass rounding as if it were not there, and
scales are learned with the gradient of the learned step size. Scales are learned as their logarithms, zero points stay.

    w_q = clamp(round(w / s), -127, 127) s        dw_q/dw = 1 inside, 0 beyond;  dw_q/ds = round(w/s) - w/s inside

In the second part of the training the scales stand still, as they will stand in the files, additions' scales adjusted
so that both runtimes round alike (`agree`): the weights learn for exactly these. What comes out is a float graph and
scales, which `insert` writes as it writes any other: the trained function is the integers' function.

Batch norms are weights by now: their statistics are those of the float model's training, and stay so, which for
weights with a scale per channel costs nothing.

Sources: Esser et al. 2020, "Learned Step Size Quantization", arXiv 1902.08153; Bengio et al. 2013, arXiv 1308.3432
(straight-through); Nagel et al. 2021, "A White Paper on Neural Network Quantization", arXiv 2106.08295, section 4.2
(static folding of batch norms).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit import affine
from edgekit.graph import edit, facts
from edgekit.quantize.agree import agreeing_scales
from edgekit.quantize.assign import LINEAR, Plan, Scales, data_inputs
from edgekit.quantize.insert import insert, scale_name
from edgekit.quantize.rounding import rounded
from edgekit.quantize.weights import IntegerWeight, IntegerWeights
from edgekit.run.objective import Objective, answers_of
from edgekit.run.teach import identity_of
from edgekit.run.torch_view import to_torch
from edgekit.run.train import Learned
from edgekit.samples import Batch

SETTLED = 0.5  # share of the steps after which the scales stand still
BIAS_UNIT = 32.0  # steps of the output: about a deviation of what the bias is added to

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Stored:
    """Constants of the quantized graph that are stored once. nodes: who reads them; names: how they read them;
    real: before rounding."""

    nodes: list[str]
    names: list[str]
    real: Tensor


@dataclass(frozen=True, eq=False)
class Weights(Stored):
    """log_scale: () or (C,), of the channels along `axis`."""

    log_scale: Tensor
    axis: int | None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """graph: the QDQ graph; base: the float graph with the learned weights and biases; weights: as integers."""

    graph: ir.Model
    base: ir.Model
    scales: Scales
    weights: IntegerWeights


class Student:
    """A quantized graph that can be trained: a `Trainee`.

    graph: the QDQ graph; base: the float graph that it was made of, under the same plan and scales.
    """

    def __init__(self, graph: ir.Model, base: ir.Model, plan: Plan, scales: Scales, told: Objective) -> None:
        self._base, self._plan, self._scales, self._told = base, plan, scales, told
        self._view = to_torch(graph)
        self._types = {value.name or "": value.dtype.numpy() for value in graph.graph.inputs if value.dtype is not None}
        self._answers = answers_of(graph)
        self._weights, self._biases = _weights(graph, base, plan), _biases(graph, plan)
        self._log_scales = {
            group.name: _leaf(torch.log(torch.tensor(scales[group.name].scale)))
            for group in plan.groups
            if group.fixed is None and scale_name(group.name) in graph.graph.initializers
        }
        self._caps = _caps(graph, base, plan, scales)
        self._settled: tuple[Scales, dict[str, Tensor]] | None = None

    @property
    def has_weights(self) -> bool:
        """Where there are none, nothing is left to learn once the scales stand still."""
        return bool(self._weights or self._biases)

    @property
    def learned(self) -> Mapping[str, Learned]:
        """Logarithms of scales move by shares of the scales."""
        outputs = {node.name or "": node.outputs[0].name or "" for node in self._base.graph}
        found: dict[str, Learned] = {}
        for name, weights in self._weights.items():
            found[name] = Learned(weights.real, _size(weights.real))
            found[f"{name} scale"] = Learned(weights.log_scale, 1.0)
        for name, bias in self._biases.items():
            group = self._plan.group_of.get(outputs[bias.nodes[0]])
            step = BIAS_UNIT * float(self._scales[group.name].scale) if group is not None else 0.0
            found[name] = Learned(bias.real, step or _size(bias.real))
        return found | {f"{name} scale": Learned(scale, 1.0) for name, scale in self._log_scales.items()}

    def loss(self, batch: Batch) -> Tensor:
        inputs = {name: torch.from_numpy(np.asarray(x, self._types[name])) for name, x in batch.inputs.items()}
        return self._told.loss(self.answers(inputs), inputs, batch)

    def answers(self, inputs: Tensors) -> Tensors:
        """By output, as `answers_of` has them."""
        found = self._view({**inputs, **self._handed_in()}, list(self._answers.values()))
        return {output: found[name] for output, name in self._answers.items()}

    def settle(self, share: float) -> None:
        if share >= SETTLED and self._settled is None:
            self._settled = (
                self._agreed(),
                {name: torch.from_numpy(self._weight_scale(weights)) for name, weights in self._weights.items()},
            )

    def result(self) -> Trained:
        """What was learned, written as any other."""
        self.settle(1.0)
        assert self._settled is not None
        scales, _ = self._settled
        base = self._written_back()
        integers: dict[str, IntegerWeight] = {}
        for name, weights in self._weights.items():
            qparams = affine.QParams(self._with_room(name, weights), 0, affine.INT8, weights.axis)
            q = rounded(weights.real.detach().numpy(), qparams, "nearest")
            integers |= dict.fromkeys(weights.nodes, IntegerWeight(q, qparams))
        return Trained(graph=insert(base, self._plan, scales, integers), base=base, scales=scales, weights=integers)

    def _handed_in(self) -> Tensors:
        """The constants of the graph that are learned, as they stand."""
        given: Tensors = {}
        for name, weights in self._weights.items():
            scale = weights.log_scale.exp() if self._settled is None else self._settled[1][name]
            given |= dict.fromkeys(weights.names, fake_quantized(weights.real, scale, weights.axis))
        for bias in self._biases.values():
            given |= dict.fromkeys(bias.names, bias.real)
        for name, log_scale in self._log_scales.items():
            if self._settled is None:
                given[scale_name(name)] = self._capped(name, log_scale).exp()
            else:
                given[scale_name(name)] = torch.tensor(self._settled[0][name].scale)
        return given

    def _capped(self, group: str, log_scale: Tensor) -> Tensor:
        cap = self._caps.get(group)
        return log_scale if cap is None else log_scale.clamp(max=cap)

    def _agreed(self) -> Scales:
        """The scales of the activations as the files will hold them."""
        with torch.no_grad():
            learned = {
                name: replace(self._scales[name], scale=self._capped(name, log_scale).exp().numpy())
                for name, log_scale in self._log_scales.items()
            }
        return agreeing_scales(self._base, self._plan, {**self._scales, **learned})

    def _weight_scale(self, weights: Weights) -> NDArray[np.float32]:
        with torch.no_grad():
            scale: NDArray[np.float32] = weights.log_scale.exp().numpy()
        return scale

    def _with_room(self, name: str, weights: Weights) -> NDArray[np.float32]:
        """The scale of weights, widened where a bias that moved since would not fit in 31 bits."""
        assert self._settled is not None
        scales, weight_scales = self._settled
        scale: NDArray[np.float32] = weight_scales[name].numpy()
        nodes = {node.name or "": node for node in self._base.graph}
        for bias in self._biases.values():
            for reader in set(bias.nodes) & set(weights.nodes):
                (x,) = data_inputs(nodes[reader])
                of_input = float(scales[self._plan.group_read(nodes[reader], x.name or "").name].scale)
                room = np.abs(bias.real.detach().numpy()) / (of_input * affine.BIAS_MAX)
                scale = np.maximum(scale, room if scale.ndim else room.max()).astype(np.float32)
        return scale

    def _written_back(self) -> ir.Model:
        """The float graph with the learned weights and biases."""
        graph = self._base.clone()
        nodes = {node.name or "": node for node in graph.graph}
        for position, stored in ((1, self._weights), (2, self._biases)):
            for name, constants in stored.items():
                value = edit.add_constant(graph, f"{name}_learned", constants.real.detach().numpy().copy())
                for reader in constants.nodes:
                    if len(nodes[reader].inputs) <= position:
                        nodes[reader].resize_inputs(position + 1)
                    nodes[reader].replace_input_with(position, value)
        edit.drop_unused(graph)
        return graph

    def identity(self) -> str:
        return identity_of(self)


def fake_quantized(weight: Tensor, scale: Tensor, axis: int | None) -> Tensor:
    """What the integers stand for, with the gradients of the module's equations."""
    along = scale if axis is None else scale.reshape([-1 if i == axis else 1 for i in range(weight.dim())])
    steps = (weight / along).clamp(-affine.WEIGHT_MAX, affine.WEIGHT_MAX)
    return (steps + (steps.round() - steps).detach()) * along


def _weights(graph: ir.Model, base: ir.Model, plan: Plan) -> dict[str, Weights]:
    """By the name of the stored integers; their real numbers are the base's."""
    real = {node.name or "": node for node in base.graph}
    found: dict[str, Weights] = {}
    for node in _linear(graph, plan, 2):
        given, weight = _dequantized(node.inputs[1]), facts.constant(real[node.name or ""].inputs[1])
        if given is None:
            continue
        integers, scale = given.inputs[0], facts.constant(given.inputs[1])
        if integers is None or integers.dtype != ir.DataType.INT8 or weight is None or scale is None:
            continue
        name = integers.name or ""
        if name not in found:
            axis = None if scale.ndim == 0 else int(facts.attribute(given, "axis", 1))
            logs = _leaf(torch.log(torch.from_numpy(scale.copy())))
            found[name] = Weights([], [], _leaf(torch.from_numpy(weight.copy())), logs, axis)
        found[name].nodes.append(node.name or "")
        found[name].names.append(given.outputs[0].name or "")
    return found


def _biases(graph: ir.Model, plan: Plan) -> dict[str, Stored]:
    """By the name of what is stored, which is taken at its word: corrected biases stay corrected."""
    found: dict[str, Stored] = {}
    for node in _linear(graph, plan, 3):
        value = node.inputs[2]
        given = _dequantized(value)
        stored = value if given is None else given.inputs[0]
        real = facts.constant(stored)
        if value is None or stored is None or real is None:
            continue
        if given is not None and (scale := facts.constant(given.inputs[1])) is not None:
            real = (real * scale).astype(np.float32)
        name = stored.name or ""
        if name not in found:
            found[name] = Stored([], [], _leaf(torch.from_numpy(real.copy())))
        found[name].nodes.append(node.name or "")
        found[name].names.append(value.name or "")
    return found


def _linear(graph: ir.Model, plan: Plan, inputs: int) -> list[ir.Node]:
    """The linear ops on integers that have so many inputs."""
    nodes = [node for node in graph.graph if node.name in plan.integer_nodes and node.op_type in LINEAR]
    return [node for node in nodes if len(node.inputs) >= inputs]


def _dequantized(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear of constant integers that gives a value."""
    given = value.producer() if value is not None else None
    constant = given is not None and given.op_type == "DequantizeLinear" and facts.constant(given.inputs[0]) is not None
    return given if constant else None


def _caps(graph: ir.Model, base: ir.Model, plan: Plan, scales: Scales) -> dict[str, float]:
    """Group -> the largest logarithm of its scale, where an upper bound was left to saturation: beyond, it would be
    none."""
    there = {node.name for node in graph.graph}
    dropped = [node for node in base.graph if node.op_type == "Clip" and node.name not in there]
    groups = {plan.group_of[node.outputs[0].name or ""].name for node in dropped}
    return {name: float(np.log(scales[name].scale)) for name in groups}


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32).requires_grad_()


def _size(tensor: Tensor) -> float:
    return float(tensor.detach().square().mean().sqrt()) or 1.0
