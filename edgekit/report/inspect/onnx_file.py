"""What an ONNX file holds: read from its protobuf, without its external data and without a runtime."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes import common as passes

from edgekit.artifact import METADATA_KEY
from edgekit.graph import cost
from edgekit.report.inspect.contents import Contents, Tensor, damaged, unknown


def read_onnx(path: Path) -> Contents:
    graph = _load(path)
    opset = graph.graph.opset_imports.get("", 0)
    io = _quantized(graph)
    inputs = tuple(_tensor(value, io) for value in graph.graph.inputs if value.name not in graph.graph.initializers)
    details = {"opset": str(opset), "producer": f"{graph.producer_name or '?'} {graph.producer_version or ''}".strip()}
    details |= {key: value for key, value in graph.metadata_props.items() if key.startswith("edgekit")}
    ops = Counter(node.op_type if not node.domain else f"{node.domain}.{node.op_type}" for node in graph.graph)
    return Contents(
        kind="ONNX",
        inputs=inputs,
        outputs=tuple(_tensor(value, io) for value in graph.graph.outputs),
        ops=dict(ops.most_common()),
        parameters=sum(_elements(value) for value in graph.graph.initializers.values()),
        macs=_macs(graph),
        details=details,
    )


def _load(path: Path) -> ir.Model:
    """The format has no magic bytes: what parses and holds a graph with outputs is ONNX."""
    try:
        graph = ir.load(path)
    except Exception as broken:
        why = f"it is no kind of file that edgekit knows, and not ONNX either: {str(broken).partition(chr(10))[0]}"
        raise unknown(path, why) from broken
    if not graph.graph.outputs:
        raise damaged(path, "read as ONNX it holds no graph with outputs")
    return graph


def _macs(graph: ir.Model) -> int | None:
    """None where the file does not tell the shapes that the sum needs."""
    try:
        return sum(cost.macs(node) for node in _with_shapes(graph).graph)
    except (AssertionError, IndexError, TypeError):
        return None


def _with_shapes(graph: ir.Model) -> ir.Model:
    """Shapes follow from the inputs' where exporters left them out; weights are not needed and not read."""
    known = all(value.shape is not None for node in graph.graph for value in node.outputs)
    return graph if known else passes.ShapeInferencePass()(graph).model


def _quantized(graph: ir.Model) -> dict[str, tuple[float, int]]:
    """Scale and zero point of inputs and outputs, as edgekit noted them; nothing from notes of another form."""
    try:
        noted = json.loads(graph.metadata_props.get(METADATA_KEY, "{}"))["io"]
        return {name: (float(told["scale"]), int(told["zero_point"])) for name, told in noted.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _tensor(value: ir.Value, io: Mapping[str, tuple[float, int]]) -> Tensor:
    dims = () if value.shape is None else tuple(dim if isinstance(dim, int) else None for dim in value.shape)
    scale, zero_point = io.get(value.name or "", (None, None))
    return Tensor(name=value.name or "", dtype=_dtype(value), shape=dims, scale=scale, zero_point=zero_point)


def _dtype(value: ir.Value) -> str:
    return "?" if value.dtype is None else str(value.dtype.numpy())


def _elements(value: ir.Value) -> int:
    if value.const_value is None:
        return 0
    return math.prod(dim for dim in value.const_value.shape.numpy())
