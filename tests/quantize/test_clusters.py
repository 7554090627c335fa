"""Which ops change their precision together."""

from edgekit.graph import marks
from edgekit.quantize.assign import assign
from edgekit.quantize.clusters import clusters
from tests.models import graph, node, weights

PLANE = {"x": (1, 4, 8, 8)}
W, V = weights(4, 4, 3, 3), weights(4, 4, 3, 3, seed=1)


def conv(x, y, w="w"):
    return node("Conv", [x, w], [y], pads=[1] * 4)


def found(nodes, constants=None, keep_float=()):
    model = graph(PLANE, nodes, constants if constants is not None else {"w": W, "v": V})
    return clusters(model, assign(model, keep_float))


def test_what_has_no_products_goes_with_the_op_before():
    nodes = [
        conv("x", "a"),
        node("Relu", ["a"], ["r"]),
        conv("r", "b", "v"),
        node("Add", ["b", "r"], ["s"]),
        node("Sigmoid", ["s"]),
    ]
    first, second = found(nodes)
    assert (first.nodes, second.nodes) == (("node_a", "node_r"), ("node_b", "node_s", "node_y"))
    assert (first.name, first.op, first.macs, first.elements) == ("node_a", "Conv", 4 * 64 * 36, 2 * 4 * 64)


def test_moves_go_along_but_are_not_asked():
    (only,) = found([conv("x", "a"), node("MaxPool", ["a"], kernel_shape=[2, 2])])
    assert only.nodes == ("node_a", "node_y")
    assert only.computing == ("node_a",)


def test_shared_weights_are_one_cluster():
    (only,) = found([conv("x", "a"), node("Relu", ["a"], ["r"]), conv("r", "y")])
    assert only.nodes == ("node_a", "node_r", "node_y")
    assert only.macs == 2 * 4 * 64 * 36


def test_a_family_is_one_cluster():
    nodes = [conv("x", "a"), node("Sigmoid", ["a"], ["s"]), conv("s", "b", "v"), node("Sigmoid", ["b"])]
    model = graph(PLANE, nodes, {"w": W, "v": V})
    for gate in (model.graph[1], model.graph[3]):
        marks.share_scale(gate, "gate")
    (only,) = clusters(model, assign(model))
    assert only.nodes == ("node_a", "node_s", "node_b", "node_y")


def test_ops_before_the_first_product_stand_by_themselves():
    nodes = [node("Mul", ["x", "c"], ["m"]), node("Relu", ["m"], ["r"]), conv("r", "y")]
    first, second = found(nodes, {"c": weights(4, 1, 1), "w": W})
    assert (first.nodes, first.op, first.macs) == (("node_m", "node_r"), "Mul", 0)
    assert second.nodes == ("node_y",)


def test_moves_before_the_first_product_belong_to_it():
    nodes = [node("Erf", ["x"], ["e"]), node("Transpose", ["e"], ["t"], perm=[0, 1, 3, 2]), conv("t", "y")]
    (only,) = found(nodes, {"w": W})
    assert only.nodes == ("node_t", "node_y")
    assert (only.name, only.computing) == ("node_y", ("node_y",))


def test_what_is_float_already_is_in_none():
    nodes = [conv("x", "a"), node("Erf", ["a"], ["e"]), conv("e", "y", "v")]
    assert [cluster.nodes for cluster in found(nodes)] == [("node_a",), ("node_y",)]
    assert [cluster.nodes for cluster in found(nodes, keep_float=["node_a"])] == [("node_y",)]
