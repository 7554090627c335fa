import pytest

from edgekit.graph import cost
from tests.models import graph, node, weights


@pytest.mark.parametrize(
    ("inputs", "one", "shape", "macs"),
    [
        ({"x": (1, 4, 8, 8)}, node("Conv", ["x", "w"], pads=[1] * 4), (6, 4, 3, 3), 6 * 64 * 4 * 9),
        ({"x": (1, 4, 8, 8)}, node("Conv", ["x", "w"], group=4), (4, 1, 3, 3), 4 * 36 * 9),
        ({"x": (1, 4, 8, 8)}, node("ConvTranspose", ["x", "w"], strides=[2, 2]), (4, 6, 3, 3), 4 * 64 * 6 * 9),
        ({"x": (1, 16)}, node("Gemm", ["x", "w"]), (16, 10), 160),
        ({"x": (1, 16)}, node("Gemm", ["x", "w"], transB=1), (10, 16), 160),
        ({"x": (1, 5, 16)}, node("MatMul", ["x", "w"]), (16, 10), 5 * 160),
        ({"x": (1, 5, 16)}, node("Mul", ["x", "w"]), (16,), 0),
    ],
    ids=["conv", "depthwise", "transposed", "gemm", "gemm transposed", "matmul", "product"],
)
def test_macs_from_shapes(inputs, one, shape, macs):
    model = graph(inputs, [one], {"w": weights(*shape)})
    assert cost.macs(model.graph[0]) == macs
    assert cost.macs_by_node(model) == ({"node_y": macs} if macs else {})


def test_macs_of_a_transposed_gemm():
    nodes = [node("Transpose", ["x"], ["t"], perm=[1, 0]), node("Gemm", ["t", "w"], transA=1)]
    model = graph({"x": (1, 16)}, nodes, {"w": weights(16, 10)})
    assert cost.macs(model.graph[1]) == 160


def test_parameters_are_the_float_constants():
    nodes = [node("Conv", ["x", "w", "b"], ["a"]), node("Flatten", ["a"])]
    model = graph({"x": (1, 4, 8, 8)}, nodes, {"w": weights(6, 4, 3, 3), "b": weights(6)})
    assert cost.parameters(model) == 6 * 4 * 9 + 6


def test_parameters_of_a_node():
    nodes = [node("Conv", ["x", "w", "b"], ["a"]), node("Relu", ["a"])]
    model = graph({"x": (1, 4, 8, 8)}, nodes, {"w": weights(6, 4, 3, 3), "b": weights(6)})
    assert [cost.parameters_of(each) for each in model.graph] == [6 * 4 * 9 + 6, 0]
