"""What follows from knowing that only the batch is open.

Every other size is a number, so every Reshape has a constant target with -1 where the batch goes, and a constant that
is repeated for every sample and put beside the data (a class token) is an addition behind a pad:

    Concat(Expand(c), x) + p  =  Pad(x) + [c; p]            broadcasting does what Expand did
"""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import LiftConstantsToInitializersPass, ShapeInferencePass

from edgekit.errors import EdgekitError
from edgekit.graph import edit, facts, source
from edgekit.simplify.constants import fold_constants
from edgekit.simplify.sizes import sizes_of

PROBE = 1_000_003
"""A prime batch: what it divides is open, the rest is not. Not larger, since shape inference counts a Range out."""
BATCH = "batch"


def settle_shapes(graph: ir.Model) -> ir.Model:
    """Sizes that do not depend on the batch become numbers, the others "batch" or "98*batch".

    Raises EK213 for a size that depends on the batch in another way: a sample's result would not be its own.
    """
    graph = graph.clone()
    if not _open_inputs(graph):
        return graph
    symbol = next(str(value.shape[0]) for value in _open_inputs(graph) if value.shape is not None)
    many, single = (_inferred(graph, batch).graph for batch in (PROBE, 1))
    for node, of_many, of_one in zip(graph.graph, many, single, strict=True):
        for value, found, alone in zip(node.outputs, of_many.outputs, of_one.outputs, strict=True):
            if found.shape is None or not found.shape.is_static():
                continue
            if not _is_per_sample(found.shape, alone.shape):
                raise _mixes_samples(node, value)
            value.shape = open_shape(facts.static_shape(found), symbol)
    return graph


def _inferred(graph: ir.Model, batch: int) -> ir.Model:
    probe = graph.clone()
    for value in _open_inputs(probe):
        value.shape = _with_first(value, batch)
    for value in [*(v for node in probe.graph for v in node.outputs), *probe.graph.outputs]:
        value.shape = None
    return ShapeInferencePass()(probe).model


def _is_per_sample(many: ir.Shape, single: ir.Shape | None) -> bool:
    """Whether each size of PROBE samples is that of one sample, or PROBE times that.

    Not judged where the ranks differ, as behind a Squeeze of whatever is 1, or where one sample leaves it open.
    """
    if single is None or not single.is_static() or len(many) != len(single):
        return True
    return all(n in (d, d * PROBE) for n, d in zip(many.numpy(), single.numpy(), strict=True))


def _mixes_samples(node: ir.Node, value: ir.Value) -> EdgekitError:
    return EdgekitError(
        "EK213",
        f"the size of '{value.name}' is neither fixed nor so much per sample",
        f"{source.describe(node)} cuts, joins or multiplies along the batch",
        "leave that part of the model out, or export the model with a batch of 1 fixed",
    )


def fold_sizes(graph: ir.Model) -> ir.Model:
    """What is computed from shapes without the batch in it (a causal mask's tokens by tokens) is constant."""
    graph = graph.clone()
    for node in list(graph.graph):
        output = node.outputs[0] if len(node.outputs) == 1 else None
        if output is None or output.dtype != ir.DataType.INT64 or output.is_graph_output() or output.shape is None:
            continue
        found = sizes_of(output)
        if found is None or not all(isinstance(size, int) for size in found) or node.op_type == "Constant":
            continue
        array = np.array(found, np.int64).reshape(() if not output.shape.rank() else -1)
        if output.shape.rank() < 2:
            ir.convenience.replace_all_uses_with(output, edit.add_constant(graph, f"{output.name}_known", array))
    edit.drop_unused(graph)
    graph = fold_constants(graph)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    return graph


def sizes(value: ir.Value) -> tuple[int, ...]:
    """The shape in numbers, PROBE standing for the batch."""
    return facts.static_shape(value, PROBE)


def open_shape(numbers: tuple[int, ...], symbol: str = BATCH) -> ir.Shape:
    """The way back from `sizes`."""
    return ir.Shape([_dim(number, symbol) for number in numbers])


