"""A graph under a newer opset: what an op meant before, said in its new words."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.graph import edit, facts, source

CHANGED_IN_21 = "GroupNormalization"  # of the ops of opset 20, the one that means something else in 21


def raise_to_21(graph: ir.Model) -> None:
    """In place. Raises EK415 for a group normalization whose scale is computed.

    Source: the ONNX operator changelog, GroupNormalization-21: scale and bias per channel, which were per group.
    """
    if graph.opset_imports[""] >= 21:
        return
    for node in graph.graph:
        if node.op_type == CHANGED_IN_21:
            _spread_over_channels(graph, node)
        node.version = None
    graph.opset_imports[""] = 21


def holds_int16(graph: ir.Model) -> bool:
    """Whether `raise_to_21` can be done."""
    scaled = [node.inputs[1:3] for node in graph.graph if node.op_type == CHANGED_IN_21]
    constant = all(facts.constant(value) is not None for inputs in scaled for value in inputs)
    return constant or graph.opset_imports[""] >= 21


def _spread_over_channels(graph: ir.Model, node: ir.Node) -> None:
    x = node.inputs[0]
    assert x is not None
    channels, groups = facts.static_shape(x)[1], facts.attribute(node, "num_groups")
    for position in (1, 2):
        array = facts.constant(node.inputs[position])
        if array is None:
            raise EdgekitError(
                "EK415",
                f"cannot write {source.describe(node)} beside int16 values",
                "they need opset 21, in which its scale is one per channel, and here it is computed",
                "keep the model in int8 (--precision int8), or export it with opset 21",
            )
        wide = np.repeat(array, channels // groups)
        node.replace_input_with(position, edit.add_constant(graph, f"{node.name}_per_channel_{position}", wide))
