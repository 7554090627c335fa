import numpy as np
import pytest

from edgekit.quantize import reasons
from edgekit.quantize.assign import assign
from tests.models import graph, node, weights

CONSTANTS = {
    "w": weights(8, 8),
    "last": np.array([-1]),
    "middle": np.array([1]),
    "two": np.float32(2),
    "half": np.float32(0.5),
    "least": np.float32(1e-6),
    "gamma": weights(1, 1, 8) + 1,
    "beta": weights(1, 1, 8),
}
RMS = [
    node("MatMul", ["x", "w"], ["a"]),
    node("Mul", ["a", "a"], ["square"]),
    node("ReduceMean", ["square", "last"], ["variance"]),
    node("Add", ["variance", "least"], ["sum"]),
    node("Sqrt", ["sum"], ["root"]),
    node("Reciprocal", ["root"], ["inverse"]),
    node("Mul", ["a", "inverse"], ["unit"]),
    node("Mul", ["unit", "gamma"], ["z"]),
    node("MatMul", ["z", "w"]),
]
GLOBAL = [
    node("MatMul", ["x", "w"], ["a"]),
    node("ReduceMean", ["a", "last"], ["m"]),
    node("ReduceMean", ["m", "middle"], ["mean"]),
    node("Sub", ["a", "mean"], ["difference"]),
    node("Pow", ["difference", "two"], ["square"]),
    node("ReduceMean", ["square", "last"], ["v"]),
    node("ReduceMean", ["v", "middle"], ["variance"]),
    node("Add", ["variance", "least"], ["sum"]),
    node("Pow", ["sum", "half"], ["root"]),
    node("Div", ["difference", "root"], ["unit"]),
    node("Mul", ["unit", "gamma"], ["scaled"]),
    node("Add", ["scaled", "beta"], ["z"]),
    node("MatMul", ["z", "w"]),
]


def plan(nodes):
    used = {name for made in nodes for name in made.input}
    constants = {name: array for name, array in CONSTANTS.items() if name in used}
    return assign(graph({"x": (1, 6, 8)}, nodes, constants))


@pytest.mark.parametrize("norm", [RMS, GLOBAL], ids=["rms", "global"])
def test_a_norm_that_is_written_out_stays_float(norm):
    found = plan(norm)
    assert found.int8_nodes == {"node_a", "node_y"}
    assert found.kept_float["node_variance"] == found.kept_float["node_z"] == reasons.SQUARES


def test_a_root_that_nothing_is_divided_by_is_none():
    kept = plan([*RMS[:5], node("Add", ["root", "beta"])]).kept_float
    assert reasons.SQUARES not in kept.values()


def test_a_divisor_without_a_mean_is_none():
    nodes = [RMS[0], RMS[1], node("Add", ["square", "least"], ["sum"]), RMS[4], node("Div", ["a", "root"])]
    assert reasons.SQUARES not in plan(nodes).kept_float.values()
