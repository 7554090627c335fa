"""What is found out while a graph is walked from its inputs to its outputs: whose channels go where.

A value may carry channels along one axis, each with a label and with what it *rests* at: the one number that it holds
everywhere once all that makes its label's channels (weights, biases, factors and addends of norms) is zero. Where a
channel that rests at r is cut, its reader loses W r, which its bias takes over; a rest that is no single number (NaN)
cannot be taken over, and so its channels stay.

Rows of the table (groups.py) are given a `Flow` and a node; they give channels to the node's outputs, and leave records
of what cutting will have to edit: constants to slice, numbers that count channels, positions that pick channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgekit.graph import facts, source
from edgekit.prune.labels import Ids, Labels, Reals


@dataclass(frozen=True, eq=False)
class Channels:
    """axis: of the value; labels, rest: (C,), see the room's docstring."""

    axis: int
    labels: Ids
    rest: Reals

    def at(self, axis: int) -> Channels:
        return Channels(axis, self.labels, self.rest)

    def resting(self, rest: Reals) -> Channels:
        return Channels(self.axis, self.labels, rest)


@dataclass(frozen=True, eq=False)
class Slice:
    """A constant that a node reads, with a label for each position along an axis.

    makes: what it holds there makes the channels, so that they are zero where it is zero; weighs: it is a weight that a
    score may look at.
    """

    node: str
    position: int
    axis: int
    labels: Ids
    makes: bool = False
    weighs: bool = False


@dataclass(frozen=True, eq=False)
class Count:
    """An integer of a node that counts the channels with these labels: an attribute, or an input's element."""

    node: str
    labels: Ids
    attribute: str | None = None
    position: int = 0
    index: int = 0


@dataclass(frozen=True, eq=False)
class Pick:
    """Indices, an input of a node, into channels with these labels."""

    node: str
    position: int
    labels: Ids


@dataclass(frozen=True, eq=False)
class Fold:
    """Where channels with these labels are cut, the node's bias takes over what they rest at."""

    node: str
    labels: Ids
    rest: Reals


@dataclass(frozen=True, eq=False)
class Work:
    """Multiply-accumulates that shrink with the share kept of each of these labels."""

    node: str
    macs: int
    over: tuple[Ids, ...] = ()


@dataclass(frozen=True, eq=False)
class Birth:
    """Labels that a node made, by its name and by its description for people."""

    node: str
    described: str
    labels: Ids


@dataclass(eq=False)
class Flow:
    """See the room's docstring. `channels` holds a value's only where they are known; the other fields are records."""

    graph: ir.Model
    labels: Labels = field(default_factory=Labels)
    channels: dict[ir.Value, Channels] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    picks: list[Pick] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)
    work: list[Work] = field(default_factory=list)
    births: list[Birth] = field(default_factory=list)
    _weights: dict[tuple[ir.Value, int], tuple[ir.Node, Ids | None]] = field(default_factory=dict)

    # ---- channels ----------------------------------------------------------------------------------------------------

    def of(self, value: ir.Value | None) -> Channels | None:
        return None if value is None else self.channels.get(value)

    def give(self, value: ir.Value, channels: Channels) -> None:
        if value.name == "":
            return  # an optional output that nobody wants
        assert facts.shape(value)[channels.axis] in (len(channels.labels), None), f"{value.name} has other channels"
        self.channels[value] = channels

    def stay(self, node: ir.Node, why: str, *values: ir.Value | None) -> None:
        """What the node reads (or these of it) keeps its channels. why: completes "Softmax 'x' ..."."""
        for value in values or node.inputs:
            if (came := self.of(value)) is not None:
                self.labels.fix(came.labels, f"{source.describe(node)} {why}")

    def born(self, node: ir.Node, count: int) -> Ids:
        labels = self.labels.fresh(count)
        self.births.append(Birth(node.name or "", source.describe(node), labels))
        return labels

    def unborn(self, count: int, why: str) -> Ids:
        """Labels of channels that stay and that nobody would think of cutting."""
        labels = self.labels.fresh(count)
        self.labels.fix(labels, why)
        return labels

    def may_go(self, channels: Channels) -> bool:
        return any(self.labels.reason(label) is None for label in set(channels.labels.tolist()))

    # ---- what cutting edits ------------------------------------------------------------------------------------------

    def slice(
        self, node: ir.Node, position: int, axis: int, labels: Ids, *, makes: bool = False, weighs: bool = False
    ) -> None:
        self.slices.append(Slice(node.name or "", position, axis, labels, makes, weighs))

    def count(
        self, node: ir.Node, labels: Ids, *, attribute: str | None = None, position: int = 0, index: int = 0
    ) -> None:
        self.counts.append(Count(node.name or "", labels, attribute, position, index))

    def works(self, node: ir.Node, macs: int, *over: Ids) -> None:
        self.work.append(Work(node.name or "", macs, over))

    def makes(self, node: ir.Node, position: int, axis: int, labels: Ids | None = None) -> Ids:
        """The labels of a weight's outputs: those given or new ones, joined with what it has at another node."""
        weight = node.inputs[position]
        assert weight is not None
        known = self._weights.get((weight, axis), (node, None))[1]
        if labels is None:
            labels = known if known is not None else self.born(node, facts.static_shape(weight)[axis])
        if known is not None:
            self.labels.join(known, labels)
        self._weights.setdefault((weight, axis), (node, labels))
        self.slice(node, position, axis, labels, makes=True, weighs=True)
        return labels

    def reads(self, node: ir.Node, position: int, axis: int, came: Channels | None) -> None:
        """A weight has an input channel for each channel that comes; one that several nodes share stays shared."""
        weight = node.inputs[position]
        assert weight is not None
        first, known = self._weights.setdefault((weight, axis), (node, came.labels if came is not None else None))
        if first is not node:
            self._share(node, first, known, came)
        if came is not None:
            self.slice(node, position, axis, came.labels)

    def _share(self, node: ir.Node, first: ir.Node, known: Ids | None, came: Channels | None) -> None:
        if known is not None and came is not None:
            self.labels.join(known, came.labels)
        elif came is not None:
            self.labels.fix(came.labels, f"{source.describe(node)} shares its weights with {source.describe(first)}")
        elif known is not None:
            self.labels.fix(known, f"{source.describe(first)} shares its weights with {source.describe(node)}")

    def takes_over(self, node: ir.Node, came: Channels, *, padded: bool) -> None:
        """A node with a bias reads channels: what they rest at must be a number, and 0 where it pads with zeros."""
        unclear = np.isnan(came.rest)
        self.labels.fix(came.labels[unclear], f"{source.describe(node)} reads it, and it does not rest at one number")
        if padded:
            raised = ~unclear & (came.rest != 0.0)
            self.labels.fix(
                came.labels[raised], f"{source.describe(node)} pads with zeros what rests at another number"
            )
        elif np.any(came.rest != 0.0):
            self.folds.append(Fold(node.name or "", came.labels, came.rest))


Row = Callable[[Flow, ir.Node], None]
"""Gives channels to the node's outputs, and leaves its records."""


def still(rest: Reals) -> Reals:
    """Of an op that keeps zero: 0 where all was 0, else no single number."""
    return np.where(rest == 0.0, 0.0, np.nan)


def resting_at_zero(axis: int, labels: Ids) -> Channels:
    return Channels(axis, labels, np.zeros(len(labels)))
