"""Ops to bytes: the TFLite flatbuffer, by the schema classes that LiteRT ships. The same ops give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite.ops import Op, Tensor
from edgekit.lower.tflite.versions import version
from edgekit.run.tflite_bytes import tflite_bytes

SCHEMA_VERSION = 3
LAST_OLD_CODE = 127  # codes above this stand only in the new field of OperatorCode

TYPES: Mapping[np.dtype[Any], int] = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.float64): schema.TensorType.FLOAT64,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.uint16): schema.TensorType.UINT16,
    np.dtype(np.uint32): schema.TensorType.UINT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int64): schema.TensorType.INT64,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}

Named = Sequence[tuple[str, Tensor]]


def to_bytes(ops: Sequence[Op], inputs: Named, outputs: Named, metadata: Mapping[str, str]) -> bytes:
    """inputs, outputs: tensors by the model's names for them; metadata: entries by name."""
    tensors = _tensors(ops, inputs, outputs)
    index = {tensor: i for i, tensor in enumerate(tensors)}
    buffers: list[Any] = [schema.BufferT()]  # by convention buffer 0 is empty
    codes: dict[tuple[str, int], int] = {}

    model = schema.ModelT(version=SCHEMA_VERSION, description="edgekit")
    graph = schema.SubGraphT(name="main")
    graph.tensors = [_tensor(tensor, buffers) for tensor in tensors]
    graph.inputs = [index[tensor] for _, tensor in inputs]
    graph.outputs = [index[tensor] for _, tensor in outputs]
    graph.operators = [_operator(op, codes, index) for op in ops]
    model.operatorCodes = [_operator_code(code, number) for code, number in codes]
    model.subgraphs = [graph]
    model.signatureDefs = [_signature(inputs, outputs, index)]
    model.metadata = [_metadata(name, text, buffers) for name, text in sorted(metadata.items())]
    model.buffers = buffers

    return tflite_bytes(model)


def _tensors(ops: Iterable[Op], inputs: Named, outputs: Named) -> list[Tensor]:
    """Each tensor once, in the order of use."""
    found = dict.fromkeys(tensor for _, tensor in inputs)
    for op in ops:
        found.update(dict.fromkeys(t for t in (*op.inputs, *op.outputs) if t is not None))
    found.update(dict.fromkeys(tensor for _, tensor in outputs))
    return list(found)


def _tensor(tensor: Tensor, buffers: list[Any]) -> Any:
    buffer = 0
    if tensor.data is not None:
        data = np.frombuffer(np.ascontiguousarray(tensor.data).tobytes(), np.uint8)
        buffers.append(schema.BufferT(data=data))
        buffer = len(buffers) - 1
    made = schema.TensorT(shape=np.asarray(tensor.shape, np.int32), type=TYPES[tensor.dtype], buffer=buffer)
    made.name, made.hasRank = tensor.name, True
    if tensor.qparams is not None:
        scale = np.atleast_1d(tensor.qparams.scale)
        zero_point = np.full(scale.shape, tensor.qparams.zero_point, np.int64)
        made.quantization = schema.QuantizationParametersT(scale=scale, zeroPoint=zero_point)
        made.quantization.quantizedDimension = tensor.qparams.axis or 0
    return made


def _operator(op: Op, codes: dict[tuple[str, int], int], index: Mapping[Tensor, int]) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex = codes.setdefault((op.code, version(op)), len(codes))
    made.inputs = [-1 if tensor is None else index[tensor] for tensor in op.inputs]
    made.outputs = [index[tensor] for tensor in op.outputs]
    if op.options is not None:
        made.builtinOptionsType = getattr(schema.BuiltinOptions, type(op.options).__name__.removesuffix("T"))
        made.builtinOptions = op.options
    return made


def _operator_code(code: str, number: int) -> Any:
    builtin = getattr(schema.BuiltinOperator, code)
    return schema.OperatorCodeT(deprecatedBuiltinCode=min(builtin, LAST_OLD_CODE), builtinCode=builtin, version=number)


def _signature(inputs: Named, outputs: Named, index: Mapping[Tensor, int]) -> Any:
    return schema.SignatureDefT(
        inputs=[schema.TensorMapT(name=name, tensorIndex=index[tensor]) for name, tensor in inputs],
        outputs=[schema.TensorMapT(name=name, tensorIndex=index[tensor]) for name, tensor in outputs],
        signatureKey="serving_default",
        subgraphIndex=0,
    )


def _metadata(name: str, text: str, buffers: list[Any]) -> Any:
    buffers.append(schema.BufferT(data=np.frombuffer(text.encode(), np.uint8)))
    return schema.MetadataT(name=name, buffer=len(buffers) - 1)
