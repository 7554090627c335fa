"""A TFLite file as a planner of memory sees it: tensors, and the ops that make and take them in the order they run.

Read from the flatbuffer without a runtime. A damaged file ends in a ValueError, a struct.error or one of their kin:
every list is held against the file's size, and every index against its list, before it is followed. Tables of a
flatbuffer may point at the same list, so what they hold together is held against the file's size too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

_OPS: dict[int, str] = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
_TYPES: dict[int, str] = {number: name.lower() for name, number in vars(schema.TensorType).items() if name.isupper()}
_SMALLEST_ITEM = 4  # bytes of a vector's element: an offset or an int32
_MOST_AXES = 64  # of a tensor; kernels take eight at most

# Bits of an element. Types without a fixed size (strings, handles of variables) take no room among the activations.
_BITS = {"bool": 8, "complex64": 64, "complex128": 128, "bfloat16": 16, "int2": 2, "int4": 4, "uint4": 4}
_BITS |= {f"{kind}{bits}": bits for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
_BITS |= {f"float{bits}": bits for bits in (16, 32, 64)}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """shape: of one run, 1 for a dynamic axis; constant: its content is in the file; variable: it outlives a run;
    scales: how many quantization scales it has, 0 where it has none."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    constant: bool
    variable: bool
    scales: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return -(-self.elements * _BITS.get(self.dtype, 0) // 8)


@dataclass(frozen=True, kw_only=True)
class Op:
    """kind: "CONV_2D"; inputs, outputs: tensors by number, without the optional ones that are left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The main graph. graphs: how many the file holds, more than one where ops branch or loop."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    graphs: int

    def of(self, numbers: tuple[int, ...]) -> tuple[Tensor, ...]:
        return tuple(self.tensors[number] for number in numbers)


def read_flow(data: bytes) -> Flow:
    """data: a whole TFLite file."""
    model = schema.Model.GetRootAsModel(data, 0)
    graphs = _count(model.SubgraphsLength(), data)
    if graphs == 0:
        raise ValueError("it has no graph")
    graph = model.Subgraphs(0)
    tensors = _tensors(model, graph, data)
    codes = [_kind(model.OperatorCodes(i)) for i in range(_count(model.OperatorCodesLength(), data))]

    def numbers(length: int, number: Callable[[int], int]) -> tuple[int, ...]:
        found = [int(number(i)) for i in range(_count(length, data))]
        return tuple(_index(i, len(tensors)) for i in found if i != -1)

    ops, links = [], 0
    for i in range(_count(graph.OperatorsLength(), data)):
        op = graph.Operators(i)
        links = _count(links + op.InputsLength() + op.OutputsLength(), data)
        ops.append(
            Op(
                kind=codes[_index(op.OpcodeIndex(), len(codes))],
                inputs=numbers(op.InputsLength(), op.Inputs),
                outputs=numbers(op.OutputsLength(), op.Outputs),
            )
        )
    return Flow(
        tensors=tensors,
        ops=tuple(ops),
        inputs=numbers(graph.InputsLength(), graph.Inputs),
        outputs=numbers(graph.OutputsLength(), graph.Outputs),
        graphs=graphs,
    )


def _kind(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return f"custom {(code.CustomCode() or b'').decode('utf-8', 'replace')}"
    return _OPS.get(number, f"op {number}")


def _tensors(model: Any, graph: Any, data: bytes) -> tuple[Tensor, ...]:
    tensors, letters = [], 0
    for i in range(_count(graph.TensorsLength(), data)):
        tensors.append(_tensor(model, graph.Tensors(i), data))
        letters += len(tensors[-1].name)
        if letters > len(data):
            raise ValueError(f"its names are longer than its {len(data)} bytes")
    return tuple(tensors)


def _tensor(model: Any, tensor: Any, data: bytes) -> Tensor:
    quantized = tensor.Quantization()
    if tensor.ShapeLength() > _MOST_AXES:
        raise ValueError(f"a tensor has {tensor.ShapeLength()} axes")
    dims = [tensor.Shape(i) for i in range(tensor.ShapeLength())]
    return Tensor(
        name=(tensor.Name() or b"").decode("utf-8", "replace"),
        dtype=_TYPES.get(tensor.Type(), "?"),
        shape=tuple(1 if dim < 0 else int(dim) for dim in dims),
        constant=_constant(model, _index(tensor.Buffer(), max(1, _count(model.BuffersLength(), data)))),
        variable=bool(tensor.IsVariable()),
        scales=0 if quantized is None else _count(quantized.ScaleLength(), data),
    )


def _constant(model: Any, buffer: int) -> bool:
    if buffer == 0:  # by convention empty
        return False
    held = model.Buffers(buffer)
    return bool(held.DataLength()) or bool(held.Size())


def _count(length: int, data: bytes) -> int:
    """A vector's length, no longer than the file could hold."""
    if length * _SMALLEST_ITEM > len(data):
        raise ValueError(f"a list announces {length} entries, the file has {len(data)} bytes")
    return length


def _index(index: int, count: int) -> int:
    """Python reads a negative index from the end; a damaged file must not."""
    if not 0 <= index < count:
        raise ValueError(f"entry {index} of {count} is referred to")
    return int(index)
