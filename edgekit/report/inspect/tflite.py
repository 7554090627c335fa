"""What a TFLite file holds: read from its flatbuffer without a runtime, every length held against the file's size."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit.profile.memory import plan_of
from edgekit.report.inspect.contents import Contents, Tensor, damaged

_OPS: dict[int, str] = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
_TYPES: dict[int, str] = {number: name.lower() for name, number in vars(schema.TensorType).items() if name.isupper()}
_SMALLEST_ITEM = 4  # bytes of a vector's element: an offset or an int32


def read_tflite(path: Path) -> Contents:
    data = path.read_bytes()
    try:
        return _contents(schema.Model.GetRootAsModel(data, 0), data)
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as broken:
        raise damaged(path, f"it starts as a TFLite file, but does not hold together: {broken}") from broken


def _contents(model: Any, data: bytes) -> Contents:
    size = len(data)
    if _count(model.SubgraphsLength(), size) == 0:
        raise ValueError("it has no graph")
    graph = model.Subgraphs(0)
    codes = [model.OperatorCodes(i) for i in range(_count(model.OperatorCodesLength(), size))]
    nodes = [graph.Operators(i) for i in range(_count(graph.OperatorsLength(), size))]
    tensors = [graph.Tensors(i) for i in range(_count(graph.TensorsLength(), size))]
    constants = [tensor for tensor in tensors if _is_constant(model, tensor, size)]
    ops = Counter(_op(codes, node) for node in nodes)
    shapes = [_shape(tensor, size) for tensor in tensors]
    return Contents(
        kind="TFLite",
        inputs=_named(tensors, graph.InputsLength(), graph.Inputs, size),
        outputs=_named(tensors, graph.OutputsLength(), graph.Outputs, size),
        ops=dict(ops.most_common()),
        parameters=sum(math.prod(_known(_shape(tensor, size))) for tensor in constants),
        macs=sum(_macs(_op(codes, node), node, shapes) for node in nodes),
        memory=plan_of(data),
        details={
            "version": str(model.Version()),
            "description": (model.Description() or b"").decode("utf-8", "replace"),
        },
    )


def _count(length: int, size: int) -> int:
    """A vector's length, no longer than the file could hold."""
    if length * _SMALLEST_ITEM > size:
        raise ValueError(f"a list announces {length} entries, the file has {size} bytes")
    return length


def _op(codes: list[Any], node: Any) -> str:
    code = codes[_index(node.OpcodeIndex(), codes)]
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return f"custom {(code.CustomCode() or b'').decode('utf-8', 'replace')}"
    return _OPS.get(number, f"op {number}")


def _named(tensors: list[Any], length: int, index: Callable[[int], int], size: int) -> tuple[Tensor, ...]:
    found = [tensors[_index(index(i), tensors)] for i in range(_count(length, size))]
    return tuple(_tensor(tensor, size) for tensor in found)


def _tensor(tensor: Any, size: int) -> Tensor:
    told = tensor.Quantization()
    one = told is not None and told.ScaleLength() == told.ZeroPointLength() == 1
    return Tensor(
        name=_name(tensor),
        dtype=_TYPES.get(tensor.Type(), "?"),
        shape=_shape(tensor, size),
        scale=float(told.Scale(0)) if one else None,
        zero_point=int(told.ZeroPoint(0)) if one else None,
    )


def _index(index: int, items: list[Any]) -> int:
    """Python reads a negative index from the end; a damaged file must not."""
    if not 0 <= index < len(items):
        raise ValueError(f"entry {index} of {len(items)} is referred to")
    return index


def _name(tensor: Any) -> str:
    return (tensor.Name() or b"").decode("utf-8", "replace")


def _shape(tensor: Any, size: int) -> tuple[int | None, ...]:
    """The signature says which axes are dynamic; the shape itself has a 1 there."""
    signature = [tensor.ShapeSignature(i) for i in range(_count(tensor.ShapeSignatureLength(), size))]
    dims = [tensor.Shape(i) for i in range(_count(tensor.ShapeLength(), size))]
    return tuple(None if dim < 0 else int(dim) for dim in (signature or dims))


def _is_constant(model: Any, tensor: Any, size: int) -> bool:
    buffer = tensor.Buffer()
    if not buffer:
        return False
    if buffer >= _count(model.BuffersLength(), size):
        raise ValueError(f"tensor '{_name(tensor)}' has buffer {buffer} of {model.BuffersLength()}")
    held = model.Buffers(buffer)
    if held.DataLength() > size:
        raise ValueError(f"tensor '{_name(tensor)}' announces {held.DataLength()} bytes, the file has {size}")
    return bool(held.DataLength()) or bool(held.Size())


def _macs(op: str, node: Any, shapes: list[tuple[int | None, ...]]) -> int:
    """Of one sample; weights are (O, H, W, I), (1, H, W, C) depthwise, (O, I) fully connected."""
    if op not in {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"}:
        return 0
    operands = [
        shapes[_index(node.Inputs(i), shapes)] for i in range(min(node.InputsLength(), 3)) if node.Inputs(i) >= 0
    ]
    weights, made = operands[1], math.prod(_known(shapes[_index(node.Outputs(0), shapes)]))
    match op:
        case "DEPTHWISE_CONV_2D":
            return made * math.prod(_known(weights)[1:3])
        case "TRANSPOSE_CONV":  # inputs are (output shape, weights, input); each input element meets O x H x W
            return math.prod(_known(operands[2])) * math.prod(_known(weights)[:3])
        case "BATCH_MATMUL":
            return made * _known(operands[0])[-1]
        case _:
            return made * math.prod(_known(weights)[1:])


def _known(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """With one sample in place of every dynamic axis."""
    return tuple(1 if dim is None else dim for dim in shape)
