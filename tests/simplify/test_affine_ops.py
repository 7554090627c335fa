import numpy as np
import pytest

from edgekit.simplify.affine_ops import affine_of, fold_affine_ops
from tests.models import graph, node, ops, weights
from tests.simplify.keeps import kept

PLANE = {"x": (1, 8, 7, 7)}
ROWS = {"x": (1, 8)}


def norm(x, y="y"):
    return node("BatchNormalization", [x, "gamma", "beta", "mean", "variance"], [y])


def norm_constants(channels):
    positive = np.abs(weights(channels, seed=4)) + 0.5
    return {
        "gamma": weights(channels, seed=1),
        "beta": weights(channels, seed=2),
        "mean": weights(channels, seed=3),
        "variance": positive,
    }


def folded(inputs, nodes, constants, outputs=("y",)):
    model = graph(inputs, nodes, constants, outputs)
    return ops(kept(model, fold_affine_ops(model)))


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("pads", [0, 1])
def test_batch_norm_behind_a_convolution(groups, pads):
    nodes = [node("Conv", ["x", "w"], ["a"], group=groups, pads=[pads] * 4), norm("a")]
    assert folded(PLANE, nodes, {"w": weights(16, 8 // groups, 3, 3), **norm_constants(16)}) == ["Conv"]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_batch_norm_behind_a_transposed_convolution(groups):
    nodes = [node("ConvTranspose", ["x", "w", "b"], ["a"], group=groups, strides=[2, 2]), norm("a")]
    constants = {"w": weights(8, 12 // groups, 3, 3), "b": weights(12), **norm_constants(12)}
    assert folded(PLANE, nodes, constants) == ["ConvTranspose"]


@pytest.mark.parametrize("transposed", [0, 1])
def test_batch_norm_behind_a_linear_layer(transposed):
    shape = (6, 8) if transposed else (8, 6)
    nodes = [node("Gemm", ["x", "w", "b"], ["a"], transB=transposed), norm("a")]
    assert folded(ROWS, nodes, {"w": weights(*shape), "b": weights(6), **norm_constants(6)}) == ["Gemm"]


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_batch_norm_before_a_convolution(groups):
    nodes = [norm("x", "a"), node("Conv", ["a", "w", "b"], group=groups)]
    assert folded(PLANE, nodes, {"w": weights(16, 8 // groups, 3, 3), "b": weights(16), **norm_constants(8)}) == [
        "Conv"
    ]


@pytest.mark.parametrize("transposed", [0, 1])
def test_batch_norm_before_a_linear_layer(transposed):
    shape = (6, 8) if transposed else (8, 6)
    nodes = [norm("x", "a"), node("Gemm", ["a", "w"], transB=transposed)]
    assert folded(ROWS, nodes, {"w": weights(*shape), **norm_constants(8)}) == ["Gemm"]


@pytest.mark.parametrize("settings", [{"pads": [1] * 4}, {"auto_pad": "SAME_UPPER"}], ids=str)
def test_padding_keeps_a_shift_out(settings):
    """Behind the norm the border is 0, before it it would be the shift."""
    nodes = [norm("x", "a"), node("Conv", ["a", "w"], **settings)]
    assert folded(PLANE, nodes, {"w": weights(8, 8, 3, 3), **norm_constants(8)}) == ["Mul", "Add", "Conv"]


def test_padding_lets_a_scale_in():
    nodes = [node("Mul", ["x", "c"], ["a"]), node("Conv", ["a", "w"], pads=[1] * 4)]
    assert folded(PLANE, nodes, {"w": weights(8, 8, 3, 3), "c": weights(8, 1, 1)}) == ["Conv"]


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_a_norm_alone_becomes_mul_and_add(rank):
    assert folded({"x": (1, 8, 5, 5)[:rank]}, [norm("x")], norm_constants(8)) == ["Mul", "Add"]


def test_a_norm_behind_a_concatenation():
    nodes = [node("Concat", ["x", "x"], ["c"], axis=1), norm("c")]
    assert folded(PLANE, nodes, norm_constants(16)) == ["Concat", "Mul", "Add"]


@pytest.mark.parametrize("constant_first", [False, True])
@pytest.mark.parametrize("op", ["Mul", "Add", "Sub"])
@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1, 1), (1,), ()], ids=str)
def test_a_constant_operand_behind_a_convolution(op, shape, constant_first):
    operands = ["c", "a"] if constant_first else ["a", "c"]
    nodes = [node("Conv", ["x", "w"], ["a"]), node(op, operands)]
    assert folded(PLANE, nodes, {"w": weights(8, 8, 3, 3), "c": np.asarray(weights(*shape))}) == ["Conv"]


@pytest.mark.parametrize("shape", [(7,), (7, 7), (8, 7, 7), (1, 1, 1, 1, 1)], ids=str)
def test_an_operand_along_another_axis_stays(shape):
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Mul", ["a", "c"])]
    assert folded(PLANE, nodes, {"w": weights(8, 8, 1, 1), "c": weights(*shape)}) == ["Conv", "Mul"]


def test_the_last_axis_is_the_channel_of_rank_2_only():
    constants = {"w": weights(8, 8, 1), "c": weights(8)}
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Mul", ["a", "c"])]
    assert folded({"x": (1, 8, 8)}, nodes, constants) == ["Conv", "Mul"]
    nodes = [node("Gemm", ["x", "w"], ["a"]), node("Mul", ["a", "c"])]
    assert folded(ROWS, nodes, {"w": weights(8, 8), "c": weights(8)}) == ["Gemm"]


def test_division_by_a_constant():
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Div", ["a", "c"])]
    assert folded(PLANE, nodes, {"w": weights(8, 8, 3, 3), "c": weights(8, 1, 1) + 3}) == ["Conv"]


def test_division_of_a_constant_is_not_affine():
    model = graph(PLANE, [node("Div", ["c", "x"])], {"c": weights(8, 1, 1)})
    assert affine_of(model.graph[0]) is None


def test_a_chain_folds_whole():
    nodes = [norm("x", "a"), node("Mul", ["a", "c"], ["m"]), node("Conv", ["m", "w"])]
    assert folded(PLANE, nodes, {"w": weights(8, 8, 3, 3), "c": weights(8, 1, 1), **norm_constants(8)}) == ["Conv"]


def test_weights_shared_by_two_convolutions_become_two():
    nodes = [node("Conv", ["x", "w"], ["a"]), norm("a", "b"), node("Conv", ["b", "w"])]
    assert folded(PLANE, nodes, {"w": weights(8, 8, 1, 1), **norm_constants(8)}) == ["Conv", "Conv"]


def test_what_others_read_is_not_scaled():
    nodes = [node("Conv", ["x", "w"], ["a"]), norm("a", "b"), node("Add", ["a", "b"])]
    constants = {"w": weights(8, 8, 1, 1), **norm_constants(8)}
    assert folded(PLANE, nodes, constants) == ["Conv", "Mul", "Add", "Add"]


def test_an_output_is_not_scaled():
    nodes = [node("Conv", ["x", "w"], ["a"]), norm("a")]
    constants = {"w": weights(8, 8, 1, 1), **norm_constants(8)}
    assert folded(PLANE, nodes, constants, ("y", "a")) == ["Conv", "Mul", "Add"]


def test_a_norm_of_another_type_stays():
    """What is written instead is float32."""
    double = {name: array.astype(np.float64) for name, array in norm_constants(8).items()}
    assert folded(PLANE, [node("Cast", ["x"], ["d"], to=11), norm("d")], double) == ["Cast", "BatchNormalization"]
