"""Inputs whose channels differ in size by orders of magnitude: each channel is brought to its own size before rounding.

    W x + b  =  (W S) (S^-1 x) + b            S^-1 x is a product in float32, at the border where x is rounded anyway

The first of 40 cepstral coefficients reaches 350 where the others stay under 20: one scale for all leaves those four
bits. What we gave up: one multiplication per element of the input, and integer inputs (`--io int8`), which carry one
scale; those are left as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts, marks
from edgekit.quantize.equalize import Factors, balanced, magnitudes, multiply_inputs

WORTH = 16.0
"""Rounding noise behind the first linear op with one scale for all channels, against a scale for each: two bits."""
REASON = "brings the channels of the input to one size before it is rounded"


def even_inputs(graph: ir.Model, peaks: Mapping[str, NDArray[np.float64]]) -> ir.Model | None:
    """The same function with evened inputs; None where none is uneven.

    peaks: value -> (C,) largest magnitude of each channel over the calibration samples, for the inputs of linear ops.
    """
    graph = graph.clone()
    changed = [value for value in list(graph.graph.inputs) if facts.is_float(value) and _even(graph, value, peaks)]
    edit.drop_unused(graph)
    return graph if changed else None


def _even(graph: ir.Model, x: ir.Value, peaks: Mapping[str, NDArray[np.float64]]) -> bool:
    found = [_linear(reader) for reader in facts.consumers(x)]
    linear = [node for node in found if node is not None]
    known = [peaks[name] for node in linear if (name := _input(node)) in peaks]
    if x.is_graph_output() or not found or len(linear) < len(found) or len(known) < len(linear):
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
    _insert(graph, x, _along_channels(factors, x, linear[0]))
    return True


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


def _insert(graph: ir.Model, x: ir.Value, factors: Factors) -> None:
    uses = list(x.uses())
    name = f"{x.name}_even"
    inverse = edit.add_constant(graph, f"{name}_factors", edit.float_tensor(1.0 / factors))
    even = ir.Value(name=name, shape=x.shape, type=x.type)
    product = ir.node("Mul", [x, inverse], outputs=[even], name=name)
    marks.keep_float(product, REASON)
    graph.graph.insert_before(graph.graph[0], product)
    for use in uses:
        use.node.replace_input_with(use.idx, even)
