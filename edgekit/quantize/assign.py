"""Which ops compute in INT8 or on int16 activations, and which values share one scale.

The INT8 contract (LiteRT 8-bit quantization specification) as a table: what an op asks of its output's scale. Ops that
only move values share the scale of their inputs; sigmoid, softmax and tanh have fixed ones; the rest choose their own.
A Relu or Clip right behind a linear op or an addition is the saturation of that op's output, not an op of its own.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit import affine
from edgekit.errors import EdgekitError
from edgekit.graph import facts, marks
from edgekit.quantize import deviations, ends, islands, quotients, reasons, spectra
from edgekit.quantize.scheme import DEFAULT, FLOAT_IN_TENSORRT, NO_TENSORRT_KERNEL, Scheme, fixed_scale
from edgekit.quantize.union import Key, Union
from edgekit.quantize.widths import NO_INT16_KERNEL, WITHOUT_KERNEL, Widths, widths

FEW = 16  # places of a softmax: of more, most have less than 16 steps of 1/256
NAMED = 6  # of a model's nodes, where none of a user's spelling is near


class Scale(Enum):
    """What an op asks of its output's scale."""

    OWN = auto()
    SHARED = auto()  # with its data inputs
    FIXED = auto()


# Data inputs are the float inputs whose values flow to the output; weights, biases and slopes are parameters.
RULES: dict[str, Scale] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), Scale.OWN),
    **dict.fromkeys(("Add", "Sub", "Mul"), Scale.OWN),
    **dict.fromkeys(("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "HardSwish", "Gelu"), Scale.OWN),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Abs"), Scale.OWN),
    **dict.fromkeys(("Reshape", "Transpose", "Slice", "Split", "Concat", "Pad", "Expand", "Gather"), Scale.SHARED),
    **dict.fromkeys(("MaxPool", "ReduceMax", "ReduceMin", "Resize", "DepthToSpace", "SpaceToDepth"), Scale.SHARED),
    **dict.fromkeys(("Min", "Max", "Where", "Tile", "GatherElements", "GatherND"), Scale.SHARED),
    **dict.fromkeys(("ScatterElements", "ScatterND"), Scale.SHARED),
    **dict.fromkeys(("Sigmoid", "Softmax", "Tanh", "HardSigmoid"), Scale.FIXED),
}
Scales = Mapping[str, affine.QParams]
"""Group name -> the parameters of its values."""

LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
ON_REQUEST = "kept float on request"
CLAMPS = frozenset({"Relu", "Clip"})
CLAMPED = LINEAR | {"Add", "Sub", "Mul", "AveragePool", "GlobalAveragePool"}  # ops whose output a clamp may saturate


@dataclass(frozen=True)
class ScaleGroup:
    """Values that share one scale.

    values: all of them, in graph order; observed: those whose calibration statistics decide the range (values that are
    only moved hold nothing new); fixed: the parameters, where an op dictates them; dtype: int8 or int16; symmetric:
    with zero point 0, which int16 has in any case.
    """

    values: tuple[str, ...]
    observed: tuple[str, ...]
    fixed: affine.QParams | None = None
    dtype: np.dtype[Any] = affine.INT8
    symmetric: bool = False

    @property
    def name(self) -> str:
        return self.values[0] if self.dtype == affine.INT8 else f"{self.values[0]}:int16"


@dataclass(frozen=True)
class Plan:
    """The decision: int8 and int16 nodes, the groups of their values, and the reason for every op that stays float.

    A value that is kept in int16 and read by an int8 op too is in two groups.
    clamps: output of a Relu or Clip -> its input, where the clamp is the saturation of the op before it;
    counted_as: value -> the observed value of its group that its statistics are added to.
    """

    int8_nodes: frozenset[str]
    groups: tuple[ScaleGroup, ...]
    clamps: Mapping[str, str]
    kept_float: Mapping[str, str] = field(default_factory=dict)
    counted_as: Mapping[str, str] = field(default_factory=dict)
    int16_nodes: frozenset[str] = frozenset()
    scheme: Scheme = DEFAULT

    @cached_property
    def integer_nodes(self) -> frozenset[str]:
        return self.int8_nodes | self.int16_nodes

    @cached_property
    def group_of(self) -> dict[str, ScaleGroup]:
        """Value -> the group in which it is kept."""
        return self._groups_in(affine.INT8) | self._groups_in(affine.INT16)

    def group_read(self, node: ir.Node, value: str) -> ScaleGroup:
        """The group of a value as the node reads it."""
        narrow = node.name in self.int8_nodes and self._int8_groups.get(value)
        return narrow or self.group_of[value]

    @cached_property
    def _int8_groups(self) -> dict[str, ScaleGroup]:
        return self._groups_in(affine.INT8)

    def _groups_in(self, dtype: np.dtype[Any]) -> dict[str, ScaleGroup]:
        return {value: group for group in self.groups if group.dtype == dtype for value in group.values}


