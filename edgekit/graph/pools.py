"""Pools whose last window would start in the padding at the end.

Runtimes (ONNX Runtime, PyTorch) leave that window out, the shape inference of ONNX counts it:

    o = ceil((i + low + high - span) / stride) + 1        less 1 where (o - 1) stride >= i + low, to a runtime

Along such an axis the pool does what it does without ceil_mode, and then all agree.
"""

from __future__ import annotations

import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.graph import edit, facts, source
from edgekit.graph.shapes import infer_again, infer_behind

POOLS = frozenset({"MaxPool", "AveragePool", "LpPool"})
PER_AXIS = {"kernel_shape": 1, "strides": 1, "dilations": 1}  # and what leaves an axis as it is


def settle_pools(graph: ir.Model) -> ir.Model:
    """The graph itself where nobody disagrees; else a copy without such windows, its shapes inferred anew."""
    if not any(_rounds_up(node) for node in graph.graph):
        return graph
    graph = graph.clone()
    if any(_sizes(node) is None for node in graph.graph if _rounds_up(node)):
        infer_again(graph)
    for node in list(graph.graph):
        if _rounds_up(node) and (sizes := _sizes(node)) is not None:
            _settle(graph, node, sizes)
    return graph


def _settle(graph: ir.Model, node: ir.Node, sizes: list[int]) -> None:
    inside = [_ends_inside(node, axis, size) for axis, size in enumerate(sizes)]
    if False not in inside:
        return
    if True in inside:  # one pool for the axes that do not round up, and one for those that do
        if len(node.outputs) > 1:
            raise _no_indices(node)
        first = _along(node, [not ends for ends in inside], ceil=0)
        second = _along(node, [bool(ends) for ends in inside], ceil=1)
        first.name, first.outputs[0].name, first.outputs[0].shape = f"{node.name}_down", f"{node.name}_down", None
        second.replace_input_with(0, first.outputs[0])
        edit.replace(graph, node, [first, second])
        node = first
    else:
        del node.attributes["ceil_mode"]
    infer_behind(graph, node)


def _rounds_up(node: ir.Node) -> bool:
    explicit = facts.attribute(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID")  # SAME rounds up by itself
    return node.op_type in POOLS and bool(facts.attribute(node, "ceil_mode", 0)) and explicit


def _sizes(node: ir.Node) -> list[int] | None:
    x = node.inputs[0]
    sizes = [] if x is None or x.shape is None else [size for size in facts.shape(x)[2:] if size is not None]
    return sizes if len(sizes) == len(facts.attribute(node, "kernel_shape")) else None


def _ends_inside(node: ir.Node, axis: int, size: int) -> bool | None:
    """Whether the window that ceil_mode adds starts before the padding at the end; None where it adds none."""
    kernel, stride, dilation = (_setting(node, name, axis) for name in PER_AXIS)
    count = len(facts.attribute(node, "kernel_shape"))
    pads = facts.attribute(node, "pads", (0,) * 2 * count)
    low, high = pads[axis], pads[axis + count]
    room = size + low + high - (kernel - 1) * dilation - 1
    added = -(-room // stride)
    return added * stride < size + low if room % stride else None


def _setting(node: ir.Node, name: str, axis: int) -> int:
    given = facts.attribute(node, name)
    return PER_AXIS[name] if given is None else int(given[axis])


def _along(node: ir.Node, axes: list[bool], *, ceil: int) -> ir.Node:
    """The same pool over some of its axes: means, maxima and norms of rows of columns are those of the plane."""
    attributes = dict(node.attributes)
    for name, idle in PER_AXIS.items():
        if name in attributes:
            settings = [_setting(node, name, axis) if taken else idle for axis, taken in enumerate(axes)]
            attributes[name] = ir.AttrInt64s(name, settings)
    if "pads" in attributes:
        pads = [pad if taken else 0 for pad, taken in zip(facts.attribute(node, "pads"), axes * 2, strict=True)]
        attributes["pads"] = ir.AttrInt64s("pads", pads)
    attributes["ceil_mode"] = ir.AttrInt64("ceil_mode", ceil)
    return edit.new_node(node, node.op_type, [node.inputs[0]], attributes)


def _no_indices(node: ir.Node) -> EdgekitError:
    return EdgekitError(
        "EK213",
        f"the shape of '{node.outputs[0].name}' is not known before the model runs",
        f"{source.describe(node)} has ceil_mode, and runtimes and ONNX's shape inference count its windows differently",
        "set ceil_mode=False on it, with the padding that its result needs",
    )
