"""The words of the TFLite room: the graph with Q/DQ absorbed (Value, Node, Program), and the file to be (Tensor, Op).

A Value has axes in the model's order. A Tensor is a Value as the file stores it: its axes are in a stored order, where
stored axis i is the model's axis order[i]. Everything in between is the business of `layout.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.affine import QParams

Array = NDArray[Any]
Order = tuple[int, ...]
Activation = Literal["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Value:
    """A value of the graph as the file will compute it: integers with qparams where the graph has Q/DQ around it.

    shape: axes in the model's order, batch 1; data: a constant's content, also in the model's order. A float32 constant
    whose data is float16 is stored so and widened at run time.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    qparams: QParams | None = None
    data: Array | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def real(self) -> Array:
        """A constant's content, in float32 where it is stored narrower."""
        assert self.data is not None, f"{self.name} is not a constant"
        return self.data.astype(np.float32) if self.data.dtype == np.float16 else self.data


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """An ONNX op on absorbed values, or one of the three border ops: Quantize, Dequantize, Requantize.

    activation: what the op applies to its result before storing it; origin: the ONNX node, for messages.
    """

    op: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    activation: Activation = "NONE"
    origin: ir.Node | None = None

    def input(self, index: int) -> Value:
        value = self.inputs[index]
        assert value is not None, f"{self.op} lacks its input {index}"
        return value

    def optional(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    @property
    def output(self) -> Value:
        return self.outputs[0]

    @property
    def integer(self) -> bool:
        return self.output.qparams is not None

    def ints(self, key: str, default: Sequence[int]) -> tuple[int, ...]:
        return tuple(int(i) for i in self.attributes.get(key, default))

    def constant(self, index: int) -> Array | None:
        """The content of a constant input, None where the input is absent or computed."""
        value = self.optional(index)
        return None if value is None or value.data is None else value.real


@dataclass(frozen=True, kw_only=True)
class Program:
    """Nodes in execution order; inputs and outputs with the names that the model gives them."""

    inputs: tuple[tuple[str, Value], ...]
    outputs: tuple[tuple[str, Value], ...]
    nodes: tuple[Node, ...]

    def users(self) -> dict[Value, list[Node]]:
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                if value is not None:
                    found.setdefault(value, []).append(node)
        return found

    def producers(self) -> dict[Value, Node]:
        return {value: node for node in self.nodes for value in node.outputs}


@dataclass(frozen=True, eq=False, kw_only=True)
class Tensor:
    """A tensor of the file: shape and data in stored order."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    qparams: QParams | None = None
    data: Array | None = None

    @property
    def size_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """An operator of the file. code: its name in BuiltinOperator; options: a schema object; source: the node's name."""

    code: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Any = None
    source: str = ""


def plain(rank: int) -> Order:
    return tuple(range(rank))


def image(rank: int) -> Order:
    """Channels last: NHWC, or NLC for a signal."""
    return (0, *range(2, rank), 1)


def stored_shape(shape: Sequence[int], order: Order) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in order)


def moves_data(shape: Sequence[int], permutation: Order) -> bool:
    """Whether transposing `shape` by `permutation` changes the order of elements (axes of size 1 may move freely)."""
    wide = [axis for axis in permutation if shape[axis] != 1]
    return wide != sorted(wide)
