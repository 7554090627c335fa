from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.simplify.constants import fold_constants
from tests.models import graph, histogram, node, run


def test_sizes_that_are_known_are_constants():
    model = graph(
        {"x": (1, 4, 6)},
        [
            node("Shape", ["x"], ["s"], start=1),
            node("ReduceProd", ["s"], ["n"], keepdims=1),
            node("Concat", ["one", "n"], ["t"], axis=0),
            node("Reshape", ["x", "t"]),
        ],
        {"one": np.array([-1])},
    )
    model.graph.inputs[0].shape = model.graph.inputs[0].shape.__class__([1, 4, 6])
    for made in model.graph:
        made.outputs[0].shape = None
    folded = fold_constants(model)
    assert histogram(folded) == {"Constant": 3, "Reshape": 1}
    assert list(folded.graph.outputs[0].shape) == [1, 24]


def test_an_open_batch_stays_open():
    model = graph({"x": (2, 4)}, [node("Shape", ["x"], ["s"]), node("Reshape", ["x", "s"])])
    assert histogram(fold_constants(model)) == {"Shape": 1, "Reshape": 1}


@pytest.mark.parametrize("op", ["RandomUniformLike", "Bernoulli"])
def test_random_numbers_are_not_constants(op: str):
    model = graph({"x": (1, 3)}, [node(op, ["c"], ["r"]), node("Add", ["x", "r"])], {"c": np.ones(3, np.float32)})
    assert histogram(fold_constants(model))[op] == 1


def test_weights_of_one_number():
    value = np.full(1, 0.5, np.float32)
    model = graph(
        {"x": (1, 3)},
        [node("ConstantOfShape", ["s"], ["w"], value=numpy_helper.from_array(value)),
         node("MatMul", ["x", "w"])],
        {"s": np.array([3, 2])},
    )  # fmt: skip
    folded = fold_constants(model)
    assert histogram(folded) == {"Constant": 1, "MatMul": 1}
    x = np.array([[1, 2, 3]], np.float32)
    np.testing.assert_array_equal(run(folded, {"x": x})["y"], [[3, 3]])


def test_the_branch_that_is_always_taken():
    rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("a", "b")]
    branches = {
        "then_branch": helper.make_graph([helper.make_node("Relu", ["x"], ["a"], name="then")], "t", [], rows[:1]),
        "else_branch": helper.make_graph([helper.make_node("Neg", ["x"], ["b"], name="else")], "e", [], rows[1:]),
    }
    for taken, op in ((True, "Relu"), (False, "Neg")):
        model = graph({"x": (1, 3)}, [node("If", ["c"], **branches)], {"c": np.asarray(taken)})
        folded = fold_constants(model)
        assert histogram(folded) == {op: 1}
        x = np.array([[-1, 0, 2]], np.float32)
        np.testing.assert_array_equal(run(folded, {"x": x})["y"], np.maximum(x, 0) if taken else -x)
