"""What can be read off a value or a node without running anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """The array behind an initializer or a Constant node, None where the value depends on the input."""
    if value is None or (value.is_graph_input() and value.const_value is None):
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def is_float(value: ir.Value | None) -> bool:
    """True where the value carries real numbers in float32."""
    return value is not None and value.dtype == ir.DataType.FLOAT


def shape(value: ir.Value) -> tuple[int | None, ...]:
    """The value's shape, None where an axis is dynamic."""
    assert value.shape is not None, f"{value.name} has no shape: infer shapes first"
    return tuple(d if isinstance(d, int) else None for d in value.shape)


def static_shape(value: ir.Value, batch: int = 1) -> tuple[int, ...]:
    """The value's shape with `batch` in place of every dynamic axis, "98*batch" being 98 times that."""
    assert value.shape is not None, f"{value.name} has no shape: infer shapes first"
    return tuple(d if isinstance(d, int) else _times(d) * batch for d in value.shape)


def _times(dim: ir.SymbolicDim) -> int:
    """How often the batch goes into an open axis."""
    found = _MULTIPLE.match(dim.value or "")
    return int(found[1]) if found else 1


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """An attribute's plain Python value (int, float, str, tuple), `default` where it is not given."""
    found = node.attributes.get(name)
    if found is None:
        return default
    value = found.value
    return tuple(value) if isinstance(value, (list, tuple)) else value


def only_consumer(value: ir.Value) -> ir.Node | None:
    """The one node that reads the value, None where several do or where the graph gives it away."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    return next(iter(uses)).node


def consumers(value: ir.Value) -> list[ir.Node]:
    """The nodes that read the value, each once."""
    return list(dict.fromkeys(use.node for use in value.uses()))


def real_nodes(graph: ir.Model) -> Iterator[ir.Node]:
    """The nodes of the graph that compute: all but QuantizeLinear and DequantizeLinear."""
    return (node for node in graph.graph if node.op_type not in QDQ)


def takes_batches(graph: ir.Model) -> bool:
    """Whether an axis of an input is open: one sample at a time is all that other graphs compute."""
    return any(None in shape(value) for value in graph.graph.inputs)


def is_quantized(graph: ir.Model) -> bool:
    return any(node.op_type == "QuantizeLinear" for node in graph.graph)


QDQ = frozenset({"QuantizeLinear", "DequantizeLinear"})
_MULTIPLE = re.compile(r"(\d+)\*")  # "98*batch": 98 rows of every sample along one axis


def scalar(value: ir.Value | None) -> float | None:
    """The number behind a constant with one element."""
    array = constant(value)
    return None if array is None or np.size(array) != 1 else float(np.asarray(array).reshape(()))
