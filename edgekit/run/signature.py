"""The inputs and outputs of a file that somebody hands in, read without running it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from edgekit import affine
from edgekit.artifact import METADATA_KEY, Artifact, Precision, TensorSpec
from edgekit.errors import EdgekitError

TFLITE_MARK = b"TFL3"  # the flatbuffer's file identifier, at offset 4
NHWC = (0, 2, 3, 1)


def is_tflite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] == TFLITE_MARK


def is_lowered(path: Path) -> bool:
    """True for a TFLite or ONNX file, by its first bytes: an ONNX file opens with its ir_version, a varint."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(8)
    return head[4:] == TFLITE_MARK or (head[:1] == b"\x08" and path.suffix.lower() == ".onnx")


def opened(path: Path) -> Artifact:
    """The artifact in a file. Raises EK103 where the file is not whole."""
    try:
        return _tflite(path) if is_tflite(path) else _onnx(path)
    except EdgekitError:
        raise
    except Exception as broken:  # flatbuffers and protobuf raise whatever a wrong offset leads to
        raise EdgekitError(
            "EK103",
            f"cannot read '{path}'",
            f"{type(broken).__name__}: {broken}",
            "check that it is a whole ONNX or TFLite file; `edgekit inspect` says what it finds",
        ) from None


def _onnx(path: Path) -> Artifact:
    model = onnx.load(path, load_external_data=False)
    if not model.graph.output:  # what protobuf reads out of nothing
        raise ValueError("it holds no graph")
    metadata = _metadata({prop.key: prop.value for prop in model.metadata_props}.get(METADATA_KEY))
    initializers = {tensor.name for tensor in model.graph.initializer}
    qparams = {
        name: affine.QParams(np.asarray(np.float32(io["scale"])), int(io["zero_point"]), np.dtype(io["dtype"]))
        for name, io in metadata.get("io", {}).items()
    }
    nhwc = metadata.get("layout") == "nhwc"
    specs = [
        tuple(_onnx_spec(value, nhwc, qparams.get(value.name)) for value in ends if value.name not in initializers)
        for ends in (model.graph.input, model.graph.output)
    ]
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    halved = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    return Artifact(
        path=path,
        format="onnx",
        precision=_precision(metadata, quantized=quantized, halved=halved),
        inputs=specs[0],
        outputs=specs[1],
    )


def _onnx_spec(value: onnx.ValueInfoProto, nhwc: bool, qparams: affine.QParams | None) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_value or None for dim in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(name=value.name, dtype=dtype, shape=shape, axes=_axes(shape, nhwc), qparams=qparams)


def _tflite(path: Path) -> Artifact:
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    graph = model.subgraphs[0]
    metadata = _metadata(_tflite_metadata(model))
    nhwc = metadata.get("layout") == "nhwc"
    names = _signature_names(model)
    specs = [
        tuple(_tflite_spec(graph.tensors[i], names.get(int(i)), nhwc) for i in ends)
        for ends in (graph.inputs, graph.outputs)
    ]
    quantized = any(tensor.type == schema.TensorType.INT8 for tensor in graph.tensors)
    halved = any(tensor.type == schema.TensorType.FLOAT16 for tensor in graph.tensors)
    return Artifact(
        path=path,
        format="tflite",
        precision=_precision(metadata, quantized=quantized, halved=halved),
        inputs=specs[0],
        outputs=specs[1],
        batch=int(metadata.get("batch", 1)),
    )


def _tflite_spec(tensor: Any, name: str | None, nhwc: bool) -> TensorSpec:
    dtype = _TFLITE_TYPES[tensor.type]
    shape = tuple(int(d) for d in tensor.shape)
    return TensorSpec(
        name=name or tensor.name.decode(),
        dtype=dtype,
        shape=shape,
        axes=_axes(shape, nhwc),
        qparams=_tflite_qparams(tensor.quantization, dtype),
    )


_TFLITE_TYPES = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}


def _tflite_qparams(quantization: Any, dtype: str) -> affine.QParams | None:
    if quantization is None or quantization.scale is None or len(quantization.scale) != 1 or "int" not in dtype:
        return None
    scale, zero_point = quantization.scale[0], quantization.zeroPoint[0]
    return affine.QParams(np.asarray(np.float32(scale)), int(zero_point), np.dtype(dtype))


def _signature_names(model: Any) -> dict[int, str]:
    """Tensor index -> the name that the signature gives it."""
    found: dict[int, str] = {}
    for signature in model.signatureDefs or ():
        for entry in [*(signature.inputs or ()), *(signature.outputs or ())]:
            found[int(entry.tensorIndex)] = entry.name.decode()
    return found


def _tflite_metadata(model: Any) -> str | None:
    for entry in model.metadata or ():
        if entry.name.decode() == METADATA_KEY:
            return bytes(model.buffers[entry.buffer].data).decode()
    return None


def _precision(metadata: Mapping[str, Any], *, quantized: bool, halved: bool) -> Precision:
    """What edgekit wrote down, or what the tensors of a file from elsewhere look like."""
    known: Mapping[str, Precision] = {name: name for name in get_args(Precision)}
    if (written := known.get(metadata.get("precision", ""))) is not None:
        return written
    return "int8" if quantized else "float16" if halved else "float32"


def _metadata(text: str | None) -> dict[str, Any]:
    """What edgekit wrote into the file; nothing for a file of another tool."""
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def _axes(shape: Sequence[int | None], nhwc: bool) -> tuple[int, ...] | None:
    return NHWC if nhwc and len(shape) == 4 else None
