"""What a model remembers of the samples that it was trained on, and where its inputs' channels stand.

A batch norm with running mean and variance gives, on samples like those of its training,

    y = gamma (x - mean) / deviation + beta        of mean beta and deviation |gamma|, channel by channel

whatever was folded since, as long as the value is still there under its name.

Source: Ioffe and Szegedy 2015, "Batch Normalization: Accelerating Deep Network Training", algorithm 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import facts, source

DEAD = 1e-3  # a deviation below this share of the largest says nothing of the samples
PASSING = frozenset({"Pad", "Mul", "Add", "Sub", "Div", "Relu", "Clip"})


@dataclass(frozen=True, eq=False)
class Norm:
    """(C,) what each channel of a batch norm's output was on the training samples. where: the batch norm's place in the
    user's code, or its name."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    where: str

    @property
    def alive(self) -> NDArray[np.bool_]:
        """(C,) the channels whose deviation says something."""
        alive: NDArray[np.bool_] = self.deviation > DEAD * self.deviation.max()
        return alive


Norms = Mapping[str, Norm]
"""Value -> what it was in training."""

NO_NORMS: Norms = MappingProxyType({})


def first_norm(graph: ir.Model) -> Norms:
    """The batch norm nearest to the inputs, by the name of its output; nothing where there is none.

    graph: as it was captured: simplified, its batch norms are weights.
    """
    for node in graph.graph:
        if node.op_type != "BatchNormalization" or node.outputs[0].is_graph_output():
            continue
        gamma, beta, mean, variance = (facts.constant(value) for value in node.inputs[1:5])
        if gamma is None or beta is None or mean is None or variance is None:
            continue
        if np.any(gamma) and (np.any(mean != 0) or np.any(variance != 1)):  # as they start: it has seen no sample
            where = source.source_line(node) or f"'{node.name}'"
            mean, deviation = beta.astype(np.float64), np.abs(gamma.astype(np.float64))
            return {node.outputs[0].name or "": Norm(mean, deviation, where)}
    return NO_NORMS


def input_axes(graph: ir.Model) -> dict[str, int | None]:
    """Float input -> the axis of its channels, where a convolution reads it; None where nothing says which it is."""
    return {value.name or "": _channel_axis(value) for value in graph.graph.inputs if facts.is_float(value)}


def _channel_axis(value: ir.Value) -> int | None:
    for reader in facts.consumers(value):
        if reader.op_type == "Conv":
            return 1
        if reader.op_type == "Transpose" and (axis := _channel_axis(reader.outputs[0])) is not None:
            order = facts.attribute(reader, "perm")
            return int(order[axis]) if order is not None else None
        if reader.op_type in PASSING and (axis := _channel_axis(reader.outputs[0])) is not None:
            return axis
    return None
