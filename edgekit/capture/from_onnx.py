"""An ONNX file of any exporter -> graph: inlined, at a known opset, with sizes fixed and shapes inferred."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript import version_converter

from edgekit.artifact import Arrays
from edgekit.capture import functions, newer, older, onnx_file, shapes
from edgekit.capture.captured import BATCH, OPSET, not_finite
from edgekit.capture.noise import noise
from edgekit.capture.quiet import quiet
from edgekit.errors import EdgekitError
from edgekit.graph.pools import settle_pools

OLDEST_OPSET = 7  # from here on onnxscript converts, and before it the ONNX project's own converter
FIRST_SCAN = 9  # of the Scan that is still in use
QUIET_OPSET = 13  # below it the report says that the model was converted; it is what exporters write
# Local functions and both spellings of the standard's own domain.
STANDARD = {"", "ai.onnx"}
QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"}
# Ops whose weights must be finite; elsewhere a constant -inf may be a mask.
WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "LayerNormalization", "LSTM", "GRU", "RNN"}


def from_onnx(
    path: Path, inputs: Mapping[str, shapes.Shape], signature: shapes.Signature | None
) -> tuple[ir.Model, tuple[str, ...]]:
    """The graph, and notes. inputs: from `--input`, with the batch; signature: of the samples, without it."""
    proto = onnx_file.load(path)
    _check_ops(path, proto)
    _drop_weight_inputs(proto)
    opset = next((entry.version for entry in proto.opset_import if entry.domain in STANDARD), 0)
    if 0 < opset < OLDEST_OPSET:
        proto = _first_converted(path, proto)
    graph = _converted(path, _inlined(path, functions.write_out(proto)))
    _check_weights(path, graph)
    notes = [f"converted from opset {opset} to {OPSET}"] if opset < QUIET_OPSET else []
    notes += _fix_sizes(path, graph, inputs, signature)
    return _inferred(path, settle_pools(graph)), tuple(notes)


def _check_ops(path: Path, proto: onnx.ModelProto) -> None:
    own = {function.domain for function in proto.functions}
    for node in _nodes(proto.graph.node):
        if node.op_type in QUANTIZED or node.op_type.startswith("QLinear"):
            raise EdgekitError(
                "EK207",
                f"'{path}' is quantized already",
                f"it holds {node.op_type} ('{node.name or node.output[0]}'); edgekit starts from float32",
                "give the float model that it was made from",
            )
        if node.domain not in STANDARD | own:
            raise EdgekitError(
                "EK208",
                f"'{path}' uses an op that is not in ONNX",
                f"{node.op_type} of the domain '{node.domain}' ('{node.name or node.output[0]}')",
                "export the model with standard ops only",
            )


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _nodes(inner.node)


def _drop_weight_inputs(proto: onnx.ModelProto) -> None:
    """Exporters before 2019 list every weight among the inputs; a weight is a constant here."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    fed = [value for value in proto.graph.input if value.name not in weights]
    proto.ir_version = max(proto.ir_version, 4)  # the first in which a weight need not be an input
    del proto.graph.input[:]
    proto.graph.input.extend(fed)


def _inlined(path: Path, proto: onnx.ModelProto) -> ir.Model:
    """The model as IR, its local functions inlined, names unique and nothing unused left."""
    try:
        onnx.checker.check_model(proto)
        graph = ir.serde.deserialize_model(proto)
        result = ir.passes.Sequential(
            common.InlinePass(), common.RemoveUnusedNodesPass(), common.RemoveUnusedOpsetsPass(), common.NameFixPass()
        )(graph)
    except (onnx.checker.ValidationError, ir.passes.PassError, ValueError, KeyError) as broken:
        raise _invalid(path, broken) from broken
    return result.model


