"""What a pass knows about a node that quantization must respect: metadata that later passes leave on the node."""

from __future__ import annotations

import onnx_ir as ir

FLOAT_BECAUSE = "edgekit.float_because"
SHARED_SCALE = "edgekit.shared_scale"


def keep_float(node: ir.Node, reason: str) -> None:
    """The node must not be rounded to 8 bits. reason: one clause, for the report."""
    node.metadata_props[FLOAT_BECAUSE] = reason


def float_because(node: ir.Node) -> str | None:
    return node.metadata_props.get(FLOAT_BECAUSE)


def share_scale(node: ir.Node, family: str) -> None:
    """The outputs of all nodes of one family are one quantity at different times: one scale serves them."""
    node.metadata_props[SHARED_SCALE] = family


def clear(graph: ir.Model) -> None:
    """Take the marks off, in place: a file has no use for them."""
    for node in graph.graph:
        for mark in (FLOAT_BECAUSE, SHARED_SCALE):
            node.metadata_props.pop(mark, None)


def family(node: ir.Node) -> str | None:
    return node.metadata_props.get(SHARED_SCALE)
