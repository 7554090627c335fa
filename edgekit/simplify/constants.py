"""What a model computes from constants and from fixed sizes is computed here, once.

One walk in execution order: a Shape of a value whose sizes are known is a constant, a node that reads only constants is
its result, and a value whose sizes depend on such a constant gets them. onnxscript's folder, which runs later, stops
where a shape is computed by more than a few ops, and leaves ConstantOfShape and Range alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import NameFixPass

from edgekit.graph import edit, facts
from edgekit.simplify.scans import can_unroll, unroll_scan
from edgekit.simplify.sizes import sizes_of

MOST_ELEMENTS = 1 << 20  # of a folded constant: position tables and masks
# What weights are standardized with, in every run alike; what it gives is no larger than they are.
OF_WEIGHTS = frozenset({"Reshape", "ReduceMean", "Add", "Sub", "Mul", "Div", "Sqrt", "Pow", "BatchNormalization"})
MOST_FILLED = 1 << 28  # of one number over and over, as models without real weights have them: 1 GiB
RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli"})
# Weights that are only stored in another form are nothing to compute.
KEPT = frozenset({*RANDOM, "Multinomial", "QuantizeLinear", "DequantizeLinear", "Constant", "If", "Loop", "Scan"})
# What ONNX's reference implementation computes in another way than ONNX Runtime, or with less precision.
OTHERWISE = frozenset({"LpNormalization", "LRN", "LSTM", "GRU", "RNN"})
# Inputs that a shape may depend on: sizes, axes, repeats.
MOST_SHAPE_ELEMENTS = 64


def fold_constants(graph: ir.Model) -> ir.Model:
    graph = graph.clone()
    opset = graph.opset_imports.get("", 0)
    for node in list(graph.graph):
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type == "If" and (chosen := facts.constant(node.inputs[0])) is not None:
            _take_branch(graph, node, "then_branch" if chosen.item() else "else_branch")
            return fold_constants(graph)  # the branch's nodes are to be walked too
        if node.op_type == "Scan" and can_unroll(node):
            unroll_scan(graph, node)
            NameFixPass()(graph)
            return fold_constants(graph)
        results = _results(node, opset)
        if results is None and any(value.name and not _is_known(value) for value in node.outputs):
            _infer(node, opset)
            _take_computed_shape(graph, node)
        results = _computed_sizes(node) if results is None else results
        if results is not None:
            _replace(graph, node, results)
    return graph


def is_computed_otherwise(node: ir.Node) -> bool:
    """Whether the reference does not stand for the runtimes: the node then stays, though it reads but constants."""
    if node.op_type != "Resize":
        return node.op_type in OTHERWISE
    x, scales = node.inputs[0], facts.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if facts.attribute(node, "coordinate_transformation_mode") != "align_corners" or not _is_static(x):
        return False
    if scales is None or not scales.size:  # by sizes
        return False
    axes = facts.attribute(node, "axes", range(len(scales)))
    sizes = scales * np.array([facts.static_shape(_given(x))[axis] for axis in axes])
    return bool(np.any(sizes != np.rint(sizes)))  # which of a fraction of a pixel is the corner


def _results(node: ir.Node, opset: int) -> list[NDArray[np.generic]] | None:
    """The outputs of a node that are known before the model runs."""
    if node.op_type == "Shape" and _is_static(node.inputs[0]):
        dims = facts.static_shape(_given(node.inputs[0]))
        return [np.array(dims[slice(facts.attribute(node, "start", 0), facts.attribute(node, "end"))], np.int64)]
    if node.op_type == "Size" and _is_static(node.inputs[0]):
        return [np.array(math.prod(facts.static_shape(_given(node.inputs[0]))), np.int64)]
    if node.op_type in KEPT or not node.inputs or is_computed_otherwise(node):
        return None
    arrays = [None if value is None else facts.constant(value) for value in node.inputs]
    if any(value is not None and array is None for value, array in zip(node.inputs, arrays, strict=True)):
        return None
    if node.op_type == "ConstantOfShape":
        return _filled(node, arrays[0])
    sizes = [array.size for array in arrays if array is not None]
    standardizes = node.op_type in OF_WEIGHTS and 0 < _gives(node) <= max(sizes)
    if max(sum(sizes), _gives(node)) > MOST_ELEMENTS and not standardizes:
        return None
    return _evaluated(node, [array for array in arrays if array is not None], opset)


def _computed_sizes(node: ir.Node) -> list[NDArray[np.generic]] | None:
    """The output of a node that computes with sizes other than the batch: half of the channels, where a split begins.

    What is behind such a split has known sizes once its bounds have, so this goes along with the walk.
    """
    output = node.outputs[0] if len(node.outputs) == 1 else None
    if output is None or node.op_type in KEPT or output.dtype != ir.DataType.INT64 or not _is_static(output):
        return None
    shape = facts.static_shape(output)
    if len(shape) > 1 or math.prod(shape) > MOST_SHAPE_ELEMENTS:
        return None
    found = sizes_of(output)
    if found is None or len(found) != math.prod(shape) or not all(isinstance(size, int) for size in found):
        return None
    return [np.array(found, np.int64).reshape(shape)]


def _take_computed_shape(graph: ir.Model, node: ir.Node) -> None:
    """Give the output of a Reshape the sizes that are computed for it: numbers, and the open sizes of inputs."""
    if node.op_type != "Reshape" or facts.constant(node.inputs[1]) is not None:
        return
    found = sizes_of(node.inputs[1])
    named = {str(dim) for value in graph.graph.inputs for dim in value.shape or () if not isinstance(dim, int)}
    if found is None or not all(size in named or (isinstance(size, int) and size > 0) for size in found):
        return
    node.outputs[0].shape = ir.Shape(found)


def _filled(node: ir.Node, target: NDArray[np.generic] | None) -> list[NDArray[np.generic]] | None:
    value = node.attributes.get("value")
    number = np.zeros(1, np.float32) if value is None else value.as_tensor().numpy()
    if target is None or math.prod(target.tolist()) > MOST_FILLED:
        return None
    return [np.full(target.tolist(), number.reshape(()))]


def _gives(node: ir.Node) -> int:
    if node.op_type == "Expand":
        target = facts.constant(node.inputs[-1])
        return 0 if target is None else math.prod(int(d) for d in target)
    return math.prod(facts.static_shape(node.outputs[0])) if node.outputs[0].shape is not None else 0


def _evaluated(node: ir.Node, arrays: list[NDArray[np.generic]], opset: int) -> list[NDArray[np.generic]] | None:
    """By ONNX's reference implementation; None where that one has no answer."""
    proto = ir.serde.serialize_node(node)
    names = [name for name in proto.input if name]
    feeds = dict(zip(names, arrays, strict=True))
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in proto.output if name]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([proto], "node", inputs, outputs), opset_imports=[onnx.helper.make_opsetid("", opset)]
    )
    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(model).run(None, feeds)
    except Exception:  # an op, a type or a setting that it lacks; the node then stays
        return None
    if not all(isinstance(array, np.ndarray | np.generic) for array in found):  # a sequence
        return None
    return [np.asarray(array) for array in found]


