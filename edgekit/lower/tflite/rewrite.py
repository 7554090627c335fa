"""Move a change of order from run time into weights: permute constants once, here.

Both rewrites end in values that hold other numbers than the model's value of that name, so they get another name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgekit.lower.tflite.layout import Layout
from edgekit.lower.tflite.ops import Array, Node, Program, Value, image, moves_data, stored_shape

IMAGE_OPS = frozenset({"Conv", "ConvTranspose", "Resize", "MaxPool", "AveragePool", "DepthToSpace"})


def absorb_flattens(program: Program, layout: Layout) -> Program:
    """Permute fully connected weights where their input is a flattened image.

    (N, C, H, W) -> (N, C*H*W) -> Gemm becomes a Transpose to the stored order, which moves nothing, the same Reshape,
    and a Gemm whose weight columns are permuted alike.
    """
    users = _users(program)
    nodes: list[Node] = []
    changed: dict[Node, Node] = {}
    for node in program.nodes:
        gemms = users.get(node.output, [])
        order = layout.stored.get(node.input(0)) if _flattens(node) and _permutable(node, gemms) else None
        if order is None or not moves_data(node.input(0).shape, order):
            nodes.append(changed.get(node, node))
            continue
        source = node.input(0)
        moved = replace(source, name=f"{source.name}_channels_last", shape=stored_shape(source.shape, order))
        flat = replace(node.output, name=f"{node.output.name}_channels_last")
        nodes.append(Node(op="Transpose", inputs=(source,), outputs=(moved,), attributes={"perm": order}))
        nodes.append(replace(node, inputs=(moved, *node.inputs[1:]), outputs=(flat,)))
        columns = np.arange(source.size).reshape(source.shape).transpose(order).reshape(-1)
        changed.update({gemm: _with_columns(gemm, flat, columns) for gemm in gemms})
    return replace(program, nodes=tuple(nodes))


def absorb_unflattens(program: Program) -> Program:
    """Permute fully connected weights where their result becomes an image: the way back of `absorb_flattens`.

    Gemm -> (N, C*H*W) -> (N, C, H, W) -> convolution gets a Gemm that computes in the order H, W, C, and behind it a
    Transpose that moves nothing.
    """
    users, producers = _users(program), program.producers()
    changed: dict[Node, tuple[Node, ...]] = {}
    for node in program.nodes:
        gemm = producers.get(node.input(0)) if node.op == "Reshape" else None
        if gemm is None or not _unflattens(node) or len(users.get(gemm.output, [])) != 1 or not _permutable_rows(gemm):
            continue
        readers = users.get(node.output, [])
        if not readers or not all(reader.op in IMAGE_OPS for reader in readers):
            continue
        order = image(4)
        rows = np.arange(node.output.size).reshape(node.output.shape).transpose(order).reshape(-1)
        flat = replace(gemm.output, name=f"{gemm.output.name}_channels_last")
        moved = replace(
            node.output, name=f"{node.output.name}_channels_last", shape=stored_shape(node.output.shape, order)
        )
        back = tuple(order.index(axis) for axis in range(4))
        changed[gemm] = (_with_rows(gemm, flat, rows),)
        changed[node] = (
            replace(node, inputs=(flat, *node.inputs[1:]), outputs=(moved,)),
            Node(op="Transpose", inputs=(moved,), outputs=(node.output,), attributes={"perm": back}),
        )
    return replace(program, nodes=tuple(made for node in program.nodes for made in changed.get(node, (node,))))


def exchange_depth(program: Program) -> Program:
    """Turn DepthToSpace CRD behind a convolution into DCR, TFLite's order, by permuting the convolution's outputs."""
    users, producers = _users(program), program.producers()
    changed: dict[Node, Node] = {}
    for node in program.nodes:
        conv = producers.get(node.input(0)) if node.inputs and node.inputs[0] is not None else None
        crd = node.op == "DepthToSpace" and node.attributes.get("mode", "DCR") == "CRD"
        if not crd or conv is None or not _permutable_convolution(conv) or len(users[conv.output]) != 1:
            continue
        square = int(node.attributes["blocksize"]) ** 2
        channels = np.arange(conv.output.shape[1]).reshape(-1, square).T.reshape(-1)
        output = replace(conv.output, name=f"{conv.output.name}_depth_first")
        constants = tuple(None if v is None else taken(v, channels, axis=0) for v in conv.inputs[1:])
        changed[conv] = replace(conv, inputs=(conv.inputs[0], *constants), outputs=(output,))
        changed[node] = replace(node, inputs=(output,), attributes={**node.attributes, "mode": "DCR"})
    return replace(program, nodes=tuple(changed.get(node, node) for node in program.nodes))


def _users(program: Program) -> Mapping[Value, Sequence[Node]]:
    """Who reads each value; nobody where the file gives it away, so that it keeps its meaning."""
    users = program.users()
    for _, value in program.outputs:
        users[value] = []
    return users


def _flattens(node: Node) -> bool:
    if node.op not in ("Reshape", "Flatten"):
        return False
    before, after = node.input(0).shape, node.output.shape
    return len(after) == 2 and before[0] == after[0] == 1


def _permutable(node: Node, gemms: Sequence[Node]) -> bool:
    return bool(gemms) and all(
        gemm.op in ("Gemm", "MatMul") and gemm.input(0) is node.output and _constant_matrix(gemm) for gemm in gemms
    )


def _constant_matrix(gemm: Node) -> bool:
    weight = gemm.input(1)
    return weight.data is not None and weight.rank == 2 and not gemm.attributes.get("transA", 0)


def _with_columns(gemm: Node, x: Value, columns: Array) -> Node:
    weight = gemm.input(1)
    assert weight.data is not None
    axis = 1 if gemm.op == "Gemm" and gemm.attributes.get("transB", 0) else 0
    permuted = replace(weight, data=np.take(weight.data, columns, axis=axis))
    return replace(gemm, inputs=(x, permuted, *gemm.inputs[2:]))


def _unflattens(node: Node) -> bool:
    before, after = node.input(0).shape, node.output.shape
    return len(before) == 2 and len(after) == 4 and before[0] == after[0] == 1 and moves_data(after, image(4))


def _permutable_rows(gemm: Node) -> bool:
    bias = gemm.optional(2)
    constant = bias is None or (bias.data is not None and bias.size == gemm.output.size)
    return gemm.op in ("Gemm", "MatMul") and _constant_matrix(gemm) and constant


def _with_rows(gemm: Node, output: Value, rows: Array) -> Node:
    transposed = gemm.op == "Gemm" and gemm.attributes.get("transB", 0)
    weight, bias = taken(gemm.input(1), rows, axis=0 if transposed else 1), gemm.optional(2)
    added = () if bias is None else (taken(bias, rows, axis=bias.rank - 1),)
    return replace(gemm, inputs=(gemm.input(0), weight, *added), outputs=(output,))


def _permutable_convolution(node: Node) -> bool:
    constants = [v for v in node.inputs[1:] if v is not None]
    return node.op == "Conv" and node.attributes.get("group", 1) == 1 and all(v.data is not None for v in constants)


def taken(value: Value, channels: Array, axis: int) -> Value:
    """The channels of a weight or bias in another order, with their scales."""
    assert value.data is not None
    qparams = value.qparams
    if qparams is not None and qparams.axis == axis and qparams.scale.size > 1:
        qparams = replace(qparams, scale=qparams.scale[channels])
    return replace(value, data=np.take(value.data, channels, axis=axis), qparams=qparams)
