"""Channels that stay or go together: each carries a label, and labels are joined where an op joins their channels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
"""(C,) the labels along a value's channel axis; channels of one label are cut together."""
Reals = NDArray[np.float64]

FIXED = -1  # in place of every label that may not be cut, once all is known


class Labels:
    """Disjoint sets of labels, some of which must stay, each with the first reason that was found for it."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}

    def fresh(self, count: int) -> Ids:
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def join(self, first: Ids, second: Ids) -> None:
        """Element by element."""
        for one, other in dict.fromkeys(zip(first.tolist(), second.tolist(), strict=True)):
            self._join(one, other)

    def join_all(self, ids: Ids) -> None:
        """All into one."""
        for other in np.unique(ids).tolist():
            self._join(int(ids.flat[0]), other)

    def fix(self, ids: Iterable[int], why: str) -> None:
        """These labels stay, and so does what they are joined with, now or later."""
        for root in {self._root(int(label)) for label in ids}:
            self._reasons.setdefault(root, why)

    def reason(self, label: int) -> str | None:
        """Why the label stays, None where it may be cut."""
        return self._reasons.get(self._root(label))

    def settled(self, ids: Ids) -> Ids:
        """One label per set, FIXED for those that stay."""
        roots = {label: self._root(label) for label in set(ids.tolist())}
        return np.array([FIXED if roots[i] in self._reasons else roots[i] for i in ids.tolist()], np.int64)

    def _root(self, label: int) -> int:
        while self._parents[label] != label:
            self._parents[label] = self._parents[self._parents[label]]
            label = self._parents[label]
        return label

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        if first == second:
            return
        self._parents[second] = first  # the lowest stands for all: sets are in the order of the graph
        if (why := self._reasons.pop(second, None)) is not None:
            self._reasons.setdefault(first, why)
