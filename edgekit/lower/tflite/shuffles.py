"""Channel shuffles without shuffling: convolutions write their channels in the order in which they are read together.

Between convolutions, Concat, Split and (N, C, ..) -> (N, g, C/g, ..) -> (N, C/g, g, ..) -> (N, C, ..) only say which
channel of which tensor a convolution reads. The order of its input channels is free, since its weights can be permuted,
and so is the order in which the tensors' makers write theirs. So every maker's channels are sorted by who reads them,
and each reader gets a Concat of slices: in a ShuffleNet unit half of the channels move once, where Concat, Transpose
and Split move all of them three times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from edgekit.artifact import REORDERED
from edgekit.lower.tflite.ops import Node, Program, Value
from edgekit.lower.tflite.rewrite import taken

Channel = tuple[Value, int]
Piece = tuple[Value, int, int]
"""A maker's tensor, and the channels from the first to before the second number, as it now writes them."""

MOST_PIECES = 8  # per reader, on average: finer ones cost more than what they save


def absorb_shuffles(program: Program) -> Program:
    """The program without shuffles, or as it is where somebody needs the shuffled order."""
    moves = _Moves.of(program)
    readers = _readers(program, moves)
    if not readers or any(value in moves.shuffled for _, value in program.outputs):
        return program
    orders = _orders(program, moves, readers)
    pieces = {reader: _pieces(moves.content[reader.input(0)], orders) for reader in readers}
    if sum(map(len, pieces.values())) > MOST_PIECES * len(pieces):
        return program
    return _written(program, moves, orders, pieces)


# -- who reads what ---------------------------------------------------------------------------------------------------


@dataclass
class _Moves:
    """content: what each moved value's channels are; shuffled: those with a shuffle among what made them."""

    content: dict[Value, list[Channel]] = field(default_factory=dict)
    shuffled: set[Value] = field(default_factory=set)
    nodes: set[Node] = field(default_factory=set)

    @staticmethod
    def of(program: Program) -> _Moves:
        moves, producers = _Moves(), program.producers()
        for node in program.nodes:
            shuffle = _shuffle(node, producers)
            if shuffle is not None:
                source, order = shuffle
                moves.add(node, [moves.channels(source)[i] for i in order])
                moves.shuffled.add(node.output)
            elif (
                node.op == "Concat" and _axis(node) == 1 and all(v is not None and v.data is None for v in node.inputs)
            ):
                moves.add(node, [channel for v in node.inputs if v is not None for channel in moves.channels(v)])
            elif node.op == "Split" and _axis(node) == 1:
                moves.add(node, moves.channels(node.input(0)))
        return moves

    def channels(self, value: Value) -> list[Channel]:
        return self.content.get(value, [(value, i) for i in range(value.shape[1])])

    def add(self, node: Node, channels: list[Channel]) -> None:
        self.nodes.add(node)
        start = 0
        for value in node.outputs:
            self.content[value] = channels[start : start + value.shape[1]]
            start += value.shape[1]
        if any(value in self.shuffled for value in node.inputs):
            self.shuffled.update(node.outputs)


def _axis(node: Node) -> int:
    rank = node.input(0).rank
    return int(node.attributes.get("axis", 0)) % rank if rank > 2 else -1


def _shuffle(node: Node, producers: Mapping[Value, Node]) -> tuple[Value, list[int]] | None:
    """What the last Reshape of a shuffle shuffles, and in which order it takes its channels."""
    transpose = producers.get(node.input(0)) if node.op == "Reshape" else None
    first = producers.get(transpose.input(0)) if transpose is not None and transpose.op == "Transpose" else None
    if transpose is None or first is None or first.op != "Reshape":
        return None
    source, split = first.input(0), first.output.shape
    fits = source.rank > 2 and split[0] == source.shape[0] and split[3:] == source.shape[2:]
    swapped = (0, 2, 1, *range(3, source.rank + 1))
    if not fits or node.output.shape != source.shape or transpose.ints("perm", ()) != swapped:
        return None
    return source, np.arange(source.shape[1]).reshape(split[1:3]).T.reshape(-1).tolist()


