"""Shapes found anew, where an edit made those that were known untrue."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass


def infer_behind(graph: ir.Model, node: ir.Node) -> None:
    """In place: the shapes of all that is computed from this node."""
    ahead = [node]
    seen = {node}
    while ahead:
        for value in ahead.pop().outputs:
            value.shape = None
            readers = {use.node for use in value.uses()} - seen
            seen |= readers
            ahead += readers
    infer_again(graph)


def infer_again(graph: ir.Model) -> None:
    """In place, and lenient: a graph in the middle of its edits may still contradict itself elsewhere."""
    ShapeInferencePass(strict_mode=False)(graph)
