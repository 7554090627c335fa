"""Ops that ONNX itself defines by other ops, and that no file format has: written out.

An op of the list becomes a call of a local function whose body is ONNX's definition; inlining does the rest. The
definition may depend on which inputs are given and on their types, so those are inferred first.
"""

from __future__ import annotations

from typing import Any

import onnx
import onnx.inliner

from edgekit.capture import newer

WRITTEN_OUT = frozenset(
    {
        "AffineGrid",
        "Attention",
        "CausalConvWithState",
        "CenterCropPad",
        "LinearAttention",
        "MeanVarianceNormalization",
        "NegativeLogLikelihoodLoss",
        "RotaryEmbedding",
        "SoftmaxCrossEntropyLoss",
        "SwiGLU",
    }
)
DOMAIN = "edgekit.written_out"
GROUPS_EPSILON = 1e-5
FACTORS_PER_CHANNEL = (
    21  # the first opset in which GroupNormalization is not scaled group by group; that one has a form
)
DEEPEST = 3  # cross entropy is log-softmax and negative log-likelihood, which ends it


def write_out(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself where it has none of these ops."""
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if not 0 < opset <= newer.KNOWN:
        return proto
    for _ in range(DEEPEST):
        if not any(_is_ours(node, opset) for node in proto.graph.node):
            break
        proto = _one_level(proto, opset)
    return proto


def _one_level(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """A definition may use other ops of the list, whose types are only known once it is inlined."""
    inferred = onnx.shape_inference.infer_shapes(proto)
    types = _types(inferred.graph)
    for node in [node for node in inferred.graph.node if _is_ours(node, opset)]:
        body = _definition(node, opset, types)
        if body is None or not _wanted_alone(node, body):
            continue
        body.domain, body.name = DOMAIN, f"{node.op_type}_{len(inferred.functions)}"
        node.op_type, node.domain = body.name, DOMAIN
        inferred.functions.append(body)
    inferred.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    return onnx.inliner.inline_local_functions(inferred)


def _is_ours(node: onnx.NodeProto, opset: int) -> bool:
    old = node.op_type == "GroupNormalization" and opset < FACTORS_PER_CHANNEL
    return (node.op_type in WRITTEN_OUT or old) and node.domain in ("", "ai.onnx")


def _wanted_alone(node: onnx.NodeProto, body: onnx.FunctionProto) -> bool:
    """Drop the outputs that nobody wants; whether the definition makes all others."""
    made = {name for inner in body.node for name in inner.output}
    kept = [(ours, theirs) for ours, theirs in zip(node.output, body.output, strict=False) if ours]
    del node.output[:], body.output[:]
    node.output.extend(ours for ours, _ in kept)
    body.output.extend(theirs for _, theirs in kept)
    return made.issuperset(body.output)


def _definition(node: onnx.NodeProto, opset: int, types: dict[str, onnx.TypeProto]) -> onnx.FunctionProto | None:
    if node.op_type == "GroupNormalization":
        return _by_groups(node, opset)
    schema: Any = onnx.defs.get_schema(node.op_type, opset)  # its stubs lack what depends on the context
    if schema.has_function:
        data = schema.get_function_with_opset_version(opset)
    elif schema.has_context_dependent_function:
        known = [types.get(name, onnx.TypeProto()).SerializeToString() for name in node.input]
        data = schema.get_context_dependent_function_with_opset_version(opset, node.SerializeToString(), known)
    else:
        return None
    if not data:
        return None
    body = onnx.FunctionProto()
    body.ParseFromString(data)
    given = {attribute.name for attribute in node.attribute}
    for name in set(body.attribute) - given:
        if schema.attributes[name].default_value.type:
            node.attribute.append(schema.attributes[name].default_value)
    for entry in body.opset_import:  # the ops that a definition uses are the same in the model's opset
        entry.version = opset if entry.domain in ("", "ai.onnx") else entry.version
    return body


def _by_groups(node: onnx.NodeProto, opset: int) -> onnx.FunctionProto:
    """Group by group, an InstanceNormalization; ONNX's own definition takes a small difference of large squares."""
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    make = onnx.helper.make_node
    nodes = [
        make("Shape", ["x"], ["shape"]),
        make("Constant", [], ["rows"], value_ints=[0, given["num_groups"], -1]),
        make("Reshape", ["x", "rows"], ["groups"]),
        make(
            "InstanceNormalization",
            ["groups", "scale", "bias"],
            ["normal"],
            epsilon=given.get("epsilon", GROUPS_EPSILON),
        ),
        make("Reshape", ["normal", "shape"], ["y"]),
    ]
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_function(DOMAIN, "", ["x", "scale", "bias"], ["y"], nodes, opsets, list(given))


def _types(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    found = {value.name: value.type for value in (*graph.input, *graph.value_info, *graph.output)}
    for tensor in graph.initializer:
        found[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
    return found