def assign(
    graph: ir.Model, keep_float: Iterable[str] = (), int16: Iterable[str] = (), scheme: Scheme = DEFAULT
) -> Plan:
    """Decide for each op, and put values that must share a scale into one group.

    keep_float, int16: names of nodes that are to stay in float32 (with the reason, where they map to one), or to
    compute on int16 activations. An op that only moves values does so in the precision in which they come, and a clamp
    in that of the op whose result it clamps.
    """
    wanted_float = dict(keep_float) if isinstance(keep_float, Mapping) else dict.fromkeys(keep_float, ON_REQUEST)
    wanted_int16 = frozenset(int16)
    check_known(wanted_float.keys() | wanted_int16, [node.name or "" for node in graph.graph])
    int8_values: set[str] = {value.name or "" for value in graph.graph.inputs if facts.is_float(value)}
    nodes: dict[str, ir.Node] = {}
    kept: dict[str, str] = {}
    masked, spectral = reasons.masked_values(graph.graph), spectra.before_roots(graph.graph, _moves)
    joined = ends.joins_for_callers(graph.graph, _moves)
    divided, normed = quotients.before_divisions(graph.graph, _moves), deviations.written_out(graph.graph)
    for node in graph.graph:
        if not facts.is_float(node.outputs[0]):
            continue
        wider = node.name in wanted_int16
        reason = wanted_float.get(node.name or "") or reason_for_float(node, int8_values, wider)
        if reason is None and scheme.symmetric and node.op_type in FLOAT_IN_TENSORRT:
            reason = NO_TENSORRT_KERNEL
        if reason in (None, islands.MOVES_FLOATS) and not masked.isdisjoint([*data_inputs(node), *node.outputs]):
            reason = reasons.MASKED
        if reason is None and (clamped := clamped_by(node)) is not None and clamped.name in kept:
            reason = reasons.CLAMPS_FLOATS
        if reason is None and node in normed:
            reason = reasons.SQUARES
        if reason is None and node in joined and not wider:
            reason = ends.REASON
        if (
            reason is None
            and spectral.issuperset(node.outputs)
            and spectra.takes_part(node)
            and _reads_reals(node, kept)
        ):
            reason = spectra.REASON
        if reason is None and not wider and quotients.computes(node, divided):
            reason = quotients.REASON
        if reason is not None:
            kept[node.name or ""] = reason
            continue
        nodes[node.name or ""] = node
        int8_values.update(value.name or "" for value in node.outputs if facts.is_float(value))
    islands.settle(graph.graph, nodes, kept, _moves)
    _leave_inputs_real(graph, nodes, kept)
    clamps, families = dict(_clamps(nodes.values())), _families(graph)
    wide = widths(graph.graph, nodes, wanted_int16, clamps, _moved_inputs)
    groups = _groups(graph, nodes, clamps, families, wide, scheme)
    grouped = {value for group in groups for value in group.values}
    counted_as = {value: first for value, first in families.items() if value != first and {value, first} <= grouped}
    return Plan(frozenset(nodes) - wide.nodes, groups, clamps, kept, counted_as, wide.nodes, scheme)


def _moves(node: ir.Node) -> bool:
    return RULES.get(node.op_type) is Scale.SHARED


def _moved_inputs(node: ir.Node) -> list[ir.Value] | None:
    return data_inputs(node) if _moves(node) else None


def _reads_reals(node: ir.Node, kept: Mapping[str, str]) -> bool:
    """True where nobody rounded what the node reads: the model's inputs, or what float ops give, perhaps moved."""
    makers = [value.producer() for value in data_inputs(node)]
    return all(m is None or m.name in kept or (_moves(m) and _reads_reals(m, kept)) for m in makers)


def _leave_inputs_real(graph: ir.Model, nodes: dict[str, ir.Node], kept: dict[str, str]) -> None:
    """Ops that only move the model's inputs to float ops stay float: a cell state comes in as exact as it went out."""
    moved = set(graph.graph.inputs)
    movers: list[ir.Node] = []
    for node in graph.graph:
        if node.name in nodes and RULES[node.op_type] is Scale.SHARED and moved.issuperset(data_inputs(node)):
            moved.update(node.outputs)
            movers.append(node)
    for node in reversed(movers):
        readers = [reader for value in node.outputs for reader in facts.consumers(value)]
        given = any(value.is_graph_output() for value in node.outputs)
        if not given and not any(reader.name in nodes for reader in readers):
            del nodes[node.name or ""]
            kept[node.name or ""] = "only moves values that float ops read"


