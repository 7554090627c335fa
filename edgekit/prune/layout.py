"""Where channels lie after a reshape.

A reshape lays out the same elements in the same order, so it is a list of blocks: axes of the input whose sizes have
the same product as some axes of the output. In the channels' block, each index along an output axis stands for the
channels of the elements in its slab; where these are several, they can only be cut together. With (C) -> (H, D) the
slabs of H are whole heads, those of D are one place in each head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgekit.prune.labels import Ids

BATCH = 7919  # a prime that no other axis is a multiple of: the batch's stand-in, so that no block begins inside it
LARGEST = 1 << 22  # elements of a block that is laid out to look at it


def reshaped(before: Sequence[int], after: Sequence[int], axis: int) -> dict[int, list[Ids]]:
    """Output axis -> for each index along it, the channels that it stands for; empty where no axis has any.

    before, after: the shapes, with BATCH for the batch; axis: of the channels in `before`.
    """
    if math.prod(before) != math.prod(after):
        return {}  # an open size that is not the batch's
    ins, outs = next((ins, outs) for ins, outs in blocks(before, after) if axis in ins)
    sizes = [before[i] for i in ins]
    if any(size % BATCH == 0 for size in sizes) or math.prod(sizes) > LARGEST:
        return {}
    along = [1] * len(ins)
    along[ins.index(axis)] = before[axis]
    channels = np.arange(before[axis]).reshape(along)
    laid_out = np.broadcast_to(channels, sizes).reshape([after[i] for i in outs])
    return {
        out: [np.unique(slab) for slab in np.moveaxis(laid_out, place, 0)]
        for place, out in enumerate(outs)
        if after[out] > 1
    }


def blocks(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The finest partition of both shapes into runs of equal products; axes of size 1 join the run before them."""
    found: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) and j < len(after):
        ins, outs, p, q = [i], [j], before[i], after[j]
        i, j = i + 1, j + 1
        while p != q:
            if p < q:
                ins.append(i)
                p, i = p * before[i], i + 1
            else:
                outs.append(j)
                q, j = q * after[j], j + 1
        found.append((ins, outs))
    if found:
        found[-1][0].extend(range(i, len(before)))
        found[-1][1].extend(range(j, len(after)))
    return found


def preferred(slabs: dict[int, list[Ids]], labels: Ids, *, finest: bool) -> int:
    """The axis to cut along: one whose slabs are a label each, else the first that tells channels apart.

    labels: of the channels, as they are joined so far; finest: rather the axis with the most indices, for channels that
    are shuffled and soon lie in one axis again.
    """
    alone = [axis for axis, found in slabs.items() if all(np.all(labels[i] == labels[i[0]]) for i in found)]
    if alone:
        return max(alone, key=lambda axis: len(slabs[axis]))
    if finest:
        return max(slabs, key=lambda axis: len(slabs[axis]))
    return next(axis for axis, found in slabs.items() if len(found) > 1)
