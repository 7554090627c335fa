import math

import numpy as np
import pytest

from edgekit.simplify.activations import canonical_activations
from edgekit.simplify.affine_ops import fold_affine_ops
from tests.models import graph, histogram, node, ops, weights
from tests.simplify.keeps import kept

PLANE = {"x": (1, 8, 6, 6)}
ROOT_2 = np.float32(math.sqrt(2))
HALF, ONE = np.float32(0.5), np.float32(1.0)


def canonical(nodes, constants=None):
    model = graph(PLANE, nodes, constants)
    after = canonical_activations(model)
    return ops(kept(model, after))


def test_a_clip_from_0_up_is_a_relu():
    assert canonical([node("Clip", ["x", "low"])], {"low": np.float32(0)}) == ["Relu"]
    largest = np.float32(np.finfo(np.float32).max)
    assert canonical([node("Clip", ["x", "low", "high"])], {"low": np.float32(0), "high": largest}) == ["Relu"]


def test_a_clip_without_bounds_goes():
    assert canonical([node("Abs", ["x"], ["a"]), node("Clip", ["a"])]) == ["Abs"]


def test_a_clip_of_integers_stays():
    nodes = [node("Cast", ["x"], ["i"], to=7), node("Clip", ["i", "low"])]
    assert canonical(nodes, {"low": np.array(0)}) == ["Cast", "Clip"]


@pytest.mark.parametrize("bounds", [["x", "a"], ["x", "", "a"], ["x", "a", "b"]], ids=str)
def test_other_clips_stay(bounds):
    assert canonical([node("Clip", bounds)], {"a": np.float32(-1), "b": np.float32(2)}) == ["Clip"]


def test_a_clip_with_computed_bounds_stays():
    nodes = [node("ReduceMax", ["x"], ["m"], keepdims=0), node("Clip", ["x", "", "m"])]
    assert canonical(nodes) == ["ReduceMax", "Clip"]


@pytest.mark.parametrize("order", [["x", "g"], ["g", "x"]], ids=str)
def test_hard_swish(order):
    assert canonical([node("HardSigmoid", ["x"], ["g"], alpha=1 / 6), node("Mul", order)]) == ["HardSwish"]


def test_another_gate_is_no_hard_swish():
    assert canonical([node("HardSigmoid", ["x"], ["g"], alpha=0.2), node("Mul", ["x", "g"])]) == ["HardSigmoid", "Mul"]


GELU_CONSTANTS = {"root": ROOT_2, "inverse": 1 / ROOT_2, "one": ONE, "half": HALF}
INNER = {"Div": node("Div", ["x", "root"], ["d"]), "Mul": node("Mul", ["inverse", "x"], ["d"])}
OUTER = {
    "x(1+e)/2": [node("Mul", ["x", "o"], ["m"]), node("Mul", ["m", "half"])],
    "(x/2)(1+e)": [node("Mul", ["half", "x"], ["m"]), node("Mul", ["m", "o"])],
    "((1+e)/2)x": [node("Mul", ["o", "half"], ["m"]), node("Mul", ["m", "x"])],
}


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("inner", INNER)
def test_gelu_in_every_order(inner, outer):
    gate = [INNER[inner], node("Erf", ["d"], ["e"]), node("Add", ["e", "one"], ["o"])]
    assert canonical([*gate, *OUTER[outer]], GELU_CONSTANTS) == ["Gelu"]


@pytest.mark.parametrize("wrong", ["half", "one", "root"])
def test_another_factor_is_no_gelu(wrong):
    gate = [INNER["Div"], node("Erf", ["d"], ["e"]), node("Add", ["e", "one"], ["o"])]
    constants = {**GELU_CONSTANTS, wrong: np.float32(0.7)}
    assert "Gelu" not in canonical([*gate, *OUTER["x(1+e)/2"]], constants)


def test_the_inverse_of_x_is_no_gelu():
    nodes = [node("Div", ["root", "x"], ["d"]), node("Erf", ["d"], ["e"]), node("Add", ["e", "one"], ["o"])]
    constants = {"root": ROOT_2, "one": ONE, "half": HALF}
    assert "Erf" in canonical([*nodes, *OUTER["x(1+e)/2"]], constants)


def test_a_number_that_adds_axes_stays():
    wide = np.full((1, 1, 1, 1, 1), 0.5, np.float32)
    assert canonical([node("Pow", ["x", "c"])], {"c": 4 * wide}) == ["Pow"]
    gate = [INNER["Mul"], node("Erf", ["d"], ["e"]), node("Add", ["e", "one"], ["o"])]
    constants = {"inverse": 1 / ROOT_2, "one": ONE, "half": wide}
    assert "Gelu" not in canonical([*gate, *OUTER["x(1+e)/2"]], constants)