def target(graph: ir.Model, name: str, numbers: tuple[int, ...]) -> ir.Value:
    """The second input of a Reshape to these sizes."""
    return edit.add_constant(graph, name, np.array([n if n % PROBE else -1 for n in numbers], np.int64))


def is_known(value: ir.Value | None) -> bool:
    """True where every size is a number or a multiple of the batch, of which there is at most one."""
    if value is None or value.shape is None:
        return False
    return sum(d is None for d in facts.shape(value)) <= 1


def fold_tokens(graph: ir.Model) -> ir.Model:
    """Constants beside the data, repeated for every sample, become an addition."""
    graph = graph.clone()
    for node in list(graph.graph):
        if node.op_type == "Concat":
            _fold_token(graph, node)
    edit.drop_unused(graph)
    return graph


def _fold_token(graph: ir.Model, node: ir.Node) -> None:
    output, axis = node.outputs[0], facts.attribute(node, "axis", 0)
    values = [value for value in node.inputs if value is not None]
    tokens = [_repeated(value) for value in values]
    data = [value for value, token in zip(values, tokens, strict=True) if token is None]
    if len(data) != 1 or len(values) < 2 or not all(map(is_known, [*values, output])) or not facts.is_float(output):
        return
    whole = sizes(output)
    axis %= len(whole)
    if axis == 0 or whole[0] != PROBE:
        return
    parts = [np.zeros((1, *sizes(value)[1:]), np.float32) if token is None else token
             for value, token in zip(values, tokens, strict=True)]  # fmt: skip
    ends = list(accumulate((part.shape[axis] for part in parts), initial=0))
    low, high = list(pairwise(ends))[values.index(data[0])]
    pads = np.zeros((2, len(whole)), np.int64)
    pads[:, axis] = low, whole[axis] - high
    amounts = edit.add_constant(graph, f"{node.name}_pads", pads.reshape(-1))
    pad = edit.new_node(node, "Pad", [data[0], amounts])
    pad.name, pad.outputs[0].name = f"{node.name}_pad", f"{output.name}_padded"
    last, addend = _next_addend(node)
    sum_ = np.concatenate(parts, axis) + (0 if addend is None else addend)
    added = edit.add_constant(graph, f"{node.name}_tokens", edit.float_tensor(sum_))
    edit.replace(graph, last, [pad, edit.new_node(last, "Add", [pad.outputs[0], added])])
    if last is not node:
        graph.graph.remove(node, safe=True)


def _repeated(value: ir.Value) -> NDArray[np.float32] | None:
    """(1, ...) what the value holds for every sample, where that is a constant."""
    producer = value.producer()
    if producer is None or producer.op_type != "Expand" or not is_known(value):
        return None
    array, whole = facts.constant(producer.inputs[0]), sizes(value)
    if array is None or whole[0] != PROBE or (array.ndim == len(whole) and array.shape[0] != 1):
        return None
    return np.broadcast_to(array, (1, *whole[1:])).astype(np.float32)


def _next_addend(node: ir.Node) -> tuple[ir.Node, NDArray[np.float32] | None]:
    """The addition of a constant right behind the node, which can take another one in; else the node itself."""
    reader = facts.only_consumer(node.outputs[0])
    if reader is None or reader.op_type != "Add":
        return node, None
    other = reader.inputs[1] if reader.inputs[0] is node.outputs[0] else reader.inputs[0]
    array, rank = facts.constant(other), len(sizes(node.outputs[0]))
    fits = array is not None and array.ndim <= rank and (array.ndim < rank or array.shape[0] == 1)
    return (reader, array) if fits else (node, None)


def _open_inputs(graph: ir.Model) -> list[ir.Value]:
    values = [value for value in graph.graph.inputs if value.shape is not None and value.shape.rank()]
    return [value for value in values if value.shape is not None and not isinstance(value.shape[0], int)]


def _with_first(value: ir.Value, size: int) -> ir.Shape:
    assert value.shape is not None
    return ir.Shape([size, *list(value.shape)[1:]])


def _dim(number: int, symbol: str) -> int | str:
    if number % PROBE or not number:
        return number
    times = number // PROBE
    return symbol if times == 1 else f"{times}*{symbol}"
