"""The few edits that passes are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def add_constant(graph: ir.Model, name: str, array: NDArray[Any]) -> ir.Value:
    """A new initializer; the name is made unique."""
    unique = _unused(name, graph.graph.initializers)
    value = ir.Value(
        name=unique,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        const_value=ir.tensor(array, name=unique),
    )
    graph.graph.register_initializer(value)
    return value


def adopt_constants(graph: ir.Model, inner: ir.Graph) -> dict[ir.Value, ir.Value]:
    """Copies of a subgraph's initializers in the graph itself: siblings may use one name, and give what they hold."""
    held = {value: value.const_value for value in inner.initializers.values()}
    return {
        value: add_constant(graph, value.name or "", tensor.numpy())
        for value, tensor in held.items()
        if tensor is not None
    }


def register_constants(graph: ir.Model) -> None:
    """Give a name of their own to constants that nodes read and the graph does not hold: a rewrite that made two of one
    name had the second take the place of the first."""
    held = graph.graph.initializers
    for node in graph.graph:
        for value in node.inputs:
            if value is None or value.const_value is None or value.producer() is not None or value.is_graph_input():
                continue
            if held.get(value.name or "") is not value:
                value.name = _unused(value.name or "constant", held)
                graph.graph.register_initializer(value)


def new_node(
    like: ir.Node, op_type: str, inputs: list[ir.Value | None], attributes: dict[str, Any] | None = None
) -> ir.Node:
    """A node that stands for `like` and keeps its name and its provenance; its output takes over type and shape."""
    old = like.outputs[0]
    output = ir.Value(name=old.name, type=old.type, shape=old.shape)
    return ir.node(
        op_type,
        inputs,
        attributes or {},
        outputs=[output],
        name=like.name,
        metadata_props=dict(like.metadata_props),
    )


def replace(graph: ir.Model, old: ir.Node, new: list[ir.Node]) -> None:
    """Put `new` where `old` stood; the last new node's outputs take over from the old node's."""
    ir.convenience.replace_nodes_and_values(graph.graph, old, [old], new, list(old.outputs), list(new[-1].outputs))


def bypass(graph: ir.Model, node: ir.Node, position: int = 0) -> None:
    """Remove a node whose output is its input at `position`.

    Where the output is the graph's, the input's producer takes over its name, since callers know the graph by it.
    """
    source, output = node.inputs[position], node.outputs[0]
    assert source is not None
    name = output.name
    was_output = output.is_graph_output()
    ir.convenience.replace_all_uses_with(output, source, replace_graph_outputs=True)
    graph.graph.remove(node, safe=True)
    if was_output:
        source.name = name


def take_over(graph: ir.Model, old: ir.Value, new: ir.Value) -> None:
    """`new` stands for `old` from now on, by name too where `old` is the graph's output."""
    if not old.is_graph_output():
        ir.convenience.replace_all_uses_with(old, new)
        return
    if new.is_graph_output() or new.producer() is None:  # it has a name of its own that callers know
        twin = ir.Value(name=f"{old.name}_twin", shape=old.shape, type=old.type)
        producer = new.producer() or old.producer()
        assert producer is not None
        graph.graph.insert_after(producer, ir.node("Identity", [new], outputs=[twin], name=f"{old.name}_twin"))
        new = twin
    name = old.name
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    old.name, new.name = f"{name}_before", name


def can_bypass(node: ir.Node) -> bool:
    """False where the bypass would make an input or a constant of the graph its output, or merge two outputs."""
    source, output = node.inputs[0], node.outputs[0]
    if not output.is_graph_output():
        return True
    return source is not None and source.producer() is not None and not source.is_graph_output()


def rename_clashes(graph: ir.Model) -> None:
    """Give a name of its own to every value and node; inputs and outputs keep theirs, constants yield first."""
    made = [value for node in graph.graph for value in node.outputs]
    border = {*graph.graph.inputs, *graph.graph.outputs}
    taken = {value.name for value in border}
    for value in [*made, *graph.graph.initializers.values()]:
        if value not in border and value.name != "":  # "": an optional output that nobody wants
            value.name = _unused(value.name or "", taken)
            taken.add(value.name)
    names: set[str | None] = set()
    for node in graph.graph:
        node.name = _unused(node.name or node.op_type, names)
        names.add(node.name)


def _unused(name: str, taken: Container[str | None]) -> str:
    unique, n = name, 0
    while unique in taken:
        n += 1
        unique = f"{name}_{n}"
    return unique


def drop_unused(graph: ir.Model) -> None:
    """Remove nodes and initializers that no output depends on."""
    import onnx_ir.passes.common as common

    common.RemoveUnusedNodesPass()(graph)


def share_equal_constants(graph: ir.Model) -> None:
    """Keep each constant once, whatever its size: steps of one layer, or rewrites, may have made copies of a weight."""
    first: dict[tuple[object, ...], ir.Value] = {}
    for value in list(graph.graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or value.is_graph_input() or value.is_graph_output() or tensor.dtype == ir.DataType.STRING:
            continue
        content = hashlib.blake2b(tensor.tobytes(), digest_size=32).digest()
        kept = first.setdefault((tensor.dtype, tuple(tensor.shape), content), value)
        if kept is not value:
            ir.convenience.replace_all_uses_with(value, kept)
            graph.graph.initializers.pop(value.name or "")


def part_uniform_constants(graph: ir.Model) -> None:
    """Give each reader a copy of its own of what is the same number all over: biases of zeros are equal by chance, and
    training would make one parameter of them."""
    for value in list(graph.graph.initializers.values()):
        array = None if value.const_value is None or value.dtype != ir.DataType.FLOAT else value.const_value.numpy()
        if array is None or array.size < 2 or value.is_graph_output() or not (array == array.flat[0]).all():
            continue
        for node, position in [*value.uses()][1:]:
            node.replace_input_with(position, add_constant(graph, value.name or "", array))


def float_tensor(array: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(array, np.float32, order="C")  # ascontiguousarray would give a scalar an axis
