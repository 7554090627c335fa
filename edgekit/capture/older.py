"""Ops that meant something else in an older opset, and that the version converters carry over as they are.

Upsample (until opset 9) and Resize (10) look where Resize(11, "asymmetric") looks, and nearest takes the pixel before
that place where an axis grows, the one behind it where it shrinks.
Hardmax (until 12) sees its input as a matrix, whose rows begin at its axis, 1 if none is given.

Source: the ONNX operator changelog, opsets 9 to 13; for Resize's rounding, which it leaves open, ONNX Runtime's
`GetNearestPixelFromOriginal` ("simple").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass

from edgekit.graph import facts

WORDED_RESIZE = 11  # the first opset in which a Resize says where it looks
ROWS_OF_ONE_AXIS = 13  # the first in which Hardmax works along one axis alone


def restore_meaning(graph: ir.Model, opset: int) -> None:
    """Say in today's words, in place, what ops of `opset` meant. graph: converted from there."""
    for node in list(graph.graph.all_nodes()):
        if node.op_type == "Resize" and opset < WORDED_RESIZE:
            _word_resize(node)
        elif node.op_type == "Hardmax" and opset < ROWS_OF_ONE_AXIS:
            _flatten_hardmax(node)
    NameFixPass()(graph)


def _word_resize(node: ir.Node) -> None:
    node.attributes["coordinate_transformation_mode"] = ir.AttrString("coordinate_transformation_mode", "asymmetric")
    if facts.attribute(node, "mode", "nearest") != "nearest":
        return
    node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "floor")
    scales = facts.constant(node.inputs[2])
    if scales is not None and np.all(scales >= 1):
        return
    # One Resize rounds in one way, and axes are picked from one by one: first those that shrink, then those that grow.
    name = node.outputs[0].name
    one = _made("Constant", [], f"{name}_one", value=ir.tensor(np.ones(1, np.float32)))
    less = _made("Min", [node.inputs[2], one.outputs[0]], f"{name}_less")
    more = _made("Max", [node.inputs[2], one.outputs[0]], f"{name}_more")
    words = {**{key: attribute.value for key, attribute in node.attributes.items()}, "nearest_mode": "ceil"}
    shrunk = _made("Resize", [node.inputs[0], node.inputs[1], less.outputs[0]], f"{name}_shrunk", **words)
    _insert_before(node, [one, less, more, shrunk])
    node.replace_input_with(0, shrunk.outputs[0])
    node.replace_input_with(2, more.outputs[0])


def _flatten_hardmax(node: ir.Node) -> None:
    x, axis, name = node.inputs[0], facts.attribute(node, "axis", 1), node.outputs[0].name
    shape = _made("Shape", [x], f"{name}_shape")
    rows = _made("Flatten", [x], f"{name}_rows", axis=axis)
    largest = _made("Hardmax", [rows.outputs[0]], f"{name}_largest", axis=-1)
    back = ir.node("Reshape", [largest.outputs[0], shape.outputs[0]], outputs=[_like(node.outputs[0])], name=node.name)
    _insert_before(node, [shape, rows, largest])
    assert node.graph is not None
    ir.convenience.replace_nodes_and_values(node.graph, node, [node], [back], node.outputs, back.outputs)


def _made(op_type: str, inputs: Sequence[ir.Value | None], name: str, **attributes: Any) -> ir.Node:
    return ir.node(op_type, inputs, attributes, outputs=[ir.Value(name=name)], name=name)


def _like(value: ir.Value) -> ir.Value:
    return ir.Value(name=value.name, type=value.type, shape=value.shape)


def _insert_before(node: ir.Node, nodes: list[ir.Node]) -> None:
    assert node.graph is not None
    node.graph.insert_before(node, nodes)
