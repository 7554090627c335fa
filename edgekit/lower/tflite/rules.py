"""Make the program obey the scales that TFLite's integer kernels insist on, by requantizing where it does not yet.

Source: LiteRT 8-bit quantization specification, restrictions per operator. A graph that `quantize` made obeys them
already, and edgekit reads no file that is quantized; so this is for graphs that a program hands to `to_tflite`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit import affine
from edgekit.affine import QParams
from edgekit.lower.tflite.ops import Node, Program, Value

# Ops that move or pick values: the kernel copies integers, so input and output share one scale.
SAME_SCALE = frozenset(
    {
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Slice",
        "Split",
        "MaxPool",
        "GlobalMaxPool",
        "Pad",
        "Gather",
        "Tile",
        "Expand",
        "DepthToSpace",
        "SpaceToDepth",
        "Resize",
        "ReduceMax",
        "ReduceMin",
        "GatherElements",
        "GatherND",
    }
)
# Ops that gather several operands without rescaling them.
SHARED_SCALE = frozenset({"Concat", "Min", "Max", "Relu", "Clip", "Where", "ScatterElements", "ScatterND"})

UNIT = QParams(np.asarray(1 / 256, np.float32), -128, np.dtype(np.int8))
WIDE_UNIT = QParams(np.asarray(1 / 32768, np.float32), 0, np.dtype(np.int16))
FIXED_OUTPUT: Mapping[tuple[str, np.dtype[Any]], QParams] = {
    **{(op, UNIT.dtype): UNIT for op in ("Softmax", "Sigmoid")},
    ("Tanh", UNIT.dtype): QParams(np.asarray(1 / 128, np.float32), 0, UNIT.dtype),
    **{(op, WIDE_UNIT.dtype): WIDE_UNIT for op in ("Softmax", "Sigmoid", "Tanh")},
}


def obey(program: Program) -> Program:
    nodes: list[Node] = []
    for node in program.nodes:
        nodes += _obedient(node) if node.integer else [node]
    return replace(program, nodes=tuple(nodes))


def _obedient(node: Node) -> list[Node]:
    """The node with Requantize nodes before or after it, where its scales break its kernel's rule."""
    if node.op in SHARED_SCALE:
        wanted = node.output.qparams
        assert wanted is not None
        operands = node.inputs[:1] if node.op == "Clip" else node.inputs  # a Clip's bounds are real numbers
        data = [v for v in operands if v is not None and (v.qparams is not None or v.dtype == np.float32)]  # no indices
        before = [_requantized(v, wanted) for v in data if v.qparams != wanted]
        moved = {n.input(0): n.output for n in before}
        inputs = tuple(moved.get(v, v) if v is not None else None for v in node.inputs)
        computed = [n for n in before if n.output.data is None]
        return [*computed, replace(node, inputs=inputs)]
    given = node.input(0).qparams if node.op in SAME_SCALE else FIXED_OUTPUT.get((node.op, node.output.dtype))
    if given is None or all(out.qparams == given for out in node.outputs):
        return [node]
    raw = tuple(replace(out, name=f"{out.name}_before_requantize", qparams=given) for out in node.outputs)
    after = [Node(op="Requantize", inputs=(r,), outputs=(o,)) for r, o in zip(raw, node.outputs, strict=True)]
    return [replace(node, outputs=raw), *after]


def _requantized(value: Value, wanted: QParams) -> Node:
    """A Requantize node; of a constant, the result is computed here."""
    name = f"{value.name}_requantized"
    if value.data is None:
        return Node(op="Requantize", inputs=(value,), outputs=(replace(value, name=name, qparams=wanted),))
    real = affine.dequantize(value.data, value.qparams) if value.qparams else value.real
    result = replace(value, name=name, dtype=wanted.dtype, qparams=wanted, data=affine.quantize(real, wanted))
    return Node(op="Requantize", inputs=(value,), outputs=(result,))