def test_division_becomes_a_product():
    assert canonical([node("Div", ["x", "c"])], {"c": weights(8, 1, 1) + 3}) == ["Mul"]


STEPPED = {
    "Floor": [node("Floor", ["d"])],
    "Cast": [node("Cast", ["d"], to=7)],
    "comparison": [node("Less", ["d", "c"])],
    "moved and shifted": [node("Add", ["d", "c"], ["a"]), node("Flatten", ["a"], ["f"]), node("Ceil", ["f"])],
}


@pytest.mark.parametrize("behind", STEPPED)
def test_division_before_a_step_stays(behind):
    """49 / 49 is 1; 49 * (1 / 49) is not."""
    nodes, number = [node("Div", ["x", "c"], ["d"]), *STEPPED[behind]], {"c": np.float32(49)}
    assert canonical(nodes, number)[0] == "Div"
    assert canonical(nodes, {"c": np.float32(-0.25)})[0] == "Mul"


def test_division_by_zero_stays():
    nodes = [node("Div", ["x", "c"], ["d"]), node("Clip", ["d", "low", "high"])]
    constants = {"c": np.float32(0), "low": np.float32(-1), "high": np.float32(1)}
    assert canonical(nodes, constants) == ["Div", "Clip"]


def test_a_square_becomes_a_product():
    assert canonical([node("Pow", ["x", "two"])], {"two": np.float32(2)}) == ["Mul"]
    assert canonical([node("Pow", ["x", "three"])], {"three": np.float32(3)}) == ["Pow"]


@pytest.mark.parametrize("settings", [{}, {"alpha": 1 / 6}, {"alpha": 0.1, "beta": 0.3}], ids=str)
def test_a_hard_sigmoid_goes_into_the_layer_before_it(settings):
    nodes = [node("Conv", ["x", "w", "b"], ["a"]), node("HardSigmoid", ["a"], **settings)]
    model = graph(PLANE, nodes, {"w": weights(8, 8, 1, 1), "b": weights(8)})
    after = fold_affine_ops(canonical_activations(model))
    assert ops(kept(model, after)) == ["Conv", "Clip"]


def test_a_hard_sigmoid_of_what_others_read_stays():
    nodes = [node("Conv", ["x", "w"], ["a"]), node("HardSigmoid", ["a"], ["g"]), node("Mul", ["g", "a"])]
    model = graph(PLANE, nodes, {"w": weights(8, 8, 1, 1)})
    assert histogram(kept(model, canonical_activations(model))) == {"Conv": 1, "HardSigmoid": 1, "Mul": 1}


def test_a_hard_sigmoid_of_another_type_stays():
    nodes = [node("Cast", ["x"], ["d"], to=11), node("Conv", ["d", "w"], ["a"]), node("HardSigmoid", ["a"])]
    model = graph(PLANE, nodes, {"w": weights(8, 8, 1, 1).astype(np.float64)})
    assert ops(canonical_activations(model)) == ["Cast", "Conv", "HardSigmoid"]


def test_a_hard_sigmoid_alone_stays():
    assert canonical([node("HardSigmoid", ["x"])]) == ["HardSigmoid"]


@pytest.mark.parametrize("order", [["x", "t"], ["t", "x"]], ids=str)
def test_mish(order):
    assert canonical([node("Softplus", ["x"], ["s"]), node("Tanh", ["s"], ["t"]), node("Mul", order)]) == ["Mish"]


def test_a_gate_of_another_value_is_no_mish():
    nodes = [node("Softplus", ["x"], ["s"]), node("Tanh", ["s"], ["t"]), node("Mul", ["s", "t"])]
    assert canonical(nodes) == ["Softplus", "Tanh", "Mul"]


def test_a_negation_is_a_product():
    assert canonical([node("Neg", ["x"])]) == ["Mul"]


@pytest.mark.parametrize(("op", "behind"), [("Sum", []), ("Mean", ["Mul"])])
def test_several_operands_go_two_at_a_time(op, behind):
    nodes = [node("Relu", ["x"], ["r"]), node(op, ["x", "r", "c"])]
    assert canonical(nodes, {"c": weights(8, 1, 1)}) == ["Relu", "Add", "Add", *behind]


def test_a_sum_of_one():
    assert canonical([node("Sum", ["x"])]) == ["Identity"]
