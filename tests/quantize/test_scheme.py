"""Which integers a target wants: zero points, biases, scales, and that both files compute the same."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit import affine
from edgekit.graph import facts
from edgekit.lower import tensorrt
from edgekit.lower.onnx import to_onnx
from edgekit.lower.tflite import to_tflite
from edgekit.quantize.assign import RULES, assign
from edgekit.quantize.scheme import FIXED_SYMMETRIC_SCALES, NO_TENSORRT_KERNEL, SCHEMES, fitted
from edgekit.run.litert import Interpreter
from tests.models import graph, node, run, weights
from tests.quantize.steps import observed
from tests.quantize.test_widths import CONSTANTS, NET

PLANE = {"x": (1, 4, 8, 8)}
SYMMETRIC, PER_TENSOR = SCHEMES["symmetric"], SCHEMES["per-tensor"]
W, B = weights(4, 4, 3, 3), weights(4, seed=1)
NEAR = 0.1  # of the largest output: 7 bits where a value is never negative
AGREE = 0.03  # one flipped step in the middle of the net, seen at its end


@pytest.mark.parametrize("dtype", [affine.INT8, affine.INT16], ids=str)
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("value", [[0.0, 0.0], [1.5], [-3.0, -1.0], [-1.0, 2.0]], ids=str)
def test_a_range_comes_back(value, symmetric, dtype):
    array = np.array(value, np.float32)
    qparams = fitted(float(array.min()), float(array.max()), dtype, symmetric=symmetric)
    back = affine.dequantize(affine.quantize(array, qparams), qparams)
    np.testing.assert_allclose(back, array, atol=0.51 * float(qparams.scale))
    if symmetric or dtype == affine.INT16:
        assert qparams.zero_point == 0


def test_zero_points_of_0_and_biases_in_float():
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"]),
        node("Relu", ["a"], ["r"]),
        node("Sigmoid", ["r"], ["s"]),
        node("Mul", ["r", "s"], ["m"]),
        node("Add", ["m", "c"]),
    ]
    constants = {"w": W, "b": B, "c": weights(4, 1, 1)}
    model = observed(graph(PLANE, nodes, constants), scheme=SYMMETRIC).quantized()
    quantizers = [n for n in model.graph if n.op_type in facts.QDQ]
    assert all(not np.any(facts.constant(n.inputs[2])) for n in quantizers)
    assert {facts.constant(n.inputs[2]).dtype.name for n in quantizers} == {"int8"}
    conv = next(n for n in model.graph if n.op_type == "Conv")
    assert np.array_equal(facts.constant(conv.inputs[2]), B) or facts.constant(conv.inputs[2]).dtype == np.float32
    assert "Relu" in {n.op_type for n in model.graph}, "the integers go below 0, so they do not do its work"


def test_gates_end_at_1():
    for op in ("Sigmoid", "HardSigmoid", "Tanh"):
        plan = assign(graph(PLANE, [node(op, ["x"])]), scheme=SYMMETRIC)
        assert plan.group_of["y"].fixed == FIXED_SYMMETRIC_SCALES[op]


def test_a_softmax_stays_float():
    plan = assign(graph(PLANE, [node("Softmax", ["x"])]), scheme=SYMMETRIC)
    assert plan.kept_float == {"node_y": NO_TENSORRT_KERNEL}
    assert assign(graph(PLANE, [node("Softmax", ["x"])])).kept_float == {}


@pytest.mark.parametrize("op", ["Conv", "Gemm", "ConvTranspose", "MatMul"])
def test_one_scale_for_all_weights_of_an_op(op):
    shape, weight = {"Conv": ((1, 4, 8, 8), W), "ConvTranspose": ((1, 4, 8, 8), W)}.get(op, ((1, 8), weights(8, 8)))
    step = observed(graph({"x": shape}, [node(op, ["x", "w"])], {"w": weight}), scheme=PER_TENSOR)
    (found,) = step.weights().values()
    assert found.qparams.scale.shape == ()
    assert found.qparams.scale == np.float32(np.abs(weight).max() / 127)
    for row in step.rows[:2]:
        real, quantized = run(step.model, row)["y"], run(step.quantized(), row)["y"]
        assert np.abs(quantized - real).max() < NEAR * np.abs(real).max()


@pytest.mark.parametrize("scheme", ["symmetric", "per-tensor"])
def test_both_files_compute_a_net_alike(scheme):
    step = observed(graph(PLANE, NET, CONSTANTS, ("y", "z")), scheme=SCHEMES[scheme])
    model, symmetric = step.quantized(), scheme == "symmetric"
    dtype = np.dtype(np.int8 if symmetric else np.uint8)
    file = to_onnx(model, activations=dtype, nhwc=False, io_int8=False, metadata={}, plain=symmetric)
    lite = to_tflite(model, nhwc=False, io_int8=False, metadata={})
    interpreter = Interpreter(lite.data)
    if symmetric:
        assert tensorrt.check(file.data) == ()
    else:
        tensors = schema.ModelT.InitFromPackedBuf(lite.data, 0).subgraphs[0].tensors
        scales = [t.quantization.scale for t in tensors if t.quantization is not None]
        assert all(scale is None or len(scale) == 1 for scale in scales), "a gate that is written as a convolution too"
    for row in step.rows[:4]:
        real, fused, plain = run(step.model, row), run(file.data, row), run(file.data, row, fuse=False)
        found = interpreter.run({spec.name: spec.to_file(row[spec.name]) for spec in lite.inputs})
        for name in real:
            largest = np.abs(real[name]).max()
            assert np.abs(fused[name] - real[name]).max() < NEAR * largest
            assert np.abs(fused[name] - plain[name]).max() <= AGREE * largest
            assert np.abs(fused[name] - found[name]).max() <= AGREE * largest


def test_every_op_has_a_symmetric_form():
    """What an op dictates to its output must be among the scales of every scheme."""
    fixed = {op for op, rule in RULES.items() if rule.name == "FIXED"}
    assert fixed == set(FIXED_SYMMETRIC_SCALES)
