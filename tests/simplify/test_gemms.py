import numpy as np
import onnx_ir as ir
import pytest

from edgekit.graph import facts
from edgekit.simplify.gemms import canonical_gemms
from tests.models import graph, node, ops, weights
from tests.simplify.keeps import kept

ROWS = {"x": (1, 16)}


def canonical(model: ir.Model) -> ir.Model:
    after = kept(model, canonical_gemms(model))
    for gemm in after.graph:
        if gemm.op_type != "Gemm":
            continue
        settings = {name: facts.attribute(gemm, name, default) for name, default in DEFAULTS.items()}
        assert settings == {"alpha": 1.0, "beta": 1.0, "transA": 0}
        assert facts.constant(gemm.inputs[1]) is None or facts.attribute(gemm, "transB", 0) == 1
        assert len(gemm.inputs) < 3 or facts.constant(gemm.inputs[2]).ndim == 1
    return after


DEFAULTS = {"alpha": 1.0, "beta": 1.0, "transA": 0}


@pytest.mark.parametrize("bias", [None, (10,), (1, 10), (1,), ()], ids=str)
@pytest.mark.parametrize("settings", [{}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}, {"beta": 0.0}], ids=str)
def test_constant_weights_and_bias(settings, bias):
    shape = (10, 16) if "transB" in settings else (16, 10)
    constants = {"w": weights(*shape)} | ({} if bias is None else {"b": np.asarray(weights(*bias))})
    model = graph(ROWS, [node("Gemm", ["x", *constants], **settings)], constants)
    assert ops(canonical(model)) == ["Gemm"]


def test_a_canonical_gemm_is_left_alone():
    model = graph(ROWS, [node("Gemm", ["x", "w", "b"], transB=1)], {"w": weights(10, 16), "b": weights(10)})
    after = canonical(model)
    assert [value.name for value in after.graph[0].inputs] == ["x", "w", "b"]


def test_transposed_data():
    nodes = [node("Transpose", ["x"], ["t"], perm=[1, 0]), node("Gemm", ["t", "w"], transA=1)]
    assert ops(canonical(graph(ROWS, nodes, {"w": weights(16, 10)}))) == ["Transpose", "Transpose", "Gemm"]


def test_a_bias_that_is_computed_is_added():
    model = graph({**ROWS, "b": (1, 10)}, [node("Gemm", ["x", "w", "b"], transB=1)], {"w": weights(10, 16)})
    assert ops(canonical(model)) == ["Gemm", "Add"]


def test_a_bias_that_is_computed_and_scaled():
    model = graph({**ROWS, "b": (1, 10)}, [node("Gemm", ["x", "w", "b"], transB=1, beta=0.5)], {"w": weights(10, 16)})
    assert ops(canonical(model)) == ["Gemm", "Mul", "Add"]


def test_a_bias_per_row():
    nodes = [node("Transpose", ["x"], ["t"], perm=[1, 0]), node("Gemm", ["t", "w", "b"], beta=3.0)]
    model = graph({"x": (1, 5)}, nodes, {"w": weights(1, 4), "b": weights(5, 1)})
    after = canonical_gemms(model)
    assert ops(kept(model, after, batch=1)) == ["Transpose", "Gemm", "Add"]


def test_weights_that_are_computed():
    nodes = [node("Relu", ["z"], ["w"]), node("Gemm", ["x", "w", "b"], transB=1, alpha=2.0)]
    model = graph({**ROWS, "z": (1, 16)}, nodes, {"b": weights(1)})
    after = canonical_gemms(model)
    assert ops(kept(model, after, batch=1)) == ["Relu", "Mul", "Transpose", "MatMul", "Add"]


def test_a_product_of_rows_is_a_layer():
    model = graph(ROWS, [node("MatMul", ["x", "w"])], {"w": weights(16, 10)})
    assert ops(canonical(model)) == ["Gemm"]


@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5)], ids=str)
def test_a_product_of_more_axes_stays(shape):
    model = graph({"x": (1, 4, 6)}, [node("MatMul", ["x", "w"])], {"w": weights(*shape)})
    assert ops(canonical(model)) == ["MatMul"]


def test_weights_shared_by_two_gemms():
    nodes = [node("Gemm", ["x", "w"], ["h"], alpha=2.0), node("Gemm", ["h", "w"])]
    assert ops(canonical(graph(ROWS, nodes, {"w": weights(16, 16)}))) == ["Gemm", "Gemm"]


def test_a_scalar_bias_that_is_computed_stays_one():
    nodes = [node("ReduceMax", ["x"], ["b"], keepdims=0), node("Gemm", ["x", "w", "b"], transB=1, beta=2.0)]
    after = canonical(graph(ROWS, nodes, {"w": weights(10, 16)}))
    (scaling,) = [step for step in after.graph if step.op_type == "Mul"]
    assert {value.shape.rank() for value in (*scaling.inputs, *scaling.outputs)} == {0}


def test_a_product_of_another_type_stays():
    """What is written instead is float32."""
    nodes = [node("Cast", ["x"], ["d"], to=ir.DataType.DOUBLE), node("Gemm", ["d", "w"], alpha=0.5)]
    model = graph(ROWS, nodes, {"w": weights(16, 10).astype(np.float64)})
    assert ops(kept(model, canonical_gemms(model))) == ["Cast", "Gemm"]
