"""A TFLite file's kernels: one per op, read from the flatbuffer without a runtime or the weights."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import EdgekitError
from edgekit.profile.kernels import Kernel, Kind, Precision

_OPS: dict[int, str] = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
FREE = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SHAPE", "RANK"})  # the buffer stays as it is
KINDS: dict[str, Kind] = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "TRANSPOSE_CONV": "transpose-conv",
    "FULLY_CONNECTED": "dense",
    "BATCH_MATMUL": "matmul",
    "SOFTMAX": "softmax",
    "LOG_SOFTMAX": "softmax",
    "RESIZE_BILINEAR": "resize",
    "RESIZE_NEAREST_NEIGHBOR": "resize",
    "QUANTIZE": "convert",
    "DEQUANTIZE": "convert",
    "CAST": "convert",
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), "pool"),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "ARG_MAX", "ARG_MIN"), "reduce"),
    **dict.fromkeys(("UNIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "RNN"), "recurrent"),
    **dict.fromkeys(("GATHER", "GATHER_ND", "EMBEDDING_LOOKUP", "SCATTER_ND", "ONE_HOT"), "lookup"),
    **dict.fromkeys(("HARD_SWISH", "LOGISTIC", "TANH", "GELU", "ELU", "EXP", "LOG", "SQRT", "RSQRT", "POW"), "curve"),
    **dict.fromkeys(("SIN", "COS", "DIV"), "curve"),
    **dict.fromkeys(("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "SELECT"), "elementwise"),
    **dict.fromkeys(("SELECT_V2", "ADD_N", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"), "elementwise"),
    **dict.fromkeys(("LEAKY_RELU", "PRELU", "ABS", "NEG", "SQUARE", "SIGN", "GREATER"), "elementwise"),
    **dict.fromkeys(("GREATER_EQUAL", "LESS", "LESS_EQUAL", "EQUAL", "NOT_EQUAL", "LOGICAL_AND"), "elementwise"),
    **dict.fromkeys(("LOGICAL_OR", "LOGICAL_NOT", "FLOOR", "CEIL", "ROUND", "CUMSUM"), "elementwise"),
    **dict.fromkeys(("CONCATENATION", "PAD", "PADV2", "MIRROR_PAD", "TRANSPOSE", "SLICE", "STRIDED_SLICE"), "move"),
    **dict.fromkeys(("SPLIT", "SPLIT_V", "PACK", "UNPACK", "TILE", "BROADCAST_TO", "DEPTH_TO_SPACE"), "move"),
    **dict.fromkeys(("SPACE_TO_DEPTH", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "REVERSE_V2", "FILL"), "move"),
    **dict.fromkeys(("ZEROS_LIKE",), "move"),
}
FLOATS = frozenset({schema.TensorType.FLOAT32, schema.TensorType.FLOAT16})
_POOLS = {"AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"}


def kernels_of_tflite(path: Path) -> tuple[Kernel, ...]:
    """In the order they run; dynamic axes count as one sample. Raises EK710 where the file is damaged."""
    data = path.read_bytes()
    try:
        return _Reader(schema.Model.GetRootAsModel(data, 0)).kernels()
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as broken:
        raise EdgekitError(
            "EK710",
            f"cannot read the kernels of '{path}'",
            f"it is no whole TFLite file: {broken}",
            "convert the model again; `edgekit inspect` shows what a file holds",
        ) from broken


class _Reader:
    """shapes, types: of every tensor; constants: whether it is one."""

    def __init__(self, model: Any) -> None:
        graph = model.Subgraphs(0)
        self.codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
        self.nodes = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
        self.shapes = [_shape(tensor) for tensor in tensors]
        self.types = [tensor.Type() for tensor in tensors]
        self.scales = [_scales(tensor) for tensor in tensors]
        self.constants = [_holds(model.Buffers(tensor.Buffer())) for tensor in tensors]

    def kernels(self) -> tuple[Kernel, ...]:
        made = [self.kernel(node, index) for index, node in enumerate(self.nodes)]
        return tuple(kernel for kernel in made if kernel is not None)

    def kernel(self, node: Any, index: int) -> Kernel | None:
        op = self.op(node)
        operands = [node.Inputs(i) for i in range(node.InputsLength()) if node.Inputs(i) >= 0]
        results = [node.Outputs(i) for i in range(node.OutputsLength())]
        if op in FREE or not results or all(self.constants[operand] for operand in operands):
            return None
        kind = KINDS.get(op, "other")
        activations = [operand for operand in operands if not self.constants[operand]]
        weights = self.weights(kind, operands, activations)
        made = self.shapes[results[0]]
        shape = self.shapes[weights] if weights is not None else ()
        taps = self.taps(kind, op, node, shape)
        depthwise = kind == "depthwise"
        return Kernel(
            name=f"{op.lower()}_{index}",
            op=op,
            kind=kind,
            precision=self.precision(activations, results, weights),
            macs=self.macs(kind, shape, operands, made),
            inputs=sum(math.prod(self.shapes[operand]) for operand in activations),
            outputs=sum(math.prod(self.shapes[result]) for result in results),
            weights=math.prod(shape) if shape else 0,
            taps=taps,
            stride=_stride(node, kind),
            groups=shape[-1] if depthwise else self.groups(kind, activations, shape),
            depth=1 if depthwise else (shape[-1] if shape else 1),
            per_channel=weights is not None and self.scales[weights] > 1,
            floats=kind == "convert" and any(self.types[i] in FLOATS for i in (*activations, *results)),
        )

    def op(self, node: Any) -> str:
        code = self.codes[node.OpcodeIndex()]
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == schema.BuiltinOperator.CUSTOM:
            return f"custom {(code.CustomCode() or b'').decode('utf-8', 'replace')}"
        return _OPS.get(number, f"op {number}")

    def weights(self, kind: Kind, operands: list[int], activations: list[int]) -> int | None:
        if kind in {"conv", "depthwise", "transpose-conv", "dense"}:
            return operands[1]
        if kind in {"matmul", "recurrent"}:
            return next((operand for operand in operands[1:] if operand not in activations), None)
        return None

    def taps(self, kind: Kind, op: str, node: Any, weights: tuple[int, ...]) -> tuple[int, int]:
        """Weights are (O, H, W, I), (1, H, W, C) depthwise, (O, I) fully connected."""
        if kind in {"conv", "depthwise", "transpose-conv"}:
            return weights[1], weights[2]
        if op in _POOLS:
            options = _options(node, schema.Pool2DOptions())
            return options.FilterHeight(), options.FilterWidth()
        return 1, 1

    def groups(self, kind: Kind, activations: list[int], weights: tuple[int, ...]) -> int:
        """A grouped convolution's weights are as deep as one group of its input."""
        return max(1, self.shapes[activations[0]][-1] // weights[-1]) if kind == "conv" else 1

    def macs(self, kind: Kind, weights: tuple[int, ...], operands: list[int], made: tuple[int, ...]) -> int:
        match kind:
            case "conv" | "dense":
                return math.prod(made) * math.prod(weights[1:])
            case "depthwise":
                return math.prod(made) * weights[1] * weights[2]
            case "transpose-conv":  # inputs are (output shape, weights, input)
                return math.prod(self.shapes[operands[2]]) * math.prod(weights[:3])
            case "matmul":
                return math.prod(made) * self.shapes[operands[0]][-1]
            case "recurrent":
                steps = self.shapes[operands[0]][-2] if len(self.shapes[operands[0]]) > 2 else 1
                matrices = [self.shapes[i] for i in operands if self.constants[i] and len(self.shapes[i]) == 2]
                return steps * sum(math.prod(shape) for shape in matrices)
            case _:
                return 0

    def precision(self, activations: list[int], results: list[int], weights: int | None) -> Precision:
        types = {self.types[i] for i in (*activations, *results)}
        integers = {schema.TensorType.INT8, schema.TensorType.UINT8}
        if types & integers:
            return "int8"
        if schema.TensorType.INT16 in types:
            return "int16x8"
        if schema.TensorType.FLOAT16 in types:
            return "float16"
        return "int8-dynamic" if weights is not None and self.types[weights] in integers else "float32"


def _shape(tensor: Any) -> tuple[int, ...]:
    dims = [tensor.ShapeSignature(i) for i in range(tensor.ShapeSignatureLength())]
    dims = dims or [tensor.Shape(i) for i in range(tensor.ShapeLength())]
    return tuple(max(1, int(dim)) for dim in dims)


def _scales(tensor: Any) -> int:
    told = tensor.Quantization()
    return 0 if told is None else int(told.ScaleLength())


def _holds(buffer: Any) -> bool:
    return bool(buffer.DataLength()) or bool(buffer.Size())


def _stride(node: Any, kind: Kind) -> int:
    match kind:
        case "conv":
            return int(_options(node, schema.Conv2DOptions()).StrideH())
        case "depthwise":
            return int(_options(node, schema.DepthwiseConv2DOptions()).StrideH())
        case "transpose-conv":
            return int(_options(node, schema.TransposeConvOptions()).StrideH())
        case "pool":
            return int(_options(node, schema.Pool2DOptions()).StrideH())
        case _:
            return 1


def _options(node: Any, options: Any) -> Any:
    table = node.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options
