import numpy as np
import pytest
import torch

from edgekit.run.torch_view import to_torch
from edgekit.run.torch_view.frontier import Frontier, bytes_per_sample, stages
from tests.models import feeds, graph, node, weights
from tests.quantize.steps import observed

# A skip past two convolutions, and a branch.
NODES = [
    node("Conv", ["x", "w1"], ["a"], pads=[1] * 4),
    node("Relu", ["a"], ["r"]),
    node("Conv", ["r", "w2"], ["b"], pads=[1] * 4),
    node("Conv", ["b", "w3"], ["c"], pads=[1] * 4),
    node("Add", ["c", "r"], ["d"]),
    node("Conv", ["r", "w4"], ["e"]),
    node("GlobalAveragePool", ["d"], ["p"]),
    node("Flatten", ["p"], ["f"]),
    node("Gemm", ["f", "v"], ["y"]),
]
CONSTANTS = {f"w{i}": weights(4, 4, 3, 3, seed=i) for i in range(1, 5)} | {"v": weights(4, 5)}
MODEL = graph({"x": (1, 4, 6, 6)}, NODES, CONSTANTS, ("y", "e"))
STEP = observed(MODEL)
QUANTIZED = STEP.quantized()


def batches(count=3):
    return [{"x": torch.from_numpy(feeds(MODEL, 2, seed)["x"])} for seed in range(count)]


def read(model, names):
    """What the named nodes read first, stage by stage."""
    twins = {each.name: each for each in model.graph}
    return [[twins[name].inputs[0].name] for name in names]


ORDER = ["node_a", "node_b", "node_c", "node_e", "node_y"]


@pytest.mark.parametrize("model", [MODEL, QUANTIZED], ids=["float", "quantized"])
@pytest.mark.parametrize("order", [ORDER, [*ORDER[:1], "node_e", *ORDER[1:3], "node_y"]])
def test_stages_give_what_the_whole_gives(model, order):
    wanted = read(model, order)
    view = to_torch(model)
    frontier = Frontier(view, stages(model, wanted), batches())
    for (name,) in wanted:
        for batch, found in zip(batches(), frontier.advance({}), strict=True):
            with torch.no_grad():
                assert torch.equal(found[name], view(batch, [name])[name])


def test_only_what_later_stages_read_is_kept():
    planned = stages(MODEL, read(MODEL, ORDER))
    assert [set(stage.kept) for stage in planned] == [{"x"}, {"r"}, {"r", "b"}, {"r", "b"}, set()]
    assert bytes_per_sample(MODEL, planned) == 2 * 4 * 4 * 6 * 6


def test_what_was_quantized_is_kept_as_integers():
    planned = stages(QUANTIZED, read(QUANTIZED, ORDER))
    assert planned[1].kept == {"r_quantized": torch.int8}
    assert bytes_per_sample(QUANTIZED, planned) == 2 * 4 * 6 * 6
    frontier = Frontier(to_torch(QUANTIZED), planned, batches())
    list(frontier.advance({}))
    list(frontier.advance({}))
    assert {tensor.dtype for tensor in frontier._batches[0].values()} == {torch.int8}


def test_constants_that_changed_are_read_from_then_on():
    wanted = read(MODEL, ["node_a", "node_b", "node_y"])
    view = to_torch(MODEL)
    frontier = Frontier(view, stages(MODEL, wanted), batches())
    list(frontier.advance({}))
    other = {"w1": torch.zeros(4, 4, 3, 3)}
    assert all(found["r"].abs().max() == 0 for found in frontier.advance(other))
    for batch, found in zip(batches(), frontier.advance(other), strict=True):
        with torch.no_grad():
            assert torch.equal(found["f"], view({**batch, **other}, ["f"])["f"])


def test_a_stage_may_want_several_values():
    planned = stages(MODEL, [["r"], ["b", "c"], ["f"]])
    frontier = Frontier(to_torch(MODEL), planned, batches())
    assert [set(next(iter(frontier.advance({})))) for _ in range(1)] == [{"r"}]
    found = list(frontier.advance({}))
    assert set(found[0]) == {"b", "c"} and np.all([tensor.shape[0] == 2 for tensor in found[0].values()])
