"""Linear ops with constant weights, to be fitted: their weights as rows, what they read, and moments of both.

A fit runs two graphs stage by stage (`torch_view/frontier.py`), one that says what an op should give and one that shows
what it is given, and looks at some places of each sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from edgekit.graph import facts
from edgekit.run.torch_view import Tensors
from edgekit.samples import Samples

BATCH = 8
BYTES = 2**29
"""What the values between two stages may take, of all samples: larger ones are fitted on fewer."""
WIDEST = 4608  # inputs of an output: 512 channels under a 3x3 filter, whose moments take 170 MB
POSITIONS_PER_INPUT, POSITIONS = 32, 8192
"""Places that an op is looked at, of all samples: so many per input, but at least as many as the second number."""
TINY = torch.finfo(torch.float64).tiny


@dataclass(eq=False)
class Moments:
    """Sums over positions, in float64: g groups of n inputs and o outputs each.

    inputs: (g, n, n) of x' x'^T; crossed: (g, n, o) of x' y^T; input: (g, n) of x'; output: (g, o) of y.
    """

    inputs: Tensor
    crossed: Tensor
    input: Tensor
    output: Tensor
    count: int = 0

    @staticmethod
    def none(groups: int, inputs: int, outputs: int) -> Moments:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros((groups, *shape), dtype=torch.float64)

        return Moments(zeros(inputs, inputs), zeros(inputs, outputs), zeros(inputs), zeros(outputs))

    def add(self, x: Tensor, y: Tensor) -> None:
        """x: (g, positions, n) what the op reads; y: (g, positions, o) what it should give, without its bias."""
        self.inputs += x.transpose(1, 2) @ x
        self.crossed += x.transpose(1, 2) @ y
        self.input += x.sum(1)
        self.output += y.sum(1)
        self.count += x.shape[1]

    def problem(self, weights: Tensor, ridge: float, *, bias: bool) -> tuple[Tensor, Tensor]:
        """H + r (g, n, n) and C + r W^T (g, n, o). weights: W (g, o, n).

        Where a bias takes up the shift of the mean, they are of what is left then. The sums' own memory is used.
        """
        h, c = self.inputs.div_(self.count), self.crossed.div_(self.count)
        if bias:
            x = self.input / self.count
            h.baddbmm_(x.unsqueeze(2), x.unsqueeze(1), alpha=-1)
            c.baddbmm_(x.unsqueeze(2), (self.output / self.count).unsqueeze(1), alpha=-1)
        diagonal = h.diagonal(dim1=1, dim2=2)
        r = ridge * diagonal.mean(1).clamp_min(TINY)
        diagonal += r.unsqueeze(1)
        c += r[:, None, None] * weights.transpose(1, 2)
        return h, c

    def shift(self, weights: Tensor) -> Tensor:
        """(g, o) what a bias has to add so that the mean of the outputs is right. weights: (g, o, n)."""
        return (self.output - (weights @ self.input.unsqueeze(2)).squeeze(2)) / self.count


def is_plain(node: ir.Node) -> bool:
    """Constant weights on the right, few enough inputs to hold their moments, nothing but a product and a sum."""
    match node.op_type:
        case "Conv":
            plain = True
        case "Gemm":
            plain = all(facts.attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta"))
            plain = plain and not facts.attribute(node, "transA", 0)
        case "MatMul":
            plain = len(facts.shape(_value(node, 1))) == 2
        case _:
            plain = False
    weight = facts.constant(node.inputs[1]) if plain else None
    return weight is not None and bool(weight.size <= WIDEST * weight.shape[0 if _rows_first(node) else 1])


def rows(node: ir.Node, weight: Tensor) -> Tensor:
    """(g, o, n): one row per output, in groups."""
    if node.op_type == "Conv":
        groups = facts.attribute(node, "group", 1)
        return weight.reshape(groups, weight.shape[0] // groups, -1)
    return (weight if _rows_first(node) else weight.T).unsqueeze(0)


def stored(node: ir.Node, rows: Tensor) -> Tensor:
    """The rows in the order and shape of the node's weights."""
    if node.op_type == "Conv":
        return rows.reshape(facts.static_shape(_value(node, 1)))
    return (rows[0] if _rows_first(node) else rows[0].T).contiguous()


def read(node: ir.Node) -> str:
    """The value that the weights are multiplied with."""
    return _value(node, 0).name or ""


def places(inputs: int, batches: int) -> int:
    """How many of each batch to look at."""
    return math.ceil(max(POSITIONS_PER_INPUT * inputs, POSITIONS) / batches)


def batches(graph: ir.Model, samples: Samples, count: int) -> Iterator[Tensors]:
    """The first samples by their ids, each once, under the graph's names and in its types."""
    place = {one: i for i, one in enumerate(samples.ids)}
    types = {value.name or "": value.dtype.numpy() for value in graph.graph.inputs if value.dtype is not None}
    chosen = samples.take([place[one] for one in sorted(place)[:count]])
    for batch in chosen.batches(BATCH if facts.takes_batches(graph) else 1):
        yield {name: torch.from_numpy(np.ascontiguousarray(x, types[name])) for name, x in batch.inputs.items()}


def _rows_first(node: ir.Node) -> bool:
    return node.op_type == "Conv" or bool(facts.attribute(node, "transB", 0))


def _value(node: ir.Node, position: int) -> ir.Value:
    value = node.inputs[position]
    assert value is not None
    return value
