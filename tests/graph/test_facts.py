import numpy as np

from edgekit.graph import facts
from tests.models import graph, node, weights


def block():
    nodes = [
        node("Conv", ["x", "w"], ["a"], strides=[2, 2], auto_pad="VALID"),
        node("Add", ["a", "a"], ["s"]),
        node("Mul", ["s", "c"]),
    ]
    return graph({"x": (1, 4, 8, 8)}, nodes, {"w": weights(4, 4, 1, 1), "c": np.float32(2)}, ("y", "s"))


def test_constants():
    conv, add, mul = block().graph
    assert facts.constant(conv.inputs[0]) is None
    assert facts.constant(None) is None
    assert facts.constant(conv.inputs[1]).shape == (4, 4, 1, 1)
    assert facts.scalar(mul.inputs[1]) == 2.0
    assert facts.scalar(conv.inputs[1]) is None
    assert facts.scalar(add.inputs[0]) is None


def test_shapes():
    x = block().graph.inputs[0]
    assert facts.shape(x) == (None, 4, 8, 8)
    assert facts.static_shape(x, batch=3) == (3, 4, 8, 8)


def test_attributes():
    conv = block().graph[0]
    assert facts.attribute(conv, "strides") == (2, 2)
    assert facts.attribute(conv, "auto_pad") == "VALID"
    assert facts.attribute(conv, "group", 1) == 1


def test_readers():
    model = block()
    conv, add, mul = model.graph
    assert facts.only_consumer(conv.outputs[0]) is None, "read twice, if by one node"
    assert facts.consumers(conv.outputs[0]) == [add]
    assert facts.only_consumer(add.outputs[0]) is None, "it is an output too"
    assert facts.only_consumer(mul.inputs[1]) is mul


def test_float_and_quantized():
    model = graph({"x": (1, 4)}, [node("Shape", ["x"], ["s"]), node("Reshape", ["x", "s"])])
    shape, reshape = model.graph
    assert not facts.is_float(shape.outputs[0])
    assert facts.is_float(reshape.outputs[0])
    assert not facts.is_float(None)
    assert not facts.is_quantized(model)
    assert list(facts.real_nodes(model)) == [shape, reshape]
