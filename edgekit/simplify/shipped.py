"""What onnxscript ships, in the order of its own optimizer, but for the rules that take a number near 0 or 1 for it.

Its x + 0 = x matches x + 1e-9 too, and then log(x + 1e-9) is minus infinity at 0, and a norm without its epsilon is no
number. So the rules for neutral operands are left out; here an operand is neutral that changes no bit. Its split for
two slices gives the first of an odd size the larger part, whatever the slices take, and looks for a second slice in the
whole graph from every node.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript import optimizer, rewriter
from onnxscript.rewriter.rules.common import (
    _fuse_relus_clips,
    _min_max_to_clip,
    _no_op,
    dropout_inference_rule,
    dropout_zero_rule,
    fuse_hardswish_rules,
    no_op_static_scatter_nd_rule,
    slice_split_rule,
)

from edgekit.graph import edit, facts
from edgekit.simplify.clamps import merge_clamps
from edgekit.simplify.constants import is_computed_otherwise

LEFT_OUT = frozenset({*_no_op.rules, *_fuse_relus_clips.rules, *_min_max_to_clip.rules, slice_split_rule})
FOLDED_ELEMENTS = 1 << 20
"""Constants up to this size are folded: position tables and masks, not weights through a dequantization."""
ROUNDS = 2
NEUTRAL: Mapping[str, float] = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}
ONE_SIDED = frozenset({"Sub", "Div"})  # 0 - x is not x


def fold(graph: ir.Model) -> ir.Model:
    """Constant folding and the fusions that onnxscript ships."""
    graph = graph.clone()
    # Its folder warns of every op that it leaves alone; what matters is said by later stages, by name.
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    common.InlinePass()(graph)
    blind = _blind_to_reductions(graph)
    rules = [rule for rule in rewriter._DEFAULT_REWRITE_RULES if rule not in LEFT_OUT and rule not in blind]
    fusions = rewriter.RewritePass([*rules, dropout_inference_rule, dropout_zero_rule])
    for _ in range(ROUNDS):
        optimizer.fold_constants(
            graph, onnx_shape_inference=True, input_size_limit=FOLDED_ELEMENTS, should_fold=_should_fold
        )
        drop_neutral_operands(graph)
        fusions(graph)
        edit.register_constants(graph)
        merge_clamps(graph)
        common.RemoveUnusedNodesPass()(graph)
    _tidied(graph)
    return rewriter.rewrite(graph, pattern_rewrite_rules=fuse_hardswish_rules())


def _blind_to_reductions(graph: ir.Model) -> list[rewriter.RewriteRule]:
    """Its ScatterND over all rows = updates does not look whether they are added to what is there."""
    scattered = [node for node in graph.graph.all_nodes() if node.op_type == "ScatterND"]
    reducing = any(facts.attribute(node, "reduction", "none") != "none" for node in scattered)
    return [no_op_static_scatter_nd_rule] if reducing else []


def _should_fold(node: ir.Node) -> bool | None:
    """None: as its own rules have it."""
    return False if is_computed_otherwise(node) else None


def _tidied(graph: ir.Model) -> None:
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    common.LiftSubgraphInitializersToMainGraphPass()(graph)
    common.DeduplicateInitializersPass()(graph)
    common.CommonSubexpressionEliminationPass()(graph)
    _set_outputs_apart(graph)
    common.NameFixPass()(graph)


def _set_outputs_apart(graph: ir.Model) -> None:
    """A value that is given twice gets a twin. An input that is given back stays what it is: callers know its name."""
    outputs = graph.graph.outputs
    given_back = [(index, value) for index, value in enumerate(outputs) if value.is_graph_input()]
    for _, value in given_back:
        outputs.remove(value)
    common.OutputFixPass()(graph)
    for index, value in given_back:
        outputs.insert(index, value)


def drop_neutral_operands(graph: ir.Model) -> None:
    """Of x + 0 and x * 1 only x is left, where the result has its shape."""
    for node in list(graph.graph):
        position = _neutral(node)
        if position is None:
            continue
        x, output = node.inputs[1 - position], node.outputs[0]
        if x is not None and x.shape is not None and x.shape == output.shape and x.dtype == output.dtype:
            edit.replace(graph, node, [edit.new_node(node, "Identity", [x])])


def _neutral(node: ir.Node) -> int | None:
    """The input that changes nothing."""
    number = NEUTRAL.get(node.op_type)
    for position in (1,) if node.op_type in ONE_SIDED else (1, 0):
        array = facts.constant(node.inputs[position]) if number is not None else None
        if array is not None and array.size and np.all(array == number):
            return position
    return None
