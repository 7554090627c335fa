"""From the graph to a TFLite file.

The file is written directly, by the schema classes of LiteRT: no TensorFlow, no intermediate converter, and the
integers of the quantized graph are stored as they are. What we gave up is TensorFlow's op fusion: the graph must come
in simplified. What would change our mind is a converter that takes quantized parameters as given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgekit.artifact import TensorSpec
from edgekit.graph.pools import settle_pools
from edgekit.lower.tflite import (
    activation,
    comparison,
    convolution,
    curves,
    elementwise,
    flatbuffer,
    groups,
    index,
    kernels,
    layout,
    matrix,
    normalization,
    pooling,
    qdq,
    reduction,
    refuse,
    resize,
    rewrite,
    rows,
    sampling,
    shape,
    shuffles,
    spread,
)
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.ops import Node, Op, Program, Tensor, Value, plain
from edgekit.lower.tflite.read import read
from edgekit.lower.tflite.rules import obey


@dataclass(frozen=True, kw_only=True)
class TFLiteFile:
    """transposes: how many TRANSPOSE ops the layout could not avoid; transposed_bytes: what they write in one run."""

    data: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    transposes: int
    transposed_bytes: int


def to_tflite(graph: ir.Model, *, nhwc: bool, io_int8: bool, metadata: Mapping[str, str]) -> TFLiteFile:
    """graph: float, or QDQ; nhwc: take and give rank-4 tensors channels last; io_int8: integers where quantized."""
    _check_known(graph, qdq.FOLDED)
    graph = qdq.with_batch_one(settle_pools(graph))
    _check_known(graph)
    _check_sizes(graph)
    program = obey(spread.spread(groups.absorb_groups(read(graph, io_int8=io_int8))))
    program = rows.absorb_rows(rewrite.absorb_unflattens(rewrite.exchange_depth(shuffles.absorb_shuffles(program))))
    program = rewrite.absorb_flattens(program, layout.choose(program, nhwc=nhwc))
    draft = lowered(program, layout.choose(program, nhwc=nhwc))
    inputs = [(name, draft.take(value, layout.border(value, nhwc))) for name, value in program.inputs]
    outputs = [(name, draft.take(value, layout.border(value, nhwc))) for name, value in program.outputs]
    ops = used(draft.ops, [tensor for _, tensor in outputs])
    kernels.check(ops)
    transposes = [op for op in ops if op.code == "TRANSPOSE"]
    return TFLiteFile(
        data=flatbuffer.to_bytes(ops, inputs, outputs, metadata),
        inputs=tuple(spec(name, value, nhwc) for name, value in program.inputs),
        outputs=tuple(spec(name, value, nhwc) for name, value in program.outputs),
        transposes=len(transposes),
        transposed_bytes=sum(op.outputs[0].size_bytes for op in transposes),
    )


def _check_known(graph: ir.Model, also: frozenset[str] = frozenset()) -> None:
    """also: ops that go when the batch is known."""
    for node in graph.graph:
        known = any(node.op_type in ops for ops in (LOWERINGS, ABSORBED, spread.POOLS, also))
        if not known or node.domain not in ("", "ai.onnx"):
            raise refuse.no_op(node)


def _check_sizes(graph: ir.Model) -> None:
    for value in graph.graph.outputs:
        if 0 in qdq.fixed_shape(value):
            raise refuse.no_elements(value)


def lowered(program: Program, orders: layout.Layout) -> Draft:
    draft = Draft(orders)
    for _, value in program.inputs:
        draft.output(value)
    for node in program.nodes:
        draft.node = node
        LOWERINGS[node.op](draft, node)
    return draft


def used(ops: Sequence[Op], outputs: Sequence[Tensor]) -> list[Op]:
    """The ops that the outputs need."""
    needed: set[Tensor | None] = set(outputs)
    kept: list[Op] = []
    for op in reversed(ops):
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
            kept.append(op)
    return kept[::-1]


def spec(name: str, value: Value, nhwc: bool) -> TensorSpec:
    order = layout.border(value, nhwc)
    return TensorSpec(
        name=name,
        dtype=value.dtype.name,
        shape=tuple(value.shape[axis] for axis in order),
        axes=None if order == plain(value.rank) else order,
        qparams=value.qparams,
    )


ABSORBED = frozenset({"Constant", "QuantizeLinear", "DequantizeLinear"})  # by reading

LOWERINGS: Mapping[str, Callable[[Draft, Node], None]] = {
    **dict.fromkeys(activation.UNARY, activation.unary),
    **dict.fromkeys(curves.FUNCTIONS, curves.function),
    **dict.fromkeys(curves.FAMILIES, curves.family),
    **dict.fromkeys(elementwise.ARITHMETIC, elementwise.arithmetic),
    **dict.fromkeys(elementwise.EXTREMES, elementwise.extremes),
    **dict.fromkeys(elementwise.BITWISE, elementwise.bitwise),
    **dict.fromkeys(comparison.BINARY, comparison.binary),
    **dict.fromkeys(reduction.REDUCERS, reduction.reduction),
    **dict.fromkeys(reduction.COMPOSED, reduction.composed),
    **dict.fromkeys(reduction.PLACES, reduction.place),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), shape.reshape),
    "Abs": activation.absolute,
    "AveragePool": pooling.average_pool,
    "BatchNormalization": normalization.batch_normalization,
    "BitShift": elementwise.bit_shift,
    "BitwiseNot": elementwise.bitwise_not,
    "Cast": shape.cast,
    "Clip": activation.clip,
    "Concat": shape.concat,
    "Conv": convolution.convolution,
    "ConstantOfShape": shape.filled,
    "ConvTranspose": convolution.transposed_convolution,
    "CumSum": reduction.running_sum,
    "DepthToSpace": shape.depth_to_space,
    "Expand": shape.expand,
    "Gather": index.gather,
    "GatherElements": index.gather_elements,
    "GatherND": index.gather_nd,
    "Gelu": activation.gelu,
    "Gemm": matrix.gemm,
    "GlobalAveragePool": pooling.global_average_pool,
    "GlobalMaxPool": pooling.global_max_pool,
    "GroupNormalization": normalization.group_normalization,
    "GridSample": sampling.grid_sample,
    "HardSigmoid": activation.hard_sigmoid,
    "Hardmax": index.hardmax,
    "Identity": shape.identity,
    "InstanceNormalization": normalization.instance_normalization,
    "IsInf": comparison.is_inf,
    "IsNaN": comparison.is_nan,
    "LRN": normalization.local_response_normalization,
    "LayerNormalization": normalization.layer_normalization,
    "LeakyRelu": activation.leaky_relu,
    "LogSoftmax": activation.log_softmax,
    "LpNormalization": normalization.lp_normalization,
    "MatMul": matrix.matmul,
    "MaxPool": pooling.max_pool,
    "Mean": elementwise.mean,
    "MeanVarianceNormalization": normalization.mean_variance_normalization,
    "Mod": elementwise.modulo,
    "Not": comparison.not_,
    "OneHot": index.one_hot,
    "PRelu": activation.prelu,
    "Pad": shape.pad,
    "Pow": elementwise.power,
    "RMSNormalization": normalization.rms_normalization,
    "Reciprocal": elementwise.reciprocal,
    "Relu": activation.clip,
    "Requantize": activation.requantize,
    "Resize": resize.resize,
    "ReverseSequence": index.reverse_sequence,
    "ScatterElements": index.scatter_elements,
    "ScatterND": index.scatter_nd,
    "Sign": activation.sign,
    "Slice": shape.slice_,
    "Softmax": activation.softmax,
    "SpaceToDepth": shape.space_to_depth,
    "Split": shape.split,
    "Sum": elementwise.total,
    "Tile": shape.tile,
    "TopK": reduction.top_k,
    "Transpose": shape.transpose,
    "Where": comparison.where,
}
