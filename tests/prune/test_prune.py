"""The door."""

import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import cost
from edgekit.prune import Goal, prune
from tests.models import graph, node, weights
from tests.prune.nets import NETS


def test_a_graph_becomes_as_small_as_was_asked_for():
    model = NETS["residual"].make()
    pruned = prune(model, Goal(share=0.5))
    before, after = (sum(cost.macs_by_node(each).values()) for each in (model, pruned.graph))
    assert after <= 0.5 * before
    assert [node.name for node in pruned.graph.graph] == [node.name for node in model.graph]


def test_a_model_whose_channels_must_all_stay_is_refused():
    model = graph({"x": (1, 3, 8, 8)}, [node("Conv", ["x", "w"])], {"w": weights(4, 3, 1, 1)})
    with pytest.raises(EdgekitError, match="'y' is an output of the model") as raised:
        prune(model, Goal(share=0.5))
    assert raised.value.code == "EK301"
