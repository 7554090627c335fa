import numpy as np
import onnx_ir as ir
import pytest

from edgekit.simplify.strides import drop_idle_gathers
from tests.lower.tflite.graphs import Graph
from tests.models import graph, node, ops, weights
from tests.simplify.keeps import kept


def strided(step=4):
    """What exporters make of `as_strided` to (batch, 4, 1, 1): the flat value's elements, one per index."""
    nodes = [
        node("ReduceMean", ["x", "plane"], ["m"]),
        node("Reshape", ["m", "flat"], ["f"]),
        node("Shape", ["x"], ["s"], start=0, end=1),
        node("Squeeze", ["s"], ["batch"]),
        node("Range", ["zero", "batch", "one"], ["r"]),
        node("Mul", ["r", "step"], ["t"]),
        node("Unsqueeze", ["t", "behind"], ["u"]),
        node("Add", ["u", "within"], ["i"]),
        node("Gather", ["f", "i"], ["g"], axis=0),
        node("Conv", ["g", "w"], ["y"]),
    ]
    constants = {
        "plane": np.array([2, 3]), "flat": np.array([-1]), "zero": np.array(0), "one": np.array(1),
        "step": np.array(step), "behind": np.array([1, 2, 3]), "within": np.arange(4).reshape(1, 4, 1, 1),
        "w": weights(3, 4, 1, 1),
    }  # fmt: skip
    model = graph({"x": (1, 4, 5, 5)}, nodes, constants)
    made = {value.name: value for one in model.graph for value in one.outputs}
    made["m"].shape = made["g"].shape = type(model.graph.inputs[0].shape)(["batch", 4, 1, 1])
    return model


@pytest.mark.parametrize("batch", [1, 4])
def test_a_gather_of_everything_in_order_is_a_reshape(batch):
    model = strided()
    assert ops(kept(model, drop_idle_gathers(model), batch)) == ["ReduceMean", "Reshape", "Conv"]


def test_another_order_stays():
    model = strided(step=0)
    assert "Gather" in ops(kept(model, drop_idle_gathers(model)))


def test_a_gather_of_what_is_not_flat_stays():
    nodes = [node("Reshape", ["x", "cube"], ["c"]), node("Gather", ["c", "i"], axis=1)]
    case = Graph({"x": (1, 12), "i": (1,)}, nodes, {"cube": np.array([0, 3, 4])}, int64_inputs={"i": 3})
    assert ops(drop_idle_gathers(ir.from_proto(case.model()))) == ["Reshape", "Gather"]


@pytest.mark.parametrize(
    "made", [[], [node("Shape", ["x"], ["s"]), node("Gather", ["s", "ninth"], ["i"])]], ids=["given", "without a value"]
)
def test_indices_that_are_not_known_leave_the_gather(made):
    nodes = [*made, node("Reshape", ["x", "flat"], ["f"]), node("Gather", ["f", "i"])]
    inputs = {"x": (1, 6)} if made else {"x": (1, 6), "i": (1, 6)}
    constants = {"flat": np.array([-1]), **({"ninth": np.array([[8]])} if made else {})}
    model = ir.from_proto(Graph(inputs, nodes, constants, int64_inputs={"i": 6}).model())
    model.graph[-1].outputs[0].shape = model.graph.inputs[0].shape
    assert ops(drop_idle_gathers(model)) == [one.op_type for one in nodes]
