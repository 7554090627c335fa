import numpy as np
import pytest

from edgekit.simplify.batch import settle_shapes
from edgekit.simplify.linear import canonical_layers, fold_scalars
from tests.models import graph, node, ops, weights
from tests.simplify.keeps import kept

TOKENS = {"x": (1, 6, 8)}


def model(nodes, constants, inputs=TOKENS):
    return settle_shapes(graph(inputs, nodes, constants))


def test_a_layer_is_a_gemm_on_rows():
    before = model([node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"])], {"w": weights(8, 5), "b": weights(5)})
    assert ops(kept(before, canonical_layers(before))) == ["Reshape", "Gemm", "Reshape"]


def test_a_layer_without_bias():
    before = model([node("MatMul", ["x", "w"])], {"w": weights(8, 5)})
    assert ops(kept(before, canonical_layers(before))) == ["Reshape", "Gemm", "Reshape"]


@pytest.mark.parametrize("reverse", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_what_follows_per_column_goes_in(op, reverse):
    operands = ["m", "c"][:: -1 if reverse else 1]
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Add", ["a", "b"], ["m"]), node(op, operands)]
    before = model(nodes, {"w": weights(8, 5), "b": weights(5), "c": weights(1, 1, 5)})
    assert ops(kept(before, canonical_layers(before))) == ["Reshape", "Gemm", "Reshape"]


def test_what_varies_along_tokens_stays():
    before = model(
        [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "p"])], {"w": weights(8, 5), "p": weights(6, 5)}
    )
    assert ops(kept(before, canonical_layers(before))) == ["Reshape", "Gemm", "Reshape", "Add"]


def test_a_product_that_others_read_keeps_its_value():
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["a"]), node("Mul", ["a", "m"])]
    before = model(nodes, {"w": weights(8, 5), "b": weights(5)})
    assert ops(kept(before, canonical_layers(before))) == ["Reshape", "Gemm", "Reshape", "Add", "Mul"]


def attention(*scaled):
    """Queries times keys, `scaled` by a number before or after; the constants."""
    known = {"w": weights(8, 8), "b": weights(8), "v": weights(8, 8, seed=1), "s": np.float32(0.35)}
    nodes = [
        node("MatMul", ["x", "w"], ["m"]),
        node("Add", ["m", "b"], ["q"]),
        node("MatMul", ["x", "v"], ["k"]),
        node("Transpose", ["k"], ["t"], perm=[0, 2, 1]),
        *scaled,
    ]
    return model(nodes, known)


AFTER = [node("MatMul", ["q", "t"], ["p"]), node("Mul", ["p", "s"])]
BEFORE = [node("Mul", ["q", "s"], ["a"]), node("Mul", ["s", "t"], ["c"]), node("MatMul", ["a", "c"])]


@pytest.mark.parametrize("nodes", [AFTER, BEFORE], ids=["after", "before"])
def test_the_scale_of_attention_goes_into_weights(nodes):
    before = attention(*nodes)
    assert "Mul" not in ops(kept(before, fold_scalars(before)))


def test_a_scale_stays_where_others_read_what_is_scaled():
    before = attention(node("MatMul", ["q", "t"], ["p"]), node("Mul", ["p", "s"], ["z"]), node("Add", ["z", "p"]))
    assert ops(kept(before, fold_scalars(before))).count("Mul") == 1


def test_a_scale_of_what_nothing_constant_makes_stays():
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["x", "t"], ["p"]),
        node("Mul", ["p", "s"]),
    ]
    before = model(nodes, {"s": np.float32(0.5)})
    assert ops(kept(before, fold_scalars(before))).count("Mul") == 1


def test_a_scaling_of_another_type_stays():
    """What is written instead is float32."""
    nodes = [node("Cast", ["x"], ["d"], to=11), node("MatMul", ["d", "w"], ["m"]), node("Mul", ["m", "c"])]
    before = model(nodes, {"w": weights(8, 5).astype(np.float64), "c": np.asarray(0.3)})
    assert ops(kept(before, fold_scalars(before))) == ["Cast", "MatMul", "Mul"]
