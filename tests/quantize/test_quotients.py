import numpy as np
import pytest

from edgekit.quantize import quotients
from edgekit.quantize.assign import assign
from tests.models import graph, node, weights
from tests.quantize.steps import observed

TOKENS = {"x": (1, 6, 8)}
CONSTANTS = {
    "wq": weights(8, 4),
    "wk": weights(8, 4),
    "wv": weights(8, 4),
    "wo": weights(4, 4),
    "ones": np.ones((1, 6, 1), np.float32),
    "least": np.float32(1e-6),
    "two": np.float32(2),
    "start": np.array([0]),
    "middle": np.array([4]),
    "end": np.array([5]),
    "last": np.array([2]),
}
PROJECTED = [
    node("MatMul", ["x", "wq"], ["q_"]),
    node("MatMul", ["x", "wk"], ["k_"]),
    node("MatMul", ["x", "wv"], ["v"]),
    node("Relu", ["q_"], ["q"]),
    node("Relu", ["k_"], ["k"]),
    node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
]
PADDED = [  # a column of ones beside v, whose products are the divisor
    node("Concat", ["v", "ones"], ["v1"], axis=2),
    node("MatMul", ["kt", "v1"], ["kv"]),
    node("MatMul", ["q", "kv"], ["sums"]),
    node("Slice", ["sums", "start", "middle", "last"], ["above"]),
    node("Slice", ["sums", "middle", "end", "last"], ["below"]),
    node("Add", ["below", "least"], ["divisor"]),
]
FLOAT = {"kv", "sums", "above", "below", "divisor", "z"}


def kept(nodes, int16=()):
    used = {name for made in nodes for name in made.input}
    model = graph(TOKENS, nodes, {name: array for name, array in CONSTANTS.items() if name in used})
    plan = assign(model, int16=int16)
    return {name.removeprefix("node_"): why for name, why in plan.kept_float.items()}, model


def test_the_sums_of_a_linear_attention_stay_float():
    found, model = kept([*PROJECTED, *PADDED, node("Div", ["above", "divisor"], ["z"]), node("MatMul", ["z", "wo"])])
    assert found.keys() == FLOAT
    assert {found[name] for name in ("kv", "sums")} == {quotients.REASON}
    observed(model).quantized()


def test_a_product_with_a_reciprocal_divides_too():
    divided = [node("Reciprocal", ["divisor"], ["r"]), node("Mul", ["above", "r"], ["z"])]
    found, _ = kept([*PROJECTED, *PADDED, *divided, node("MatMul", ["z", "wo"])])
    assert found.keys() == FLOAT | {"r"}


@pytest.mark.parametrize("divisor", ["two", "x"])
def test_products_that_are_not_all_divided_stay_integers(divisor):
    """By a constant, or read by somebody else as well."""
    product = [node("MatMul", ["q", "kt"], ["a"]), node("MatMul", ["a", "v"], ["b"])]
    divided = [node("Div", ["b", "two"], ["z"])] if divisor == "two" else [node("Softplus", ["b"], ["d"])]
    found, _ = kept([*PROJECTED, *product, *divided, node("Add", ["b", "b"])])
    assert not found.keys() & {"a", "b"}


def test_int16_holds_them():
    nodes = [*PROJECTED, *PADDED, node("Div", ["above", "divisor"], ["z"]), node("MatMul", ["z", "wo"])]
    found, _ = kept(nodes, int16=["node_kv", "node_sums"])
    assert not found.keys() & {"kv", "sums"}
