"""Norms that are written out compute in float, as a LayerNormalization does.

    (x - mean x) / sqrt(mean (x - mean x)^2 + epsilon) * gamma + beta        an RMS norm: without the mean of x

simplify finds those along the last axis. Those over channels or a whole signal, and RMS norms, stay in their parts,
each of which has an INT8 form. But a square has twice the orders of magnitude of what it is of, and beside the few
large channels of a residual stream, 256 steps of it leave nothing of the others. What this gives up are the integer
kernels of a few elementwise ops per norm.

Sources: Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", arXiv 1910.07467; Luo & Mesgarani 2019,
"Conv-TasNet", arXiv 1809.07454, equations 6 to 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir

from edgekit.graph import facts

MEANS = frozenset({"ReduceMean", "ReduceSum", "GlobalAveragePool"})
BEFORE = frozenset({"Add", "Mul", "Div", "Clip", "Max"})  # by constants: epsilon, a count
BEHIND = frozenset({"Add", "Sub", "Mul"})  # gamma and beta


def written_out(nodes: Iterable[ir.Node]) -> frozenset[ir.Node]:
    """The ops of norms that are no op of their own, from the mean of x to the shift by beta."""
    found: set[ir.Node] = set()
    for node in nodes:
        quotients = list(_quotients(node)) if _is_root(node) else []
        variance = _variance(node) if quotients else []
        if variance:
            found.update(variance, *quotients)
    return frozenset(found)


def _is_root(node: ir.Node) -> bool:
    return node.op_type == "Sqrt" or (node.op_type == "Pow" and facts.scalar(node.inputs[1]) == 0.5)


def _quotients(root: ir.Node) -> Iterator[list[ir.Node]]:
    """What is divided by the root, with the scale and shift behind it."""
    for reader in facts.consumers(root.outputs[0]):
        if reader.op_type == "Div" and reader.inputs[1] is root.outputs[0]:
            yield [reader, *_steps_behind(reader)]
        elif reader.op_type == "Reciprocal":
            for product in facts.consumers(reader.outputs[0]):
                if product.op_type == "Mul":
                    yield [product, *_steps_behind(product)]


def _steps_behind(node: ir.Node) -> Iterator[ir.Node]:
    reader = facts.only_consumer(node.outputs[0])
    while reader is not None and reader.op_type in BEHIND and _is_by_constants(reader):
        yield reader
        reader = facts.only_consumer(reader.outputs[0])


def _variance(root: ir.Node) -> list[ir.Node]:
    """What leads from x to the root by a square and means of it; none where anything else does."""
    found: list[ir.Node] = []
    node = _maker(root)
    while node is not None and (node.op_type in MEANS or (node.op_type in BEFORE and _is_by_constants(node))):
        found.append(node)
        node = _maker(node)
    if node is None or not _is_square(node) or not any(step.op_type in MEANS for step in found):
        return []
    return [*found, node, *_means_of(node)]


def _means_of(square: ir.Node) -> Iterator[ir.Node]:
    """The means of x that the square is taken around."""
    difference = square.inputs[0].producer() if square.inputs[0] is not None else None
    if difference is None or difference.op_type != "Sub" or difference.inputs[1] is None:
        return
    mean = difference.inputs[1].producer()
    while mean is not None and mean.op_type in MEANS:
        yield mean
        mean = _maker(mean)


def _maker(node: ir.Node) -> ir.Node | None:
    """Of the only input that is computed, where this is all that it is for."""
    computed = [value for value in node.inputs if value is not None and facts.constant(value) is None]
    if len(computed) != 1 or facts.only_consumer(computed[0]) is not node:
        return None
    return computed[0].producer()


def _is_by_constants(node: ir.Node) -> bool:
    return sum(value is not None and facts.constant(value) is None for value in node.inputs) == 1


def _is_square(node: ir.Node) -> bool:
    if node.op_type == "Pow":
        return facts.scalar(node.inputs[1]) == 2.0
    return node.op_type == "Mul" and node.inputs[0] is node.inputs[1]
