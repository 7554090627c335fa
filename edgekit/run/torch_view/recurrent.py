"""LSTM and GRU layers as ONNX has them, on PyTorch's own.

ONNX orders an LSTM's gates i, o, f, c and a GRU's z, r, h; PyTorch i, f, c, o and r, z, n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor

from edgekit.graph import facts
from edgekit.run.torch_view.reading import Function, given
from edgekit.run.torch_view.refuse import refused

PLAIN = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}
ORDERS = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
"""Where PyTorch's gates stand in ONNX's order."""


def lstm(node: ir.Node) -> Function:
    check_plain(node)
    directions, run = _directions(node), _layers(node, torch._VF.lstm)

    def apply(x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, *rest: Tensor | None) -> tuple[Tensor, ...]:
        _, h, c = (*rest, None, None, None)[:3]
        zeros = x.new_zeros((directions, x.shape[1], r.shape[2]))
        y, h, c = run(x, (zeros if h is None else h, zeros if c is None else c), w, r, b)
        return _by_direction(y, directions), h, c

    return apply


def gru(node: ir.Node) -> Function:
    check_plain(node)
    if not facts.attribute(node, "linear_before_reset", 0):
        raise refused(node, "it resets the state before the product (linear_before_reset 0)")
    directions, run = _directions(node), _layers(node, torch._VF.gru)

    def apply(x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, *rest: Tensor | None) -> tuple[Tensor, ...]:
        _, h = (*rest, None, None)[:2]
        zeros = x.new_zeros((directions, x.shape[1], r.shape[2]))
        y, h = run(x, zeros if h is None else h, w, r, b)
        return _by_direction(y, directions), h

    return apply


def check_plain(node: ir.Node) -> None:
    """What PyTorch's layers are, and nothing beyond."""
    directions = _directions(node)
    activations = facts.attribute(node, "activations", PLAIN[node.op_type] * directions)
    plain = (
        tuple(activations) == PLAIN[node.op_type] * directions
        and facts.attribute(node, "direction", "forward") != "reverse"
        and not facts.attribute(node, "layout", 0)
        and not facts.attribute(node, "input_forget", 0)
        and facts.attribute(node, "clip") is None
        and not given(node, 4)
        and not given(node, 7)
    )
    if not plain:
        raise refused(node, "it has lengths, peepholes, clipping, its own activations or another order of steps")


def _directions(node: ir.Node) -> int:
    return 2 if facts.attribute(node, "direction", "forward") == "bidirectional" else 1


def _layers(node: ir.Node, function: Callable[..., Any]) -> Callable[..., Any]:
    order, directions = ORDERS[node.op_type], _directions(node)

    def run(x: Tensor, state: Any, w: Tensor, r: Tensor, b: Tensor | None) -> Any:
        gates = len(order)
        weights: list[Tensor] = []
        for i in range(directions):
            parts = [w[i], r[i], *(() if b is None else b[i].chunk(2))]
            weights += [torch.cat([part.chunk(gates)[gate] for gate in order]) for part in parts]
        return function(x, state, weights, b is not None, 1, 0.0, False, directions == 2, False)

    return run


def _by_direction(y: Tensor, directions: int) -> Tensor:
    """(T, N, D * H) -> (T, D, N, H)."""
    return y.reshape(*y.shape[:2], directions, -1).transpose(1, 2)
