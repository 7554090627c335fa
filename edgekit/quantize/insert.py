"""Write a plan and its scales into the graph as QuantizeLinear/DequantizeLinear pairs.

Every quantized value gets one QuantizeLinear and one DequantizeLinear per use, which is the form that ONNX Runtime
fuses into integer kernels. Weights and biases become integer initializers behind a DequantizeLinear. A clamp that the
output's range saturates anyway is dropped: the integer type does its work. What is kept in int16 and read by an int8 op
goes through a second pair; an int16 op reads int8 values as they are.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit import affine
from edgekit.graph import edit, facts, opset
from edgekit.quantize import weights
from edgekit.quantize.assign import CLAMPS, RULES, Plan, Scale, Scales, data_inputs
from edgekit.quantize.scheme import fitted
from edgekit.quantize.weights import IntegerWeights

CLAMP_TOLERANCE = 0.501  # steps; rounding the zero point may move the ends of the range past a bound by half a step


def insert(graph: ir.Model, plan: Plan, scales: Scales, weights_of: IntegerWeights) -> ir.Model:
    """The quantized graph: the same values under the same names, computed in steps of `scales`."""
    return insert_into(graph.clone(), plan, scales, weights_of)


def insert_into(graph: ir.Model, plan: Plan, scales: Scales, weights_of: IntegerWeights) -> ir.Model:
    """The same, in place: for a graph that nobody else has."""
    return _Insertion(graph, plan, scales, weights_of).run()


def scale_name(group: str) -> str:
    return f"{group}:scale"


def zero_point_name(group: str) -> str:
    return f"{group}:zero_point"


class _Insertion:
    """One insertion: the graph being edited, and the constants already written to it."""

    def __init__(self, graph: ir.Model, plan: Plan, scales: Scales, weights_of: IntegerWeights) -> None:
        self.graph, self.plan = graph, plan
        self.group_of = {value: group.name for value, group in plan.group_of.items()}
        self.scales = scales
        self.weights_of = weights_of
        self.nodes = list(graph.graph)
        self.parameters: dict[str, tuple[ir.Value, ir.Value]] = {}
        self.stored: dict[tuple[object, ...], list[ir.Value | None]] = {}

    def run(self) -> ir.Model:
        self._drop_saturated_clamps()
        for node in self.nodes:
            if node.name in self.plan.integer_nodes:
                self._quantize_constants(node)
        for value in self._quantized_values():
            self._quantize_value(value)
        for node in self.nodes:
            if node.name not in self.plan.integer_nodes and _would_fuse(node):
                self._set_apart(node)
        if any(group.dtype == affine.INT16 for group in self.plan.groups):
            opset.raise_to_21(self.graph)  # the first with a QuantizeLinear of 16 bits
        edit.drop_unused(self.graph)
        self.graph.graph.sort()
        edit.rename_clashes(self.graph)
        return self.graph

    def qparams(self, value: str) -> affine.QParams:
        return self.scales[self.group_of[value]]

    def _drop_saturated_clamps(self) -> None:
        for node in list(self.nodes):
            output = node.outputs[0].name or ""
            if node.op_type not in CLAMPS or output not in self.plan.clamps:
                continue
            if _saturates(node, self.qparams(output)):
                source = node.inputs[0]
                assert source is not None
                ir.convenience.replace_all_uses_with(node.outputs[0], source, replace_graph_outputs=True)
                self.graph.graph.remove(node, safe=True)
                self.nodes.remove(node)
                source.name = output

    def _quantized_values(self) -> list[ir.Value]:
        made = [*self.graph.graph.inputs, *(value for node in self.nodes for value in node.outputs)]
        return [value for value in made if value.name in self.group_of]

    def _quantize_value(self, value: ir.Value) -> None:
        name = value.name or ""
        parameters = self._parameters(self.group_of[name])
        exact = self._is_real(value)
        uses = [use for use in value.uses() if not exact or use.node.name in self.plan.integer_nodes]
        quantized = self._after(value, "QuantizeLinear", [value, *parameters], f"{name}_quantized")
        narrowed: dict[str, ir.Value] = {}
        for use in uses:
            source, read = quantized, self._read_in(use.node, name)
            if read != self.group_of[name]:
                shared = self._shared_group(use.node) is not None
                again = f"for_{use.node.name}" if shared else "int8"
                if again not in narrowed:  # an int8 copy serves all its readers
                    narrowed[again] = self._requantized(quantized, parameters, read, again)
                source = narrowed[again]
            use.node.replace_input_with(use.idx, self._dequantized(source, self._parameters(read), use.node))
        if value.is_graph_output() and not value.is_graph_input() and not exact:
            self._give_away(value, quantized, parameters)

    def _is_real(self, value: ir.Value) -> bool:
        """True for what a float op makes: float ops read it as it is, only INT8 ops read it rounded."""
        producer = value.producer()
        return producer is not None and producer.name not in self.plan.integer_nodes

    def _read_in(self, node: ir.Node, value: str) -> str:
        """The group in whose integers the node reads the value."""
        return self._shared_group(node) or self.plan.group_read(node, value).name

    def _shared_group(self, node: ir.Node) -> str | None:
        """The group that a moving op's inputs must be in."""
        if node.name in self.plan.integer_nodes and RULES.get(node.op_type) is Scale.SHARED:
            return self.group_of[node.outputs[0].name or ""]
        return None

    def _requantized(
        self, quantized: ir.Value, parameters: tuple[ir.Value, ir.Value], group: str, purpose: str
    ) -> ir.Value:
        real = self._dequantized(quantized, parameters, purpose)
        return self._after(real, "QuantizeLinear", [real, *self._parameters(group)], f"{quantized.name}_{purpose}")

    def _dequantized(
        self, quantized: ir.Value, parameters: tuple[ir.Value, ir.Value], reader: ir.Node | str
    ) -> ir.Value:
        suffix = reader if isinstance(reader, str) else f"for_{reader.name}"
        count = len(list(quantized.uses()))
        return self._after(
            quantized, "DequantizeLinear", [quantized, *parameters], f"{quantized.name}_{suffix}_{count}"
        )

    def _give_away(self, value: ir.Value, quantized: ir.Value, parameters: tuple[ir.Value, ir.Value]) -> None:
        """The graph's output is the dequantized value, under the name that callers know."""
        name = value.name
        real = self._dequantized(quantized, parameters, "real")
        outputs = self.graph.graph.outputs
        outputs[outputs.index(value)] = real
        value.name = f"{name}_unquantized"
        real.name = name

    def _after(self, value: ir.Value, op: str, inputs: list[ir.Value], name: str) -> ir.Value:
        output = ir.Value(
            name=name,
            shape=value.shape,
            type=ir.TensorType((inputs[2].dtype if op == "QuantizeLinear" else None) or ir.DataType.FLOAT),
        )
        self.graph.graph.append(ir.node(op, inputs, outputs=[output], name=f"{name}_{op}"))
        return output

    def _set_apart(self, node: ir.Node) -> None:
        """A bound that bounds nothing, between a float op and its DequantizeLinear, so that it stays a float op.

        ONNX Runtime 1.31 takes these for integer ops where a QuantizeLinear is behind. A convolution's or Gemm's float
        weights it would round to 8 bits itself, one scale for all channels; a softmax would become QLinearSoftmax,
        whose 32-bit products overflow where the output's scale is much below 1/256: attention over 197 tokens came out
        as noise. Source: onnxruntime, core/optimizer/qdq_transformer/weight_bias_quantization.cc.
        """
        x = node.inputs[0]
        maker = x.producer() if x is not None else None
        if x is None or maker is None or maker.op_type != "DequantizeLinear":
            return
        least = edit.add_constant(self.graph, f"{node.name}_least", np.asarray(np.finfo(np.float32).min))
        apart = self._after(x, "Clip", [x, least], f"{x.name}_apart")
        node.replace_input_with(0, apart)

    def _parameters(self, group: str) -> tuple[ir.Value, ir.Value]:
        """A group's scale and zero point, one pair of initializers for all its values."""
        if group not in self.parameters:
            qparams = self.scales[group]
            self.parameters[group] = (
                edit.add_constant(self.graph, scale_name(group), qparams.scale),
                edit.add_constant(self.graph, zero_point_name(group), _zero_point(qparams)),
            )
        return self.parameters[group]

    def _quantize_constants(self, node: ir.Node) -> None:
        if node.name in self.weights_of:
            self._quantize_weights(node)
            return
        for position, value in enumerate(node.inputs):
            array = facts.constant(value)
            if value is not None and array is not None and facts.is_float(value) and _is_operand(node, position):
                group = self._shared_group(node)
                dtype = affine.INT16 if node.name in self.plan.int16_nodes else affine.INT8
                qparams = self.scales[group] if group is not None else self._operand_qparams(array, dtype)
                self._replace_constant(node, position, value, affine.quantize(array, qparams), qparams)

    def _operand_qparams(self, array: NDArray[Any], dtype: np.dtype[Any]) -> affine.QParams:
        """Of a constant in an addition or a product: its exact range."""
        return fitted(float(array.min()), float(array.max()), dtype, symmetric=self.plan.scheme.symmetric)

    def _quantize_weights(self, node: ir.Node) -> None:
        weight_value = node.inputs[1]
        bias_value = node.inputs[2] if len(node.inputs) > 2 else None
        bias = facts.constant(bias_value)
        assert weight_value is not None
        (x,) = data_inputs(node)
        input_scale = float(self.scales[self.plan.group_read(node, x.name or "").name].scale)
        weight = self.weights_of[node.name or ""]
        self._replace_constant(node, 1, weight_value, weight.q, weight.qparams)
        if bias is not None and bias_value is not None and not self.plan.scheme.symmetric:
            bias_qparams = weights.bias_qparams(weight.qparams, input_scale, bias.size)
            self._replace_constant(node, 2, bias_value, affine.quantize(bias, bias_qparams), bias_qparams)

    def _replace_constant(
        self, node: ir.Node, position: int, value: ir.Value, q: NDArray[np.integer], qparams: affine.QParams
    ) -> None:
        name = f"{value.name}_for_{node.name}"
        key = (value, qparams, hashlib.blake2b(q.tobytes()).digest())  # learned apart, they may differ
        if key not in self.stored:  # what several nodes read alike is stored once
            self.stored[key] = [
                edit.add_constant(self.graph, f"{name}_quantized", q),
                edit.add_constant(self.graph, f"{name}_scale", qparams.scale),
                edit.add_constant(self.graph, f"{name}_zero_point", _zero_point(qparams)),
            ]
        output = ir.Value(name=name, shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT))
        attributes = {} if qparams.axis is None else {"axis": qparams.axis}
        self.graph.graph.append(
            ir.node("DequantizeLinear", self.stored[key], attributes, outputs=[output], name=f"{name}_real")
        )
        node.replace_input_with(position, output)


