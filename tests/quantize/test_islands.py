import numpy as np
import pytest

from edgekit.graph import facts
from edgekit.lower.onnx import to_onnx
from edgekit.lower.tflite import to_tflite
from edgekit.quantize import islands
from edgekit.quantize.assign import assign
from edgekit.run.litert import Interpreter
from edgekit.simplify import simplify
from tests.models import feeds, graph, node, run, weights
from tests.quantize.steps import observed, sqnr_db
from tests.transformer_layers import TOKENS, WIDTH, encoder, windows

LAYERS = {
    "pre-norm": simplify(encoder()),
    "post-norm": simplify(encoder(pre_norm=False)),
    "many tokens": simplify(encoder(tokens=200)),
    "windows": simplify(windows()),
}
NORM = {"g": 1 + weights(WIDTH, scale=0.2), "w": weights(WIDTH, WIDTH), "c": weights(TOKENS, WIDTH)}
NEAR_DB = 22  # of 8 bits with exact extremes as ranges, against float
AGREE_DB = 27  # of both files: LiteRT rounds batched products in fixed point, and a softmax makes several steps of one


def files(model):
    """What both INT8 files compute, as functions of a sample."""
    onnx = to_onnx(model, activations=np.dtype(np.uint8), nhwc=False, io_int8=False, metadata={})
    tflite = Interpreter(to_tflite(model, nhwc=False, io_int8=False, metadata={}).data)
    return lambda sample: run(onnx.data, sample), tflite.run


@pytest.mark.parametrize("name", LAYERS)
def test_the_float_file_computes_the_model(name):
    tflite = Interpreter(to_tflite(LAYERS[name], nhwc=False, io_int8=False, metadata={}).data)
    for seed in range(2):
        sample = feeds(LAYERS[name], 1, seed)
        real, found = run(LAYERS[name], sample)["y"], tflite.run(sample)["y"]
        np.testing.assert_allclose(found, real, rtol=0, atol=1e-5 * np.abs(real).max())


@pytest.mark.parametrize("name", LAYERS)
def test_both_files_compute_the_same(name):
    step = observed(LAYERS[name])
    first, second = files(step.quantized())
    for row in step.rows[:3]:
        real = run(step.model, row)["y"]
        assert sqnr_db(real, first(row)["y"]) > NEAR_DB
        assert sqnr_db(first(row)["y"], second(row)["y"]) > AGREE_DB


@pytest.mark.parametrize("name", LAYERS)
def test_all_products_run_in_int8(name):
    model, plan = LAYERS[name], assign(LAYERS[name])
    products = {n.name for n in model.graph if n.op_type in ("Gemm", "MatMul")}
    assert products <= plan.int8_nodes
    assert {n.op_type for n in model.graph if n.name in plan.kept_float} <= {
        "LayerNormalization", "Softmax", "Add", "Reshape"}  # fmt: skip


def kept(nodes, constants=NORM):
    model = graph({"x": (1, TOKENS, WIDTH)}, nodes, constants)
    return assign(model).kept_float, observed(model).quantized()


def test_a_residual_stream_stays_real():
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Add", ["a", "c"], ["s"]),
        node("LayerNormalization", ["s", "g"], ["n"]),
        node("MatMul", ["n", "w"], ["b"]),
        node("Add", ["b", "s"], ["t"]),
        node("LayerNormalization", ["t", "g"]),
    ]
    reasons, model = kept(nodes)
    assert {name for name, reason in reasons.items() if reason == islands.READ_AS_FLOAT} == {"node_s", "node_t"}
    (second,) = (n for n in model.graph if n.name == "node_t")
    assert "Add" in [value.producer().op_type for value in second.inputs]  # the sum itself, not rounded


def test_an_addition_that_int8_ops_read_is_int8():
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Add", ["a", "c"], ["s"]),
        node("LayerNormalization", ["s", "g"], ["n"]),
        node("MatMul", ["s", "w"], ["b"]),
        node("MatMul", ["n", "b"]),
    ]
    assert "node_s" not in kept([*nodes[:4], node("Add", ["n", "b"])])[0]


def test_what_a_float_op_gives_is_rounded_before_it_is_moved():
    nodes = [
        node("LayerNormalization", ["x", "g"], ["n"]),
        node("Transpose", ["n"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["t", "c"]),
    ]
    reasons, model = kept(nodes)
    assert set(reasons) == {"node_n"}
    (transpose,) = (n for n in model.graph if n.op_type == "Transpose")
    assert transpose.inputs[0].producer().op_type == "DequantizeLinear"


def test_int8_is_moved_as_int8_to_float_ops():
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Reshape", ["a", "shape"], ["r"]),
        node("LayerNormalization", ["r", "g"]),
    ]
    assert set(kept(nodes, {**NORM, "shape": np.array([-1, 2, 3, WIDTH])})[0]) == {"node_y"}


def test_no_runtime_sees_the_softmax_of_attention_between_quantizers():
    """ONNX Runtime would fuse it to a kernel that overflows where many values share the weight."""
    model = observed(LAYERS["many tokens"]).quantized()
    (softmax,) = (n for n in model.graph if n.op_type == "Softmax")
    assert softmax.inputs[0].producer().op_type == "Clip"
    assert facts.only_consumer(softmax.outputs[0]).op_type == "QuantizeLinear"
