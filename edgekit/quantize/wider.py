"""The same quantization with other ops in INT8: some of them wider, or a few of them alone.

Nothing is calibrated or searched again. An INT8 value keeps the scale that its group had, since groups only come apart
when ops leave INT8; a value in 16 bits gets the range that it was seen to have, for which 16 bits are enough.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import onnx_ir as ir

from edgekit import affine
from edgekit.graph import facts
from edgekit.quantize.assign import ON_REQUEST, Plan, ScaleGroup, Scales, assign
from edgekit.quantize.result import Quantized

Wider = Literal["int16", "float32"]


def widened(quantized: Quantized, wanted: Mapping[str, Wider], because: Mapping[str, str]) -> Quantized:
    """wanted: node -> its precision; what is not named stays as it is. because: node -> why, for the report."""
    plan = widened_plan(quantized, wanted, because)
    scales = inherited_scales(quantized, plan)
    carried = dict.fromkeys(plan.int16_nodes, "it carries on int16 values")
    return replace(
        quantized,
        graph=quantized.written(plan, scales),
        plan=plan,
        scales=scales,
        int16_because={**carried, **{name: why for name, why in because.items() if name in plan.int16_nodes}},
    )


def widened_plan(quantized: Quantized, wanted: Mapping[str, Wider], because: Mapping[str, str]) -> Plan:
    before = quantized.plan
    asked = {name: because.get(name, ON_REQUEST) for name, precision in wanted.items() if precision == "float32"}
    wide = [name for name, precision in wanted.items() if precision == "int16"]
    kept = dict(before.kept_float)
    while True:
        plan = assign(quantized.base, {**kept, **asked}, [*wide, *before.int16_nodes], before.scheme)
        returned = plan.int8_nodes - before.int8_nodes
        if not returned:
            return plan
        asked |= dict.fromkeys(returned, "what makes or reads it computes in float")


def inherited_scales(quantized: Quantized, plan: Plan) -> dict[str, affine.QParams]:
    """The parameters of every group of a plan whose INT8 ops are some of those that were quantized."""
    before = {(value, group.dtype): group.name for group in quantized.plan.groups for value in group.values}
    found: dict[str, affine.QParams] = {}
    for group in plan.groups:
        known = before.get((group.values[0], group.dtype))
        if group.fixed is not None:
            found[group.name] = group.fixed
        elif known is not None:
            found[group.name] = quantized.scales[known]
        else:
            assert group.dtype == affine.INT16, f"nothing is known of {group.name} in INT8"
            largest = max(abs(end) for value in group.observed for end in _extremes(quantized, value))
            found[group.name] = affine.symmetric(np.asarray(largest or 1.0, np.float32), None, group.dtype)
    return found


def _extremes(quantized: Quantized, value: str) -> tuple[float, float]:
    """Of a value, or of all that it was made of where it holds nothing new."""
    if value in quantized.extremes:
        return quantized.extremes[value]
    found = [quantized.extremes[name] for name in quantized.plan.group_of[value].observed]
    return min(low for low, _ in found), max(high for _, high in found)


def only(plan: Plan, scales: Scales, graph: ir.Model, nodes: Collection[str]) -> tuple[Plan, Scales]:
    """Of a plan, what these nodes have of it: everything else is float."""
    kept = [node for node in graph.graph if node.name in nodes and node.name in plan.integer_nodes]
    names = frozenset(node.name or "" for node in kept)
    touched: dict[str, set[str]] = {}
    for node in kept:
        for value in node.inputs:
            if value is not None and facts.is_float(value) and value.name in plan.group_of:
                touched.setdefault(plan.group_read(node, value.name).name, set()).add(value.name)
        for value in node.outputs:
            if value.name in plan.group_of:
                touched.setdefault(plan.group_of[value.name].name, set()).add(value.name)
    groups: dict[str, ScaleGroup] = {}
    for group in plan.groups:
        values = tuple(value for value in group.values if value in touched.get(group.name, ()))
        if values:
            groups[group.name] = replace(group, values=values, observed=values)
    clamps = {output: x for output, x in plan.clamps.items() if {output, x} <= {v for t in touched.values() for v in t}}
    narrow = replace(
        plan,
        int8_nodes=names & plan.int8_nodes,
        int16_nodes=names & plan.int16_nodes,
        groups=tuple(groups.values()),
        clamps=clamps,
        kept_float={},
    )
    return narrow, {group.name: scales[before] for before, group in groups.items()}
