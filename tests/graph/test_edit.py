import numpy as np
import pytest

from edgekit.graph import edit, files
from edgekit.graph.check import checked
from tests.models import feeds, graph, node, ops, run, weights

PLANE = {"x": (1, 4, 5, 5)}


def relus():
    return graph(PLANE, [node("Relu", ["x"], ["a"]), node("Neg", ["a"], ["b"]), node("Relu", ["b"])])


def test_a_constant_gets_a_name_of_its_own():
    model = relus().clone()
    names = [edit.add_constant(model, "c", np.ones(2, np.float32)).name for _ in range(3)]
    assert names == ["c", "c_1", "c_2"]


def test_a_replaced_node_hands_over_name_type_and_shape():
    model = relus().clone()
    old = model.graph[1]
    edit.replace(model, old, [edit.new_node(old, "Abs", [old.inputs[0]])])
    new = model.graph[1]
    assert (new.op_type, new.name, new.outputs[0].name) == ("Abs", "node_b", "b")
    assert new.outputs[0].shape == old.outputs[0].shape
    checked(model)


def test_bypass_in_the_middle():
    model = relus().clone()
    edit.bypass(model, model.graph[1])
    assert ops(checked(model)) == ["Relu", "Relu"]


def test_bypass_of_the_output_keeps_its_name():
    model = relus().clone()
    edit.bypass(model, model.graph[2])
    assert list(run(checked(model), feeds(model))) == ["y"]


def test_bypass_to_another_input():
    model = graph(PLANE, [node("Relu", ["x"], ["a"]), node("Add", ["c", "a"])], {"c": np.float32(0)}).clone()
    edit.bypass(model, model.graph[1], 1)
    assert ops(checked(model)) == ["Relu"]
    assert [value.name for value in model.graph.outputs] == ["y"]


@pytest.mark.parametrize(
    ("outputs", "allowed"), [(("y",), True), (("b",), True), (("a", "b"), False)], ids=["inside", "output", "two"]
)
def test_outputs_are_not_merged(outputs, allowed):
    model = graph(
        PLANE, [node("Relu", ["x"], ["a"]), node("Identity", ["a"], ["b"]), node("Relu", ["b"])], None, outputs
    )
    assert edit.can_bypass(model.graph[1]) is allowed


def test_an_input_does_not_become_an_output():
    model = graph(PLANE, [node("Identity", ["x"])])
    assert not edit.can_bypass(model.graph[0])


def test_unused_nodes_and_constants_go():
    nodes = [node("Relu", ["x"]), node("Add", ["x", "c"], ["dead"])]
    model = graph(PLANE, nodes, {"c": weights(1), "d": weights(2)}).clone()
    edit.drop_unused(model)
    assert ops(model) == ["Relu"]
    assert not model.graph.initializers


def test_clashing_names_are_told_apart():
    model = graph(PLANE, [node("Relu", ["x"], ["a"]), node("Neg", ["a"], ["b"]), node("Add", ["a", "b"])]).clone()
    first, second, _ = model.graph
    first.outputs[0].name, second.outputs[0].name, second.name = "y", "y", first.name
    edit.add_constant(model, "x", np.ones(1, np.float32))
    edit.rename_clashes(model)
    checked(model)
    assert [value.name for value in (*model.graph.inputs, *model.graph.outputs)] == ["x", "y"]
    assert len({made.name for made in model.graph}) == 3
    run(model, feeds(model))


def test_the_same_graph_gives_the_same_bytes():
    assert files.to_bytes(relus()) == files.to_bytes(relus().clone())


def test_equal_constants_are_kept_once_whatever_their_size():
    large = weights(64, 64)
    model = graph(
        {"x": (1, 64)},
        [node("MatMul", ["x", "a"], ["h"]), node("MatMul", ["h", "b"], ["i"]), node("MatMul", ["i", "c"])],
        {"a": large, "b": large.copy(), "c": large.T.copy()},
    ).clone()
    edit.share_equal_constants(model)
    checked(model)
    assert [n.inputs[1].name for n in model.graph] == ["a", "a", "c"]
    assert set(model.graph.initializers) == {"a", "c"}


def test_an_output_that_takes_over_keeps_the_name_that_callers_know():
    model = relus().clone()
    first, _, last = model.graph
    edit.take_over(model, last.outputs[0], first.outputs[0])
    assert [value.name for value in model.graph.outputs] == ["y"]
    other = graph(PLANE, [node("Relu", ["x"], ["a"]), node("Neg", ["x"], ["b"])], outputs=("a", "b")).clone()
    edit.take_over(other, other.graph[1].outputs[0], other.graph[0].outputs[0])
    assert [value.name for value in other.graph.outputs] == ["a", "b"]
    found = run(checked(other), feeds(other))
    np.testing.assert_array_equal(found["a"], found["b"])


def test_constants_that_the_graph_lost_come_back_under_names_of_their_own():
    model = graph(PLANE, [node("Add", ["x", "c"], ["a"]), node("Mul", ["a", "d"])],
                  {"c": weights(5), "d": weights(5, seed=1)})  # fmt: skip
    expected = run(model, feeds(model))["y"]
    second = model.graph[1].inputs[1]
    model.graph.initializers.pop("d")
    second.name = "c"
    edit.register_constants(model)
    assert list(model.graph.initializers) == ["c", "c_1"]
    np.testing.assert_array_equal(run(checked(model), feeds(model))["y"], expected)
