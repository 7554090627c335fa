"""TFLite files of one op each that edgekit does not write, but other converters do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

Shape = tuple[int, ...]
Operand = Shape | np.ndarray
"""The shape of an input, or a constant."""
ROW, MATRIX, IMAGE, TILES = (4,), (3, 4), (1, 4, 4, 2), (4, 2, 2, 2)
BLOCK, NO_PADDING, ZERO = np.array([2, 2], np.int32), np.zeros((2, 2), np.int32), np.zeros((), np.int32)

# Op, settings by the name of their table in the schema, operands, results.
CASES: dict[str, tuple[str, str, dict[str, Any], Sequence[Operand], Sequence[Shape]]] = {
    "squeeze": ("SQUEEZE", "SqueezeOptions", {"squeezeDims": [0]}, [(1, 3, 4)], [MATRIX]),
    "expand": ("EXPAND_DIMS", "ExpandDimsOptions", {}, [MATRIX, np.array([0], np.int32)], [(1, 3, 4)]),
    "slice": ("SLICE", "SliceOptions", {}, [MATRIX, np.array([0, 1], np.int32), np.array([2, 2], np.int32)], [(2, 2)]),
    "pack": ("PACK", "PackOptions", {"valuesCount": 3}, [MATRIX] * 3, [(3, 3, 4)]),
    "unpack": ("UNPACK", "UnpackOptions", {"num": 3}, [MATRIX], [ROW] * 3),
    "split": (
        "SPLIT_V",
        "SplitVOptions",
        {"numSplits": 2},
        [MATRIX, np.array([1, 2], np.int32), ZERO],
        [(1, 4), (2, 4)],
    ),
    "distance": ("SQUARED_DIFFERENCE", "SquaredDifferenceOptions", {}, [MATRIX] * 2, [MATRIX]),
    "gather": ("GATHER_ND", "GatherNdOptions", {}, [MATRIX, np.array([[0], [1]], np.int32)], [(2, 4)]),
    "sum of two": ("ADD_N", "AddNOptions", {}, [MATRIX] * 2, [MATRIX]),
    "sum of three": ("ADD_N", "AddNOptions", {}, [MATRIX] * 3, [MATRIX]),
    "norm": ("L2_NORMALIZATION", "L2NormOptions", {}, [IMAGE], [IMAGE]),
    "to batch": ("SPACE_TO_BATCH_ND", "SpaceToBatchNDOptions", {}, [IMAGE, BLOCK, NO_PADDING], [TILES]),
    "to space": ("BATCH_TO_SPACE_ND", "BatchToSpaceNDOptions", {}, [TILES, BLOCK, NO_PADDING], [IMAGE]),
    "quotient": ("FLOOR_DIV", "FloorDivOptions", {}, [MATRIX] * 2, [MATRIX]),
    "zeros": ("ZEROS_LIKE", "ZerosLikeOptions", {}, [MATRIX], [MATRIX]),
    "fill": ("FILL", "FillOptions", {}, [np.array([3, 4], np.int32), ()], [MATRIX]),
}


def tflite(name: str, dtype: type[np.generic]) -> bytes:
    """dtype: of all that is not constant, np.int8 or np.float32."""
    kind, options, settings, operands, results = CASES[name]
    model = schema.ModelT(version=3, buffers=[schema.BufferT()])
    graph = schema.SubGraphT(tensors=[], inputs=[], outputs=[])
    for operand in [*operands, *results]:
        graph.tensors.append(_tensor(operand, np.dtype(dtype), model.buffers, f"t{len(graph.tensors)}"))
    inputs, outputs = list(range(len(operands))), list(range(len(operands), len(graph.tensors)))
    graph.inputs, graph.outputs = [i for i in inputs if not isinstance(operands[i], np.ndarray)], outputs
    op = schema.OperatorT(opcodeIndex=0, inputs=inputs, outputs=outputs)
    op.builtinOptionsType = getattr(schema.BuiltinOptions, options)
    op.builtinOptions = getattr(schema, f"{options}T")(**settings)
    graph.operators, model.subgraphs = [op], [graph]
    code = getattr(schema.BuiltinOperator, kind)
    model.operatorCodes = [schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=1)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _tensor(operand: Operand, dtype: np.dtype[Any], buffers: list[Any], name: str) -> Any:
    if isinstance(operand, np.ndarray):
        buffers.append(schema.BufferT(data=np.frombuffer(operand.tobytes(), np.uint8)))
        at = len(buffers) - 1
        return schema.TensorT(shape=list(operand.shape), type=schema.TensorType.INT32, name=name, buffer=at)
    tensor = schema.TensorT(shape=list(operand), name=name)
    if dtype == np.int8:
        tensor.type = schema.TensorType.INT8
        tensor.quantization = schema.QuantizationParametersT(scale=[0.1], zeroPoint=[0])
    return tensor
