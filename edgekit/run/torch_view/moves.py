"""Ops that move, pick, place or order values, and those that tell of shapes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

from edgekit.graph import facts
from edgekit.run.torch_view.reading import Function, integers
from edgekit.run.torch_view.refuse import refused


def reshape(node: ir.Node) -> Function:
    shape = integers(node, 1)
    zero_is_zero = facts.attribute(node, "allowzero", 0)

    def apply(*inputs: Tensor) -> Tensor:
        x, wanted = inputs[0], shape(inputs) or []
        return x.reshape([x.shape[i] if n == 0 and not zero_is_zero else n for i, n in enumerate(wanted)])

    return apply


def flatten(node: ir.Node) -> Function:
    axis = facts.attribute(node, "axis", 1)

    def apply(x: Tensor) -> Tensor:
        place = axis % x.dim() if axis < 0 else axis
        return x.reshape(math.prod(x.shape[:place]), math.prod(x.shape[place:]))

    return apply


def squeeze(node: ir.Node) -> Function:
    axes = integers(node, 1, "axes")

    def apply(*inputs: Tensor) -> Tensor:
        along = axes(inputs)
        return inputs[0].squeeze() if along is None else inputs[0].squeeze(along)

    return apply


def unsqueeze(node: ir.Node) -> Function:
    axes = integers(node, 1, "axes")

    def apply(*inputs: Tensor) -> Tensor:
        x, along = inputs[0], axes(inputs) or []
        rank = x.dim() + len(along)
        for axis in sorted(axis % rank for axis in along):
            x = x.unsqueeze(axis)
        return x

    return apply


def transpose(node: ir.Node) -> Function:
    permutation = facts.attribute(node, "perm")
    return lambda x: x.permute(tuple(reversed(range(x.dim()))) if permutation is None else permutation)


def expand(node: ir.Node) -> Function:
    shape = integers(node, 1)

    def apply(*inputs: Tensor) -> Tensor:
        wanted: torch.Size = torch.broadcast_shapes(inputs[0].shape, shape(inputs))  # type: ignore[no-untyped-call]
        return inputs[0].expand(wanted)

    return apply


def tile(node: ir.Node) -> Function:
    repeats = integers(node, 1)
    return lambda *inputs: inputs[0].repeat(repeats(inputs) or [])


def concat(node: ir.Node) -> Function:
    axis = facts.attribute(node, "axis")
    return lambda *parts: torch.cat(parts, axis)


def split(node: ir.Node) -> Function:
    axis, sizes = facts.attribute(node, "axis", 0), integers(node, 1, "split")
    count = len(node.outputs)

    def apply(*inputs: Tensor) -> tuple[Tensor, ...]:
        x, given = inputs[0], sizes(inputs)
        each = math.ceil(x.shape[axis] / count)  # the last part is the smaller one
        return torch.split(x, each if given is None else given, axis)

    return apply


def slices(node: ir.Node) -> Function:
    starts, ends = integers(node, 1, "starts"), integers(node, 2, "ends")
    axes, steps = integers(node, 3, "axes"), integers(node, 4)

    def apply(*inputs: Tensor) -> Tensor:
        x, first, last = inputs[0], starts(inputs) or [], ends(inputs) or []
        along, by = axes(inputs) or range(len(first)), steps(inputs) or [1] * len(first)
        for axis, start, end, step in zip(along, first, last, by, strict=True):
            places = range(x.shape[axis])[start:end:step] if step > 0 else _backwards(x.shape[axis], start, end, step)
            if step > 0:
                wanted = [slice(None)] * x.dim()
                wanted[axis] = slice(places.start, places.stop, step)
                x = x[tuple(wanted)]
            else:
                x = x.index_select(axis, torch.tensor(list(places), device=x.device))
        return x

    return apply


def _backwards(size: int, start: int, end: int, step: int) -> range:
    """An end before the first element is one that lies below -size, since -1 is the last."""
    first = min(start + size if start < 0 else start, size - 1)
    last = max(end + size if end < 0 else end, -1)
    return range(first, last, step)


# ---- picking and placing -------------------------------------------------------------------------------------------


def gather(node: ir.Node) -> Function:
    axis = facts.attribute(node, "axis", 0)

    def apply(x: Tensor, indices: Tensor) -> Tensor:
        place, size = axis % x.dim(), x.shape[axis]
        flat = _from_start(indices.reshape(-1), size)
        return x.index_select(place, flat).reshape(*x.shape[:place], *indices.shape, *x.shape[place + 1 :])

    return apply


def _from_start(indices: Tensor, size: int) -> Tensor:
    """Negative ones count from the end."""
    found = indices.long()
    return torch.where(found < 0, found + size, found)


def gather_elements(node: ir.Node) -> Function:
    axis = facts.attribute(node, "axis", 0)
    return lambda x, indices: x.gather(axis, _from_start(indices, x.shape[axis]))


def gather_nd(node: ir.Node) -> Function:
    batch_dims = facts.attribute(node, "batch_dims", 0)

    def apply(x: Tensor, indices: Tensor) -> Tensor:
        batches = [
            torch.arange(n, device=x.device).reshape([-1 if i == axis else 1 for i in range(indices.dim() - 1)])
            for axis, n in enumerate(indices.shape[:batch_dims])
        ]
        return x[(*batches, *indices.long().unbind(-1))]

    return apply


def scatter_elements(node: ir.Node) -> Function:
    axis, reduction = facts.attribute(node, "axis", 0), facts.attribute(node, "reduction", "none")
    names = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}

    def apply(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        places = _from_start(indices, x.shape[axis])
        if reduction == "none":
            return x.scatter(axis, places, updates)
        return x.scatter_reduce(axis, places, updates, names[reduction])

    return apply


def scatter_nd(node: ir.Node) -> Function:
    reduction = facts.attribute(node, "reduction", "none")
    if reduction not in ("none", "add"):
        raise refused(node, f"its reduction is '{reduction}'", "scatter without a reduction, or add")

    def apply(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        return x.index_put(tuple(indices.long().unbind(-1)), updates, accumulate=reduction == "add")

    return apply


def depth_to_space(node: ir.Node) -> Function:
    block, columns_first = facts.attribute(node, "blocksize"), facts.attribute(node, "mode", "DCR") == "DCR"

    def apply(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if not columns_first:
            return functional.pixel_shuffle(x, block)
        apart = x.reshape(n, block, block, c // block**2, h, w)
        return apart.permute(0, 3, 4, 1, 5, 2).reshape(n, c // block**2, h * block, w * block)

    return apply


def space_to_depth(node: ir.Node) -> Function:
    block = facts.attribute(node, "blocksize")

    def apply(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        apart = x.reshape(n, c, h // block, block, w // block, block)
        return apart.permute(0, 3, 5, 1, 2, 4).reshape(n, c * block**2, h // block, w // block)

    return apply


def grid_sample(node: ir.Node) -> Function:
    names = {"linear": "bilinear", "bilinear": "bilinear", "cubic": "bicubic", "bicubic": "bicubic"}
    mode = names.get(facts.attribute(node, "mode", "linear"), "nearest")
    padding, aligned = facts.attribute(node, "padding_mode", "zeros"), bool(facts.attribute(node, "align_corners", 0))
    return lambda x, grid: functional.grid_sample(x, grid, mode, padding, aligned)


def reverse_sequence(node: ir.Node) -> Function:
    time, batch = facts.attribute(node, "time_axis", 0), facts.attribute(node, "batch_axis", 1)

    def apply(x: Tensor, lengths: Tensor) -> Tensor:
        steps = torch.arange(x.shape[time], device=x.device)
        ends = lengths.long().unsqueeze(1)
        places = torch.where(steps < ends, ends - 1 - steps, steps)  # (batch, time)
        shape = [1] * x.dim()
        shape[batch], shape[time] = places.shape
        ordered = places if batch < time else places.T
        return x.gather(time, ordered.reshape(shape).expand(x.shape))

    return apply


# ---- ordering ------------------------------------------------------------------------------------------------------


def arg_extreme(largest: bool) -> Callable[[ir.Node], Function]:
    def row(node: ir.Node) -> Function:
        axis, keep = facts.attribute(node, "axis", 0), bool(facts.attribute(node, "keepdims", 1))
        last = facts.attribute(node, "select_last_index", 0)

        def apply(x: Tensor) -> Tensor:
            extreme = x.amax(axis, keepdim=True) if largest else x.amin(axis, keepdim=True)
            order = torch.arange(x.shape[axis], device=x.device)
            order = order.reshape([-1 if i == axis % x.dim() else 1 for i in range(x.dim())])
            # Which of equal ones torch's own argmax takes is not said.
            if last:
                return torch.where(x == extreme, order, -1).amax(axis, keepdim=keep)
            return torch.where(x == extreme, order, x.shape[axis]).amin(axis, keepdim=keep)

        return apply

    return row


def top_k(node: ir.Node) -> Function:
    axis, largest = facts.attribute(node, "axis", -1), bool(facts.attribute(node, "largest", 1))
    count = integers(node, 1, "k")

    def apply(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        (k,) = count(inputs) or [0]
        ordered, places = inputs[0].sort(dim=axis, descending=largest, stable=True)  # of equal ones the first
        return ordered.narrow(axis, 0, k), places.narrow(axis, 0, k)

    return apply


def one_hot(node: ir.Node) -> Function:
    axis = facts.attribute(node, "axis", -1)

    def apply(indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
        count = int(depth)
        hot = _from_start(indices, count).unsqueeze(-1) == torch.arange(count, device=indices.device)
        return torch.where(hot, values[1], values[0]).movedim(-1, axis)

    return apply


def cumulative_sum(node: ir.Node) -> Function:
    along = integers(node, 1)
    exclusive, reverse = facts.attribute(node, "exclusive", 0), facts.attribute(node, "reverse", 0)

    def apply(*inputs: Tensor) -> Tensor:
        x, (axis,) = inputs[0], along(inputs) or [0]
        ordered = x.flip(axis) if reverse else x
        total = ordered.cumsum(axis).to(x.dtype)
        if exclusive:
            total = total - ordered
        return total.flip(axis) if reverse else total

    return apply


def triangle(node: ir.Node) -> Function:
    """Trilu."""
    keep = torch.triu if facts.attribute(node, "upper", 1) else torch.tril
    diagonal = integers(node, 1)
    return lambda *inputs: keep(inputs[0], (diagonal(inputs) or [0])[0])


# ---- shapes --------------------------------------------------------------------------------------------------------


def shape_of(node: ir.Node) -> Function:
    wanted = slice(facts.attribute(node, "start", 0), facts.attribute(node, "end"))
    return lambda x: torch.tensor(x.shape[wanted], dtype=torch.int64)


def constant_of_shape(node: ir.Node) -> Function:
    found = facts.attribute(node, "value")
    fill = torch.from_numpy(np.array(found.numpy())).reshape(()) if found is not None else torch.tensor(0.0)
    return lambda shape: fill.expand([int(i) for i in shape]).clone()


def counted(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Range."""
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)
