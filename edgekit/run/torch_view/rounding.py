"""QuantizeLinear and DequantizeLinear with gradients.

    q = clamp(round_half_even(x / scale) + zero_point, low, high)            x' = (q - zero_point) * scale

The integers are exact and are carried in floats, so that a gradient can pass: that of x is handed on where q was not
clamped and is 0 elsewhere (straight-through); that of the scale, where one is wanted, is the learned step size's:
(q - zero_point) - x / scale inside, q - zero_point at the ends.
Sources: Bengio et al. 2013, arXiv 1308.3432, section 4; Esser et al. 2020, "Learned Step Size Quantization", eq. 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from edgekit.graph import facts
from edgekit.run.torch_view.refuse import refused

DTYPES: dict[ir.DataType, torch.dtype] = {
    ir.DataType.INT8: torch.int8,
    ir.DataType.UINT8: torch.uint8,
    ir.DataType.INT16: torch.int16,
    ir.DataType.UINT16: torch.uint16,
}


def quantize(node: ir.Node) -> Callable[..., Tensor]:
    """QuantizeLinear. The result holds integers as floats where only DequantizeLinear reads it, else as integers."""
    _check_whole(node)
    dtype = node.outputs[0].dtype
    if dtype not in DTYPES:
        raise refused(node, f"it rounds to {dtype}", "quantize to 8 or 16 bits")
    info = np.iinfo(dtype.numpy())
    low, high = float(info.min), float(info.max)
    axis, as_float = facts.attribute(node, "axis", 1), _only_dequantized(node.outputs[0])

    def run(x: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
        offset = None if zero_point is None else _along(zero_point, axis, x).to(x.dtype)
        q: Tensor = _Quantized.apply(x, _along(scale, axis, x), offset, low, high)  # type: ignore[no-untyped-call]
        return q if as_float else q.to(DTYPES[dtype])

    return run


def dequantize(node: ir.Node) -> Callable[..., Tensor]:
    """DequantizeLinear, of integers or of integers carried as floats."""
    _check_whole(node)
    axis = facts.attribute(node, "axis", 1)

    def run(q: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
        x = q.to(scale.dtype)
        if zero_point is not None:
            x = x - _along(zero_point, axis, x).to(scale.dtype)
        return x * _along(scale, axis, x)

    return run


class _Quantized(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, offset: Tensor | None, low: float, high: float) -> Tensor:
        q = (x / scale).round_()
        if offset is not None:
            q += offset
        if any(ctx.needs_input_grad):
            inside = (q >= low) & (q <= high)
            ctx.save_for_backward(inside, scale, x if ctx.needs_input_grad[1] else None)
        return q.clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inside, scale, x = ctx.saved_tensors
        of_x = torch.where(inside, gradient / scale, 0.0)
        of_scale = None if x is None else (-of_x * x / scale).sum_to_size(scale.shape)
        return of_x, of_scale, None, None, None


def _check_whole(node: ir.Node) -> None:
    if facts.attribute(node, "block_size", 0):
        raise refused(node, "it has a scale per block", "use scales per tensor or per channel")


def _only_dequantized(value: ir.Value) -> bool:
    uses = value.uses()
    return not value.is_graph_output() and all(u.node.op_type == "DequantizeLinear" and u.idx == 0 for u in uses)


def _along(parameter: Tensor, axis: int, x: Tensor) -> Tensor:
    """Shaped to broadcast along the axis of the channels."""
    if parameter.dim() == 0:
        return parameter
    return parameter.reshape([-1 if i == axis % x.dim() else 1 for i in range(x.dim())])