def _zero_point(qparams: affine.QParams) -> NDArray[np.integer]:
    return np.full(qparams.scale.shape, qparams.zero_point, qparams.dtype)


def _would_fuse(node: ir.Node) -> bool:
    """True for a float op that ONNX Runtime rounds where it finds it between DequantizeLinear and QuantizeLinear."""
    if node.op_type == "Softmax":
        return True
    return node.op_type in ("Conv", "ConvTranspose", "Gemm") and _leads_to_quantizer(node.outputs[0])


def _leads_to_quantizer(value: ir.Value) -> bool:
    """By way of clamps, and nowhere else."""
    reader = facts.only_consumer(value)
    if reader is None:
        return False
    return reader.op_type == "QuantizeLinear" or (reader.op_type in CLAMPS and _leads_to_quantizer(reader.outputs[0]))


def _is_operand(node: ir.Node, position: int) -> bool:
    """True for a constant that enters the arithmetic; bounds, paddings and the like stay as they are."""
    match node.op_type:
        case "Add" | "Sub" | "Mul" | "MatMul" | "Concat" | "Min" | "Max":
            return True
        case "Where":
            return position > 0
        case "ScatterElements" | "ScatterND":
            return position != 1
        case "PRelu":
            return position == 1
        case _:
            return False


def _saturates(clamp: ir.Node, qparams: affine.QParams) -> bool:
    """True where the integers cannot leave the clamp's bounds."""
    low, high = qparams.real_range
    if clamp.op_type == "Relu":
        return low >= 0.0
    bounds = [None if value is None else facts.scalar(value) for value in (*clamp.inputs[1:], None, None)[:2]]
    slack = CLAMP_TOLERANCE * float(qparams.scale)
    return (bounds[0] is None or low >= bounds[0] - slack) and (bounds[1] is None or high <= bounds[1] + slack)
