import numpy as np
import onnx_ir as ir
import pytest
import torch

from edgekit.graph import facts
from edgekit.run.torch_view import to_torch
from edgekit.run.torch_view.windows import positions
from tests.lower.tflite.cases import cases
from tests.lower.tflite.graphs import as_ir
from tests.lower.tflite.window_cases import cases as window_cases

TABLE = cases() | dict(window_cases())
ALL = 10**6
LINEAR = [
    "conv-k3-s2-same-d1-g1-o7",
    "conv-k3-s1-uneven-d2-g6-o12",
    "conv-k1-s1-none-d1-g1-o7",
    "conv-tall",
    "conv1d-k4-s2-p1-g6",
    "conv3d-s2-p1-g2",
    "gemm",
    "matmul-constant-3",
]


def opened(name):
    case = TABLE[name]
    model = as_ir(case.model())
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(3, *case.inputs["x"][1:])).astype(np.float32))
    return model, next(iter(model.graph)), x


@pytest.mark.parametrize("name", LINEAR)
def test_positions_times_weights_are_the_outputs(name):
    model, node, x = opened(name)
    weight = to_torch(model).get_parameter("w").detach()
    bias = {
        name: torch.zeros(facts.static_shape(value)) for name, value in model.graph.initializers.items() if name == "b"
    }
    with torch.no_grad():
        y = to_torch(model)({"x": x, **bias})["y"]
    seen = positions(node, x, ALL, seed=0)
    groups = seen.shape[0]
    rows = weight.T if node.op_type == "MatMul" else weight.flatten(1)
    found = seen @ rows.reshape(groups, -1, rows.shape[1]).transpose(1, 2)
    expected = y.flatten(2).transpose(1, 2).flatten(0, 1) if node.op_type == "Conv" else y.flatten(0, -2)
    np.testing.assert_allclose(torch.cat(list(found), 1), expected, atol=1e-5)


def test_some_positions_are_drawn_the_same_for_the_same_seed():
    _, node, x = opened("conv-k3-s1-same-d1-g1-o7")
    whole = positions(node, x, ALL, seed=0)
    some, again = (positions(node, x, 30, seed=4) for _ in range(2))
    assert whole.shape[1] == 3 * 72 and some.shape == (1, 30, 54)
    assert torch.equal(some, again) and not torch.equal(some, positions(node, x, 30, seed=5))
    assert positions(node, x, 1, seed=0).shape[1] == 3  # one of each sample


def test_a_matrix_draws_from_all_rows():
    x = torch.arange(60.0).reshape(2, 5, 6)
    rows = positions(ir.node("MatMul", []), x, 4, seed=0)
    assert rows.shape == (1, 4, 6) and set(rows[0, :, 0].tolist()) <= set(x[..., 0].flatten().tolist())
