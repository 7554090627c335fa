"""The door of prune: whole channels cut out of a float graph, which leaves a smaller graph like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.prune.choose import MULTIPLE, Choice, Goal, choose
from edgekit.prune.cut import cut
from edgekit.prune.groups import Channels, channel_groups
from edgekit.prune.score import Scores, norms

__all__ = ["MULTIPLE", "Goal", "Pruned", "prune", "uncut"]

Score = Callable[[ir.Model, Channels], Scores]


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """graph: the smaller one, not fine-tuned; channels, scores, choice: of the graph that it was cut from."""

    graph: ir.Model
    channels: Channels
    scores: Scores
    choice: Choice


def prune(graph: ir.Model, goal: Goal, score: Score = norms) -> Pruned:
    """Cut the units that matter least until the goal is reached. graph: a simplified float graph."""
    channels = channel_groups(graph)
    if not channels.groups:
        raise _nothing_to_cut(channels)
    scores = score(graph, channels)
    choice = choose(graph, channels, scores, goal)
    return Pruned(graph=checked(cut(graph, channels, choice.gone)), channels=channels, scores=scores, choice=choice)


def uncut(graph: ir.Model) -> Pruned:
    """With all that it has, for what else is done to it."""
    channels = channel_groups(graph)
    kept = {group.name: tuple(range(len(group.units))) for group in channels.groups}
    return Pruned(graph=graph, channels=channels, scores={}, choice=Choice(kept=kept, gone=frozenset(), share=1.0))


def _nothing_to_cut(channels: Channels) -> EdgekitError:
    reasons = dict.fromkeys(blocked.why for blocked in channels.blocked)
    return EdgekitError(
        "EK301",
        "there is nothing to prune",
        "; ".join([*reasons][:3]) or "the model has no layers with weights of its own",
        "leave pruning out",
    )
