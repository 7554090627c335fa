import onnx_ir as ir
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from tests.models import graph, node


def two_relus():
    return graph({"x": (1, 4)}, [node("Relu", ["x"], ["a"]), node("Relu", ["a"])]).clone()


def test_a_sound_graph_passes():
    model = two_relus()
    assert checked(model) is model


def test_two_values_of_one_name():
    model = two_relus()
    model.graph[0].outputs[0].name = "y"
    with pytest.raises(AssertionError, match="two values are called 'y'"):
        checked(model)


def test_a_value_without_a_shape():
    model = two_relus()
    model.graph[0].outputs[0].shape = None
    with pytest.raises(EdgekitError, match="the shape of 'a' is not known") as error:
        checked(model)
    assert error.value.code == "EK213"


def test_a_value_that_is_read_before_it_is_made():
    model = two_relus()
    first = model.graph[0]
    model.graph.remove(first)
    model.graph.append(first)
    with pytest.raises(AssertionError, match="reads a before it is made"):
        checked(model)


def test_an_output_that_nobody_makes():
    model = two_relus()
    model.graph.outputs[0] = ir.Value(name="z")
    with pytest.raises(AssertionError, match="the output z is made by nobody"):
        checked(model)