def _readers(program: Program, moves: _Moves) -> list[Node]:
    """The convolutions that read shuffled channels; none where anything else does."""
    users = program.users()
    inner = {node for value in moves.shuffled for node in users.get(value, []) if _is_inside(node, moves, users)}
    found = [node for value in moves.shuffled for node in users.get(value, []) if node not in inner]
    free = all(_mixes_channels(node) or _keeps_channels(node, program, users) for node in found)
    return sorted(dict.fromkeys(found), key=program.nodes.index) if free else []


def _is_inside(node: Node, moves: _Moves, users: Mapping[Value, list[Node]]) -> bool:
    """A move, or the first half of a shuffle."""
    if node in moves.nodes:
        return True
    behind = [last for middle in users.get(node.output, []) for last in users.get(middle.output, [])]
    return node.op == "Reshape" and bool(behind) and all(last in moves.nodes for last in behind)


def _mixes_channels(node: Node) -> bool:
    return _is_constant_conv(node) and node.attributes.get("group", 1) == 1


def _keeps_channels(node: Node, program: Program, users: Mapping[Value, list[Node]]) -> bool:
    """A depthwise convolution whose order of channels its readers do not mind."""
    depthwise = _is_constant_conv(node) and node.attributes.get("group", 1) == node.input(1).shape[0]
    seen = any(value is node.output for _, value in program.outputs)
    behind = users.get(node.output, [])
    return (
        depthwise and node.input(0).shape[1] == node.output.shape[1] and not seen and all(map(_mixes_channels, behind))
    )


def _is_constant_conv(node: Node) -> bool:
    return node.op == "Conv" and all(v is None or v.data is not None for v in node.inputs[1:])


# -- the order in which makers write ----------------------------------------------------------------------------------


def _orders(program: Program, moves: _Moves, readers: Sequence[Node]) -> dict[Value, list[int]]:
    """Per maker's tensor, its channels sorted by who reads them, where nobody else minds; else as they are."""
    wanted: dict[Channel, list[int]] = defaultdict(list)
    for index, reader in enumerate(readers):
        for channel in moves.content[reader.input(0)]:
            wanted[channel].append(index)
    bases = dict.fromkeys(base for base, _ in wanted)
    fixed = _minded(program, moves, readers)
    producers = program.producers()
    orders = {}
    for base in bases:
        channels = range(base.shape[1])
        maker = producers.get(base)
        free = base not in fixed and maker is not None and _mixes_channels(maker)
        orders[base] = sorted(channels, key=lambda i: wanted.get((base, i), [])) if free else list(channels)
    return orders


def _minded(program: Program, moves: _Moves, readers: Sequence[Node]) -> set[Value]:
    """Tensors of which others read channels than the readers, or that the file gives away."""
    users = program.users()
    known = {*readers, *moves.nodes}
    outputs = {value for _, value in program.outputs}
    values = [*moves.content, *(base for channels in moves.content.values() for base, _ in channels)]
    minded = [
        value
        for value in dict.fromkeys(values)
        if value in outputs or any(u not in known and not _is_inside(u, moves, users) for u in users.get(value, []))
    ]
    return {base for value in minded for base, _ in moves.channels(value)}


def _pieces(channels: Iterable[Channel], orders: Mapping[Value, list[int]]) -> list[Piece]:
    """Runs of channels as their makers write them."""
    places: dict[Value, list[int]] = defaultdict(list)
    for base, index in channels:
        places[base].append(orders[base].index(index))
    pieces = []
    for base, found in places.items():
        for _, run in groupby(enumerate(sorted(found)), key=lambda pair: pair[1] - pair[0]):
            numbers = [place for _, place in run]
            pieces.append((base, numbers[0], numbers[-1] + 1))
    return pieces


# -- writing it -------------------------------------------------------------------------------------------------------


def _written(
    program: Program, moves: _Moves, orders: Mapping[Value, list[int]], pieces: Mapping[Node, list[Piece]]
) -> Program:
    writing = _Writing(orders)
    for node in program.nodes:
        if node in pieces:
            writing.read(node, moves.content[node.input(0)], pieces[node])
        else:
            writing.copy(node)
    return replace(program, nodes=tuple(_needed(writing.nodes, {value for _, value in program.outputs})))


