import numpy as np
import onnx_ir as ir
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import facts, files
from edgekit.graph.check import checked
from edgekit.prune.sparsify import layers, sparsify, zeros
from tests.models import graph, node, weights
from tests.prune.nets import NETS

EVERY_OP = ("chain", "depthwise", "grouped", "transformer", "columns", "lstm", "shared")


def arrays(model: ir.Model) -> dict[str, np.ndarray]:
    return {name: facts.constant(value) for name, value in model.graph.initializers.items()}


@pytest.mark.parametrize("name", EVERY_OP)
@pytest.mark.parametrize("share", [0.3, 0.75])
def test_so_many_weights_are_zero_and_nothing_else_is_changed(name, share):
    model = NETS[name].make()
    before = files.to_bytes(model)
    found = sparsify(model, share)
    empty, whole = zeros(checked(found.graph))
    assert empty == round(share * whole) or abs(empty - share * whole) <= 1
    old, new = arrays(model), arrays(found.graph)
    assert set(found.masks) == {layer.weight.name for layer in layers(model)}
    for one, array in new.items():
        stays = found.masks.get(one, np.ones(array.shape, np.bool_))
        np.testing.assert_array_equal(array[stays], old[one][stays])
        assert not array[~stays].any() and not np.signbit(array[~stays]).any()
    assert files.to_bytes(model) == before


def test_the_smallest_of_a_layer_go_and_no_layer_is_emptied():
    model = graph(
        {"x": (1, 8)},
        [node("MatMul", ["x", "w"], ["a"]), node("MatMul", ["a", "v"])],
        {"w": weights(8, 8, scale=100.0), "v": weights(8, 8, seed=1, scale=1e-3)},
    )
    found = sparsify(model, 0.5)
    for layer in layers(model):
        stays = found.masks[layer.weight.name]
        assert np.abs(layer.array[stays]).min() > np.abs(layer.array[~stays]).max()
        assert 0.3 < stays.mean() < 0.7
    nearly_all = sparsify(model, 0.96)  # 3 of 128 stay
    assert all(stays.any() for stays in nearly_all.masks.values())


@pytest.mark.parametrize(
    ("op", "shape", "axis", "attributes"),
    [
        ("Conv", (4, 8, 3, 3), 1, {}),
        ("Gemm", (8, 6), 0, {}),
        ("Gemm", (6, 8), 1, {"transB": 1}),
        ("MatMul", (8, 6), 0, {}),
    ],
)
def test_two_of_four_stay_along_what_is_summed_over(op, shape, axis, attributes):
    inputs = {"x": (1, 8, 6, 6) if op == "Conv" else (1, 8)}
    model = graph(inputs, [node(op, ["x", "w"], **attributes)], {"w": weights(*shape)})
    found = sparsify(model, "2:4")
    rows = np.moveaxis(arrays(found.graph)["w"], axis, -1).reshape(-1, 4)
    assert (np.count_nonzero(rows, axis=1) == 2).all()
    old = np.abs(np.moveaxis(arrays(model)["w"], axis, -1).reshape(-1, 4))
    np.testing.assert_allclose(np.abs(rows).sum(axis=1), np.sort(old, axis=1)[:, 2:].sum(axis=1), rtol=1e-6)
    assert not found.dense


def test_equal_weights_still_leave_two():
    model = graph({"x": (1, 4)}, [node("MatMul", ["x", "w"])], {"w": np.ones((4, 3), np.float32)})
    np.testing.assert_array_equal(arrays(sparsify(model, "2:4").graph)["w"], [[1] * 3, [1] * 3, [0] * 3, [0] * 3])


def test_layers_that_do_not_fit_say_why():
    found = sparsify(NETS["depthwise"].make(), "2:4")
    assert [layer.why for layer in found.dense] == [
        "it sums over 3 channels, no multiple of 4",
        "it sums over 1 channel, no multiple of 4",
        "it sums over 6 channels, no multiple of 4",
    ]
    assert not sparsify(NETS["depthwise"].make(), 0.5).dense
    with pytest.raises(EdgekitError, match="not for LSTM") as refused:
        sparsify(
            graph(
                {"x": (3, 1, 4)},
                [node("LSTM", ["x", "w", "r"], ["h"], hidden_size=4)],
                {"w": weights(1, 16, 4), "r": weights(1, 16, 4)},
                ("h",),
            ),
            "2:4",
        )
    assert refused.value.code == "EK308"
    assert "--sparsity 50%" in refused.value.fix


def test_a_model_without_weights_is_refused():
    with pytest.raises(EdgekitError, match="no layers with weights") as refused:
        sparsify(graph({"x": (1, 3)}, [node("Relu", ["x"])]), 0.5)
    assert refused.value.code == "EK308"


def test_a_weight_that_two_layers_share_counts_once():
    model = NETS["shared"].make()
    names = [layer.weight.name for layer in layers(model)]
    assert len(names) == len(set(names)) == 3
