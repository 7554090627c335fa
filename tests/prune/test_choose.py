import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import cost
from edgekit.prune import score
from edgekit.prune.choose import Goal, choose, lines
from edgekit.prune.cut import cut
from edgekit.prune.groups import channel_groups
from tests.models import graph, node, weights
from tests.prune.nets import NETS


def wide(width=64):
    """Three layers, the middle one in two widths, on an image."""
    sizes = [3, width, width, width, 5]
    names = ["x", "a", "b", "c", "y"]
    constants = {f"w{i}": weights(sizes[i + 1], sizes[i], 3, 3) for i in range(4)}
    nodes = [node("Conv", [names[i], f"w{i}"], [names[i + 1]], pads=[1] * 4) for i in range(4)]
    return graph({"x": (1, 3, 8, 8)}, nodes, constants)


def chosen(model, **goal):
    found = channel_groups(model)
    return found, choose(model, found, score.norms(model, found), Goal(**goal))


def measured(model, of):
    return sum(cost.macs_by_node(model).values()) if of == "macs" else cost.parameters(model)


@pytest.mark.parametrize("of", ["macs", "parameters"])
@pytest.mark.parametrize("share", [0.7, 0.5, 0.3])
@pytest.mark.parametrize("name", ["wide", "transformer", "flatten", "squeeze_excite", "depthwise"])
def test_the_goal_is_reached_and_foreseen(name, share, of):
    model = wide() if name == "wide" else NETS[name].make()
    found, choice = chosen(model, of=of, share=share, multiple=2, floor=0.1)
    left = measured(cut(model, found, choice.gone), of) / measured(model, of)
    assert left <= share
    assert left == pytest.approx(choice.share)


def test_widths_are_multiples_and_stay_above_the_floor():
    found, choice = chosen(wide(60), share=0.4, floor=0.3)
    for group in found.groups:
        assert len(choice.kept[group.name]) >= 18
        assert len(choice.kept[group.name]) % 8 == 0 or len(choice.kept[group.name]) == 60


def test_a_narrow_group_takes_smaller_steps():
    _, choice = chosen(wide(12), share=0.6)
    assert {len(kept) % 2 for kept in choice.kept.values()} == {0}


def test_the_lowest_scores_of_a_group_go():
    model = wide()
    found = channel_groups(model)
    scores = {group.name: np.arange(64.0)[::-1] for group in found.groups}
    choice = choose(model, found, scores, Goal(share=0.5))
    assert all(kept == tuple(range(len(kept))) for kept in choice.kept.values())


def test_nothing_goes_where_the_goal_is_met():
    assert chosen(wide(), share=1.0)[1].gone == frozenset()


def test_what_the_last_step_saved_too_much_is_given_back():
    """A large step reaches the goal, and makes room for the small one before it."""
    sizes = [3, 64, 8, 64, 5]
    names = ["x", "a", "b", "c", "y"]
    constants = {f"w{i}": weights(sizes[i + 1], sizes[i], 3, 3) for i in range(4)}
    nodes = [node("Conv", [names[i], f"w{i}"], [names[i + 1]], pads=[1] * 4) for i in range(4)]
    model = graph({"x": (1, 3, 8, 8)}, nodes, constants)
    found = channel_groups(model)
    whole = measured(model, "macs")
    for share in (0.9, 0.8, 0.6, 0.45):
        choice = choose(model, found, score.norms(model, found), Goal(share=share))
        for group in found.groups:
            gone = [unit for unit in group.units if unit in choice.gone]
            if gone:
                step = 8 if len(group.units) == 64 else 2
                more = measured(cut(model, found, choice.gone - frozenset(gone[:step])), "macs") / whole
                assert more > share, (group.name, share)


def test_a_goal_out_of_reach_says_how_far_it_got():
    with pytest.raises(EdgekitError, match=r"prune to 1% of the MACs") as raised:
        chosen(wide(), share=0.01)
    assert raised.value.code == "EK303"
    assert "'y' is an output of the model" in raised.value.why


def test_a_choice_is_printed():
    found, choice = chosen(wide(), share=0.5)
    assert [line.split(" of ")[1] for line in lines(found, choice)] == ["64 channels"] * 3


def test_scores_of_nothing_are_equal_scores():
    model = wide()
    found = channel_groups(model)
    choice = choose(model, found, {group.name: np.zeros(64) for group in found.groups}, Goal(share=0.5))
    assert choice.share <= 0.5
