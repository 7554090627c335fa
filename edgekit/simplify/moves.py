"""Chains of Reshape and Transpose, in as few of each as will do.

Such a chain cuts the axes of its input into pieces, changes the order of the pieces and joins them to new axes:

    (B, 197, 192) -> (B, 197, 3, 64) -> (B, 3, 197, 64)         pieces B | 197 | 3 | 64, now in the order B 3 197 64

Pieces that stay neighbours count as one; what is left of them asks for at most one Transpose, with a Reshape before it
where an axis must be cut and one behind it where axes that were apart are joined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgekit.graph import edit, facts
from edgekit.simplify import batch

MOVES = frozenset({"Reshape", "Transpose"})


@dataclass(eq=False)
class Piece:
    """A part of an axis, of more than one element."""

    size: int


@dataclass(frozen=True)
class Moved:
    """What a chain does. source: the pieces in the input's order; axes: the pieces of each of the output's axes."""

    source: list[Piece]
    axes: list[list[Piece]]

    @property
    def order(self) -> list[Piece]:
        return [piece for axis in self.axes for piece in axis]


def merge_moves(graph: ir.Model) -> ir.Model:
    """Each chain of Reshape and Transpose becomes the shortest that does the same."""
    graph = graph.clone()
    for node in list(graph.graph):
        if node.op_type in MOVES and not _goes_on(node):
            _shorten(graph, node)
    edit.drop_unused(graph)
    return graph


def _goes_on(node: ir.Node) -> bool:
    """True where the next node belongs to the same chain."""
    reader = facts.only_consumer(node.outputs[0])
    return reader is not None and reader.op_type in MOVES and reader.inputs[0] is node.outputs[0]


def _shorten(graph: ir.Model, last: ir.Node) -> None:
    chain = _chain(last)
    x = chain[0].inputs[0]
    values = [x, *(node.outputs[0] for node in chain)]
    if x is None or not all(
        batch.is_known(value) and value is not None and all(batch.sizes(value)) for value in values
    ):
        return
    moved = _moved(chain)
    if moved is None:
        return
    steps = _steps(moved, batch.sizes(x), batch.sizes(last.outputs[0]))
    if _cost(steps) >= (sum(node.op_type == "Transpose" for node in chain), len(chain)):
        return
    if not steps:
        ends = last.outputs[0].is_graph_output() and (x.producer() is None or x.is_graph_output())
        if not ends:
            last.replace_input_with(0, x)
            edit.bypass(graph, last)
        return
    edit.replace(graph, last, _written(graph, last, x, steps))


def _chain(last: ir.Node) -> list[ir.Node]:
    """The nodes of the chain that ends here, first to last."""
    chain = [last]
    while (x := chain[0].inputs[0]) is not None and (above := x.producer()) is not None:
        if above.op_type not in MOVES or facts.only_consumer(x) is not chain[0]:
            break
        chain.insert(0, above)
    return chain


def _moved(chain: Sequence[ir.Node]) -> Moved | None:
    """The pieces, None where an axis cannot be cut as a Reshape asks (2 x 3 to 3 x 2)."""
    x = chain[0].inputs[0]
    assert x is not None
    axes = [[Piece(size)] if size != 1 else [] for size in batch.sizes(x)]
    source = [piece for axis in axes for piece in axis]
    for node in chain:
        if node.op_type == "Transpose":
            axes = [axes[axis] for axis in facts.attribute(node, "perm", range(len(axes))[::-1])]
            continue
        regrouped = _regrouped(axes, source, batch.sizes(node.outputs[0]))
        if regrouped is None:
            return None
        axes = regrouped
    return Moved(source, axes)


def _regrouped(axes: list[list[Piece]], source: list[Piece], wanted: Sequence[int]) -> list[list[Piece]] | None:
    """The same pieces, cut where needed, as axes of the wanted sizes; a cut shows in `source` too."""
    rest = [piece for axis in axes for piece in axis]
    found: list[list[Piece]] = []
    for size in wanted:
        axis: list[Piece] = []
        while size > 1:
            if not rest:
                return None
            piece = rest[0]
            if size % piece.size == 0:
                size //= piece.size
                axis.append(rest.pop(0))
            elif piece.size % size == 0:
                outer, inner = Piece(size), Piece(piece.size // size)
                source[source.index(piece) : source.index(piece) + 1] = [outer, inner]
                _cut(found, piece, [outer, inner])
                axis.append(outer)
                rest[0] = inner
                size = 1
            else:
                return None
        found.append(axis)
    return None if rest else found


def _cut(axes: list[list[Piece]], piece: Piece, parts: list[Piece]) -> None:
    for axis in axes:
        if piece in axis:
            axis[axis.index(piece) : axis.index(piece) + 1] = parts


@dataclass(frozen=True)
class Step:
    """A Reshape to `shape`, or a Transpose by `perm` that makes `shape`."""

    shape: tuple[int, ...]
    perm: tuple[int, ...] | None = None


def _cost(steps: Sequence[Step]) -> tuple[int, int]:
    return sum(step.perm is not None for step in steps), len(steps)


def _steps(moved: Moved, before: tuple[int, ...], after: tuple[int, ...]) -> list[Step]:
    """The cheapest way: the input's own axes exchanged, the output's own axes cut first, or neither."""
    if moved.source == moved.order:
        return [] if before == after else [Step(after)]
    ways = (_of_input_axes(moved, before), _of_output_axes(moved, after), _of_runs(moved))
    complete = [_between(shape, perm, before, after) for shape, perm in (way for way in ways if way is not None)]
    return min(complete, key=_cost)


Way = tuple[tuple[int, ...], tuple[int, ...]]
"""The shape to exchange the axes of, and how."""


def _of_input_axes(moved: Moved, before: tuple[int, ...]) -> Way | None:
    """Whole axes of the input change places; those of size 1 go where the output has such axes, the rest in front."""
    axes = _assigned(moved.source, before)
    perm: list[int] = []
    for piece in moved.order:
        axis = next(i for i, pieces in enumerate(axes) if piece in pieces)
        if axis not in perm:
            perm.append(axis)
        elif perm[-1] != axis:
            return None
    if [piece for axis in perm for piece in axes[axis]] != moved.order:
        return None
    thin = [axis for axis, size in enumerate(before) if size == 1]
    for place, pieces in enumerate(moved.axes):
        if not pieces and thin and place <= len(perm):
            perm.insert(place, thin.pop(0))
    return before, (*thin, *perm)


def _of_output_axes(moved: Moved, after: tuple[int, ...]) -> Way | None:
    """The input is cut into the output's axes, which then change places."""
    wide = [axis for axis, size in enumerate(after) if size != 1]
    wide.sort(key=lambda axis: moved.source.index(moved.axes[axis][0]))
    if [piece for axis in wide for piece in moved.axes[axis]] != moved.source:
        return None
    rest = iter(wide)
    order = [axis if size == 1 else next(rest) for axis, size in enumerate(after)]  # axes of size 1 stay in place
    return tuple(after[axis] for axis in order), tuple(order.index(axis) for axis in range(len(after)))


