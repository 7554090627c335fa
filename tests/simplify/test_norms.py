import numpy as np
import pytest

from edgekit.simplify.norms import fuse_layer_norms
from tests.models import graph, histogram, node, ops, weights
from tests.simplify.keeps import kept

ROWS = {"x": (1, 6, 16)}
CONSTANTS = {
    "two": np.float32(2.0),
    "epsilon": np.float32(1e-5),
    "gamma": weights(16) + 1,
    "beta": weights(16, seed=1),
}


def written_out(axis=-1, square="Pow", scale="gamma", bias="beta", **extra):
    mean = {} if axis == 2 else {"keepdims": 1}
    nodes = [
        node("ReduceMean", ["x", "axis"], ["m"], **mean),
        node("Sub", ["x", "m"], ["d"]),
        node("Pow", ["d", "two"], ["s"]) if square == "Pow" else node("Mul", ["d", "d"], ["s"]),
        node("ReduceMean", ["s", "axis"], ["v"], **mean),
        node("Add", ["v", "epsilon"], ["e"]),
        node("Sqrt", ["e"], ["r"]),
        node("Div", ["d", "r"], ["n"]),
        node("Mul", ["n", scale], ["g"]),
        node("Add", ["g", bias]),
    ]
    return graph(ROWS, nodes, {**CONSTANTS, "axis": np.array([axis]), **extra})


@pytest.mark.parametrize("square", ["Pow", "Mul"])
@pytest.mark.parametrize("axis", [-1, 2])
def test_a_written_out_norm(axis, square):
    model = written_out(axis, square)
    assert ops(kept(model, fuse_layer_norms(model))) == ["LayerNormalization"]


def test_a_gate_is_no_gamma():
    model = written_out(scale="x")
    assert "LayerNormalization" not in ops(kept(model, fuse_layer_norms(model)))


def test_a_residual_is_no_beta():
    model = written_out(bias="x")
    assert histogram(kept(model, fuse_layer_norms(model))) == {"LayerNormalization": 1, "Add": 1}


def test_another_axis_stays():
    model = written_out(axis=1, gamma=weights(6, 1), beta=weights(6, 1))
    assert "LayerNormalization" not in ops(kept(model, fuse_layer_norms(model)))
