"""Transposed convolutions in integers: a convolution gives the s x s pixels of each block as channels.

    y[s m + r - p] = sum over j of  x[m - j] w[s j + r]          j < ceil(k / s), r < s

is for each r a convolution of x with every s-th tap, so one convolution gives all r as channels, and moving them next
to each other gives y. ONNX Runtime has no integer ConvTranspose; this gives the same integers, with products by zero
where s does not divide k.
Source: Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts

CLAMPS = frozenset({"Relu", "Clip"})
BYTES = (ir.DataType.INT8, ir.DataType.UINT8)


def interleave(graph: ir.Model) -> None:
    """In place: every INT8 ConvTranspose whose result is quantized becomes Conv and a rearrangement of integers.

    One on int16 values stays: ONNX Runtime computes it in float, and rearranges no 16 bits.
    """
    for node in list(graph.graph):
        if node.op_type == "ConvTranspose" and (quantizer := _quantizer(node)) is not None and _is_plain(node):
            _rewrite(graph, node, quantizer)
    edit.drop_unused(graph)


def _quantizer(node: ir.Node) -> ir.Node | None:
    """What alone reads the result, behind a clamp at most."""
    reader = facts.only_consumer(node.outputs[0])
    if reader is not None and reader.op_type in CLAMPS:
        reader = facts.only_consumer(reader.outputs[0])
    if reader is None or reader.op_type != "QuantizeLinear" or reader.outputs[0].dtype not in BYTES:
        return None
    return reader


def _is_plain(node: ir.Node) -> bool:
    """Integer weights and bias, no holes between the taps, pads as numbers, sizes known."""
    integers = all(_integers(node, position) is not None for position in range(1, len(node.inputs)))
    x, output = node.inputs[0], node.outputs[0]
    known = x is not None and x.shape is not None and output.shape is not None
    if not integers or not known or None in (*facts.shape(x)[1:], *facts.shape(output)[1:]):  # type: ignore[arg-type]
        return False
    explicit = facts.attribute(node, "auto_pad", "NOTSET") == "NOTSET" and "output_shape" not in node.attributes
    return explicit and set(facts.attribute(node, "dilations", (1,))) == {1}


def _integers(node: ir.Node, position: int) -> NDArray[Any] | None:
    value = node.inputs[position]
    producer = value.producer() if value is not None else None
    if producer is None or producer.op_type != "DequantizeLinear":
        return None
    return facts.constant(producer.inputs[0])


@dataclass(frozen=True)
class _Axis:
    """One spatial axis. left, right: pads of the convolution; begin: what is cut off the interleaved result."""

    stride: int
    taps: int
    left: int
    right: int
    begin: int
    size: int

    @staticmethod
    def of(stride: int, kernel: int, pad: int, before: int, after: int) -> _Axis:
        taps = -(-kernel // stride)
        left = max(taps - 1 - pad // stride, 0)
        begin = pad - stride * (taps - 1 - left)
        blocks = -(-(begin + after) // stride)
        return _Axis(stride, taps, left, max(blocks - (before + left - taps + 1), 0), begin, after)


def _axes(node: ir.Node, kernel: tuple[int, ...]) -> list[_Axis]:
    rank = len(kernel)
    x = node.inputs[0]
    assert x is not None
    strides, pads = facts.attribute(node, "strides", (1,) * rank), facts.attribute(node, "pads", (0,) * 2 * rank)
    before, after = facts.static_shape(x)[2:], facts.static_shape(node.outputs[0])[2:]
    return [_Axis.of(*one) for one in zip(strides, kernel, pads[:rank], before, after, strict=True)]


def _rewrite(graph: ir.Model, node: ir.Node, quantizer: ir.Node) -> None:
    weight, groups = _integers(node, 1), facts.attribute(node, "group", 1)
    assert weight is not None
    axes = _axes(node, weight.shape[2:])
    conv = edit.new_node(
        node,
        "Conv",
        [node.inputs[0], *(_parameter(graph, node, i, axes) for i in range(1, len(node.inputs)))],
        {
            "group": groups,
            "kernel_shape": [axis.taps for axis in axes],
            "pads": [*(axis.left for axis in axes), *(axis.right for axis in axes)],
        },
    )
    batch, channels = quantizer.outputs[0].shape[0], facts.static_shape(node.outputs[0])[1]  # type: ignore[index]
    blocks = [
        size + axis.left + axis.right - axis.taps + 1
        for size, axis in zip(facts.static_shape(node.inputs[0])[2:], axes, strict=True)  # type: ignore[arg-type]
    ]
    phases = int(np.prod([axis.stride for axis in axes]))
    inner = ir.Shape([batch, channels * phases, *blocks])
    reader = facts.only_consumer(node.outputs[0])
    edit.replace(graph, node, [conv])
    for made in (conv, *([reader] if reader is not quantizer and reader is not None else [])):
        made.outputs[0].shape = inner
    _spread(graph, quantizer, axes, channels, blocks)


def _parameter(graph: ir.Model, node: ir.Node, position: int, axes: list[_Axis]) -> ir.Value:
    """Weights or bias of the convolution behind a DequantizeLinear of its own."""
    value, array = node.inputs[position], _integers(node, position)
    assert value is not None and array is not None
    dequantizer = value.producer()
    assert dequantizer is not None
    phases = int(np.prod([axis.stride for axis in axes]))
    kernel = _phased(array, axes, facts.attribute(node, "group", 1)) if position == 1 else np.repeat(array, phases)
    integers = edit.add_constant(graph, f"{value.name}_phases", kernel)
    parameters = []
    for one in dequantizer.inputs[1:]:
        numbers = facts.constant(one)
        assert numbers is not None and one is not None
        parameters.append(edit.add_constant(graph, f"{one.name}_phases", np.repeat(numbers, phases))
                          if numbers.size > 1 else one)  # fmt: skip
    made = edit.new_node(dequantizer, "DequantizeLinear", [integers, *parameters], {"axis": 0})
    made.name, made.outputs[0].name = f"{dequantizer.name}_phases", f"{value.name}_phases_real"
    made.outputs[0].shape = ir.Shape(kernel.shape)
    graph.graph.insert_before(node, made)
    return made.outputs[0]


def _phased(weight: NDArray[Any], axes: list[_Axis], groups: int) -> NDArray[Any]:
    """(I, O/group, k...) -> (O * phases, I/group, taps...), the phases of a channel side by side."""
    inputs, outputs, *kernel = weight.shape
    rank = len(kernel)
    by_output = weight.reshape(groups, inputs // groups, outputs, *kernel).swapaxes(1, 2)
    by_output = by_output.reshape(groups * outputs, inputs // groups, *kernel)
    fill = [(0, axis.taps * axis.stride - size) for axis, size in zip(axes, kernel, strict=True)]
    filled = np.pad(by_output, [(0, 0), (0, 0), *fill])
    split = filled.reshape(*filled.shape[:2], *(n for axis in axes for n in (axis.taps, axis.stride)))
    flipped = np.flip(split, tuple(2 + 2 * i for i in range(rank)))
    order = (0, *(3 + 2 * i for i in range(rank)), 1, *(2 + 2 * i for i in range(rank)))
    return np.ascontiguousarray(flipped.transpose(order).reshape(-1, inputs // groups, *(axis.taps for axis in axes)))


def _spread(graph: ir.Model, quantizer: ir.Node, axes: list[_Axis], channels: int, blocks: list[int]) -> None:
    """Behind the integers: the phases side by side, and of that the part that was asked for."""
    integers = quantizer.outputs[0]
    name, shape, batch = integers.name, integers.shape, integers.shape[0]  # type: ignore[index]
    rank = len(axes)
    strides = [axis.stride for axis in axes]
    whole = [block * stride for block, stride in zip(blocks, strides, strict=True)]
    uses = list(integers.uses())
    integers.shape, integers.name = ir.Shape([batch, channels * int(np.prod(strides)), *blocks]), f"{name}_phases"

    def appended(op: str, x: ir.Value, others: list[ir.Value], dims: list[Any], **attributes: Any) -> ir.Value:
        output = ir.Value(name=f"{name}_{op}", type=integers.type, shape=ir.Shape(dims))
        graph.graph.append(ir.node(op, [x, *others], attributes, outputs=[output], name=f"{name}_{op}_node"))
        return output

    if rank == 2 and strides[0] == strides[1]:
        x = appended("DepthToSpace", integers, [], [batch, channels, *whole], blocksize=strides[0], mode="CRD")
    else:
        target = edit.add_constant(graph, f"{name}_split", np.array([0, channels, *strides, *blocks], np.int64))
        x = appended("Reshape", integers, [target], [batch, channels, *strides, *blocks])
        order = (0, 1, *(n for i in range(rank) for n in (2 + rank + i, 2 + i)))
        x = appended("Transpose", x, [], [x.shape[axis] for axis in order], perm=order)  # type: ignore[index]
        target = edit.add_constant(graph, f"{name}_merged", np.array([0, channels, *whole], np.int64))
        x = appended("Reshape", x, [target], [batch, channels, *whole])
        x.name = f"{name}_interleaved"
        x.producer().name = f"{name}_interleaved_node"  # type: ignore[union-attr]
    if any(axis.begin or axis.size != size for axis, size in zip(axes, whole, strict=True)):
        starts, ends = [axis.begin for axis in axes], [axis.begin + axis.size for axis in axes]
        numbers = [edit.add_constant(graph, f"{name}_{what}", np.array(n, np.int64))
                   for what, n in (("starts", starts), ("ends", ends), ("axes", range(2, 2 + rank)))]  # fmt: skip
        x = appended("Slice", x, numbers, list(shape))  # type: ignore[arg-type]
    for use in uses:
        use.node.replace_input_with(use.idx, x)
    graph.graph.sort()
