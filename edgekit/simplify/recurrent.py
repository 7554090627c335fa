"""Recurrent layers as their steps: what TFLite and INT8 take of LSTM, GRU and RNN.

TFLite has no GRU at all, and its LSTM keeps other integers than a QDQ graph can say. Unrolled, the products run in INT8
in both runtimes from one graph: the input's part of all steps is one product, the state's part one per step, and the
weights are stored once. Gates and states stay in float (`marks.keep_float`): over 1875 chunks of the silero VAD, INT8
states and gates put the speech probability off by 0.034, float states by 0.025, and float gates too by 0.021.
What we gave up: a file grows by some kilobytes per step, so that a window has MAX_STEPS at most. What would change our
mind: a loop that both formats have.

The float ONNX file keeps the layer whole, since ONNX Runtime has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts
from edgekit.simplify.cells import ACTIVATIONS, GATES, STEPS, Cell, State
from edgekit.simplify.sequences import give_last, give_sequence
from edgekit.simplify.tape import Dim, Tape

MAX_STEPS = 512
DIRECTIONS: Mapping[str, tuple[str, ...]] = {
    "forward": ("forward",),
    "reverse": ("reverse",),
    "bidirectional": ("forward", "reverse"),
}
# ONNX writes them in any case. Those that take an alpha or a beta are left alone.
KNOWN = {name.lower(): name for name in ("Sigmoid", "Tanh", "Relu", "Softsign", "Softplus")}
LENGTHS, INITIAL_H, INITIAL_C, PEEPHOLES = 4, 5, 6, 7  # inputs behind X, W, R and B
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A recurrent node with everything about it known. batch_first: `layout` is 1."""

    node: ir.Node
    hidden: int
    steps: int
    batch: Dim
    batch_first: bool
    directions: tuple[str, ...]
    activations: tuple[str, ...]
    weights: tuple[Array, ...]

    def input(self, index: int) -> ir.Value | None:
        return self.node.inputs[index] if index < len(self.node.inputs) else None


def canonical_recurrent(graph: ir.Model) -> ir.Model:
    """Recurrent layers without initial states of zero and lengths that say nothing, which are the defaults."""
    graph = graph.clone()
    for node in graph.graph:
        if not is_recurrent(node):
            continue
        for index in (INITIAL_H, INITIAL_C):
            value = node.inputs[index] if index < len(node.inputs) else None
            if value is not None and is_zero(value):
                node.replace_input_with(index, None)
        x = node.inputs[0]
        steps = x.shape[1 if facts.attribute(node, "layout", 0) else 0] if x is not None and x.shape else None
        if len(node.inputs) > LENGTHS and isinstance(steps, int) and _full_length(node, steps):
            node.replace_input_with(LENGTHS, None)
    return graph


def unroll_recurrent(graph: ir.Model) -> ir.Model:
    """Every recurrent layer whose weights, lengths and steps are known, step by step."""
    graph = graph.clone()
    for node in list(graph.graph):
        if is_recurrent(node) and (layer := layer_of(node)) is not None:
            _unroll(graph, layer)
    edit.drop_unused(graph)
    edit.rename_clashes(graph)
    return graph


def is_recurrent(node: ir.Node) -> bool:
    return node.op_type in GATES and node.domain in ("", "ai.onnx")


def layer_of(node: ir.Node) -> Layer | None:
    """What the node says, None where a part of it is computed, unknown or too long to be written step by step."""
    x = node.inputs[0]
    if x is None or x.shape is None or len(x.shape) != 3:
        return None
    batch_first = bool(facts.attribute(node, "layout", 0))
    steps = x.shape[1 if batch_first else 0]
    directions = DIRECTIONS.get(facts.attribute(node, "direction", "forward").lower(), ())
    activations = _activations(node, len(directions))
    weights = [facts.constant(value) for value in node.inputs[1:3]]
    if not isinstance(steps, int) or not 1 <= steps <= MAX_STEPS or activations is None:
        return None
    if any(array is None for array in weights) or not _full_length(node, steps) or not _constant_extras(node):
        return None
    return Layer(
        node=node,
        hidden=int(facts.attribute(node, "hidden_size", weights[1].shape[-1] if weights[1] is not None else 0)),
        steps=steps,
        batch=x.shape[0 if batch_first else 1],
        batch_first=batch_first,
        directions=directions,
        activations=activations,
        weights=tuple(array for array in weights if array is not None),
    )