class _Writing:
    """written: makers' tensors whose channels stand in another order; behind: what a depthwise convolution gives
    instead, and the order of its channels; parts, joined: what has been cut out and put together so far."""

    def __init__(self, orders: Mapping[Value, list[int]]) -> None:
        self.nodes: list[Node] = []
        self.orders = orders
        sorted_anew = [base for base, order in orders.items() if order != sorted(order)]
        self.written = {base: replace(base, name=f"{base.name}{REORDERED}") for base in sorted_anew}
        self.behind: dict[Value, tuple[Value, list[int]]] = {}
        self.parts: dict[Piece, Value] = {}
        self.joined: dict[tuple[Piece, ...], Value] = {}

    def copy(self, node: Node) -> None:
        """A node that reads no shuffled channels; it may make some, or stand behind a depthwise convolution."""
        if node.op == "Conv" and node.inputs[0] in self.behind:
            node = _reading(node, *self.behind[node.input(0)])
        if node.output in self.written:
            node = _making(node, self.written[node.output], self.orders[node.output])
        self.nodes.append(node)

    def read(self, node: Node, channels: list[Channel], pieces: list[Piece]) -> None:
        place = {channel: index for index, channel in enumerate(channels)}
        order = [place[base, i] for base, start, stop in pieces for i in self.orders[base][start:stop]]
        x = self._join(node.input(0), pieces)
        if _mixes_channels(node):
            self.copy(_reading(node, x, order))
            return
        moved = replace(node.output, name=f"{node.output.name}{REORDERED}")
        self.behind[node.output] = (moved, order)
        made = _making(node, moved, order)
        self.nodes.append(replace(made, inputs=(x, *made.inputs[1:])))

    def _join(self, x: Value, pieces: list[Piece]) -> Value:
        key = tuple(pieces)
        if key not in self.joined:
            values = tuple(self._part(piece) for piece in pieces)
            self.joined[key] = values[0] if len(values) == 1 else replace(x, name=f"{x.name}{REORDERED}")
            if len(values) > 1:
                outputs = (self.joined[key],)
                self.nodes.append(Node(op="Concat", inputs=values, outputs=outputs, attributes={"axis": 1}))
        return self.joined[key]

    def _part(self, piece: Piece) -> Value:
        base, start, stop = piece
        whole = self.written.get(base, base)
        if (start, stop) == (0, base.shape[1]):
            return whole
        if piece not in self.parts:
            part = replace(whole, name=f"{whole.name}_{start}", shape=(base.shape[0], stop - start, *base.shape[2:]))
            numbers = [_number(f"{part.name}_{what}", n) for what, n in (("from", start), ("to", stop), ("axis", 1))]
            self.nodes.append(Node(op="Slice", inputs=(whole, *numbers), outputs=(part,)))
            self.parts[piece] = part
        return self.parts[piece]


def _reading(conv: Node, x: Value, order: list[int]) -> Node:
    """The convolution on input channels in this order."""
    return replace(conv, inputs=(x, taken(conv.input(1), np.array(order), axis=1), *conv.inputs[2:]))


def _making(conv: Node, output: Value, order: list[int]) -> Node:
    """The convolution with its output channels in this order."""
    constants = tuple(None if v is None else taken(v, np.array(order), axis=0) for v in conv.inputs[1:])
    return replace(conv, inputs=(conv.inputs[0], *constants), outputs=(output,))


def _number(name: str, number: int) -> Value:
    data = np.array([number], np.int64)
    return Value(name=name, shape=data.shape, dtype=data.dtype, data=data)


def _needed(nodes: Sequence[Node], outputs: set[Value]) -> list[Node]:
    """Without the moves that nobody reads any more."""
    read, found = set(outputs), []
    for node in reversed(nodes):
        if read.intersection(node.outputs) or node.op not in ("Reshape", "Transpose", "Concat", "Split"):
            read.update(value for value in node.inputs if value is not None)
            found.append(node)
    return found[::-1]
