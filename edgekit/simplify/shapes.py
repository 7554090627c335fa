"""One form of each op that moves or pools values.

Squeeze, Unsqueeze, Flatten become Reshape; means and pools over the whole plane become GlobalAveragePool; slices of
one value along different axes become one Slice; a Resize says the sizes of its plane, which are known where the batch
is not.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.graph import edit, facts, interpolation
from edgekit.simplify.sizes import sizes_of

LOOKS_STRAIGHT = frozenset({"half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "asymmetric", "align_corners"})
RESHAPING = frozenset({"Squeeze", "Unsqueeze", "Flatten", "Reshape"})


def canonical_shapes(graph: ir.Model) -> ir.Model:
    graph = graph.clone()
    for node in list(graph.graph):
        match node.op_type:
            case op if op in RESHAPING:
                _to_reshape(graph, node)
            case "ReduceMean" | "AveragePool" if _pools_whole_plane(node):
                _to_global_pool(graph, node)
            case "Slice":
                _merge_slices(graph, node)
            case "Resize" if _resizes_nothing(node) and edit.can_bypass(node):
                edit.bypass(graph, node)
            case "Resize":
                _to_known_plane(graph, node)
            case "Pad" if _pads_nothing(node) and edit.can_bypass(node):
                edit.bypass(graph, node)
            case _:
                pass
    return graph


def _to_reshape(graph: ir.Model, node: ir.Node) -> None:
    """A Reshape whose shape is constant, -1 on the one dynamic axis."""
    output = node.outputs[0]
    if node.op_type == "Reshape" and facts.constant(node.inputs[1]) is None:
        _take_computed(node)
    if output.shape is None or node.inputs[0] is None:
        return
    shape = facts.shape(output)
    if sum(d is None for d in shape) > 1:
        return
    target = np.array([-1 if d is None else d for d in shape], np.int64)
    given = facts.constant(node.inputs[1]) if node.op_type == "Reshape" else None
    if given is not None and np.array_equal(given, target):
        return
    shape_value = edit.add_constant(graph, f"{output.name}_shape", target)
    edit.replace(graph, node, [edit.new_node(node, "Reshape", [node.inputs[0], shape_value])])


def _take_computed(node: ir.Node) -> None:
    """Give the output of a Reshape the sizes that the graph computes for it."""
    sizes = sizes_of(node.inputs[1])
    if sizes is not None and 0 not in sizes and -1 not in sizes:
        node.outputs[0].shape = ir.Shape(sizes)


def _pools_whole_plane(node: ir.Node) -> bool:
    """True for a mean over exactly the spatial axes of an (N, C, H, W) value."""
    x = node.inputs[0]
    if x is None or x.shape is None or len(x.shape) != 4 or node.outputs[0].shape is None or not facts.is_float(x):
        return False
    spatial = facts.shape(x)[2:]
    if None in spatial:
        return False
    if node.op_type == "ReduceMean":
        axes = facts.constant(node.inputs[1]) if len(node.inputs) > 1 else None
        return axes is not None and sorted(int(a) % 4 for a in axes) == [2, 3]
    no_pads = not any(facts.attribute(node, "pads", ())) and facts.attribute(node, "auto_pad", "NOTSET") == "NOTSET"
    return no_pads and facts.attribute(node, "kernel_shape") == spatial


def _to_global_pool(graph: ir.Model, node: ir.Node) -> None:
    x, output = node.inputs[0], node.outputs[0]
    assert x is not None
    pool = edit.new_node(node, "GlobalAveragePool", [x])
    if len(facts.shape(output)) == 4:
        edit.replace(graph, node, [pool])
        return
    batch, channels = facts.shape(x)[:2]
    pool.name, pool.outputs[0].name = f"{node.name}_pool", f"{output.name}_pool"
    assert x.shape is not None
    pool.outputs[0].shape = ir.Shape([x.shape[0], channels, 1, 1])
    target = edit.add_constant(graph, f"{output.name}_shape", np.array([-1 if batch is None else batch, channels]))
    edit.replace(graph, node, [pool, edit.new_node(node, "Reshape", [pool.outputs[0], target])])


def _to_known_plane(graph: ir.Model, node: ir.Node) -> None:
    """Computed sizes hold the batch, which a Resize keeps: constant factors say the rest.

    `axes` would say it too, but ONNX Runtime 1.31 cannot move such a Resize to channels last.
    """
    x, output = node.inputs[0], node.outputs[0]
    sizes = node.inputs[3] if len(node.inputs) > 3 else None
    if sizes is None or facts.constant(sizes) is not None or x is None or x.shape is None or output.shape is None:
        return
    planes = [
        (size, result)
        for size, result in zip(facts.shape(x)[2:], facts.shape(output)[2:], strict=True)
        if size and result
    ]
    if len(planes) != len(x.shape) - 2 or x.shape[:2] != output.shape[:2] or "axes" in node.attributes:
        return
    if facts.attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":  # it goes with sizes alone
        return
    factors = np.array([_factor(*plane) for plane in planes], np.float32)
    if not all(_looks_alike(node, *plane, factor) for plane, factor in zip(planes, factors.tolist(), strict=True)):
        return
    scales = edit.add_constant(graph, f"{output.name}_factors", np.concatenate([np.ones(2, np.float32), factors]))
    edit.replace(graph, node, [edit.new_node(node, "Resize", [x, node.inputs[1], scales], dict(node.attributes))])


def _factor(size: int, result: int) -> np.float32:
    """The smallest with which no reader loses the last pixel: the result is size * factor, rounded down."""
    factor = np.float32(result / size)
    while float(factor) * size < result:
        factor = np.nextafter(factor, np.float32(np.inf))
    return factor


def _looks_alike(node: ir.Node, size: int, result: int, factor: float) -> bool:
    """Whether `nearest` takes the pixels under a rounded factor that it takes under result / size."""
    if facts.attribute(node, "mode", "nearest") != "nearest":
        return True
    looks = facts.attribute(node, "coordinate_transformation_mode", "half_pixel")
    rounding = facts.attribute(node, "nearest_mode", "round_prefer_floor")
    given, exact = (
        interpolation.Axis(axis=0, size=size, result=result, scale=scale, roi=(0.0, 1.0)).coordinates(looks)
        for scale in (factor, result / size)
    )
    return np.array_equal(interpolation.rounded(given, rounding), interpolation.rounded(exact, rounding))


def _resizes_nothing(node: ir.Node) -> bool:
    """True for factors of 1, where a pixel looks at itself."""
    scales = facts.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    mode = facts.attribute(node, "coordinate_transformation_mode", "half_pixel")
    return scales is not None and scales.size > 0 and bool(np.all(scales == 1)) and mode in LOOKS_STRAIGHT


def _pads_nothing(node: ir.Node) -> bool:
    amounts = facts.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return amounts is not None and not np.any(amounts)


def _merge_slices(graph: ir.Model, node: ir.Node) -> None:
    """Slice(Slice(x)) along different axes is one Slice."""
    first = node.inputs[0].producer() if node.inputs[0] is not None else None
    if first is None or first.op_type != "Slice" or facts.only_consumer(first.outputs[0]) is not node:
        return
    ours, theirs = slice_arguments(node), slice_arguments(first)
    if ours is None or theirs is None or set(ours[2]) & set(theirs[2]):
        return
    merged = [np.concatenate([a, b]).astype(np.int64) for a, b in zip(theirs, ours, strict=True)]
    names = ("starts", "ends", "axes", "steps")
    constants = [edit.add_constant(graph, f"{node.name}_{name}", a) for name, a in zip(names, merged, strict=True)]
    edit.replace(graph, node, [edit.new_node(node, "Slice", [first.inputs[0], *constants])])
    graph.graph.remove(first, safe=True)


def slice_arguments(node: ir.Node) -> tuple[np.ndarray, ...] | None:
    """starts, ends, axes (non-negative), steps, all given; None where one depends on the input."""
    given = [facts.constant(value) for value in node.inputs[1:]]
    if any(array is None for array in given) or node.outputs[0].shape is None:
        return None
    starts, ends = (np.asarray(array) for array in given[:2])
    rank = len(node.outputs[0].shape)
    axes = np.asarray(given[2]) % rank if len(given) > 2 else np.arange(len(starts))
    steps = np.asarray(given[3]) if len(given) > 3 else np.ones_like(starts)
    return starts, ends, axes, steps
