from itertools import product

import numpy as np
import pytest

from edgekit.simplify.clamps import merge_clamps
from tests.models import feeds, graph, node, ops, run, weights
from tests.simplify.keeps import kept

PLANE = {"x": (1, 3, 4)}
NUMBERS = {"a": np.float32(-1.25), "b": np.float32(-0.5), "c": np.float32(0.5), "d": np.float32(1.25)}
CLAMPS = (
    ["Relu"], ["Clip", "a", "c"], ["Clip", "a", "b"], ["Clip", "c", "d"], ["Clip", "", "b"], ["Clip", "c"], ["Clip"],
    ["Clip", "c", "b"], ["Min", "b"], ["Min", "c", "d"], ["Max", "a"], ["Max", "c", "b"],
)  # fmt: skip


def merged(model):
    after = model.clone()
    merge_clamps(after)
    return kept(model, after)


def clamp(settings, x, y="y"):
    return node(settings[0], [x, *settings[1:]], [y])


def of(*nodes, **constants):
    used = {name for one in nodes for name in one.input}
    return graph(PLANE, nodes, {name: array for name, array in (NUMBERS | constants).items() if name in used})


@pytest.mark.parametrize(("first", "second"), list(product(CLAMPS, CLAMPS)), ids=str)
def test_two_clamps_are_one(first, second):
    model = of(clamp(first, "x", "m"), clamp(second, "m"))
    after = merged(model)
    assert ops(after) == ["Clip"]
    np.testing.assert_array_equal(run(after, feeds(model))["y"], run(model, feeds(model))["y"])


def test_three_clamps_are_one():
    model = of(clamp(["Max", "a"], "x", "l"), clamp(["Relu"], "l", "m"), clamp(["Min", "d"], "m"))
    assert ops(merged(model)) == ["Clip"]


@pytest.mark.parametrize(
    "nodes",
    [
        [clamp(["Relu"], "x", "m"), node("Clip", ["m", "a", "c"], ["n"]), node("Add", ["m", "n"])],
        [clamp(["Relu"], "x", "m"), node("Min", ["m", "table"])],
        [clamp(["Relu"], "x", "m"), node("Min", ["m", "wide"])],
        [node("ReduceMax", ["x"], ["h"], keepdims=0), clamp(["Relu"], "x", "m"), node("Clip", ["m", "", "h"])],
    ],
    ids=["others read it", "numbers per element", "a number that adds axes", "computed bounds"],
)
def test_what_is_more_than_a_clamp_stays(nodes):
    model = of(*nodes, table=weights(3, 4), wide=np.ones((1, 1, 1, 1), np.float32))
    assert ops(merged(model)) == [one.op_type for one in nodes]


def test_an_infinite_bound_is_none():
    model = of(clamp(["Relu"], "x", "m"), node("Min", ["m", "most"]), most=np.float32(np.inf))
    (only,) = merged(model).graph
    assert (only.op_type, len(only.inputs)) == ("Clip", 2)
