import numpy as np
import pytest

from edgekit.quantize import reasons
from edgekit.quantize.assign import assign
from tests.models import graph, node

ROWS = {"x": (1, 4, 6)}
NEVER = np.where(np.tri(4, 6, dtype=bool), 0, -1e9).astype(np.float32)


def kept(nodes, constants=None, inputs=ROWS):
    return assign(graph(inputs, nodes, constants)).kept_float


@pytest.mark.parametrize(
    ("op", "reason"),
    [("Exp", reasons.WIDE), ("Softplus", reasons.NO_KERNEL), ("Det", "no INT8 form of Det")],
)
def test_ops_have_reasons(op, reason):
    inputs = {"x": (1, 4, 4)} if op == "Det" else ROWS
    assert kept([node(op, ["x"])], inputs=inputs) == {"node_y": reason}


@pytest.mark.parametrize("smallest", [-np.inf, -1e9, -1e4])
def test_a_mask_keeps_what_it_reaches_in_float(smallest):
    nodes = [
        node("Where", ["m", "x", "never"], ["a"]),
        node("Transpose", ["a"], ["t"], perm=[0, 2, 1]),
        node("Softmax", ["t"], ["s"]),
        node("Mul", ["s", "s"]),
    ]
    constants = {"m": np.tri(4, 6, dtype=bool), "never": np.float32(smallest)}
    assert kept(nodes, constants) == dict.fromkeys(("node_a", "node_t", "node_s"), reasons.MASKED)


def test_a_mask_that_is_added():
    nodes = [node("Add", ["x", "never"], ["a"]), node("Softmax", ["a"], ["s"]), node("Mul", ["s", "s"])]
    assert kept(nodes, {"never": NEVER}) == dict.fromkeys(("node_a", "node_s"), reasons.MASKED)


def test_a_large_factor_is_no_mask():
    assert kept([node("Mul", ["x", "c"])], {"c": np.float32(1e5)}) == {}


def test_a_choice_between_numbers_is_int8():
    nodes = [node("Where", ["m", "x", "zero"])]
    assert kept(nodes, {"m": np.tri(4, 6, dtype=bool), "zero": np.float32(0)}) == {}


def test_the_largest_of_two_shares_one_scale():
    nodes = [node("Relu", ["x"], ["a"]), node("Sub", ["x", "one"], ["b"]), node("Max", ["a", "b"])]
    plan = assign(graph(ROWS, nodes, {"one": np.float32(1)}))
    assert plan.group_of["y"].values == ("a", "b", "y")


def test_updates_at_places_that_are_known():
    inputs = {"x": (1, 4, 6), "u": (1, 2, 6)}
    constants = {"i": np.asarray([[[0, 1], [0, 3]]])}
    assert kept([node("ScatterND", ["x", "i", "u"])], constants, inputs) == {}
    found = kept([node("ScatterND", ["x", "i", "u"], reduction="add")], constants, inputs)
    assert found["node_y"].startswith("its indices are computed, not constant, or it adds")


def test_an_elu_of_another_slope():
    assert kept([node("Elu", ["x"], alpha=0.5)]) == {"node_y": "the integer kernel has alpha 1, this one 0.5"}
