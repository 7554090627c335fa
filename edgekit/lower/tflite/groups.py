"""Group norms as torch exports them, on the image itself: in whatever order it is stored.

(N, C, H, W) -> Reshape (N, G, ..) -> InstanceNormalization -> Reshape (N, C, H, W)    becomes    GroupNormalization

A group holds whole channels, but a row of them in the model's order: a Transpose before each norm and one behind it.
The border between INT8 and float may run between the three; it then runs before and behind the norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgekit.lower.tflite.ops import Node, Program, Value

NORM = "InstanceNormalization"


@dataclass(frozen=True)
class Written:
    """norm: the InstanceNormalization on rows; source: the image; enters, leaves: the borders between, if any."""

    norm: Node
    source: Value
    enters: Node | None
    leaves: Node | None


def absorb_groups(program: Program) -> Program:
    producers = program.producers()
    nodes: list[Node] = []
    for node in program.nodes:
        written = _written(node, producers)
        nodes += [node] if written is None else _on_image(written, node.output)
    return _alive(replace(program, nodes=tuple(nodes)))


def _written(last: Node, producers: Mapping[Value, Node]) -> Written | None:
    """The norm whose result this Reshape makes an image again."""
    if last.op != "Reshape":
        return None
    leaves, norm = _behind_border("Quantize", last.input(0), producers)
    if norm is None or norm.op != NORM or any(norm.constant(index) is None for index in (1, 2)):
        return None
    enters, first = _behind_border("Dequantize", norm.input(0), producers)
    if first is None or first.op != "Reshape":
        return None
    source, rows = first.input(0), first.output.shape
    whole = source.rank > 2 and rows[0] == source.shape[0] and source.shape[1] % rows[1] == 0
    return Written(norm, source, enters, leaves) if whole and last.output.shape == source.shape else None


def _behind_border(op: str, value: Value, producers: Mapping[Value, Node]) -> tuple[Node | None, Node | None]:
    """The border op that makes a value, if one does, and what makes it or the border op's input."""
    maker = producers.get(value)
    if maker is None or maker.op != op:
        return None, maker
    return maker, producers.get(maker.input(0))


def _on_image(written: Written, result: Value) -> list[Node]:
    x, y, norm = written.source, result, written.norm
    nodes: list[Node] = []
    if written.enters is not None:
        x = replace(written.enters.output, name=f"{norm.output.name}_image", shape=x.shape)
        nodes.append(replace(written.enters, inputs=(written.source,), outputs=(x,)))
    if written.leaves is not None:
        y = replace(norm.output, shape=result.shape)
    attributes = {**norm.attributes, "num_groups": norm.input(0).shape[1]}
    nodes.append(
        replace(norm, op="GroupNormalization", inputs=(x, *norm.inputs[1:]), outputs=(y,), attributes=attributes)
    )
    if written.leaves is not None:
        nodes.append(replace(written.leaves, inputs=(y,), outputs=(result,)))
    return nodes


def _alive(program: Program) -> Program:
    """Without what nobody reads any more."""
    read = {value for _, value in program.outputs}
    kept: list[Node] = []
    for node in reversed(program.nodes):
        if not read.isdisjoint(node.outputs):
            read.update(value for value in node.inputs if value is not None)
            kept.append(node)
    return replace(program, nodes=tuple(kept[::-1]))