def _families(graph: ir.Model) -> dict[str, str]:
    """Value -> the first value of its family: one quantity at different steps (`marks.share_scale`)."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for node in graph.graph:
        family = marks.family(node)
        if family is not None:
            name = node.outputs[0].name or ""
            found[name] = first.setdefault(family, name)
    return found


def check_known(wanted: Set[str], names: list[str]) -> None:
    for name in sorted(wanted - set(names)):
        near = difflib.get_close_matches(name, names, 1)
        raise EdgekitError(
            "EK414",
            f"cannot keep '{name}' in float",
            "the simplified model has no node of that name",
            f"did you mean '{near[0]}'?" if near else f"name one of its nodes: {_some(names)}",
        )


def _some(names: list[str]) -> str:
    said = ", ".join(f"'{name}'" for name in names[:NAMED])
    return said + (f" and {len(names) - NAMED} more, which the float ONNX file shows" if len(names) > NAMED else "")


def reason_for_float(node: ir.Node, int8_values: set[str], int16: bool = False) -> str | None:
    """Why the node must stay in float, None where it can compute in INT8, or in int16 where that is asked for."""
    rule = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if (reason := marks.float_because(node)) is not None:
        return reason
    if rule is None:
        return reasons.without_int8_form(node.op_type)
    if not all(facts.is_float(value) for value in data_inputs(node)):
        return "its input is not float32"
    if rule is Scale.SHARED and not any(value.name in int8_values for value in data_inputs(node)):
        return islands.MOVES_FLOATS
    if int16 and node.op_type in WITHOUT_KERNEL:
        return NO_INT16_KERNEL
    if node.op_type == "Softmax" and _weighs_values(node) and not int16:
        return "its INT8 steps of 1/256 are too coarse for weights that many values share"
    if node.op_type in ("Conv", "ConvTranspose", "Gemm") and not all(map(_is_constant, node.inputs[1:])):
        return "its weights or bias are computed, not constant"
    if node.op_type == "Clip" and any(facts.scalar(v) is None for v in node.inputs[1:] if v is not None):
        return "its bounds are computed, not constant"
    if node.op_type == "PRelu" and facts.constant(node.inputs[1]) is None:
        return "its slopes are computed, not constant"
    if node.op_type == "Elu" and facts.attribute(node, "alpha", 1.0) != 1.0:
        return f"the integer kernel has alpha 1, this one {facts.attribute(node, 'alpha')}"
    if node.op_type in ("ScatterElements", "ScatterND") and not _places_constants(node):
        return "its indices are computed, not constant, or it adds to what is there"
    return None


def _weighs_values(node: ir.Node) -> bool:
    """True for the softmax of attention, whose result is multiplied with values, perhaps moved before, and for one that
    spreads 1 over many places, whose result is summed: a soft argmax, or a mean over time."""
    size = facts.shape(node.outputs[0])[facts.attribute(node, "axis", -1)]
    return _ends_in(node, {"MatMul"}) or ((size is None or size > FEW) and _ends_in(node, {"MatMul", "ReduceSum"}))


def _ends_in(node: ir.Node, ends: Set[str]) -> bool:
    """True where all that read the node are of these ops; for sums, it may be multiplied before."""
    readers = facts.consumers(node.outputs[0])
    return bool(readers) and all(
        reader.op_type in ends
        or (RULES.get(reader.op_type) is Scale.SHARED and _ends_in(reader, ends))
        or (reader.op_type == "Mul" and "ReduceSum" in ends and _ends_in(reader, {"ReduceSum"}))
        for reader in readers
    )


def _places_constants(scatter: ir.Node) -> bool:
    return facts.constant(scatter.inputs[1]) is not None and facts.attribute(scatter, "reduction", "none") == "none"


def data_inputs(node: ir.Node) -> list[ir.Value]:
    """The inputs whose values flow to the output, constants left out."""
    match node.op_type:
        case "Concat" | "Add" | "Sub" | "Mul" | "MatMul" | "Min" | "Max":
            inputs = list(node.inputs)
        case "Where":
            inputs = list(node.inputs[1:])
        case "ScatterElements" | "ScatterND":
            inputs = [node.inputs[0], node.inputs[2]]
        case _:
            inputs = list(node.inputs[:1])
    return [value for value in inputs if value is not None and facts.constant(value) is None]


def _is_constant(value: ir.Value | None) -> bool:
    return value is None or facts.constant(value) is not None


def _adds_values(node: ir.Node) -> bool:
    """True for an op that moves values and makes new ones among them."""
    match node.op_type:
        case "Concat" | "Min" | "Max":
            return any(facts.constant(value) is not None for value in node.inputs)
        case "Where":
            return any(facts.constant(value) is not None for value in node.inputs[1:])
        case "ScatterElements" | "ScatterND":
            return any(facts.constant(node.inputs[index]) is not None for index in (0, 2))
        case "Pad":
            number = facts.scalar(node.inputs[2]) if len(node.inputs) > 2 else None
            return number not in (None, 0.0, -np.inf, np.inf)  # infinity saturates: it stands for the largest number
        case "Resize":  # Keys' kernel weighs some neighbours below zero, so the result goes beyond them
            return bool(facts.attribute(node, "mode", "nearest") == "cubic")
        case _:
            return False


def _clamps(nodes: Iterable[ir.Node]) -> Iterable[tuple[str, str]]:
    """(output, input) of each Relu and Clip that saturates the op right before it."""
    for node in nodes:
        if (clamped := clamped_by(node)) is not None:
            yield node.outputs[0].name or "", clamped.outputs[0].name or ""


def clamped_by(node: ir.Node) -> ir.Node | None:
    """The op whose output alone a Relu or Clip saturates; the two are one, in whatever precision."""
    x = node.inputs[0] if node.op_type in CLAMPS else None
    producer = x.producer() if x is not None else None
    if x is None or producer is None or producer.op_type not in CLAMPED or facts.only_consumer(x) is not node:
        return None
    return producer


def _groups(
    graph: ir.Model,
    nodes: Mapping[str, ir.Node],
    clamps: Mapping[str, str],
    families: Mapping[str, str],
    wide: Widths,
    scheme: Scheme,
) -> tuple[ScaleGroup, ...]:
    """Union the values that must share a scale; every value that an op on integers reads or makes is in some group."""
    union = Union()
    moved: set[Key] = set()

    def kept(value: str) -> Key:
        return value, affine.INT16 if value in wide.values else affine.INT8

    for node in nodes.values():
        narrow = node.name not in wide.nodes
        outputs = [kept(value.name or "") for value in node.outputs if facts.is_float(value)]
        inputs = [(value.name or "", affine.INT8) if narrow else kept(value.name or "") for value in data_inputs(node)]
        for value in inputs + outputs:
            union.root(value)
        match RULES[node.op_type]:
            case Scale.FIXED:
                union.fixed[outputs[0]] = fixed_scale(node.op_type, outputs[0][1], scheme)
            case Scale.SHARED if len(inputs) == 1 and not _adds_values(node):
                moved.update(outputs)
                for value in outputs:
                    union.join(value, inputs[0])
            case Scale.SHARED:
                # A dictated scale (a sigmoid's) would crush its neighbours: that input is requantized instead.
                free = [v for v in inputs if union.root(v) not in union.fixed and v[1] == outputs[0][1]]
                if inputs and len(free) == len(inputs) and not _adds_values(node):
                    moved.update(outputs)
                for value in free:
                    union.join(value, outputs[0])
    for output, x in clamps.items():
        moved.add(kept(x))  # before the clamp: what it cuts off must not widen the range
        union.join(kept(x), kept(output))
    for first, second in ((kept(value), kept(leader)) for value, leader in families.items()):
        if first in union and second in union and first[1] == second[1]:
            union.join(first, second)
            moved.update({first} - {second})

    members: dict[Key, list[str]] = defaultdict(list)
    for key in ((value, dtype) for value in _value_order(graph) for dtype in (affine.INT8, affine.INT16)):
        if key in union:
            members[union.root(key)].append(key[0])
    return tuple(
        ScaleGroup(
            tuple(values), _observed(values, root[1], moved), union.fixed.get(root), root[1], symmetric=scheme.symmetric
        )
        for root, values in members.items()
    )


def _observed(values: list[str], dtype: np.dtype[Any], moved: set[Key]) -> tuple[str, ...]:
    return tuple(value for value in values if (value, dtype) not in moved) or tuple(values)


def _value_order(graph: ir.Model) -> list[str]:
    made = [value.name or "" for value in graph.graph.inputs]
    return made + [value.name or "" for node in graph.graph for value in node.outputs]
