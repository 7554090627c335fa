"""Which values are kept in 16 bits, where some ops compute on int16 activations (LiteRT's 16x8: int8 weights).

An op that was asked for computes in int16; what only moves values carries them in the precision that they come in. A
value is kept as its maker makes it, and one that nobody rounded yet (an input, a float op's result) in 16 bits as soon
as one int16 op reads it. An int8 op reads a copy of 8 bits; an int16 op takes an int8 value as it is, since a 128th of
its scale holds every one of its integers exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgekit.graph import facts

NO_INT16_KERNEL = "LiteRT has no int16 kernel for it"

# Found by running each op in LiteRT 2.3 and tflite-runtime 2.14: PRELU and SUM answer wrongly, the others refuse.
WITHOUT_KERNEL = frozenset({"PRelu", "Elu", "Gelu", "HardSwish", "ReduceSum"})


@dataclass(frozen=True)
class Widths:
    """nodes: names of those that compute or move int16; values: those kept in it."""

    nodes: frozenset[str]
    values: frozenset[str]


def widths(
    nodes: Iterable[ir.Node],
    quantized: Mapping[str, ir.Node],
    wanted: frozenset[str],
    clamps: Mapping[str, str],
    moved_inputs: Callable[[ir.Node], list[ir.Value] | None],
) -> Widths:
    """nodes: all, in execution order; quantized: those that compute on integers, by name; wanted: in int16.

    clamps: output -> input of those that are the saturation of the op before; moved_inputs: what an op only moves, None
    for an op that computes.
    """
    ordered = list(nodes)
    sources = {node: _carried(node, clamps, moved_inputs) for node in ordered if node.name in quantized}
    asked = _asked(ordered, sources, wanted)
    wide: set[ir.Value] = {value for value in asked if value.is_graph_input()}
    found: set[str] = set()
    for node in ordered:
        made = [value for value in node.outputs if facts.is_float(value)]
        if node not in sources:
            wide.update(value for value in made if value in asked)
            continue
        carried = sources[node]
        if node.name in wanted if carried is None else not wide.isdisjoint(carried):
            found.add(node.name or "")
            wide.update(made)
    return Widths(frozenset(found), frozenset(value.name or "" for value in wide))


def _carried(
    node: ir.Node, clamps: Mapping[str, str], moved_inputs: Callable[[ir.Node], list[ir.Value] | None]
) -> list[ir.Value] | None:
    """The values whose precision the node takes over, None where it has one of its own."""
    if (node.outputs[0].name or "") in clamps:
        return [value for value in node.inputs[:1] if value is not None]
    return moved_inputs(node)


def _asked(
    ordered: list[ir.Node], sources: Mapping[ir.Node, list[ir.Value] | None], wanted: frozenset[str]
) -> set[ir.Value]:
    """The values that an int16 op reads, perhaps after they were moved."""
    asked: set[ir.Value] = set()
    for node in reversed(ordered):
        if node not in sources:
            continue
        carried = sources[node]
        if carried is not None and not asked.isdisjoint(node.outputs):
            asked.update(carried)
        elif carried is None and node.name in wanted:
            asked.update(v for v in node.inputs if v is not None and facts.is_float(v) and facts.constant(v) is None)
    return asked
