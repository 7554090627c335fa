import onnx_ir as ir

from edgekit.graph import facts
from edgekit.graph.shapes import infer_behind
from tests.models import graph, node


def test_what_is_behind_an_edit_is_found_anew_and_the_rest_kept():
    nodes = [node("Relu", ["x"], ["a"]), node("Neg", ["a"], ["b"]), node("Abs", ["b"]), node("Exp", ["x"], ["z"])]
    model = graph({"x": (1, 4)}, nodes, outputs=("y", "z"))
    for value in [value for step in model.graph for value in step.outputs]:
        value.shape = ir.Shape([1, 5])
    infer_behind(model, model.graph[0])
    assert {step.op_type: facts.shape(step.outputs[0])[1] for step in model.graph} == {
        "Relu": 4,
        "Neg": 4,
        "Abs": 4,
        "Exp": 5,
    }
