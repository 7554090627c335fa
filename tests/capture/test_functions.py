"""Ops that are written out as ONNX defines them compute the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from edgekit.capture.functions import WRITTEN_OUT, write_out

F32, I64 = TensorProto.FLOAT, TensorProto.INT64


def model(node: onnx.NodeProto, opset: int, **inputs: tuple[int, tuple[int, ...]]) -> onnx.ModelProto:
    given = [helper.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in inputs.items()]
    made = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "g", given, made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


CASES = {
    "defaults of attributes": model(
        helper.make_node("MeanVarianceNormalization", ["x"], ["y"]), 13, x=(F32, (2, 3, 4, 5))
    ),
    "a definition in a definition": model(
        helper.make_node("SoftmaxCrossEntropyLoss", ["x", "t"], ["y"]), 13, x=(F32, (4, 5)), t=(I64, (4,))
    ),
    "outputs that nobody wants": model(
        helper.make_node("Attention", ["x", "k", "v"], ["y"], q_num_heads=2, kv_num_heads=2),
        23,
        x=(F32, (2, 4, 6)),
        k=(F32, (2, 5, 6)),
        v=(F32, (2, 5, 6)),
    ),
    "norms with a factor per group": model(
        helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2, epsilon=0.1),
        18,
        x=(F32, (2, 6, 4, 5)),
        s=(F32, (2,)),
        b=(F32, (2,)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_written_out(name: str) -> None:
    written = write_out(CASES[name])
    assert not WRITTEN_OUT & {node.op_type for node in written.graph.node}
    rng = np.random.default_rng(0)
    feeds = {
        value.name: rng.integers(0, 4, shape) if value.type.tensor_type.elem_type == I64 else rng.normal(size=shape)
        for value in CASES[name].graph.input
        for shape in [[d.dim_value for d in value.type.tensor_type.shape.dim]]
    }
    feeds = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in feeds.items()}
    (expected,) = ReferenceEvaluator(CASES[name]).run(None, feeds)
    (found,) = ReferenceEvaluator(written).run(None, feeds)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_other_models_stay_as_they_are() -> None:
    plain = model(helper.make_node("Relu", ["x"], ["y"]), 20, x=(F32, (1, 2)))
    assert write_out(plain) is plain


@pytest.mark.parametrize("opset", [18, 20, 21])
def test_norms_of_groups_change_their_meaning_at_opset_21(opset: int) -> None:
    factors = 2 if opset < 21 else 6
    case = model(
        helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2),
        opset,
        **{"x": (F32, (2, 6, 4, 5)), "s": (F32, (factors,)), "b": (F32, (factors,))},
    )
    assert ("GroupNormalization" in {made.op_type for made in write_out(case).graph.node}) is (opset == 21)
