"""INT8 weights under float activations (`int8-dynamic`): a quarter of the file, without calibration.

LiteRT runs such ops by its hybrid kernels: they round the activations to 8 bits on the way in, by each sample's own
range, and compute in integers. In ONNX the weights are widened by a DequantizeLinear and all else is float. What we
gave up is ONNX Runtime's MatMulInteger behind DynamicQuantizeLinear: that is up to a third faster on a transformer, but
its one scale for all the batch makes an answer depend on what else is asked with it; and its ConvInteger takes five
times as long as the float convolution.

A depthwise convolution's few weights stay in float: its hybrid kernel is not XNNPACK's, which splits the delegate, and
is slow; MobileNetV1-0.25 takes three times as long with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit.graph import edit, facts
from edgekit.quantize import weights
from edgekit.quantize.assign import LINEAR, check_known
from edgekit.quantize.rounding import rounded

SMALLEST = 256  # weights; with fewer, scales and kernels cost more than the integers save

COMPUTED = "its weights are computed, not constant"
DEPTHWISE = "its few weights are not worth a kernel outside of XNNPACK"
TRANSPOSED = "tflite-runtime 2.14 has no hybrid kernel for it"
BATCHED = "its constant is an operand of a product, not weights of a layer"
SMALL = f"it has fewer than {SMALLEST} weights"


@dataclass(frozen=True)
class WeightsOnly:
    """kept_float: every op with products whose weights stayed as they were, and why."""

    graph: ir.Model
    kept_float: Mapping[str, str]


def quantize_weights(graph: ir.Model, keep_float: Iterable[str] = (), *, per_channel: bool = True) -> WeightsOnly:
    """INT8 weights behind a DequantizeLinear in every linear op that the runtimes have a kernel for.

    keep_float: names of nodes to leave alone.
    """
    wanted_float = frozenset(keep_float)
    graph = graph.clone()
    check_known(wanted_float, [node.name or "" for node in graph.graph])
    kept: dict[str, str] = {}
    stored: dict[tuple[ir.Value, int | None], ir.Value] = {}
    for node in list(graph.graph):
        if node.op_type not in LINEAR or not facts.is_float(node.outputs[0]):
            continue
        reason = "kept float on request" if node.name in wanted_float else _reason_for_float(node)
        if reason is not None:
            kept[node.name or ""] = reason
            continue
        weight = node.inputs[1]
        assert weight is not None
        key = weight, weights.output_axis(node) if per_channel else None
        if key not in stored:  # what several nodes read alike is stored once
            stored[key] = _dequantized(graph, *key)
        node.replace_input_with(1, stored[key])
    edit.drop_unused(graph)
    graph.graph.sort()
    return WeightsOnly(graph, kept)


def _reason_for_float(node: ir.Node) -> str | None:
    weight = facts.constant(node.inputs[1])
    if weight is None or not facts.is_float(node.inputs[1]):
        return COMPUTED
    if node.op_type == "ConvTranspose":
        return TRANSPOSED
    if node.op_type == "MatMul" and weight.ndim != 2:
        return BATCHED
    if node.op_type == "Conv" and weight.shape[1] == 1 and facts.attribute(node, "group", 1) > 1:
        return DEPTHWISE
    return SMALL if weight.size < SMALLEST else None


def _dequantized(graph: ir.Model, weight: ir.Value, axis: int | None) -> ir.Value:
    array, name = facts.constant(weight), weight.name
    assert array is not None
    qparams = weights.weight_qparams(array.astype(np.float32), axis, None, 1.0, "minmax")
    parameters = [
        edit.add_constant(graph, f"{name}_quantized", rounded(array, qparams, "balanced")),
        edit.add_constant(graph, f"{name}_scale", qparams.scale),
        edit.add_constant(graph, f"{name}_zero_point", np.zeros(qparams.scale.shape, np.int8)),
    ]
    real = ir.Value(name=f"{name}_real", shape=weight.shape, type=weight.type)
    attributes = {} if axis is None else {"axis": axis}
    graph.graph.append(ir.node("DequantizeLinear", parameters, attributes, outputs=[real], name=f"{name}_dequantize"))
    return real
