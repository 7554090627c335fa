from dataclasses import replace

import numpy as np
import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.prune import score
from edgekit.prune.cut import silenced
from edgekit.prune.groups import channel_groups
from tests.models import feeds, run
from tests.prune.nets import NETS


def batch(model, seed=0):
    inputs = {name: torch.from_numpy(array) for name, array in feeds(model, 4, seed).items()}
    return inputs, lambda outputs: outputs["y"].square().mean()


def scored(model, how):
    found = channel_groups(model)
    match how:
        case "l1":
            return score.norms(model, found, 1)
        case "l2":
            return score.norms(model, found)
        case "activations":
            return score.activations(model, found, [feeds(model, 1, seed) for seed in range(4)])
        case _:
            return score.taylor(model, found, [batch(model, seed) for seed in range(2)])


@pytest.mark.parametrize("how", ["l1", "l2", "activations", "taylor"])
@pytest.mark.parametrize("name", ["residual", "squeeze_excite", "flatten", "transformer", "norms"])
def test_what_is_silent_scores_lowest(name, how):
    model = NETS[name].make()
    found = channel_groups(model)
    silent = {group.units[-1] for group in found.groups}
    scores = scored(silenced(model, found, silent), how)
    for group in found.groups:
        assert scores[group.name].shape == (len(group.units),)
        assert scores[group.name].mean() == pytest.approx(1)
        assert scores[group.name][-1] == 0 == scores[group.name].min()


def test_a_norm_is_the_mean_over_the_weights_that_make_a_channel():
    model = NETS["residual"].make()
    nodes = {node.name: node for node in model.graph}
    rows = [np.abs(facts.constant(nodes[name].inputs[1])).reshape(8, -1).sum(1) for name in ("node_a", "node_c")]
    mean = np.mean([row / row.mean() for row in rows], axis=0)
    np.testing.assert_allclose(scored(model, "l1")["node_a"], mean / mean.mean(), rtol=1e-6)


def test_taylor_foresees_what_a_channel_less_does():
    """First order: a channel with small weights is lost for about its gradient times its weights."""
    model = NETS["chain"].make()
    found = channel_groups(model)
    inputs = feeds(model, 4)
    scores = scored(model, "taylor")["node_b"]
    loss = float(np.square(run(model, inputs)["y"]).mean())
    units = found.groups[1].units
    lost = [(np.square(run(silenced(model, found, {u}), inputs)["y"]).mean() - loss) ** 2 for u in units]
    assert np.corrcoef(np.argsort(np.argsort(scores)), np.argsort(np.argsort(lost)))[0, 1] > 0.5


def test_norm_factors_are_scored_where_they_are():
    model = NETS["norms"].make()
    found = channel_groups(model)
    with pytest.raises(EdgekitError, match="folded into the weights") as raised:
        score.norm_factors(model, found)  # the last convolution has no norm
    assert raised.value.code == "EK304"
    model = NETS["group_norm"].make()
    found = channel_groups(model)
    normed = replace(found, groups=found.groups[:1])
    assert score.norm_factors(model, normed)["node_a"].mean() == pytest.approx(1)


def test_scores_are_printed():
    model = NETS["residual"].make()
    first, second = score.lines(scored(model, "l2"))
    assert first.startswith("node_a: 8 units, 0.")
    assert second.startswith("node_b: 12 units, ")
