"""Values whose channels differ in size by orders of magnitude where they enter INT8: each channel is brought to its own
size before it is rounded.

    W x + b  =  (W S) (S^-1 x) + b            S^-1 x is a product in float32, at the border where x is rounded anyway

The first of 40 cepstral coefficients reaches 350 where the others stay under 20: one scale for all leaves those four
bits. So it is with the model's inputs and with what float ops give, a spectrum's magnitudes. What we gave up: one
multiplication per element. Integer inputs (`--io int8`) carry one scale, and are left as they are; so are layer norms,
which take the factors into their own, and the steps of a recurrent layer, which have their weights in common.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts, marks
from edgekit.quantize.assign import Plan
from edgekit.quantize.equalize import Factors, balanced, magnitudes, multiply_inputs

WORTH = 16.0
"""Rounding noise behind the first linear op with one scale for all channels, against a scale for each: two bits."""
REASON = "brings channels to one size before they are rounded"


def even_borders(
    graph: ir.Model, plan: Plan, peaks: Mapping[str, NDArray[np.float64]], *, io_int8: bool
) -> ir.Model | None:
    """The same function with channels of one size where it enters INT8; None where none is uneven.

    peaks: value -> (C,) largest magnitude of each channel over the calibration samples, for the inputs of linear ops.
    """
    graph = graph.clone()
    values = [] if io_int8 else [value for value in graph.graph.inputs if facts.is_float(value)]
    for node in graph.graph:
        if node.name in plan.kept_float and node.op_type != "LayerNormalization":
            values += [value for value in node.outputs if facts.is_float(value)]
    changed = [value for value in values if _even(graph, plan, value, peaks)]
    edit.drop_unused(graph)
    return graph if changed else None


def _even(graph: ir.Model, plan: Plan, x: ir.Value, peaks: Mapping[str, NDArray[np.float64]]) -> bool:
    readers = [reader for reader in facts.consumers(x) if x.is_graph_input() or reader.name in plan.integer_nodes]
    found = [_linear(reader) for reader in readers]
    linear = [node for node in found if node is not None and node.name in plan.integer_nodes and _is_alone(node)]
    known = [peaks[name] for node in linear if (name := _input(node)) in peaks]
    if (
        not found
        or len(linear) < len(found)
        or len(known) < len(linear)
        or (x.is_graph_input() and x.is_graph_output())
    ):
        return False
    if len({_axis(x, node) for node in linear}) > 1:
        return False
    peak = np.max(known, axis=0)
    mixing = [magnitudes(node) for node in linear]
    if any(weight.shape[::2] != (1, peak.size) for weight in mixing) or _noise(peak, mixing) < WORTH:
        return False
    wanted, _ = balanced(peak, mixing)
    factors = wanted / wanted.max()
    for node in linear:
        multiply_inputs(graph, node, factors)
    _insert(graph, x, readers, _along_channels(factors, x, linear[0]))
    return True


def _is_alone(linear: ir.Node) -> bool:
    """Whether nothing else computes with the op's weights."""
    weight = linear.inputs[1]
    return weight is not None and facts.only_consumer(weight) is linear and marks.family(linear) is None


def _linear(reader: ir.Node) -> ir.Node | None:
    """The linear op with constant weights that reads a value, or reads it laid out in rows; None for another reader."""
    node: ir.Node | None = reader
    if reader.op_type == "Reshape":
        x, rows = reader.inputs[0], reader.outputs[0]
        if x is None or len(facts.shape(rows)) != 2 or facts.shape(rows)[1] != facts.shape(x)[-1]:
            return None
        node = facts.only_consumer(rows)
    if node is None or node.op_type not in ("Conv", "Gemm") or facts.attribute(node, "group", 1) != 1:
        return None
    return node if facts.constant(node.inputs[1]) is not None and facts.constant(node.inputs[0]) is None else None


def _input(node: ir.Node) -> str:
    return (node.inputs[0].name or "") if node.inputs[0] is not None else ""


def _noise(peak: NDArray[np.float64], mixing: list[NDArray[np.float64]]) -> float:
    """WORTH's ratio. mixing: (1, outputs, channels) magnitudes of the weights."""
    powers = np.sum([np.square(weight[0]).sum(axis=0) for weight in mixing], axis=0)
    apart = float((powers * np.square(peak)).sum())
    return float(powers.sum() * np.square(peak.max()) / apart) if apart > 0 else 1.0


def _along_channels(factors: Factors, x: ir.Value, linear: ir.Node) -> Factors:
    return factors.reshape([-1 if i == _axis(x, linear) else 1 for i in range(len(facts.shape(x)))])


def _axis(x: ir.Value, linear: ir.Node) -> int:
    """Of the channels: 1 in what the op itself reads, the last in what is laid out in rows for it."""
    return 1 if linear.inputs[0] is x else len(facts.shape(x)) - 1


def _insert(graph: ir.Model, x: ir.Value, readers: list[ir.Node], factors: Factors) -> None:
    uses = [use for use in x.uses() if use.node in readers]
    name = f"{x.name}_even"
    inverse = edit.add_constant(graph, f"{name}_factors", edit.float_tensor(1.0 / factors))
    even = ir.Value(name=name, shape=x.shape, type=x.type)
    product = ir.node("Mul", [x, inverse], outputs=[even], name=name)
    marks.keep_float(product, REASON)
    if (maker := x.producer()) is not None:
        graph.graph.insert_after(maker, product)
    else:
        graph.graph.insert_before(graph.graph[0], product)
    for use in uses:
        use.node.replace_input_with(use.idx, even)
