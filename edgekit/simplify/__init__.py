"""The door of simplify: the same function in fewer, canonical ops.

The rules that onnxscript ships do most of it (constants, batch norm into convolutions and linears, pads into
convolutions, identities, clips); the rooms here add what it lacks. Every step keeps the function: tests hold each to
1e-5 relative on random inputs.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common

from edgekit.graph import edit
from edgekit.simplify.activations import canonical_activations
from edgekit.simplify.affine_ops import fold_affine_ops
from edgekit.simplify.bands import scale_in_place
from edgekit.simplify.batch import fold_sizes, fold_tokens, settle_shapes
from edgekit.simplify.constants import fold_constants
from edgekit.simplify.einsum import canonical_einsums
from edgekit.simplify.gelu import fuse_tanh_gelu
from edgekit.simplify.gemms import canonical_gemms
from edgekit.simplify.linear import canonical_layers, fold_scalars
from edgekit.simplify.loose_cells import mark_loose_cells
from edgekit.simplify.masks import canonical_masks
from edgekit.simplify.moves import merge_moves
from edgekit.simplify.norms import fuse_layer_norms
from edgekit.simplify.projections import split_projections
from edgekit.simplify.recurrent import canonical_recurrent, is_recurrent, unroll_recurrent
from edgekit.simplify.shapes import canonical_shapes
from edgekit.simplify.shipped import fold
from edgekit.simplify.stacks import add_stacked
from edgekit.simplify.strides import drop_idle_gathers
from edgekit.simplify.transforms import canonical_transforms
from edgekit.simplify.windows import explicit_pads


def simplify(graph: ir.Model) -> ir.Model:
    """Fold what is constant, fuse what is linear, and leave one form of each op."""
    graph = fold_constants(canonical_transforms(fold_constants(graph)))
    graph = fuse_layer_norms(fold_constants(fold(explicit_pads(canonical_masks(graph)))))
    graph = canonical_masks(fold_sizes(settle_shapes(drop_idle_gathers(graph))))
    graph = canonical_einsums(fold_tokens(settle_shapes(graph)))
    graph = canonical_recurrent(canonical_shapes(graph))
    graph = canonical_gemms(graph)
    graph = canonical_activations(fuse_tanh_gelu(graph))
    graph = scale_in_place(add_stacked(graph))
    graph = fold_scalars(merge_moves(split_projections(graph)))
    graph = merge_moves(canonical_layers(graph))
    graph = fold_affine_ops(graph)
    return tidy(graph)


def unroll(graph: ir.Model) -> ir.Model:
    """A simplified graph whose recurrent layers are their steps: what TFLite and INT8 take."""
    marked = mark_loose_cells(graph)
    return tidy(unroll_recurrent(marked)) if any(map(is_recurrent, marked.graph)) else marked


def tidy(graph: ir.Model) -> ir.Model:
    """Drop what nothing reads, keep equal constants once, and infer the shapes that rewriting left open."""
    graph = graph.clone()
    drop_identities(graph)
    edit.drop_unused(graph)
    edit.share_equal_constants(graph)
    edit.rename_clashes(graph)
    common.ShapeInferencePass()(graph)
    return settle_shapes(graph)


def drop_identities(graph: ir.Model) -> None:
    """In place. Slices of everything become Identities only once shapes are known."""
    for node in list(graph.graph):
        if node.op_type == "Identity" and edit.can_bypass(node):
            edit.bypass(graph, node)
