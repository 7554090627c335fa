"""An ONNX file's kernels as ONNX Runtime's CPU provider fuses them.

A convolution or product takes the activation and the batch norm behind it; a node between DequantizeLinear and
QuantizeLinear runs in integers, and the pairs around it are no kernels; those at the border of the graph, and around
what computes in float, are.
"""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from edgekit.errors import EdgekitError
from edgekit.graph import cost, facts
from edgekit.profile.kernels import Kernel, Kind, Precision

_FREE = frozenset(
    {
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        "Shape",
        "Size",
        "Constant",
        "ConstantOfShape",
        "Dropout",
    }
)
_FUSED_BEHIND = frozenset(
    {"Relu", "Clip", "Tanh", "Sigmoid", "LeakyRelu", "HardSigmoid", "BatchNormalization"}
)  # by ConvActivationFusion, GemmActivationFusion and ConvBNFusion
_KINDS: dict[str, Kind] = {
    "Conv": "conv",
    "ConvTranspose": "transpose-conv",
    "Gemm": "dense",
    "MatMul": "matmul",
    "Softmax": "softmax",
    "LogSoftmax": "softmax",
    "Resize": "resize",
    "Cast": "convert",
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "recurrent"),
    **dict.fromkeys(("AveragePool", "MaxPool", "LpPool"), "pool"),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceSum", "ReduceMax"), "reduce"),
    **dict.fromkeys(("ReduceMin", "ArgMax", "ArgMin", "ReduceProd", "ReduceL1", "ReduceL2", "TopK"), "reduce"),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "OneHot"), "lookup"),
    **dict.fromkeys(("HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Gelu", "Elu", "Selu", "Exp", "Log"), "curve"),
    **dict.fromkeys(("Sqrt", "Pow", "Erf", "Mish", "Softplus", "Sin", "Cos", "Div", "Reciprocal"), "curve"),
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization"), "curve"),
    **dict.fromkeys(("Add", "Sub", "Mul", "Max", "Min", "Sum", "Where", "Relu", "Clip", "LeakyRelu"), "elementwise"),
    **dict.fromkeys(("PRelu", "Abs", "Neg", "Sign", "Greater", "GreaterOrEqual", "Less"), "elementwise"),
    **dict.fromkeys(("LessOrEqual", "Equal", "And", "Or", "Not", "Floor", "Ceil", "Round", "CumSum"), "elementwise"),
    **dict.fromkeys(("BatchNormalization",), "elementwise"),
    **dict.fromkeys(("Concat", "Pad", "Transpose", "Slice", "Split", "Tile", "Expand", "DepthToSpace"), "move"),
    **dict.fromkeys(("SpaceToDepth",), "move"),
}
_WEIGHTED = frozenset({"conv", "transpose-conv", "dense", "matmul"})


def kernels_of_onnx(path: Path) -> tuple[Kernel, ...]:
    """In the order of the file; an open batch counts as one sample. Raises EK710 where the file cannot be read."""
    try:
        inferred = onnx.shape_inference.infer_shapes(onnx.load(str(path)), data_prop=True)
        graph = ir.from_proto(inferred)
        nodes = list(graph.graph)
        made = [_kernel(node, index) for index, node in enumerate(nodes) if _is_kernel(node)]
    except (DecodeError, OSError, ValueError, AssertionError, onnx.shape_inference.InferenceError) as broken:
        raise EdgekitError(
            "EK710",
            f"cannot read the kernels of '{path}'",
            f"it is no TFLite file, and as an ONNX file: {str(broken).splitlines()[0] if str(broken) else 'damaged'}",
            "name a .tflite or an .onnx file whose shapes are known; `edgekit inspect` shows what a file holds",
        ) from broken
    return tuple(made)


def _is_kernel(node: ir.Node) -> bool:
    match node.op_type:
        case op if op in _FREE or all(facts.constant(value) is not None for value in node.inputs if value is not None):
            return False
        case "QuantizeLinear":
            source = _first(node).producer()
            return source is None or _computes_in_float(_owner(source))
        case "DequantizeLinear":
            uses = [use.node for use in node.outputs[0].uses()]
            return node.outputs[0].is_graph_output() or any(_computes_in_float(user) for user in uses)
        case op if op in _FUSED_BEHIND:
            return not _fused(node)
        case _:
            return True


