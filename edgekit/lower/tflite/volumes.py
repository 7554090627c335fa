"""Convolutions over three axes, in float: CONV_3D and CONV_3D_TRANSPOSE. They lack groups, which get an op each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite import windows
from edgekit.lower.tflite.draft import FUSED, Draft
from edgekit.lower.tflite.images import crop, pad
from edgekit.lower.tflite.ops import Array, Node, Tensor

SPATIAL = 3


def convolution(draft: Draft, node: Node, kernel: Array, bias: Array) -> None:
    """kernel (O, I/groups, D, H, W) becomes DHWIO. All padding is put in place before."""
    x, result = draft.input(node, 0), draft.output(node.output)
    strides, dilations = node.ints("strides", [1] * SPATIAL), node.ints("dilations", [1] * SPATIAL)
    low = windows.padding(node, SPATIAL)[:SPATIAL]
    sides = zip(x.shape[1:4], result.shape[1:4], strides, dilations, kernel.shape[2:], low, strict=True)
    high = [max(0, (o - 1) * s + (k - 1) * d + 1 - i - p) for i, o, s, d, k, p in sides]
    if any(low) or any(high):
        x = pad(draft, x, ((0, 0), *zip(low, high, strict=True), (0, 0)))
    options = _options(strides, dilations)
    options.fusedActivationFunction = FUSED[node.activation]
    groups = _groups(draft, node, x, result)
    for group in groups:
        stored = draft.constant(kernel[group.outputs].transpose(2, 3, 4, 1, 0), node.input(1).name)
        offset = draft.constant(bias[group.outputs], f"{result.name}_bias")
        draft.emit("CONV_3D", (group.x, stored, offset), group.result, options)
    _join(draft, groups, result)


def transposed_convolution(draft: Draft, node: Node, kernel: Array, bias: Array) -> None:
    """kernel (I, O/groups, D, H, W), its dilation in place, becomes DHWOI. Padding is cropped from the full result."""
    x, result = draft.input(node, 0), draft.output(node.output)
    strides, low = node.ints("strides", [1] * SPATIAL), windows.padding(node, SPATIAL)[:SPATIAL]
    sides = zip(x.shape[1:4], strides, kernel.shape[2:], result.shape[1:4], low, strict=True)
    size = [max((i - 1) * s + k, p + o) for i, s, k, o, p in sides]
    shape = (result.shape[0], *size, result.shape[4])
    full = result if shape == result.shape else draft.temporary(result, "uncropped", shape)
    groups = _groups(draft, node, x, full)
    for group in groups:
        stored = draft.constant(kernel[group.inputs].transpose(2, 3, 4, 1, 0), node.input(1).name)
        offset = draft.constant(bias[group.outputs], f"{result.name}_bias")
        target = draft.numbers(group.result.shape, "output_shape")
        draft.emit("CONV_3D_TRANSPOSE", (target, stored, group.x, offset), group.result, _options(strides, (1, 1, 1)))
    _join(draft, groups, full)
    if full is not result:
        ends = [result.shape[0], *(p + o for p, o in zip(low, result.shape[1:4], strict=True)), result.shape[4]]
        crop(draft, full, (0, *low, 0), ends, result)


@dataclass(frozen=True, kw_only=True)
class Group:
    """A share of the channels: of the input, which of the kernel's rows are theirs, and of the result."""

    x: Tensor
    result: Tensor
    inputs: slice
    outputs: slice


def _groups(draft: Draft, node: Node, x: Tensor, result: Tensor) -> list[Group]:
    count = int(node.attributes.get("group", 1))
    if count == 1:
        return [Group(x=x, result=result, inputs=slice(None), outputs=slice(None))]
    taken, made = x.shape[-1] // count, result.shape[-1] // count
    xs = [draft.temporary(x, f"group{i}", (*x.shape[:-1], taken)) for i in range(count)]
    results = [draft.temporary(result, f"group{i}", (*result.shape[:-1], made)) for i in range(count)]
    draft.emit("SPLIT", (draft.numbers(len(x.shape) - 1, "axis"), x), xs, schema.SplitOptionsT(numSplits=count))
    return [
        Group(
            x=xs[i],
            result=results[i],
            inputs=slice(i * taken, (i + 1) * taken),
            outputs=slice(i * made, (i + 1) * made),
        )
        for i in range(count)
    ]


def _join(draft: Draft, groups: Sequence[Group], result: Tensor) -> None:
    if len(groups) > 1:
        options = schema.ConcatenationOptionsT(axis=len(result.shape) - 1)
        draft.emit("CONCATENATION", [group.result for group in groups], result, options)


def _options(strides: Sequence[int], dilations: Sequence[int]) -> Any:
    options = schema.Conv3DOptionsT(padding=schema.Padding.VALID)
    options.strideD, options.strideH, options.strideW = strides
    options.dilationDFactor, options.dilationHFactor, options.dilationWFactor = dilations
    return options