def _activations(node: ir.Node, directions: int) -> tuple[str, ...] | None:
    default = ACTIVATIONS[node.op_type] * directions
    given = facts.attribute(node, "activations") or default
    found = tuple(KNOWN[name.lower()] for name in given if name.lower() in KNOWN)
    return found if directions and len(found) == len(default) else None


def _full_length(node: ir.Node, steps: int) -> bool:
    lengths = node.inputs[LENGTHS] if len(node.inputs) > LENGTHS else None
    if lengths is None:
        return True
    array = facts.constant(lengths)
    return array is not None and bool(np.all(array == steps))


def _constant_extras(node: ir.Node) -> bool:
    """The biases and the peepholes, where there are any."""
    extras = [node.inputs[i] for i in (3, PEEPHOLES) if i < len(node.inputs)]
    return all(value is None or facts.constant(value) is not None for value in extras)


def _unroll(graph: ir.Model, layer: Layer) -> None:
    tape = Tape(graph, layer.node, layer.batch)
    x = _batch_first(tape, layer)
    states: list[list[ir.Value]] = []
    last_c: list[ir.Value] = []
    for position, direction in enumerate(layer.directions):
        cell = _cell(tape, layer, position)
        inputs = _input_products(tape, layer, x, position)
        h, c = _initial(tape, layer, INITIAL_H, position), _initial(tape, layer, INITIAL_C, position)
        made: dict[int, ir.Value] = {}
        order = range(layer.steps)
        for t in order if direction == "forward" else reversed(order):
            h, c = STEPS[layer.node.op_type](cell, f"{direction}{t}", inputs[t], h, c)
            assert h is not None
            made[t] = h
        states.append([made[t] for t in order])
        last_c += [c] if c is not None else []
    _give(tape, layer, states, last_c)


def _batch_first(tape: Tape, layer: Layer) -> ir.Value:
    """X as (B, T, I)."""
    x = layer.input(0)
    assert x is not None and x.shape is not None
    if layer.batch_first:
        return x
    producer = x.producer()
    if producer is not None and producer.op_type == "Transpose" and facts.attribute(producer, "perm") == (1, 0, 2):
        source = producer.inputs[0]
        assert source is not None
        return source
    shape = [layer.batch, layer.steps, Tape.width(x)]
    if layer.steps == 1 or layer.batch == 1:
        return tape.reshape("input", x, [-1, layer.steps, Tape.width(x)])
    return tape.linear("Transpose", "input", [x], shape, perm=(1, 0, 2))


def _cell(tape: Tape, layer: Layer, position: int) -> Cell:
    node, hidden, name = layer.node, layer.hidden, layer.directions[position]
    recurrent = layer.weights[1][position]
    per_direction = len(layer.activations) // len(layer.directions)
    inner, peepholes = _inner_bias(layer, position), facts.constant(layer.input(PEEPHOLES))
    cuts = [2 * hidden] if node.op_type == "GRU" and not facts.attribute(node, "linear_before_reset", 0) else []
    blocks: list[tuple[ir.Value, ir.Value | None]] = []
    for i, block in enumerate(np.split(recurrent, cuts)):
        bias = None if inner is None else np.concatenate([np.zeros(2 * hidden, np.float32), inner])
        blocks.append(
            (
                tape.constant(f"{name}_recurrent{i}", edit.float_tensor(block)),
                None if bias is None else tape.constant(f"{name}_bias", edit.float_tensor(bias)),
            )
        )
    return Cell(
        tape=tape,
        name=name,
        hidden=hidden,
        blocks=tuple(blocks),
        activations=layer.activations[position * per_direction : (position + 1) * per_direction],
        inner_bias=None if inner is None else tape.constant(f"{name}_inner_bias", edit.float_tensor(inner)),
        peepholes=()
        if peepholes is None
        else tuple(
            tape.constant(f"{name}_peephole{i}", edit.float_tensor(part))
            for i, part in enumerate(np.split(peepholes[position], 3))
        ),
        clip=facts.attribute(node, "clip"),
        coupled=bool(facts.attribute(node, "input_forget", 0)),
    )


