from edgekit.quantize.decompose import decompose_hard_swish
from tests.models import graph, histogram, node
from tests.simplify.keeps import kept


def test_hard_swish_becomes_a_gate_and_a_product():
    nodes = [node("HardSwish", ["x"], ["a"]), node("Relu", ["a"], ["r"]), node("HardSwish", ["r"])]
    model = graph({"x": (1, 4, 5, 5)}, nodes)
    assert histogram(kept(model, decompose_hard_swish(model))) == {"HardSigmoid": 2, "Mul": 2, "Relu": 1}


def test_nothing_else_changes():
    model = graph({"x": (1, 4)}, [node("HardSigmoid", ["x"])])
    assert histogram(kept(model, decompose_hard_swish(model))) == {"HardSigmoid": 1}
