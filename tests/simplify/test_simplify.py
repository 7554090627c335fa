"""The whole street of rewrites, on blocks as exporters write them."""

import numpy as np
import onnx_ir as ir
import pytest

from edgekit.graph import facts
from edgekit.simplify import simplify, tidy
from tests.models import graph, node, ops, weights
from tests.simplify.keeps import kept

PLANE = {"x": (1, 8, 8, 8)}


def simplified(nodes, constants=None, inputs=PLANE, outputs=("y",)):
    model = graph(inputs, nodes, constants, outputs)
    before = model.graph.num_nodes()
    after = kept(model, simplify(model))
    assert model.graph.num_nodes() == before, "a pass must not change its input"
    return ops(after)


def test_constants_are_folded():
    nodes = [node("Mul", ["c", "c"], ["d"]), node("Add", ["d", "c"], ["e"]), node("Gemm", ["x", "e"], transB=1)]
    assert simplified(nodes, {"c": weights(4, 8)}, {"x": (1, 8)}) == ["Gemm"]


def test_a_pad_goes_into_the_convolution():
    nodes = [node("Pad", ["x", "p"], ["a"]), node("Conv", ["a", "w"], pads=[1, 1, 1, 1])]
    assert simplified(nodes, {"p": np.array([0, 0, 1, 0, 0, 0, 1, 2]), "w": weights(8, 8, 3, 3)}) == ["Conv"]


@pytest.mark.parametrize("pad", [["x", "p", "c"], ["x", "q"]], ids=["of ones", "of channels"])
def test_other_pads_stay(pad):
    constants = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "c": np.float32(1), "q": np.array([0, 2, 0, 0, 0, 0, 0, 0])}
    nodes = [node("Pad", pad, ["a"]), node("Conv", ["a", "w"])]
    assert simplified(nodes, {**constants, "w": weights(8, 10 if "q" in pad else 8, 3, 3)}) == ["Pad", "Conv"]


def test_identities_go():
    nodes = [node("Identity", ["x"], ["a"]), node("Relu", ["a"], ["b"]), node("Identity", ["b"])]
    assert simplified(nodes) == ["Relu"]


def test_dropout_goes():
    assert simplified([node("Dropout", ["x"], ["a"]), node("Relu", ["a"])]) == ["Relu"]


def test_an_input_given_straight_to_an_output():
    nodes = [node("Relu", ["x"], ["y"]), node("Identity", ["x"], ["z"])]
    assert simplified(nodes, outputs=("y", "z")) == ["Relu", "Identity"]


def test_one_value_given_twice():
    nodes = [node("Relu", ["x"], ["y"]), node("Identity", ["y"], ["z"])]
    assert simplified(nodes, outputs=("y", "z")) == ["Relu", "Identity"]


def test_hard_swish_as_a_clip():
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Add", ["a", "three"], ["s"]),
        node("Clip", ["s", "zero", "six"], ["c"]),
        node("Mul", ["a", "c"], ["m"]),
        node("Div", ["m", "six"]),
    ]
    constants = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6), "w": weights(8, 8, 1, 1)}
    assert simplified(nodes, constants) == ["Conv", "HardSwish"]


def test_a_linear_layer_as_product_and_sum():
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Add", ["b", "a"])]
    assert simplified(nodes, {"w": weights(8, 4), "b": weights(4)}, {"x": (1, 8)}) == ["Gemm"]


def test_a_classifier_of_another_exporter():
    """auto_pad, flatten by shape arithmetic, Gemm with transB = 0 and a bias of (1, N)."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Clip", ["a", "zero"], ["r"]),
        node("ReduceMean", ["r", "plane"], ["m"], keepdims=1),
        node("Shape", ["m"], ["s"], start=0, end=2),
        node("Reshape", ["m", "s"], ["f"]),
        node("Gemm", ["f", "v", "b"], alpha=0.5),
    ]
    constants = {"w": weights(8, 8, 3, 3), "zero": np.float32(0), "plane": np.array([2, 3])}
    constants |= {"v": weights(8, 5), "b": weights(1, 5)}
    assert simplified(nodes, constants) == ["Conv", "Relu", "GlobalAveragePool", "Reshape", "Gemm"]


def test_equal_constants_are_kept_once():
    nodes = [node("Conv", ["x", "v"], ["a"]), node("Conv", ["a", "w"])]
    model = graph(PLANE, nodes, {"v": weights(8, 8, 1, 1), "w": weights(8, 8, 1, 1)})
    assert len(simplify(model).graph.initializers) == 1


def test_several_inputs_and_outputs():
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("GlobalAveragePool", ["a"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("Add", ["f", "z"], ["s"]),
        node("Softmax", ["s"], ["p"], axis=-1),
    ]
    found = simplified(nodes, {"w": weights(4, 8, 1, 1)}, {**PLANE, "z": (1, 4)}, ("p", "a", "s"))
    assert found == ["Conv", "GlobalAveragePool", "Reshape", "Add", "Softmax"]


def test_a_fixed_batch_stays_fixed():
    model = graph(PLANE, [node("Flatten", ["x"])])
    model.graph.inputs[0].shape = ir.Shape([1, *PLANE["x"][1:]])
    after = simplify(model)
    assert facts.shape(after.graph.inputs[0])[0] == 1
    kept(model, after, batch=1)


def test_no_identity_is_left():
    """A slice of everything becomes one late, when shapes are known."""
    nodes = [node("Relu", ["x"], ["r"]), node("Identity", ["r"], ["i"]), node("Add", ["i", "x"], ["y"])]
    model = graph({"x": (1, 4)}, nodes)
    assert ops(kept(model, tidy(model))) == ["Relu", "Add"]


def test_bands_that_are_scaled_are_not_cut():
    constants = {"cut": np.array([0, 16, 4, 8]), "whole": np.array([0, 8, 8, 8]), "s": weights(16, 1, 1)}
    nodes = [node("Reshape", ["x", "cut"], ["b"]), node("Mul", ["b", "s"], ["m"]), node("Reshape", ["m", "whole"])]
    assert "Reshape" not in simplified(nodes, constants)


def test_a_sum_of_a_stack_is_no_stack():
    nodes = [
        node("Relu", ["x"], ["r"]),
        *(node("Unsqueeze", [name, "at"], [f"{name}1"]) for name in ("x", "r")),
        node("Concat", ["x1", "r1"], ["s"], axis=1),
        node("ReduceSum", ["s", "at"], keepdims=0),
    ]
    assert simplified(nodes, {"at": np.array([1])}) == ["Relu", "Add"]