def _take_branch(graph: ir.Model, node: ir.Node, name: str) -> None:
    """The nodes of the branch that is always taken, where the If stood."""
    branch = node.attributes[name].as_graph()
    adopted = edit.adopt_constants(graph, branch)
    outputs = [adopted.get(value, value) for value in branch.outputs]
    inner = list(branch)
    branch.outputs.clear()
    for theirs, ours in adopted.items():
        ir.convenience.replace_all_uses_with(theirs, ours)
    branch.remove(inner)
    graph.graph.insert_before(node, inner)
    for ours, theirs in zip(node.outputs, outputs, strict=True):
        edit.take_over(graph, ours, theirs)
    graph.graph.remove(node, safe=True)
    NameFixPass()(graph)


def _replace(graph: ir.Model, node: ir.Node, results: list[NDArray[np.generic]]) -> None:
    """Constant nodes instead, since a constant may also be what the graph gives."""
    wanted = [value for value in node.outputs if value.name]
    made: list[ir.Node] = []
    for value, array in zip(wanted, results, strict=True):
        if value.dtype is not None:
            array = array.astype(value.dtype.numpy())
        constant = ir.node("Constant", [], {"value": ir.tensor(array)}, metadata_props=dict(node.metadata_props))
        constant.name = f"{node.name}_{value.name}" if made else node.name
        output = constant.outputs[0]
        output.name, output.shape, output.dtype = value.name, ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
        made.append(constant)
    outputs = [constant.outputs[0] for constant in made]
    ir.convenience.replace_nodes_and_values(graph.graph, node, [node], made, wanted, outputs)


def _infer(node: ir.Node, opset: int) -> None:
    """Types and shapes of the outputs, by ONNX's rule for the op, the contents of small constants at hand."""
    proto = ir.serde.serialize_node(node)
    values = [value for value in node.inputs if value is not None]
    types = {str(value.name): _type(value) for value in values if value.type is not None}
    if len(types) < len({value.name for value in values}):  # a sequence: its type is not known yet
        return
    data = {
        str(value.name): onnx.numpy_helper.from_array(np.asarray(array))
        for value in values
        if (array := facts.constant(value)) is not None and array.size <= MOST_SHAPE_ELEMENTS
    }
    try:
        schema = onnx.defs.get_schema(node.op_type, opset)
        found = onnx.shape_inference.infer_node_outputs(
            schema, proto, types, data, opset_imports=[onnx.helper.make_opsetid("", opset)]
        )
    except (onnx.shape_inference.InferenceError, onnx.defs.SchemaError, ValueError, RuntimeError):
        return
    for value in node.outputs:
        inferred = found.get(str(value.name))
        if inferred is None or not inferred.HasField("tensor_type"):
            continue
        if value.dtype is None:
            value.dtype = ir.DataType(inferred.tensor_type.elem_type)
        if inferred.tensor_type.HasField("shape"):
            value.shape = _sharper(value.shape, list(_dims(inferred)))


def _type(value: ir.Value) -> onnx.TypeProto:
    return ir.serde.serialize_value(value).type


def _dims(found: onnx.TypeProto) -> Iterator[int | str | None]:
    for dim in found.tensor_type.shape.dim:
        yield dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None


def _sharper(given: ir.Shape | None, inferred: list[int | str | None]) -> ir.Shape:
    """What was inferred, and where that is nothing, what the exporter knew."""
    if given is None or len(given) != len(inferred):
        return ir.Shape(inferred)
    return ir.Shape([known if new is None else new for known, new in zip(given, inferred, strict=True)])


def _is_known(value: ir.Value) -> bool:
    return value.dtype is not None and _is_static(value)


def _is_static(value: ir.Value | None) -> bool:
    return value is not None and value.shape is not None and value.shape.is_static()


def _given(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value