def _invalid(path: Path, broken: Exception) -> EdgekitError:
    first = (str(broken).strip().splitlines() or ["no message"])[0]
    return EdgekitError(
        "EK209", f"'{path}' is not valid ONNX", f"{type(broken).__name__}: {first[:300]}", "export the model again"
    )


def _first_converted(path: Path, proto: onnx.ModelProto) -> onnx.ModelProto:
    """A model from before broadcasting was NumPy's, after it."""
    try:
        _align_slopes(path, proto)
        return onnx.version_converter.convert_version(proto, OLDEST_OPSET)
    except (RuntimeError, ValueError) as broken:
        (opset,) = [entry.version for entry in proto.opset_import if entry.domain in STANDARD][:1]
        said = str(broken).splitlines() or [""]
        raise EdgekitError(
            "EK210",
            f"'{path}' cannot be brought to opset {OPSET}",
            f"it is opset {opset}, and ONNX's version converter gives up: {said[0][-200:]}",
            f"export it again with opset_version={OPSET}",
        ) from broken


def _align_slopes(path: Path, proto: onnx.ModelProto) -> None:
    """PRelu had one slope per channel before opset 7, along axis 1 whatever the rank; the converter forgets it."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in (*graph.input, *graph.value_info)}
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "PRelu":
            continue
        slope = weights.get(node.input[1])
        if slope is None or node.input[0] not in ranks:
            raise _invalid(path, ValueError(f"the slopes of '{node.name or node.output[0]}' are computed"))
        if len(slope.dims) == 1 and slope.dims[0] > 1:
            slope.dims.extend([1] * (ranks[node.input[0]] - 2))


def _converted(path: Path, graph: ir.Model) -> ir.Model:
    """The same model at opset 20 to 24, the versions that the stages know."""
    opset = graph.opset_imports.get("", 0)
    if not 0 < opset <= newer.KNOWN:
        raise EdgekitError(
            "EK210",
            f"'{path}' is of an opset that edgekit does not read",
            f"it is opset {opset}; 1 to {newer.KNOWN} are read",
            f"export it again with opset_version={OPSET}, or convert it with onnx.version_converter",
        )
    if opset < FIRST_SCAN and any(node.op_type == "Scan" for node in graph.graph):
        raise EdgekitError(
            "EK210",
            f"'{path}' cannot be brought to opset {OPSET}",
            f"it is opset {opset}, in which Scan has a batch axis of its own, which no newer Scan has",
            f"export it again with opset_version={OPSET}",
        )
    if opset > newer.RUN and (op := newer.under_newest_run(graph)) is not None:
        raise EdgekitError(
            "EK210",
            f"'{path}' is of an opset that edgekit does not read",
            f"it is opset {opset}, in which {op} has a form that opset {newer.RUN} lacks",
            f"export it again with opset_version={OPSET}",
        )
    if opset >= OPSET:
        return graph
    with quiet():
        version_converter.convert_version(graph, OPSET, fallback=True)
    if graph.opset_imports.get("", 0) != OPSET:
        raise EdgekitError(
            "EK210",
            f"'{path}' cannot be brought to opset {OPSET}",
            f"it is opset {opset}, and an op in it has no newer form",
            f"export it again with opset_version={OPSET}",
        )
    older.restore_meaning(graph, opset)
    return graph


def _check_weights(path: Path, graph: ir.Model) -> None:
    """Weights are float32 and finite; no constant is NaN."""
    for name, value in graph.graph.initializers.items():
        assert value.const_value is not None, "onnx_file.load brought every tensor into memory"
        weighs = any(node.op_type in WEIGHTED for node, _ in value.uses())
        if weighs and value.const_value.dtype in OTHER_FLOATS:
            raise shapes.not_float32(str(path), name, value.const_value.dtype.name.lower())
        array = value.const_value.numpy()
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        if count := int((~np.isfinite(array) if weighs else np.isnan(array)).sum()):
            raise not_finite(str(path), name, count, array.size)


def _fix_sizes(
    path: Path, graph: ir.Model, inputs: Mapping[str, shapes.Shape], signature: shapes.Signature | None
) -> list[str]:
    """Give every open size but the batch its number, everywhere; call the batch 'batch'. Returns notes.

    An input of fixed sizes that is no batch of 1 stays as it is, where no samples are given: those come in batches.
    """
    held = {str(value.name): _open_shape(path, value, whole=signature is None) for value in graph.graph.inputs}
    settled, _ = shapes.complete(str(path), held, inputs, signature)
    names: dict[str, str | int] = {}
    notes: set[str] = set()
    for value, fed in zip(graph.graph.inputs, settled, strict=True):
        if _is_whole(value):
            notes.add(shapes.NO_BATCH)
            continue
        assert value.shape is not None
        first, *rest = value.shape
        if isinstance(first, int):
            notes.add(shapes.FIXED_AT_ONE)
        names |= {str(d): size for d, size in zip(rest, fed.shape, strict=True) if not isinstance(d, int)}
        names |= {} if isinstance(first, int) else {str(first): BATCH}
        value.shape = ir.Shape([first if isinstance(first, int) else BATCH, *fed.shape])
    for node in graph.graph.all_nodes():
        for value in node.outputs:
            _rename_sizes(value, names)
    return sorted(notes)


def synthesized(path: Path, graph: ir.Model, count: int) -> Arrays:
    """Noise for every input. Raises EK206 or EK212 for an input without a batch, which no samples fit."""
    fed = {str(value.name): _open_shape(path, value, whole=False) for value in graph.graph.inputs}
    inputs = [shapes.Input(name, tuple(d or 1 for d in shape), dtype) for name, (shape, dtype) in fed.items()]
    return noise(inputs, count, 0)


def _is_whole(value: ir.Value) -> bool:
    """Whether the input is one tensor of fixed sizes without a batch of 1: a scalar, or several rows at once."""
    return value.shape is not None and value.shape.is_static() and (value.shape.rank() == 0 or value.shape[0] != 1)


def _open_shape(path: Path, value: ir.Value, *, whole: bool) -> shapes.OpenShape:
    """The shape without the batch. whole: inputs without one are taken."""
    name = str(value.name)
    if value.shape is None or not isinstance(value.type, ir.TensorType):
        raise shapes.no_batch(str(path), name, "no plain tensor")
    if value.type.dtype not in FED:
        raise shapes.not_float32(str(path), name, value.type.dtype.name.lower())
    if _is_whole(value) and whole:
        return tuple(d for d in value.shape if isinstance(d, int))[1:], str(value.type.dtype.numpy())
    if value.shape.rank() == 0:
        raise shapes.no_batch(str(path), name, "a scalar")
    first, *rest = value.shape
    if isinstance(first, int) and first != 1:
        raise shapes.fixed_batch(str(path), name, first)
    return tuple(d if isinstance(d, int) else None for d in rest), str(value.type.dtype.numpy())


OTHER_FLOATS = {ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
FED = {ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.INT32, ir.DataType.UINT8, ir.DataType.INT8, ir.DataType.BOOL}


def _rename_sizes(value: ir.Value, names: Mapping[str, str | int]) -> None:
    """Sizes computed from open ones ('2*height') are forgotten, inference finds them again."""
    if value.shape is None or value.shape.is_static():
        return
    value.shape = ir.Shape([d if isinstance(d, int) else names.get(str(d)) for d in value.shape])


def _inferred(path: Path, graph: ir.Model) -> ir.Model:
    """The same graph with a type and shape on every value that has one."""
    try:
        proto = onnx.shape_inference.infer_shapes(
            ir.serde.serialize_model(graph), check_type=True, strict_mode=True, data_prop=True
        )
    except (onnx.shape_inference.InferenceError, ValueError) as broken:
        raise _invalid(path, broken) from broken
    return ir.serde.deserialize_model(proto)
