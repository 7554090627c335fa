import numpy as np
import pytest

from edgekit.simplify.stacks import add_stacked
from tests.models import graph, node, ops
from tests.simplify.keeps import kept

MAPS = dict.fromkeys("abc", ("batch", 4, 5, 5))


def rewritten(nodes, constants, outputs=("y",), inputs=MAPS):
    made = graph(inputs, nodes, {name: np.array(array) for name, array in constants.items()}, outputs)
    return ops(kept(made, add_stacked(made)))


def stacked(axis):
    parts = [node("Unsqueeze", [name, "at"], [f"{name}1"]) for name in "abc"]
    return [*parts, node("Concat", ["a1", "b1", "c1"], ["s"], axis=axis)]


@pytest.mark.parametrize("axis", [1, -1, 4])
def test_a_sum_of_a_stack_is_additions(axis):
    assert rewritten([*stacked(axis), node("ReduceSum", ["s", "at"], keepdims=0)], {"at": [axis]}) == ["Add"] * 2


def test_others_may_read_the_stack():
    nodes = [*stacked(1), node("ReduceSum", ["s", "at"], keepdims=0), node("Relu", ["s"], ["r"])]
    assert rewritten(nodes, {"at": [1]}, ("y", "r")).count("Add") == 2


def test_maps_of_one_channel():
    inputs = dict.fromkeys("ab", ("batch", 1, 5, 5))
    nodes = [node("Concat", ["a", "b"], ["s"], axis=1), node("ReduceSum", ["s", "at"], keepdims=1)]
    assert rewritten(nodes, {"at": [1]}, inputs=inputs) == ["Add"]


@pytest.mark.parametrize("axes", [[2], [1, 2]])
def test_other_sums_stay(axes):
    nodes = [*stacked(1), node("ReduceSum", ["s", "axes"], keepdims=0)]
    assert "ReduceSum" in rewritten(nodes, {"at": [1], "axes": axes})


def test_a_sum_of_all_channels_stays():
    nodes = [node("Concat", ["a", "b"], ["s"], axis=1), node("ReduceSum", ["s", "at"], keepdims=1)]
    assert "ReduceSum" in rewritten(nodes, {"at": [1]}, inputs={name: MAPS[name] for name in "ab"})