def _computes_in_float(node: ir.Node) -> bool:
    """So that a pair beside it is work of its own. What only renames values does neither."""
    if node.op_type in _FREE or node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
        return False
    activations = [value for value in node.inputs if value is not None and _content(value) is None]
    return _precision(node, activations) == "float32"


def _owner(node: ir.Node) -> ir.Node:
    """The node whose kernel this one is part of."""
    while node.op_type in _FUSED_BEHIND and _fused(node):
        before = _first(node).producer()
        assert before is not None
        node = before
    return node


def _fused(node: ir.Node) -> bool:
    """Into the one product before it, perhaps behind another that is."""
    source = _first(node)
    before = source.producer()
    if before is None or facts.only_consumer(source) is not node:
        return False
    if before.op_type == "BatchNormalization":
        return _fused(before)
    return before.op_type in {"Conv", "ConvTranspose", "Gemm"}


def _kernel(node: ir.Node, index: int) -> Kernel:
    activations = [value for value in node.inputs if value is not None and _content(value) is None]
    kind = "convert" if node.op_type in {"QuantizeLinear", "DequantizeLinear"} else _KINDS.get(node.op_type, "other")
    weights = _dims(node.inputs[1]) if kind in _WEIGHTED and _content(node.inputs[1]) is not None else ()
    convolution = kind in {"conv", "transpose-conv"}
    groups = int(facts.attribute(node, "group", 1)) if convolution else 1
    depthwise = kind == "conv" and groups > 1 and weights[1:2] == (1,)
    window = tuple(facts.attribute(node, "kernel_shape", ())) if kind == "pool" else weights[2:] if convolution else ()
    return Kernel(
        name=node.name or f"{node.op_type.lower()}_{index}",
        op=node.op_type,
        kind="depthwise" if depthwise else kind,
        precision=_precision(node, activations),
        macs=0 if kind == "other" else cost.macs(node),
        inputs=sum(math.prod(_dims(value)) for value in activations),
        outputs=sum(math.prod(_dims(value)) for value in node.outputs if value.name),
        weights=math.prod(weights) if weights else 0,
        taps=(int(window[0]), math.prod(int(size) for size in window[1:])) if window else (1, 1),
        stride=int(facts.attribute(node, "strides", (1,))[0]),
        groups=groups,
        depth=_depth(node, kind, weights),
        per_channel=_per_channel(node, weights),
        floats=node.op_type in {"QuantizeLinear", "DequantizeLinear"},
    )


def _depth(node: ir.Node, kind: Kind, weights: tuple[int, ...]) -> int:
    """Input channels of one group."""
    if kind in {"conv", "transpose-conv"}:
        return weights[1]
    if kind in {"dense", "matmul"} and weights:
        return math.prod(weights) // max(1, _dims(node.outputs[0])[-1])
    return 1


def _precision(node: ir.Node, activations: list[ir.Value]) -> Precision:
    if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
        return "int8"
    quantized = any(_made_by(value, "DequantizeLinear") for value in activations)
    uses = [use.node.op_type for value in _ends(node) for use in value.uses()]
    return "int8" if quantized and "QuantizeLinear" in uses else "float32"


def _ends(node: ir.Node) -> list[ir.Value]:
    """The node's outputs, or those of the activation that it takes in."""
    followers = [use.node for value in node.outputs for use in value.uses()]
    fused = [follower for follower in followers if follower.op_type in _FUSED_BEHIND and _fused(follower)]
    return [value for behind in (fused or [node]) for value in behind.outputs]


def _per_channel(node: ir.Node, weights: tuple[int, ...]) -> bool:
    source = node.inputs[1].producer() if weights and node.inputs[1] is not None else None
    if source is None or source.op_type != "DequantizeLinear":
        return False
    return math.prod(_dims(source.inputs[1])) > 1


def _content(value: ir.Value | None) -> object:
    """The constant behind a value, also behind the DequantizeLinear of integer weights."""
    if value is None:
        return None
    source = value.producer()
    if source is not None and source.op_type == "DequantizeLinear":
        return facts.constant(source.inputs[0])
    return facts.constant(value)


def _made_by(value: ir.Value, op: str) -> bool:
    source = value.producer()
    return source is not None and source.op_type == op


def _first(node: ir.Node) -> ir.Value:
    assert node.inputs[0] is not None
    return node.inputs[0]


def _dims(value: ir.Value | None) -> tuple[int, ...]:
    assert value is not None
    return facts.static_shape(value)
