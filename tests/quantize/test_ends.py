import numpy as np

from edgekit.quantize import ends
from edgekit.quantize.assign import assign
from edgekit.quantize.islands import MOVES_FLOATS, READ_AS_FLOAT
from tests.models import graph, node, weights

CONSTANTS = {"w": weights(6, 8), "v": weights(6, 8, seed=1), "shape": np.array([-1, 2, 8]), "stride": np.float32(16)}
PARTS = [
    node("MatMul", ["x", "w"], ["b"]),
    node("Mul", ["b", "stride"], ["boxes"]),
    node("MatMul", ["x", "v"], ["l"]),
    node("Sigmoid", ["l"], ["scores"]),
]
JOIN = node("Concat", ["boxes", "scores"], ["j"], axis=1)


def kept(*nodes):
    made = [*PARTS, *nodes]
    used = {name for one in made for name in one.input}
    constants = {name: array for name, array in CONSTANTS.items() if name in used}
    return assign(graph({"x": (1, 6)}, made, constants)).kept_float


def test_boxes_and_scores_are_joined_as_real_numbers():
    found = kept(JOIN, node("Reshape", ["j", "shape"]))
    assert found == {"node_boxes": READ_AS_FLOAT, "node_j": ends.REASON, "node_y": MOVES_FLOATS}


def test_a_product_of_scores_is_one():
    squared = node("Mul", ["scores", "scores"], ["s"])
    assert kept(squared, node("Concat", ["s", "scores"], axis=1)) == {}
    assert kept(squared, node("Concat", ["s", "boxes"], axis=1))["node_y"] == ends.REASON


def test_what_is_computed_with_stays_in_steps():
    assert kept(JOIN, node("Relu", ["j"])) == {}


def test_others_alone_share_their_steps():
    assert kept(node("Concat", ["boxes", "l"], axis=1)) == {}
