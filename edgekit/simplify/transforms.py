"""Fixed linear maps that only ONNX has an op for, written as the linear op that they are.

DFT     X_k = sum_n x_n e^(-2 pi i k n / L): a product with a constant matrix of cosines and sines
Col2Im  overlapping columns summed into an image: a transposed convolution whose kernels pick one place each
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts, source

MOST_ELEMENTS = 1 << 22  # of a matrix


def canonical_transforms(graph: ir.Model) -> ir.Model:
    """The shapes of the new values are left open."""
    graph = graph.clone()
    for node in list(graph.graph):
        x = node.inputs[0] if node.inputs else None
        if x is None or x.shape is None or not x.shape.is_static() or not facts.is_float(x):
            continue
        match node.op_type:
            case "DFT":
                _fourier(graph, node, facts.static_shape(x))
            case "Col2Im":
                _columns(graph, node, facts.static_shape(x))
            case _:
                pass
    return graph


def _fourier(graph: ir.Model, node: ir.Node, shape: tuple[int, ...]) -> None:
    rank, parts = len(shape), shape[-1]
    axis = facts.scalar(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else -2
    length = facts.scalar(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
    computed = axis is None or (length is None and len(node.inputs) > 1 and node.inputs[1] is not None)
    inverse, onesided = (bool(facts.attribute(node, key, 0)) for key in ("inverse", "onesided"))
    half = inverse and onesided  # half a spectrum, of which the other half is the mirror image
    if computed or (half and parts != 2):
        return
    assert axis is not None
    place = int(axis) % rank
    points = (2 * (shape[place] - 1) if half else shape[place]) if length is None else int(length)
    kept = points // 2 + 1 if onesided and not inverse else points
    if shape[place] * kept * parts * 2 > MOST_ELEMENTS:
        return
    others = [a for a in range(rank - 1) if a != place]
    last = [*others, place, rank - 1]
    outer = [shape[a] for a in others]
    matrix = _mirrored(shape[place], points) if half else _cosines(shape[place], points, kept, parts, inverse)
    steps = _Steps(graph, node)
    x = steps.add("Transpose", [node.inputs[0]], perm=last)
    x = steps.add("Reshape", [x, steps.constant("flat", [*outer, shape[place] * parts])])
    x = steps.add("MatMul", [x, steps.constant("matrix", matrix)])
    x = steps.add("Reshape", [x, steps.constant("pairs", [*outer, kept, 1 if half else 2])])
    steps.add("Transpose", [x], perm=[last.index(a) for a in range(rank)])
    steps.replace()


def _cosines(given: int, points: int, kept: int, parts: int, inverse: bool) -> NDArray[np.float32]:
    """(given * parts, kept * 2): real and imaginary parts side by side; what lies beyond `points` does not count."""
    n, k = np.arange(given)[:, np.newaxis], np.arange(kept)
    angles = 2 * np.pi * (n * k % points) / points * (-1 if inverse else 1)
    scale = (n < points) / (points if inverse else 1)
    cosine, sine = np.cos(angles) * scale, np.sin(angles) * scale
    matrix = np.empty((given, parts, kept, 2))
    matrix[:, 0, :, 0], matrix[:, 0, :, 1] = cosine, -sine
    if parts == 2:
        matrix[:, 1, :, 0], matrix[:, 1, :, 1] = sine, cosine
    return matrix.reshape(given * parts, kept * 2).astype(np.float32)


def _mirrored(given: int, points: int) -> NDArray[np.float32]:
    """(given * 2, points): every frequency but the first, and the last of an even number, counts twice."""
    k, n = np.arange(given)[:, np.newaxis], np.arange(points)
    twice = np.where((k == 0) | (2 * k == points), 1, 2) * (k <= points // 2) / points
    angles = 2 * np.pi * (n * k % points) / points
    return np.stack([np.cos(angles) * twice, -np.sin(angles) * twice], 1).reshape(given * 2, points).astype(np.float32)


def _columns(graph: ir.Model, node: ir.Node, shape: tuple[int, ...]) -> None:
    image, block = facts.constant(node.inputs[1]), facts.constant(node.inputs[2])
    if image is None or block is None:
        return
    sizes, kernel = [int(i) for i in image], [int(i) for i in block]
    ones, spatial = (1,) * len(kernel), len(kernel)
    strides, dilations = (facts.attribute(node, key, ones) for key in ("strides", "dilations"))
    pads = facts.attribute(node, "pads", (0,) * 2 * spatial)
    spans = [(b - 1) * d + 1 for b, d in zip(kernel, dilations, strict=True)]
    totals = [i + pads[a] + pads[a + spatial] - span for a, (i, span) in enumerate(zip(sizes, spans, strict=True))]
    places = [total // s + 1 for total, s in zip(totals, strides, strict=True)]
    extra = [total % s for total, s in zip(totals, strides, strict=True)]
    channels = shape[1] // prod(kernel)
    weight = np.tile(np.eye(prod(kernel), dtype=np.float32).reshape(-1, 1, *kernel), (channels, *(1,) * (spatial + 1)))
    steps = _Steps(graph, node)
    x = steps.add("Reshape", [node.inputs[0], steps.constant("places", [shape[0], shape[1], *places])])
    attributes = {"strides": strides, "dilations": dilations, "pads": pads, "output_padding": extra}
    steps.add("ConvTranspose", [x, steps.constant("picks", weight)], kernel_shape=kernel, group=channels, **attributes)
    steps.replace()


class _Steps:
    """The nodes that stand for one node, in order."""

    def __init__(self, graph: ir.Model, node: ir.Node) -> None:
        self.graph, self.node = graph, node
        self.nodes: list[ir.Node] = []

    def constant(self, label: str, content: NDArray[np.float32] | list[int]) -> ir.Value:
        array = content if isinstance(content, np.ndarray) else np.asarray(content, np.int64)
        return edit.add_constant(self.graph, f"{self.node.name}_{label}", array)

    def add(self, op: str, inputs: list[ir.Value | None], **attributes: object) -> ir.Value:
        output = ir.Value(name=f"{self.node.outputs[0].name}_{len(self.nodes)}")
        name = f"{self.node.name}_{len(self.nodes)}"
        made = ir.node(op, inputs, attributes, outputs=[output], name=name, metadata_props=source.traced(self.node))  # type: ignore[arg-type]
        self.nodes.append(made)
        return output

    def replace(self) -> None:
        last, old = self.nodes[-1].outputs[0], self.node.outputs[0]
        last.shape, last.type, last.name = old.shape, old.type, old.name
        edit.replace(self.graph, self.node, self.nodes)
