"""Two cuts of a graph, told as one of the graph that came first."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.graph import cost
from edgekit.prune import Goal, prune
from edgekit.prune.cut import cut, survivors
from edgekit.prune.rounds import joined
from tests.models import feeds, run
from tests.prune.nets import NETS


def macs(graph) -> int:
    return sum(cost.macs_by_node(graph).values())


@pytest.mark.parametrize("name", sorted(NETS.keys() - {"moves"}))  # whose channels only go all together, but for a few
def test_two_cuts_are_one(name) -> None:
    model = NETS[name].make()
    goal = {"multiple": 1, "floor": 0.1}
    first = prune(model, Goal(share=0.8, **goal))
    began = {group.name: len(group.units) for group in first.channels.groups}
    then = prune(first.graph, Goal(share=0.8, units=began, **goal))
    both = joined(first, then)
    at_once = cut(model, first.channels, both.choice.gone)
    assert macs(at_once) == macs(then.graph) == macs(both.graph)
    assert both.choice.share == pytest.approx(macs(then.graph) / macs(model))
    inputs = feeds(model)
    expected, found = run(both.graph, inputs), run(at_once, inputs)
    for output in expected:
        np.testing.assert_allclose(found[output], expected[output], rtol=1e-4, atol=1e-5)
    left = survivors(first.channels, both.choice.gone)
    again = survivors(then.channels, then.choice.gone)
    assert all(int(left[value].sum()) == int(again[value].sum()) for value in left if value in again)
    for group in first.channels.groups:
        kept = [group.units[i] for i in both.choice.kept[group.name]]
        assert set(kept) == set(group.units) - both.choice.gone


def test_the_floor_is_that_of_the_uncut_group() -> None:
    model = NETS["residual"].make()
    first = prune(model, Goal(share=0.6, multiple=1, floor=0.5))
    began = {group.name: len(group.units) for group in first.channels.groups}
    with pytest.raises(Exception, match="EK303"):
        prune(first.graph, Goal(share=0.3, multiple=1, floor=0.5, units=began))
    further = prune(first.graph, Goal(share=0.6, multiple=1, floor=0.5))  # half of what is left each time
    both = joined(first, further)
    assert any(len(both.choice.kept[name]) < count / 2 for name, count in began.items())
