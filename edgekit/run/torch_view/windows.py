"""Ops that slide a window over one, two or three axes: convolutions, pools, pads and resizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

from edgekit.graph import facts, interpolation
from edgekit.run.torch_view.reading import Function, integers
from edgekit.run.torch_view.refuse import refused

CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
MAXIMA: dict[int, Callable[..., Tensor]] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}


class Window:
    """kernel, stride, dilation per axis; how much is added before and behind an axis of a given size."""

    def __init__(self, node: ir.Node, kernel: Sequence[int]) -> None:
        self.kernel = [int(k) for k in kernel]
        self.rank = len(self.kernel)
        if self.rank not in CONVOLUTIONS:
            raise refused(node, f"its window has {self.rank} axes", "windows have 1, 2 or 3 axes")
        self.stride = list(facts.attribute(node, "strides", (1,) * self.rank))
        self.dilation = list(facts.attribute(node, "dilations", (1,) * self.rank))
        self.groups = facts.attribute(node, "group", 1)
        self.extent = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        self.ceil = bool(facts.attribute(node, "ceil_mode", 0))
        self._auto = facts.attribute(node, "auto_pad", "NOTSET")
        given = facts.attribute(node, "pads", (0,) * (2 * self.rank))
        self._pads = list(zip(given[: self.rank], given[self.rank :], strict=True))

    def declared(self, size: Sequence[int]) -> list[tuple[int, int]]:
        """(before, behind) per axis, as the node says."""
        match self._auto:
            case "SAME_UPPER" | "SAME_LOWER":
                total = [
                    max((math.ceil(n / s) - 1) * s + e - n, 0)
                    for n, s, e in zip(size, self.stride, self.extent, strict=True)
                ]
                less = [(t // 2, t - t // 2) for t in total]
                return less if self._auto == "SAME_UPPER" else [(b, a) for a, b in less]
            case "VALID":
                return [(0, 0)] * self.rank
            case _:
                return self._pads

    def covering(self, size: Sequence[int]) -> list[tuple[int, int]]:
        """With as much behind that the last window of `ceil_mode` fits; windows begin inside what is declared."""
        pads = self.declared(size)
        if not self.ceil:
            return pads
        found = []
        for n, s, e, (before, behind) in zip(size, self.stride, self.extent, pads, strict=True):
            last = math.ceil((n + before + behind - e) / s)
            if last * s >= n + before:
                last -= 1
            found.append((before, max(behind, last * s + e - n - before)))
        return found


def padded(x: Tensor, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """x with its last axes padded, or cropped where an amount is negative."""
    flat = [amount for pair in reversed(pads) for amount in pair]
    return functional.pad(x, flat, value=value) if any(flat) else x


def conv(node: ir.Node) -> Function:
    window = Window(node, facts.static_shape(_weight(node))[2:])
    run = CONVOLUTIONS[window.rank]

    def apply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        pads = window.declared(x.shape[2:])
        if window.rank == 2:  # what comes out is laid out alike: one copy at the input, and a quarter of the time won
            x = x.contiguous(memory_format=torch.channels_last)
        padding: list[int] | int = 0
        if all(before == behind for before, behind in pads):
            padding = [before for before, _ in pads]
        else:
            x = padded(x, pads)
        return run(x, weight, bias, window.stride, padding, window.dilation, window.groups)

    return apply


def conv_transpose(node: ir.Node) -> Function:
    """Every input element spread by the filter; of the whole, the declared pads are cut off."""
    window = Window(node, facts.static_shape(_weight(node))[2:])
    run = TRANSPOSED[window.rank]
    extra = list(facts.attribute(node, "output_padding", (0,) * window.rank))
    wanted = facts.attribute(node, "output_shape")
    auto = facts.attribute(node, "auto_pad", "NOTSET")
    if wanted is None and auto.startswith("SAME"):
        raise refused(node, f"its pads are given by auto_pad {auto}", "write the pads out")

    def apply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        whole = run(x, weight, None, window.stride, 0, 0, window.groups, window.dilation)
        pads = window.declared(x.shape[2:])
        if wanted is not None:
            sizes = zip(whole.shape[2:], extra, wanted[-window.rank :], strict=True)
            total = [n + more - size for n, more, size in sizes]
            less = [(t // 2, t - t // 2) for t in total]
            pads = less if auto == "SAME_UPPER" else [(b, a) for a, b in less]
        cut = [(-before, more - behind) for (before, behind), more in zip(pads, extra, strict=True)]
        y = padded(whole, cut)
        return y if bias is None else y + bias.reshape(-1, *[1] * window.rank)

    return apply


def max_pool(node: ir.Node) -> Function:
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        raise refused(node, "its indices are read", "pool without return_indices")
    window = Window(node, facts.attribute(node, "kernel_shape"))
    run = MAXIMA[window.rank]

    def apply(x: Tensor) -> Tensor:
        x = padded(x, window.covering(x.shape[2:]), -math.inf)
        return run(x, window.kernel, window.stride, 0, window.dilation)

    return apply


def average_pool(node: ir.Node) -> Function:
    window = Window(node, facts.attribute(node, "kernel_shape"))
    counts_pads = bool(facts.attribute(node, "count_include_pad", 0))

    def apply(x: Tensor) -> Tensor:
        size = x.shape[2:]
        declared, covering = window.declared(size), window.covering(size)
        total = _window_sums(padded(x, covering), window)
        if not any(amount for pair in covering for amount in pair):
            return total / math.prod(window.kernel)
        ones = x.new_ones((1, 1, *size))
        if counts_pads:
            ones = padded(ones, declared, 1.0)
            covering = [(0, c - d) for (_, c), (_, d) in zip(covering, declared, strict=True)]
        return total / _window_sums(padded(ones, covering), window)

    return apply


def lp_pool(node: ir.Node) -> Function:
    window = Window(node, facts.attribute(node, "kernel_shape"))
    p = facts.attribute(node, "p", 2)

    def apply(x: Tensor) -> Tensor:
        powers = padded(x, window.covering(x.shape[2:])).abs().pow(p)
        return _window_sums(powers, window).pow(1 / p)

    return apply


def _window_sums(x: Tensor, window: Window) -> Tensor:
    """The sum under each window: a convolution of every channel with ones."""
    channels = x.reshape(-1, 1, *x.shape[2:])
    if all(d == 1 for d in window.dilation) and window.rank > 1:
        pool = functional.avg_pool2d if window.rank == 2 else functional.avg_pool3d
        sums: Tensor = pool(channels, window.kernel, window.stride, divisor_override=1)
    else:
        ones = x.new_ones((1, 1, *window.kernel))
        sums = CONVOLUTIONS[window.rank](channels, ones, None, window.stride, 0, window.dilation)
    return sums.reshape(*x.shape[:2], *sums.shape[2:])


def pad(node: ir.Node) -> Function:
    """Constant pads; the other modes pick what stands there."""
    mode = facts.attribute(node, "mode", "constant")
    amounts, axes = integers(node, 1, "pads"), integers(node, 3)
    old_value = facts.attribute(node, "value", 0.0)

    def apply(*inputs: Tensor | None) -> Tensor:
        x, given = inputs[0], amounts(inputs)
        assert x is not None and given is not None
        along = axes(inputs) or range(x.dim())
        pads = [(0, 0)] * x.dim()
        for place, axis in enumerate(along):
            pads[axis] = (given[place], given[place + len(along)])
        if mode == "constant":
            fill = inputs[2] if len(inputs) > 2 else None
            return padded(x, pads, old_value if fill is None else float(fill))
        for axis, (before, behind) in enumerate(pads):
            if (before, behind) != (0, 0):
                places = np.arange(x.shape[axis])[max(-before, 0) : x.shape[axis] - max(-behind, 0)]
                places = np.pad(places, (max(before, 0), max(behind, 0)), mode)
                x = x.index_select(axis, torch.from_numpy(places).to(x.device))
        return x

    return apply


def resize(node: ir.Node) -> Function:
    """Axis by axis: nearest picks, linear and cubic are products with constant weights."""
    before, after = (facts.static_shape(value) for value in (node.inputs[0], node.outputs[0]) if value is not None)
    regions, scales, sizes = [facts.constant(value) for value in (*node.inputs[1:], None, None, None)[:3]]
    if any(v is not None and facts.constant(v) is None for v in node.inputs[1:]):
        raise refused(node, "its size is computed", "resize to a size that is fixed")
    attributes = {name: facts.attribute(node, name) for name in node.attributes}
    rule = attributes.get("coordinate_transformation_mode", "half_pixel")
    axes = interpolation.axes(attributes, before, after, regions, scales, sizes)
    if any(interpolation.extrapolated(attributes, axis).any() for axis in axes):
        raise refused(node, "it looks outside of the image", "crop with a region that lies inside")
    if attributes.get("mode", "nearest") == "nearest":
        rounding = attributes.get("nearest_mode", "round_prefer_floor")
        wanted = [np.clip(interpolation.rounded(a.coordinates(rule), rounding), 0, a.size - 1) for a in axes]
        picks = [(a.axis, torch.from_numpy(places.astype(np.int64))) for a, places in zip(axes, wanted, strict=True)]
        return lambda x, *_: _picked(x, picks)
    weights = [(axis.axis, torch.from_numpy(interpolation.weights(attributes, axis))) for axis in axes]
    return lambda x, *_: _weighed(x, weights)


def _picked(x: Tensor, picks: Sequence[tuple[int, Tensor]]) -> Tensor:
    for axis, places in picks:
        x = x.index_select(axis, places.to(x.device))
    return x


def _weighed(x: Tensor, weights: Sequence[tuple[int, Tensor]]) -> Tensor:
    for axis, matrix in weights:
        x = (x.movedim(axis, -1) @ matrix.to(x).T).movedim(-1, axis)
    return x


def _weight(node: ir.Node) -> ir.Value:
    value = node.inputs[1]
    assert value is not None
    return value


def positions(node: ir.Node, x: Tensor, most: int, seed: int) -> Tensor:
    """(groups, places, inputs): what a linear op multiplies with its weights at some places of a batch, drawn by seed.

    x: what the op reads; inputs are in the weights' order. At least one place per sample.
    """
    if node.op_type != "Conv":
        rows = x.reshape(-1, x.shape[-1])
        return rows[_drawn(len(rows), most, seed)].unsqueeze(0)
    window = Window(node, facts.static_shape(_weight(node))[2:])
    x = padded(x, window.declared(x.shape[2:]))
    for axis, (extent, stride, dilation) in enumerate(
        zip(window.extent, window.stride, window.dilation, strict=True), start=2
    ):
        x = x.unfold(axis, extent, stride)[..., ::dilation]
    size = x.shape[2 : 2 + window.rank]
    chosen = _drawn(math.prod(size), max(1, most // len(x)), seed)
    where: Any = (slice(None), *torch.unravel_index(chosen, size))
    seen: Tensor = x.movedim(1, 1 + window.rank)[where]  # (N, places, C, *kernel)
    return seen.reshape(len(x) * len(chosen), window.groups, -1).transpose(0, 1)


def _drawn(count: int, most: int, seed: int) -> Tensor:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:most].sort().values
