"""Cuts of one graph after another, as one: what is left in the end, told by the units of the graph that came first.

Channels keep their order when others are cut, so that along a value the units left by the first cut stand where the
second finds its own:

    labels of the first cut   0 1 2 3 4 5        units 1 and 4 go
    labels of the second      0 . 1 2 . 3        unit 2 goes, which was 3
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from edgekit.prune import Pruned
from edgekit.prune.choose import Choice
from edgekit.prune.cut import kept
from edgekit.prune.labels import FIXED


def joined(first: Pruned, then: Pruned) -> Pruned:
    """then: cut from the first one's graph, or from what training made of it."""
    before = _units_before(first, then)
    gone = first.choice.gone | {was for unit in then.choice.gone for was in before[unit]}
    left = {
        group.name: tuple(i for i, unit in enumerate(group.units) if unit not in gone)
        for group in first.channels.groups
    }
    choice = Choice(kept=left, gone=gone, share=first.choice.share * then.choice.share, multiple=then.choice.multiple)
    return replace(then, channels=first.channels, scores=first.scores, choice=choice)


def _units_before(first: Pruned, then: Pruned) -> Mapping[int, set[int]]:
    """Unit of the second cut -> those of the first that it is."""
    found: dict[int, set[int]] = defaultdict(set)
    for name, (_, labels) in then.channels.values.items():
        if name in first.channels.values:
            _, whole = first.channels.values[name]
            left = whole[kept(whole, first.choice.gone)]
            for unit, was in zip(labels.tolist(), left.tolist(), strict=True):
                found[unit].add(was)
    return {unit: was - {FIXED} for unit, was in found.items()}
