"""Cut a graph into blocks of equal work, so that a trial of one scale runs a part of the graph and not all of it.

A block ends where few values are alive. Its error is that of the values it hands on, against the float graph's, while
it reads what the quantized blocks before it gave: the errors that it cannot mend are on both sides of a comparison.
Source: Li et al. 2021, "BRECQ", section 3.2: within a block, reconstruction error follows the loss of the whole net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit.graph import cost, edit, facts
from edgekit.quantize.assign import Plan, ScaleGroup
from edgekit.quantize.insert import scale_name, zero_point_name

Places = Mapping[ir.Node, int]
SLACK = 0.4  # share of a block by which a cut may move to a narrower place


@dataclass(frozen=True, kw_only=True)
class Block:
    """A stretch of the graph, in float and quantized.

    groups: those whose values it quantizes first; seen: float value handed on -> what it is called in `quantized`;
    needed: the values that later blocks read, of either graph.
    """

    groups: tuple[ScaleGroup, ...]
    floats: ir.Model
    quantized: ir.Model
    seen: Mapping[str, str]
    needed: frozenset[str]


def cut(graph: ir.Model, quantized: ir.Model, plan: Plan, count: int) -> list[Block]:
    """At most `count` blocks. quantized: what became of `graph` by `plan`."""
    named = _places(graph, plan, count)
    real, found = _placed(graph, named), _placed(quantized, named)
    groups = _groups(found, plan)
    blocks: list[Block] = []
    for index in range(max(named.values()) + 1):
        floats = _part(graph, real, index)
        part = _part(quantized, found, index)
        seen = _seen(floats, part, quantized, plan)
        needed = _read_later(real, index) | _read_later(found, index)
        blocks.append(Block(groups=groups[index], floats=floats, quantized=part, seen=seen, needed=needed))
    return blocks


def _places(graph: ir.Model, plan: Plan, count: int) -> dict[str, int]:
    """Node name -> block, along the order of execution."""
    nodes = list(graph.graph)
    work = cost.macs_by_node(graph)
    total = max(sum(work.values()), 1)
    alive = _alive(nodes)
    ends: list[int] = []
    done = 0.0
    shares = [done := done + work.get(node.name or "", 0) / total for node in nodes]
    for index in range(1, count):
        low, high = (index - SLACK) / count, (index + SLACK) / count
        places = [i for i, node in enumerate(nodes[:-1]) if low <= shares[i] <= high and _may_end(node, plan)]
        if places:
            ends.append(min(places, key=lambda i: (alive[i], i)))
    return {node.name or "": sum(end < i for end in ends) for i, node in enumerate(nodes)}


def _may_end(node: ir.Node, plan: Plan) -> bool:
    """A clamp stays with the op whose output it saturates, since quantized the two are one."""
    return (node.outputs[0].name or "") not in plan.clamps.values()


def _alive(nodes: Sequence[ir.Node]) -> list[int]:
    """Behind each node, how many values are there that later nodes read."""
    last = {value: i for i, node in enumerate(nodes) for value in node.inputs if value is not None}
    born = [(i, last[value]) for i, node in enumerate(nodes) for value in node.outputs if value in last]
    return [sum(first <= i < final for first, final in born) for i in range(len(nodes))]


def _placed(graph: ir.Model, named: Mapping[str, int]) -> dict[ir.Node, int]:
    """The block of every node: a Q or DQ belongs to its first reader."""
    placed: dict[ir.Node, int] = {}
    final = max(named.values())
    for node in reversed(graph.graph):
        readers = [placed[use.node] for value in node.outputs for use in value.uses()]
        placed[node] = named.get(node.name or "", min(readers, default=final))
    return placed


def _groups(placed: Places, plan: Plan) -> list[tuple[ScaleGroup, ...]]:
    """Per block, the groups whose scale is first read there."""
    first: dict[str, int] = {}
    for node, index in placed.items():
        for value in node.inputs[1:]:
            name = value.name or "" if value is not None else ""
            first[name] = min(index, first.get(name, index))
    where = {group: first.get(scale_name(group.name), 0) for group in plan.groups}
    return [tuple(group for group in plan.groups if where[group] == i) for i in range(max(placed.values()) + 1)]


def _part(graph: ir.Model, placed: Places, index: int) -> ir.Model:
    """One block as a graph: it reads what earlier blocks give, and gives what later ones read."""
    nodes = [node for node in graph.graph if placed[node] == index]
    outputs = set(graph.graph.outputs)
    made = [value for node in nodes for value in node.outputs]
    read = dict.fromkeys(value for node in nodes for value in node.inputs if value is not None)
    inside = set(made)
    view = ir.GraphView(
        [value for value in read if value not in inside and not value.is_initializer()],
        [value for value in made if value in outputs or any(placed[use.node] > index for use in value.uses())],
        nodes=nodes,
        initializers=[value for value in read if value.is_initializer()],
        opset_imports=graph.graph.opset_imports,
        name=graph.graph.name,
    )
    return ir.Model(view.clone(), ir_version=graph.ir_version)


def _read_later(placed: Places, index: int) -> frozenset[str]:
    return frozenset(
        value.name or ""
        for node, place in placed.items()
        if place > index
        for value in node.inputs
        if value is not None and facts.constant(value) is None
    )


def _seen(floats: ir.Model, part: ir.Model, quantized: ir.Model, plan: Plan) -> dict[str, str]:
    """What both give, under the name by which the quantized part shows it.

    A value that is quantized is looked at as its readers get it, for its integers may do the work of a clamp.
    """
    group_of = plan.group_of
    given = {value.name: value for value in part.graph.outputs}
    seen: dict[str, str] = {}
    for value in floats.graph.outputs:
        name = value.name or ""
        found = given.get(f"{name}_quantized", given.get(name))
        if found is not None:
            group = group_of.get(name)
            seen[name] = (
                name
                if group is None
                else _look(part, found, value, group.dtype, _parameters(part, quantized, group.name))
            )
    return seen


def _parameters(part: ir.Model, quantized: ir.Model, group: str) -> list[ir.Value]:
    """A group's scale and zero point, which the part may have no other use for."""
    found: list[ir.Value] = []
    for name in (scale_name(group), zero_point_name(group)):
        array = facts.constant(quantized.graph.initializers[name])
        assert array is not None, "scales are constants until they are made inputs"
        found.append(part.graph.initializers.get(name) or edit.add_constant(part, name, array))
    return found


def _look(part: ir.Model, found: ir.Value, real: ir.Value, dtype: np.dtype[Any], parameters: list[ir.Value]) -> str:
    """Nodes that show a value after its quantization; the name of what they give."""
    integers = found
    if found.name == real.name:
        kind = ir.TensorType(ir.DataType.from_numpy(dtype))
        integers = ir.Value(name=f"{real.name}_seen_quantized", type=kind, shape=real.shape)
        part.graph.append(ir.node("QuantizeLinear", [found, *parameters], outputs=[integers]))
    shown = ir.Value(name=f"{real.name}_seen", type=real.type, shape=real.shape)
    part.graph.append(ir.node("DequantizeLinear", [integers, *parameters], outputs=[shown]))
    part.graph.outputs.append(shown)
    return shown.name or ""
