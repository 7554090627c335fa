"""Explicit pads for every op that slides a window.

    SAME            o = ceil(i / s)       total = (o - 1) s + span - i               span = (k - 1) d + 1
    transposed      o = i s, or given     total = (i - 1) s + span + extra - o       extra = output padding

of which the half rounded down goes to the start for SAME_UPPER and to the end otherwise.
Source: ONNX operator specification, Conv, ConvTranspose, MaxPool (auto_pad, output_shape).
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.graph import facts, source
from edgekit.graph.pools import POOLS, settle_pools
from edgekit.graph.shapes import infer_behind

WINDOWED = POOLS | {"Conv", "ConvTranspose"}


def explicit_pads(graph: ir.Model) -> ir.Model:
    """No auto_pad and no output_shape, where the sizes are known."""
    graph = settle_pools(graph).clone()
    for node in graph.graph:
        if node.op_type not in WINDOWED:
            continue
        mode = facts.attribute(node, "auto_pad", "NOTSET")
        if mode == "VALID" and "output_shape" not in node.attributes:
            _set_pads(node, [0] * 2 * len(_kernel(node)))
        elif mode != "NOTSET" or "output_shape" in node.attributes:
            # ONNX's shape inference adds both to a SAME size, which runtimes do not.
            adds = any(facts.attribute(node, "output_padding", ())) or facts.attribute(node, "ceil_mode", 0)
            _pad_to_size(node, mode)
            if adds:
                infer_behind(graph, node)
    return graph


def _pad_to_size(node: ir.Node, mode: str) -> None:
    x = node.inputs[0]
    sizes = None if x is None or x.shape is None else facts.shape(x)[2:]
    if sizes is None or None in sizes:
        return
    kernel = _kernel(node)
    ones = (1,) * len(kernel)
    strides, dilations = (facts.attribute(node, name, ones) for name in ("strides", "dilations"))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    inputs = [size for size in sizes if size is not None]
    if node.op_type == "ConvTranspose":
        totals = _transposed_totals(node, inputs, spans, strides)
    else:
        totals = [max(total, 0) for total in _same_totals(inputs, strides, spans)]
        if node.op_type in POOLS and totals != _runtime_totals(node, inputs, strides, kernel):
            raise _unlike(node, mode)
        node.attributes.pop("ceil_mode", None)  # SAME rounds up by itself
    halves = [max(total, 0) // 2 for total in totals]
    rests = [max(total, 0) - half for total, half in zip(totals, halves, strict=True)]
    _set_pads(node, [*halves, *rests] if mode == "SAME_UPPER" else [*rests, *halves])


def _same_totals(inputs: Sequence[int], strides: Sequence[int], spans: Sequence[int]) -> list[int]:
    return [(-(-i // s) - 1) * s + span - i for i, s, span in zip(inputs, strides, spans, strict=True)]


def _runtime_totals(node: ir.Node, inputs: Sequence[int], strides: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """What ONNX Runtime pads a pool with: it forgets the dilation, and crops where pads are below 0, half at the start.

    So -1 moves no window, but it is counted in a mean that counts pads; a MaxPool does not run then.
    """
    totals = _same_totals(inputs, strides, kernel)
    harmless = -1 if not facts.attribute(node, "count_include_pad", 0) else 0
    return [0 if total < 0 and (total >= harmless or node.op_type == "MaxPool") else total for total in totals]


def _unlike(node: ir.Node, mode: str) -> EdgekitError:
    return EdgekitError(
        "EK213",
        f"the shape of '{node.outputs[0].name}' is not known before the model runs",
        f"{source.describe(node)} has {mode}, of which ONNX Runtime makes other pads than ONNX says:"
        " without the dilation, or below 0",
        "give its padding as numbers (pads)",
    )


def _transposed_totals(node: ir.Node, inputs: list[int], spans: list[int], strides: tuple[int, ...]) -> list[int]:
    """Pads in all; where a given output is larger than what the windows reach, output padding makes up for it."""
    extra = facts.attribute(node, "output_padding", (0,) * len(inputs))
    wanted = facts.attribute(node, "output_shape", tuple(i * s for i, s in zip(inputs, strides, strict=True)))
    wanted = wanted[-len(inputs) :]
    rows = zip(inputs, spans, strides, extra, wanted, strict=True)
    totals = [(i - 1) * s + span + e - o for i, span, s, e, o in rows]
    if min(totals) < 0 and "output_shape" in node.attributes:
        grown = [e + max(-total, 0) for e, total in zip(extra, totals, strict=True)]
        node.attributes["output_padding"] = ir.AttrInt64s("output_padding", grown)
    node.attributes.pop("output_shape", None)
    return totals


def _kernel(node: ir.Node) -> tuple[int, ...]:
    given: tuple[int, ...] | None = facts.attribute(node, "kernel_shape")
    if given is not None:
        return given
    weight = node.inputs[1]
    assert weight is not None
    return facts.static_shape(weight)[2:]


def _set_pads(node: ir.Node, pads: list[int]) -> None:
    node.attributes.pop("auto_pad", None)
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
