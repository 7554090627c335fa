"""What readers of a recurrent layer get: its sequence and its last states, in the form in which they want them.

ONNX gives Y as (T, D, B, H); nobody wants it so. Exporters transpose and reshape it to (T, B, D H) or (B, T, D H), and
classifiers read one step of that: each of these is given directly, and what nobody reads is never put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from edgekit.graph import facts
from edgekit.simplify.tape import Tape

Written = list[tuple[ir.Value, ir.Value]]
"""(value of the graph, what takes its place)."""


def give_sequence(tape: Tape, y: ir.Value, states: Sequence[Sequence[ir.Value]], batch_first: bool) -> Written:
    """y: (T, D, B, H), or (B, T, D, H) batch first; states: per direction, (B, H) at each step."""
    sequence = _Sequence(tape, states)
    written: Written = []
    for reader in [] if batch_first else facts.consumers(y):
        order = facts.attribute(reader, "perm") if reader.op_type == "Transpose" else None
        if sequence.count == 1 and _drops_axis(reader, y, 1):
            written += sequence.give_steps_first(reader.outputs[0])
        if order == (0, 2, 1, 3):
            written += [new for merged in sequence.mergers(reader, 0) for new in sequence.give_steps_first(merged)]
        if order == (2, 0, 1, 3):
            written += [new for merged in sequence.mergers(reader, 1) for new in sequence.give_batch_first(merged)]
    if _is_read(y, [old for old, _ in written]):
        written.append((y, sequence.whole(batch_first)))
    return written


class _Sequence:
    """The forms of one sequence, each made once and only when it is asked for."""

    def __init__(self, tape: Tape, states: Sequence[Sequence[ir.Value]]) -> None:
        self.tape, self.states = tape, states
        self.steps, self.hidden, self.count = len(states[0]), Tape.width(states[0][0]), len(states)
        self._batch_first: ir.Value | None = None
        self._steps_first: ir.Value | None = None

    def give_steps_first(self, value: ir.Value) -> Written:
        """value: (T, B, D H)."""
        written: Written = []
        for reader in facts.consumers(value):
            if reader.op_type == "Transpose" and facts.attribute(reader, "perm") == (1, 0, 2):
                written += self.give_batch_first(reader.outputs[0])
            elif (step := _picked(reader, axis=0)) is not None:
                written.append((reader.outputs[0], self.step(step)))
        if _is_read(value, [old for old, _ in written]):
            written.append((value, self.steps_first()))
        return written

    def give_batch_first(self, value: ir.Value) -> Written:
        """value: (B, T, D H)."""
        picks = [(reader.outputs[0], _picked(reader, axis=1)) for reader in facts.consumers(value)]
        written: Written = [(output, self.step(step)) for output, step in picks if step is not None]
        if _is_read(value, [old for old, _ in written]):
            written.append((value, self.batch_first()))
        return written

    def mergers(self, node: ir.Node, steps_axis: int) -> Iterator[ir.Value]:
        """What readers make of the node's output by merging directions and states: (T, B, D H) or (B, T, D H)."""
        for merger in facts.consumers(node.outputs[0]):
            shape = merger.outputs[0].shape
            if merger.op_type != "Reshape" or shape is None or len(shape) != 3:
                continue
            if (shape[steps_axis], shape[2]) == (self.steps, self.count * self.hidden):
                yield merger.outputs[0]

    def step(self, index: int) -> ir.Value:
        """(B, D H)."""
        parts = [made[index] for made in self.states]
        return parts[0] if len(parts) == 1 else self._joined(f"step{index % self.steps}", parts, 1)

    def batch_first(self) -> ir.Value:
        """(B, T, D H)."""
        if self._batch_first is None:
            parts = []
            for i, made in enumerate(self.states):
                flat = made[0] if self.steps == 1 else self._joined(f"flat{i}", made, 1)
                parts.append(self.tape.reshape(f"sequence{i}", flat, [-1, self.steps, self.hidden]))
            self._batch_first = parts[0] if self.count == 1 else self._joined("sequence", parts, 2)
        return self._batch_first

    def steps_first(self) -> ir.Value:
        """(T, B, D H)."""
        if self._steps_first is None:
            shape = [self.steps, self.tape.batch, self.count * self.hidden]
            self._steps_first = self.tape.real("Transpose", "steps_first", [self.batch_first()], shape, perm=(1, 0, 2))
        return self._steps_first

    def whole(self, batch_first: bool) -> ir.Value:
        """ONNX's own form."""
        shape = [-1, self.steps, self.count, self.hidden]
        split = self.tape.reshape("split_directions", self.batch_first(), shape)
        if batch_first:
            return split
        order = [self.steps, self.count, self.tape.batch, self.hidden]
        return self.tape.real("Transpose", "whole", [split], order, perm=(1, 2, 0, 3))

    def _joined(self, label: str, parts: Sequence[ir.Value], axis: int) -> ir.Value:
        assert parts[0].shape is not None
        shape = list(parts[0].shape)
        shape[axis] = len(parts) * self.hidden
        return self.tape.real("Concat", label, list(parts), shape, axis=axis)


def give_last(tape: Tape, output: ir.Value, made: Sequence[ir.Value], batch_first: bool) -> Written:
    """output: (D, B, H), or (B, D, H) batch first; made: per direction, (B, H)."""
    axis = 1 if batch_first else 0
    written: Written = []
    for reader in facts.consumers(output):
        direction = _picked(reader, axis)
        if direction is None and len(made) == 1 and _drops_axis(reader, output, axis):
            direction = 0
        if direction is not None:
            written.append((reader.outputs[0], made[direction]))
    if _is_read(output, [old for old, _ in written]):
        hidden = Tape.width(made[0])
        shape = [-1, 1, hidden] if batch_first else [1, -1, hidden]
        parts = [tape.reshape(f"{output.name}_{i}", h, shape) for i, h in enumerate(made)]
        whole = [tape.batch, len(made), hidden] if batch_first else [len(made), tape.batch, hidden]
        written.append(
            (
                output,
                parts[0] if len(parts) == 1 else tape.real("Concat", f"{output.name}_all", parts, whole, axis=axis),
            )
        )
    return written


def _drops_axis(node: ir.Node, x: ir.Value, axis: int) -> bool:
    """True for a Reshape (or Squeeze) that drops this axis, of size 1, alone."""
    after = node.outputs[0].shape
    if node.op_type not in ("Reshape", "Squeeze") or after is None or x.shape is None:
        return False
    dims = list(x.shape)
    return dims[axis] == 1 and [str(d) for d in after] == [str(d) for d in dims[:axis] + dims[axis + 1 :]]


def _picked(node: ir.Node, axis: int) -> int | None:
    """The one place along the axis that a Gather takes."""
    if node.op_type != "Gather" or facts.attribute(node, "axis", 0) != axis:
        return None
    index = facts.constant(node.inputs[1])
    return int(index) if index is not None and np.ndim(index) == 0 else None


def _is_read(value: ir.Value, given: Sequence[ir.Value]) -> bool:
    """By the caller, or by a node none of whose results has been given already."""
    producers = {producer for old in given if (producer := old.producer()) is not None}
    return value.is_graph_output() or any(not _feeds_only(node, producers) for node in facts.consumers(value))


def _feeds_only(node: ir.Node, given: set[ir.Node]) -> bool:
    if node in given:
        return True
    output = node.outputs[0]
    readers = facts.consumers(output)
    return not output.is_graph_output() and bool(readers) and all(_feeds_only(reader, given) for reader in readers)
