"""An ONNX file -> protobuf with all weights in memory, nothing read from outside the model's folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import external_data_helper

from edgekit.errors import EdgekitError


def load(path: Path) -> onnx.ModelProto:
    """The model in `path`, its external data checked and read."""
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as broken:
        raise EdgekitError(
            "EK103",
            f"'{path}' is damaged or no ONNX model",
            f"it cannot be parsed ({broken}); it has {path.stat().st_size} bytes",
            "copy or export the model again",
        ) from broken
    if not model.HasField("graph") or not model.graph.output:
        raise EdgekitError(
            "EK103",
            f"'{path}' is no ONNX model",
            "it holds no graph with outputs",
            "copy or export the model again",
        )
    folder = path.resolve().parent
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _check_external(path, folder, tensor)
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    return model


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a graph, those in attributes and in the branches of If and Loop too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t] if attribute.HasField("t") else attribute.tensors
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _tensors(inner)


def _check_external(model: Path, folder: Path, tensor: onnx.TensorProto) -> None:
    """The data file lies in the model's folder (links followed) and holds the bytes that the tensor declares."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    data = (folder / location).resolve()
    if not location or Path(location).is_absolute() or ".." in Path(location).parts or not data.is_relative_to(folder):
        raise EdgekitError(
            "EK112",
            f"'{model}' keeps weights outside its folder",
            f"'{tensor.name}' is at '{location}', which leads to '{data}'",
            "put the data file beside the model and save it with a relative location",
        )
    if not data.is_file():
        raise EdgekitError(
            "EK113",
            f"a part of '{model}' is missing",
            f"'{tensor.name}' is in '{location}', which is not there",
            "copy the data file beside the model",
        )
    size = data.stat().st_size
    needed = math.ceil(math.prod(tensor.dims) * _bits(tensor.data_type) / 8)
    offset, length = _number(entries.get("offset"), 0), _number(entries.get("length"), needed)
    if offset is None or length is None or length != needed or offset + length > size:
        raise EdgekitError(
            "EK113",
            f"the data of '{tensor.name}' in '{model}' does not fit",
            f"it needs {needed} bytes and declares {entries.get('length', 'none')} at {entries.get('offset', '0')}; "
            f"'{location}' has {size}",
            "copy or export the model and its data file again, together",
        )


def _number(text: str | None, default: int) -> int | None:
    """A declared count of bytes, None where it is not one."""
    if text is None:
        return default
    return int(text) if text.isdecimal() else None


def _bits(data_type: int) -> int:
    names = onnx.TensorProto.DataType
    if data_type in (names.Value("INT4"), names.Value("UINT4")):
        return 4
    return int(onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize) * 8