def _of_runs(moved: Moved) -> Way:
    """Pieces that are neighbours before and after, as one axis each."""
    runs: list[list[Piece]] = []
    for piece in moved.source:
        place = moved.order.index(piece)
        joins = runs and place and moved.order[place - 1] is runs[-1][-1]
        if joins:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    order = sorted(range(len(runs)), key=lambda i: moved.order.index(runs[i][0]))
    return tuple(math.prod(piece.size for piece in run) for run in runs), tuple(order)


def _assigned(source: Sequence[Piece], shape: Sequence[int]) -> list[list[Piece]]:
    """The pieces of each axis of the input."""
    rest, axes = list(source), []
    for size in shape:
        axis: list[Piece] = []
        while math.prod(piece.size for piece in axis) < size:
            axis.append(rest.pop(0))
        axes.append(axis)
    return axes


def _between(
    shape: tuple[int, ...], perm: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...]
) -> list[Step]:
    made = tuple(shape[axis] for axis in perm)
    return [*[Step(shape)] * (shape != before), Step(made, perm), *[Step(after)] * (made != after)]


def _written(graph: ir.Model, last: ir.Node, x: ir.Value, steps: Sequence[Step]) -> list[ir.Node]:
    nodes: list[ir.Node] = []
    for index, step in enumerate(steps):
        if step.perm is not None:
            node = edit.new_node(last, "Transpose", [x], {"perm": step.perm})
        else:
            name = f"{last.outputs[0].name}_shape"
            node = edit.new_node(last, "Reshape", [x, batch.target(graph, name, step.shape)])
        if index < len(steps) - 1:
            node.name, node.outputs[0].name = f"{last.name}_{index}", f"{last.outputs[0].name}_{index}"
            node.outputs[0].shape = batch.open_shape(step.shape)
        x = node.outputs[0]
        nodes.append(node)
    return nodes
