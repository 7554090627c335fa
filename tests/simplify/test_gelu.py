import numpy as np
import pytest

from edgekit.graph import facts
from edgekit.simplify.gelu import fuse_tanh_gelu
from tests.models import graph, node, ops
from tests.simplify.keeps import kept

NUMBERS = {"half": 0.5, "one": 1.0, "three": 3.0, "root": np.sqrt(2 / np.pi), "c": 0.044715}
POWER = [node("Pow", ["x", "three"], ["p"])]
PRODUCTS = [node("Mul", ["x", "x"], ["s"]), node("Mul", ["s", "x"], ["p"])]
TANH = [
    node("Mul", ["c", "p"], ["q"]),
    node("Add", ["x", "q"], ["a"]),
    node("Mul", ["a", "root"], ["b"]),
    node("Tanh", ["b"], ["t"]),
    node("Add", ["one", "t"], ["g"]),
]
ENDS = {
    "half of x": [node("Mul", ["half", "x"], ["h"]), node("Mul", ["h", "g"])],
    "half of the gate": [node("Mul", ["g", "half"], ["h"]), node("Mul", ["x", "h"])],
    "half at the end": [node("Mul", ["x", "g"], ["h"]), node("Mul", ["h", "half"])],
}


def fused(nodes, **changed):
    constants = {name: np.asarray(n, np.float32) for name, n in {**NUMBERS, **changed}.items()}
    used = {name for n in nodes for name in n.input}
    model = graph({"x": (1, 6, 8)}, nodes, {k: v for k, v in constants.items() if k in used})
    return kept(model, fuse_tanh_gelu(model))


@pytest.mark.parametrize("cube", [POWER, PRODUCTS], ids=["power", "products"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_any_order_is_one_op(cube, end):
    after = fused([*cube, *TANH, *end])
    assert ops(after) == ["Gelu"]
    assert facts.attribute(after.graph[0], "approximate") == "tanh"


@pytest.mark.parametrize("changed", [{"c": 0.05}, {"half": 0.6}, {"one": 0.9}], ids=str)
def test_another_function_is_left(changed):
    assert "Tanh" in ops(fused([*POWER, *TANH, *ENDS["half of x"]], **changed))


def test_a_tanh_that_others_read_is_left():
    nodes = [*POWER, *TANH[:-1], node("Add", ["one", "t"], ["g"]), *ENDS["half of x"]]
    after = fused([*nodes[:-1], node("Mul", ["h", "g"], ["z"]), node("Add", ["z", "t"])])
    assert "Tanh" in ops(after)


def test_a_number_that_adds_axes_is_left():
    assert "Tanh" in ops(fused([*POWER, *TANH, *ENDS["half at the end"]], half=np.full((1, 1, 1, 1), 0.5)))
