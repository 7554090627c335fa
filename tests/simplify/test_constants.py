from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.simplify import simplify
from edgekit.simplify.constants import fold_constants
from tests.models import graph, histogram, node, run, weights
from tests.simplify.keeps import kept


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


@pytest.mark.parametrize(
    "constant",
    [
        node("LpNormalization", ["c"], ["k"], p=1, axis=1),
        node("LRN", ["c"], ["k"], size=3),
        node("Resize", ["c", "", "s"], ["k"], mode="linear", coordinate_transformation_mode="align_corners"),
        node("Resize", ["c", "", "s"], ["k"], mode="cubic"),
        node("Resize", ["c", "", "", "z"], ["k"], mode="linear", coordinate_transformation_mode="align_corners"),
    ],
    ids=["LpNormalization", "LRN", "corners of a fraction", "cubic", "corners by sizes"],
)
def test_constants_are_what_the_runtimes_compute(constant):
    """ONNX's reference implementation is another about some of them."""
    known = {"c": weights(1, 2, 6, 6), "s": np.array([1, 1, 1.5, 0.6], np.float32), "z": np.array([1, 2, 9, 4])}
    nodes = [constant, node("ReduceSum", ["x"], ["t"]), node("Mul", ["k", "t"])]
    used = {name: known[name] for name in constant.input if name}
    model = graph({"x": (1, 3)}, nodes, used)
    kept(model, simplify(model))


def branch(op, name):
    """It reads x and a constant of a name that its sibling has too."""
    output = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    table = numpy_helper.from_array(weights(3, seed=len(op)), "c")
    return helper.make_graph([helper.make_node(op, [name, "c"], ["o"], name=op)], op, [], [output], [table])


def test_branches_that_use_one_name():
    branches = {"then_branch": branch("Add", "x"), "else_branch": branch("Sub", "x")}
    behind = {"then_branch": branch("Mul", "a"), "else_branch": branch("Div", "a")}
    nodes = [node("If", ["t"], ["a"], **branches), node("If", ["t"], ["b"], **behind), node("Add", ["a", "b"])]
    model = graph({"x": (1, 3)}, nodes, {"t": np.asarray(True)})
    folded = fold_constants(model)
    assert histogram(folded) == {"Add": 2, "Mul": 1}
    x = np.array([[-1, 0, 2]], np.float32)
    np.testing.assert_array_equal(run(folded, {"x": x})["y"], run(model, {"x": x})["y"])


def test_a_branch_that_gives_its_constant():
    output = helper.make_tensor_value_info("c", TensorProto.FLOAT, None)
    one = helper.make_graph([], "g", [], [output], [numpy_helper.from_array(np.ones(3, np.float32), "c")])
    model = graph(
        {"x": (1, 3)},
        [node("If", ["t"], ["a"], then_branch=one, else_branch=one), node("Add", ["a", "x"])],
        {"t": np.asarray(True)},
    )
    x = np.array([[-1, 0, 2]], np.float32)
    np.testing.assert_array_equal(run(fold_constants(model), {"x": x})["y"], x + 1)


def test_splits_and_shuffles_of_channels_with_an_open_batch():
    """As exporters write x.chunk(2, 1) and a view by x.size(): each bound is known once the one before it is."""
    nodes = []
    for i, (x, y) in enumerate([("x", "m"), ("m", "y")]):
        nodes += [
            node("Shape", [x], [f"s{i}"]),
            node("Gather", [f"s{i}", "one"], [f"c{i}"], axis=0),
            node("Add", [f"c{i}", "one"], [f"more{i}"]),
            node("Div", [f"more{i}", "two"], [f"half{i}"]),
            node("Mul", [f"half{i}", "two"], [f"end{i}"]),
            node("Slice", [x, "zero", f"half{i}", "one"], [f"a{i}"]),
            node("Slice", [x, f"half{i}", f"end{i}", "one"], [f"b{i}"]),
            node("Relu", [f"b{i}"], [f"r{i}"]),
            node("Concat", [f"r{i}", f"a{i}"], [f"j{i}"], axis=1),
            node("Shape", [f"j{i}"], [f"t{i}"]),
            *(node("Gather", [f"t{i}", n], [f"d{n}{i}"], axis=0) for n in ("zero", "one", "two")),
            node("Div", [f"done{i}", "two"], [f"g{i}"]),
            node("Concat", [f"dzero{i}", "two", f"g{i}", f"dtwo{i}"], [f"wide{i}"], axis=0),
            node("Reshape", [f"j{i}", f"wide{i}"], [f"w{i}"]),
            node("Transpose", [f"w{i}"], [f"p{i}"], perm=[0, 2, 1, 3]),
            node("Concat", [f"dzero{i}", f"done{i}", f"dtwo{i}"], [f"back{i}"], axis=0),
            node("Reshape", [f"p{i}", f"back{i}"], [y]),
        ]
    model = graph({"x": (2, 8, 3)}, nodes, {n: np.array([i]) for i, n in enumerate(("zero", "one", "two"))})
    for made in model.graph:
        made.outputs[0].shape = None
    simple = kept(model, simplify(model))
    assert not {"Shape", "Gather", "Div"} & histogram(simple).keys()
    assert all(made.outputs[0].shape.is_static(1) for made in simple.graph)


def test_large_weights_are_standardized_once():
    nodes = [
        node("ReduceMean", ["w", "first"], ["m"]),
        node("Sub", ["w", "m"], ["centred"]),
        node("Transpose", ["centred"], ["t"], perm=[1, 0]),
        node("MatMul", ["x", "t"]),
    ]
    model = graph({"x": (1, 1024)}, nodes, {"w": weights(1025, 1024), "first": np.array([1])})
    found = histogram(fold_constants(model))
    assert not {"ReduceMean", "Sub"} & found.keys()
    assert found["Transpose"] == 1, "a large table is not moved: it may be shared"
