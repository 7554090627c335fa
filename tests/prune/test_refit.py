"""Layers refitted after a cut: nearer to what they gave, never further away on samples that they were not fitted to."""

import numpy as np
import onnx_ir as ir
import pytest

from edgekit.graph import facts
from edgekit.graph.check import checked
from edgekit.progress import SILENT
from edgekit.prune import Goal, prune
from edgekit.prune.cut import survivors
from edgekit.prune.refit import refit
from edgekit.samples import load_samples
from tests.models import graph, node, run, weights
from tests.prune.nets import NETS

NAMES = ["residual", "depthwise", "transformer", "squeeze_excite", "flatten"]


def inputs(model, count, seed) -> dict[str, np.ndarray]:
    """Real inputs, of which a tenth of the directions hold most, as in whatever is worth a network."""
    rng = np.random.default_rng(seed)
    found = {}
    for value in model.graph.inputs:
        shape = facts.static_shape(value)[1:]
        size = int(np.prod(shape))
        mixing = np.random.default_rng(1).normal(0, 1, (max(2, size // 10), size)) / np.sqrt(size / 10)
        x = rng.normal(0, 1, (count, len(mixing))) @ mixing + 0.1 * rng.normal(0, 1, (count, size))
        found[value.name or ""] = x.reshape(count, *shape).astype(np.float32)
    return found


def missed(model, whole, given) -> float:
    """Squared, relative to what is missed by saying nothing."""
    found, wanted = (next(iter(run(one, given).values())) for one in (model, whole))
    return float(np.square(found - wanted).mean() / wanted.var())


@pytest.mark.parametrize("name", NAMES)
def test_it_comes_nearer_on_samples_that_it_has_not_seen(name) -> None:
    whole = NETS[name].make()
    pruned = prune(whole, Goal(share=0.7, multiple=1))
    samples = load_samples(inputs(whole, 256, 0))
    found = checked(refit(pruned.graph, whole, samples, survivors(pruned.channels, pruned.choice.gone), SILENT))
    unseen = inputs(whole, 64, 2)
    assert missed(found, whole, unseen) < missed(pruned.graph, whole, unseen)


def copied(width: int = 8):
    """The second half of the channels computes what the first half does."""
    w = weights(width // 2, 3, 3, 3)
    constants = {"w": np.concatenate([w, w]), "b": np.zeros(width, np.float32), "v": weights(4, width, 3, 3)}
    constants["c"] = np.ones(4, np.float32)
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "v", "c"], ["y"], pads=[1] * 4),
    ]
    return graph({"x": ("N", 3, 8, 8)}, nodes, constants)


def test_channels_that_others_tell_cost_nothing() -> None:
    whole = copied()
    first_half = {"node_a": np.arange(8.0)[::-1]}
    pruned = prune(whole, Goal(share=0.5, multiple=1, floor=0.5), lambda *_: first_half)
    samples = load_samples(inputs(whole, 64, 0))
    found = checked(refit(pruned.graph, whole, samples, survivors(pruned.channels, pruned.choice.gone), SILENT))
    assert missed(pruned.graph, whole, inputs(whole, 16, 2)) > 0.05
    assert missed(found, whole, inputs(whole, 16, 2)) < 1e-4


def test_weights_that_two_layers_share_stay() -> None:
    constants = {"w": weights(6, 6, 3, 3), "b": weights(6)}
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "w", "b"], ["y"], pads=[1] * 4),
    ]
    whole = graph({"x": ("N", 6, 8, 8)}, nodes, constants)
    kept = {name: np.ones(6, bool) for name in ("a", "r", "y")}
    assert refit(whole, whole, load_samples(inputs(whole, 16, 0)), kept, SILENT) is whole


def test_the_same_samples_give_the_same_weights() -> None:
    whole = copied()
    pruned = prune(whole, Goal(share=0.5, multiple=1))
    given = inputs(whole, 40, 0)
    left = survivors(pruned.channels, pruned.choice.gone)
    order = np.random.default_rng(3).permutation(40)
    made = [
        refit(pruned.graph, whole, load_samples({name: x[rows] for name, x in given.items()}), left, SILENT)
        for rows in (np.arange(40), order)
    ]
    first, second = (
        {name: value.const_value.tobytes() for name, value in one.graph.initializers.items()} for one in made
    )
    assert first == second


def test_inputs_that_stand_still_leave_their_weights() -> None:
    """Every other channel of the first layer is 6 for any input: nothing is learned from it, and nothing broken."""
    width = 8
    bias = np.where(np.arange(width) % 2, 100.0, 0.0).astype(np.float32)
    constants = {"w": weights(width, 3, 3, 3), "b": bias, "d": weights(width, 1, 1, 1), "e": weights(width)}
    constants |= {"v": weights(4, width, 3, 3), "c": weights(4), "low": np.float32(0), "high": np.float32(6)}
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        node("Clip", ["a", "low", "high"], ["r"]),
        node("Conv", ["r", "d", "e"], ["s"], group=width),
        node("Conv", ["s", "v", "c"], ["y"], pads=[1] * 4),
    ]
    whole = graph({"x": ("N", 3, 8, 8)}, nodes, constants)
    pruned = prune(whole, Goal(share=0.8, multiple=1))
    left = survivors(pruned.channels, pruned.choice.gone)
    found = checked(refit(pruned.graph, whole, load_samples(inputs(whole, 64, 0)), left, SILENT))
    unseen = inputs(whole, 16, 2)
    assert missed(found, whole, unseen) < missed(pruned.graph, whole, unseen)


@pytest.mark.parametrize("count", [4, 12, 20])
def test_few_samples_fit_weights_too(count) -> None:
    whole = copied()
    first_half = {"node_a": np.arange(8.0)[::-1]}
    pruned = prune(whole, Goal(share=0.5, multiple=1, floor=0.5), lambda *_: first_half)
    left = survivors(pruned.channels, pruned.choice.gone)
    found = checked(refit(pruned.graph, whole, load_samples(inputs(whole, count, 0)), left, SILENT))
    assert missed(found, whole, inputs(whole, 16, 2)) < 1e-3


def test_a_graph_of_one_sample_at_a_time() -> None:
    whole = copied()
    for value in (*whole.graph.inputs, *(made for each in whole.graph for made in each.outputs)):
        value.shape = ir.Shape((1, *value.shape[1:]))
    pruned = prune(whole, Goal(share=0.5, multiple=1, floor=0.5), lambda *_: {"node_a": np.arange(8.0)[::-1]})
    left = survivors(pruned.channels, pruned.choice.gone)
    found = checked(refit(pruned.graph, whole, load_samples(inputs(whole, 40, 0)), left, SILENT))
    one = {name: x[:1] for name, x in inputs(whole, 1, 2).items()}
    assert missed(found, whole, one) < 1e-4


def test_biases_that_are_equal_by_chance_are_two() -> None:
    constants = {
        "w": weights(6, 3, 3, 3),
        "b": np.zeros(6, np.float32),
        "v": weights(6, 6, 3, 3),
        "u": weights(2, 6, 1, 1),
    }
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "v", "b"], ["c"], pads=[1] * 4),
        node("Relu", ["c"], ["s"]),
        node("Conv", ["s", "u"], ["y"]),
    ]
    pruned = prune(graph({"x": ("N", 3, 8, 8)}, nodes, constants), Goal(share=0.6, multiple=1))
    biases = [node.inputs[2].name for node in pruned.graph.graph if len(node.inputs) > 2]
    assert len(set(biases)) == len(biases) == 2
