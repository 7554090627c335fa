import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.graph.pools import settle_pools
from tests.models import graph, node, ops
from tests.simplify.keeps import kept

POOLS = [
    ("MaxPool", {}),
    ("AveragePool", {"count_include_pad": 0}),
    ("AveragePool", {"count_include_pad": 1}),
    ("LpPool", {"p": 2}),
]
FAMILIES = pytest.mark.parametrize(("op", "extra"), POOLS, ids=str)


def settled(nodes, *sizes):
    """The graph after settle_pools, once it gives what ONNX Runtime gives, in the shapes that it declares."""
    model = graph({"x": (1, 3, *sizes)}, nodes)
    return kept(model, settle_pools(model))


def pool(op, kernel, stride, pad, rank=2, inputs=("x",), outputs=("y",), **extra):
    sizes = {"kernel_shape": [kernel] * rank, "strides": [stride] * rank, "pads": [pad] * 2 * rank}
    return node(op, list(inputs), outputs, ceil_mode=1, **sizes, **extra)


@FAMILIES
@pytest.mark.parametrize("sizes", [(9, 9), (9,), (9, 9, 7), (9, 8)], ids=str)
def test_a_last_window_in_the_padding(op, extra, sizes):
    after = settled([pool(op, 2, 2, 1, len(sizes), **extra)], *sizes)
    assert ops(after) == [op]
    assert facts.shape(after.graph.outputs[0])[2:] == tuple(
        -(-size // 2) if size % 2 else size // 2 + 1 for size in sizes
    )


@FAMILIES
def test_a_last_window_behind_the_image(op, extra):
    assert facts.shape(settled([pool(op, 1, 2, 0, **extra)], 8, 8).graph.outputs[0])[2:] == (4, 4)


@FAMILIES
def test_an_axis_that_rounds_up_beside_one_that_does_not(op, extra):
    after = settled([pool(op, 3, 3, 1, **extra)], 8, 9)
    assert ops(after) == [op, op]
    assert facts.shape(after.graph.outputs[0])[2:] == (3, 4)


@FAMILIES
def test_pools_behind_each_other(op, extra):
    nodes = [pool(op, 2, 2, 1, outputs=["a"], **extra), pool(op, 2, 2, 1, inputs=["a"], outputs=["b"], **extra)]
    after = settled([*nodes, node("Relu", ["b"])], 9, 9)
    assert facts.shape(after.graph.outputs[0])[2:] == (3, 3)


def test_a_graph_on_which_all_agree_is_left_alone():
    model = graph({"x": (1, 3, 8, 9)}, [pool("MaxPool", 3, 2, 1)])
    assert settle_pools(model).graph[0].attributes["ceil_mode"].as_int() == 1


def test_sizes_that_are_not_known_are_found_first():
    model = graph({"x": (1, 3, 9, 9)}, [node("Relu", ["x"], ["r"]), pool("MaxPool", 2, 2, 1, inputs=["r"])])
    for step in model.graph:
        step.outputs[0].shape = None
    assert facts.shape(settle_pools(model).graph.outputs[0])[2:] == (5, 5)


def test_indices_of_a_pool_that_rounds_up_along_one_axis_only():
    model = graph({"x": (1, 3, 8, 9)}, [pool("MaxPool", 3, 3, 1, outputs=["y", "i"])], outputs=["y", "i"])
    with pytest.raises(EdgekitError, match="not known before the model runs") as refused:
        settle_pools(model)
    assert refused.value.code == "EK213"


def test_indices_where_no_axis_rounds_up():
    model = graph({"x": (1, 3, 9, 9)}, [pool("MaxPool", 2, 2, 1, outputs=["y", "i"])], outputs=["y", "i"])
    assert all(facts.shape(value)[2:] == (5, 5) for value in settle_pools(model).graph.outputs)
    assert np.array_equal(facts.shape(model.graph.outputs[0])[2:], (6, 6)), "what ONNX says of it"
