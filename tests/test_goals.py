"""The share that keeps a goal is found for any cost that grows with it, and what is out of reach is told."""

from dataclasses import dataclass

import pytest

from edgekit.errors import EdgekitError
from edgekit.goals import TRIALS, reached

FLOOR = 0.2


@dataclass(frozen=True)
class Model:
    left: float

    @property
    def cut_away(self):
        return frozenset(range(round(100 * (1 - self.left))))


def cut(share):
    """In blocks of a twentieth, down to a floor."""
    if share < FLOOR:
        raise EdgekitError("EK303", "cannot prune", "with every group at its floor 20% is left", "ask for more")
    return Model(int(share * 20) / 20)


@pytest.mark.parametrize("goal", [0.4, 0.5, 0.6, 0.8, 0.95])
@pytest.mark.parametrize(
    "cost",
    [lambda s: s, lambda s: s**2, lambda s: 0.25 + 0.75 * s, lambda s: s**0.5],
    ids=["line", "square", "offset", "root"],
)
def test_the_largest_model_that_keeps_the_goal(goal, cost):
    if cost(FLOOR) > goal:
        pytest.skip("out of reach")
    seen = []

    def look(model):
        seen.append(model.left)
        return {"a": cost(model.left), "b": 0.9 * cost(model.left)}

    found = reached(goal, "size", cut, look, "written")
    assert cost(found.candidate.left) <= goal
    assert cost(found.candidate.left + 0.1) > goal  # within two blocks of the best
    assert [trial.left for trial in found.trials] == seen
    assert all(trial.how == "written" for trial in found.trials)
    assert len(seen) == len(set(seen)) <= TRIALS


def test_a_margin_for_what_is_measured():
    found = reached(0.5, "latency", cut, lambda model: {"a": model.left}, "measured", margin=0.15)
    assert found.candidate.left <= 0.5 * 0.85


def test_out_of_reach():
    with pytest.raises(EdgekitError, match="20%") as refused:
        reached(0.5, "latency", cut, lambda model: {"a": 0.6 + 0.4 * model.left}, "measured")
    assert refused.value.code == "EK303"
    assert "models that were tried has" in refused.value.why


def test_nothing_can_be_cut_at_all():
    def refusing(_):
        raise EdgekitError("EK303", "cannot prune", "nothing goes", "ask for more")

    with pytest.raises(EdgekitError, match="nothing goes"):
        reached(0.5, "size", refusing, lambda _: {"a": 1.0}, "written")


def test_another_error_is_passed_on():
    def refusing(_):
        raise EdgekitError("EK301", "there is nothing to prune", "no layers", "leave it")

    with pytest.raises(EdgekitError, match="EK301"):
        reached(0.5, "size", refusing, lambda _: {"a": 1.0}, "written")