def _biases(layer: Layer, position: int) -> tuple[Array, Array] | None:
    """(Wb, Rb), (G H,) each."""
    array = facts.constant(layer.input(3))
    if array is None:
        return None
    first, second = np.split(array[position], 2)
    return first, second


def _inner_bias(layer: Layer, position: int) -> Array | None:
    """(H,) the bias of R_n that a GRU's reset gate multiplies."""
    biases = _biases(layer, position)
    if layer.node.op_type != "GRU" or biases is None or not facts.attribute(layer.node, "linear_before_reset", 0):
        return None
    return biases[1][2 * layer.hidden :]


def _input_products(tape: Tape, layer: Layer, x: ir.Value, position: int) -> list[ir.Value]:
    """T values of (B, G H): W x + b of every step, by one product."""
    name, steps = layer.directions[position], layer.steps
    weight = layer.weights[0][position].T
    columns = weight.shape[1]
    shape: list[Dim] = [layer.batch, steps, columns]
    product = tape.linear(
        "MatMul", f"{name}_inputs", [x, tape.constant(f"{name}_weights", edit.float_tensor(weight))], shape
    )
    if (biases := _biases(layer, position)) is not None:
        total = biases[0] + biases[1]
        if _inner_bias(layer, position) is not None:
            total[2 * layer.hidden :] = biases[0][2 * layer.hidden :]
        bias = tape.constant(f"{name}_input_bias", edit.float_tensor(total))
        product = tape.real("Add", f"{name}_biased", [product, bias], shape)
    return tape.split(f"{name}_steps", tape.reshape(f"{name}_flat", product, [-1, steps * columns]), steps)


def _initial(tape: Tape, layer: Layer, index: int, position: int) -> State:
    """(B, H), None for zeros."""
    value = layer.input(index)
    if value is None or is_zero(value):
        return None
    label = f"{layer.directions[position]}_initial{index}"
    if len(layer.directions) == 1:
        return tape.reshape(label, value, [-1, layer.hidden])
    place = tape.constant(f"{label}_index", np.asarray(position, np.int64))
    axis = 1 if layer.batch_first else 0
    return tape.real("Gather", label, [value, place], [layer.batch, layer.hidden], axis=axis)


def is_zero(value: ir.Value) -> bool:
    """Zeros, whatever their shape is computed from."""
    array = facts.constant(value)
    if array is not None:
        return not np.any(array)
    producer = value.producer()
    if producer is None:
        return False
    match producer.op_type:
        case "Expand" | "Slice" | "Reshape" | "Transpose" | "Squeeze" | "Unsqueeze" | "Gather" | "Tile" | "Identity":
            return producer.inputs[0] is not None and is_zero(producer.inputs[0])
        case "ConstantOfShape":
            filler = facts.attribute(producer, "value")
            return filler is None or not np.any(filler.numpy())
        case _:
            return False


def _give(tape: Tape, layer: Layer, states: Sequence[Sequence[ir.Value]], last_c: Sequence[ir.Value]) -> None:
    """Put the steps in the node's place."""
    node = layer.node
    last_h = [made[-1 if name == "forward" else 0] for name, made in zip(layer.directions, states, strict=True)]
    outputs = [*node.outputs, None, None, None][:3]
    written: list[tuple[Any, ir.Value]] = []
    for output, made in ((outputs[1], last_h), (outputs[2], last_c)):
        if output is not None:
            written += give_last(tape, output, made, layer.batch_first)
    if outputs[0] is not None:
        written += give_sequence(tape, outputs[0], states, layer.batch_first)
    graph = tape.graph.graph
    graph.insert_before(node, tape.nodes)
    for old, new in written:
        edit.take_over(tape.graph, old, new)
