"""Quotients: products of activations that only a division brings to one size compute in float.

A linear attention divides sums by sums, (Q (K^T V)) / (Q (K^T 1)), where the usual one has a softmax to bound them.
Over the places of one sample the sums span orders of magnitude, and a small divisor that is rounded to even steps is
off by its own size: with a single one of these products in INT8, 2 dB are left of what EfficientViT-B0 puts out. What
this gives up are their integer kernels, 2 % of that model's MACs.

Sources: Katharopoulos et al. 2020, "Transformers are RNNs", arXiv 2006.16236, equation 5; Cai et al. 2023,
"EfficientViT", arXiv 2205.14756, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import onnx_ir as ir

from edgekit.graph import facts

SUMS = frozenset({"Add", "Clip", "Max", "Mul", "ReduceSum"})
REASON = "a division has to bring its result's orders of magnitude together first"


def before_divisions(nodes: Iterable[ir.Node], moves: Callable[[ir.Node], bool]) -> frozenset[ir.Value]:
    """The values of which every use ends in a division by computed values, by sums and products of activations alone.

    nodes: in execution order; moves: whether an op only moves values.
    """
    found: set[ir.Value] = set()
    for node in reversed(list(nodes)):
        for value in node.outputs:
            readers = facts.consumers(value)
            if readers and not value.is_graph_output() and all(_leads(reader, found, moves) for reader in readers):
                found.add(value)
    return frozenset(found)


def computes(node: ir.Node, found: frozenset[ir.Value]) -> bool:
    """Whether the op makes one of the values found, other than by moving it, or divides them."""
    if found.issuperset(node.outputs):
        return _sums(node)
    return _divides(node) and all(value in found or facts.constant(value) is not None for value in node.inputs)


def _sums(node: ir.Node) -> bool:
    return node.op_type in SUMS or _multiplies_activations(node)


def _leads(reader: ir.Node, found: set[ir.Value], moves: Callable[[ir.Node], bool]) -> bool:
    if _divides(reader):
        return True
    return (_sums(reader) or moves(reader)) and found.issuperset(reader.outputs)


def _divides(node: ir.Node) -> bool:
    """By what was computed: a division, a reciprocal, or the product with one."""
    if node.op_type == "Mul":
        makers = [value.producer() for value in node.inputs if value is not None]
        return any(maker is not None and maker.op_type == "Reciprocal" for maker in makers)
    return node.op_type in ("Div", "Reciprocal") and facts.constant(node.inputs[-1]) is None


def _multiplies_activations(node: ir.Node) -> bool:
    return node.op_type == "MatMul" and all(facts.constant(value) is None for value in node.inputs)
