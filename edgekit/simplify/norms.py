"""Layer norms that an exporter wrote out.

    (x - mean x) / sqrt(mean (x - mean x)^2 + epsilon) * gamma + beta  =  LayerNormalization(x, gamma, beta)

onnxscript ships the patterns, but takes any factor for gamma and any addend for beta, which a gate or a residual would
be too: here both must be constants along the last axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript import rewriter
from onnxscript.rewriter import pattern
from onnxscript.rewriter.rules.fusion import _layer_norm as shipped

from edgekit.graph import edit, facts


def fuse_layer_norms(graph: ir.Model) -> ir.Model:
    """One LayerNormalization for each."""
    graph = graph.clone()
    for node in graph.graph:
        if node.op_type == "ReduceMean":
            _spell_out(graph, node)
    rules = [_LayerNorm.rule(), _LayerNormBias.rule()]  # type: ignore[no-untyped-call]
    return rewriter.rewrite(graph, pattern_rewrite_rules=rules)


def _spell_out(graph: ir.Model, node: ir.Node) -> None:
    """A mean over the last axis, as the patterns write it: axes [-1], keepdims given."""
    x, axes = node.inputs[0], facts.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if x is None or x.shape is None or axes is None or axes.tolist() not in ([-1], [len(x.shape) - 1]):
        return
    node.replace_input_with(1, edit.add_constant(graph, f"{node.name}_axes", np.array([-1])))
    if "keepdims" not in node.attributes:
        node.attributes["keepdims"] = ir.AttrInt64("keepdims", 1)


class _LayerNorm(shipped.LayerNormFusion):
    def check(self, context: Any, x: Any, epsilon: Any, **found: Any) -> Any:  # type: ignore[override]  # as shipped
        result, scale = super().check(context, x, epsilon), found["scale"]
        return result if _along_last_axis(scale, x) else result.fail("scale is not a constant per channel", scale)


class _LayerNormBias(shipped.LayerNormBiasFusion):
    def check(self, op: Any, *args: Any, **found: Any) -> pattern.MatchResult:
        result, bias, x = super().check(op, *args, **found), found["bias"], found["x"]
        return result if _along_last_axis(bias, x) else result.fail("bias is not a constant per channel", bias)


def _along_last_axis(value: ir.Value, x: ir.Value) -> bool:
    array = facts.constant(value)
    return array is not None and x.shape is not None and array.shape == facts.shape(x)[-1:]
