"""Disjoint sets of values that must share a scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit import affine

Key = tuple[str, np.dtype[Any]]
"""A value, and the integers in which it is kept or read."""


class Union:
    """Sets of values, each with the scale that an op dictates to it, if one does."""

    def __init__(self) -> None:
        self._parent: dict[Key, Key] = {}
        self.fixed: dict[Key, affine.QParams] = {}

    def root(self, value: Key) -> Key:
        self._parent.setdefault(value, value)
        while self._parent[value] != value:
            value = self._parent[value]
        return value

    def join(self, value: Key, other: Key) -> None:
        """Put `value` into the set of `other`; a dictated scale goes with it."""
        first, second = self.root(value), self.root(other)
        if first == second:
            return
        self._parent[first] = second
        if first in self.fixed:
            self.fixed[second] = self.fixed.pop(first)

    def __contains__(self, value: Key) -> bool:
        return value in self._parent
