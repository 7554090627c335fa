"""Memory of a TFLite file, planned before it runs anywhere: what is alive at each op, and the arena of TFLite Micro.

TFLM works in one piece of memory. From its low end (the *head*) it lays out the activations, which share room
(`placing.py`); from its high end (the *tail*) it takes what lasts: tables of tensors and ops, and what kernels keep
(`micro_kernels.py`). Both are computed here as TFLM computes them, for the records of a machine with pointers of 8
bytes, where `tflite-micro` can prove it; on a microcontroller pointers are half as long, and the tail is smaller
(`tail32_bytes`, by the same layout, but not checked against a device).

Before its first run TFLM also needs room between the two that it gives back, to prepare kernels and to plan. In a file
with small activations and many tensors that decides: `needed_bytes`, not `arena_bytes`, is what an arena must have.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekit.errors import EdgekitError
from edgekit.profile import micro_kernels, placing
from edgekit.profile.flow import Flow, Op, Tensor, read_flow
from edgekit.profile.placing import ALIGNMENT, Claim, aligned

Evidence = Literal["computed", "estimated"]

# Bytes on a machine with pointers of 8 bytes, from what `tflite-micro` (commit 8f6596d) reports.
ITSELF = 488  # the allocator, the planner, a list of graphs, the interpreter's context
PER_REQUEST = 16  # in the list of scratch that kernels ask for
MOST_REQUESTS = 12  # of one op; the list has room for as many when the op prepares itself
PLANNING = 24  # of the planner, and per tensor or scratch and per claim:
PER_TENSOR = 32
PER_CLAIM = 40


@dataclass(frozen=True, kw_only=True)
class Records:
    """Sizes of TFLM's own records in bytes, by the length of a pointer."""

    pointer: int

    @property
    def tensor(self) -> int:
        return 3 * self.pointer  # where it is, its shape, its type

    @property
    def op(self) -> int:
        return 8 * self.pointer  # six lists and settings, a length, its kernel

    @property
    def described(self) -> int:
        """A tensor as the application sees it: an input or an output."""
        return 6 * self.pointer + 16

    def quantization(self, scales: int) -> tuple[int, int]:
        """Of a tensor as the application sees it: its record, and its zero points."""
        return 3 * self.pointer, 4 + 4 * scales


HOST, MICRO = Records(pointer=8), Records(pointer=4)


@dataclass(frozen=True, kw_only=True)
class Alive:
    """A tensor, or scratch of an op, that takes room. size_bytes: aligned to 16."""

    name: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One op. output: the first tensor that it makes; alive_bytes: all activations and scratch alive while it runs."""

    op: str
    output: str
    alive_bytes: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """A share of the arena. evidence: "estimated" where something in it was guessed."""

    name: str
    size_bytes: int
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What one run of a file needs beside the file itself. *_bytes: bytes.

    peak_bytes: the most that is alive at once, which no plan can go below; peak_op, peak_number, peak_output: the op
    then, its place in `timeline` from 1 on, and what it makes; alive: what is alive then, largest first; timeline:
    every op, in order; head_bytes: all activations, as TFLM places them; tail_bytes: what lasts; tail32_bytes: likewise
    with pointers of 4 bytes; arena_bytes: head and tail; needed_bytes: the smallest arena in which it starts; parts: of
    the arena, activations first; without_kernel: ops that TFLM cannot run; guessed: ops whose share of memory was not
    measured; several_graphs: the file holds others beside the main one, for ops that branch or loop, which are not
    planned.
    """

    peak_bytes: int
    peak_op: str
    peak_number: int
    peak_output: str
    alive: tuple[Alive, ...]
    timeline: tuple[Moment, ...]
    head_bytes: int
    tail_bytes: int
    tail32_bytes: int
    arena_bytes: int
    needed_bytes: int
    parts: tuple[Part, ...]
    without_kernel: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()
    several_graphs: bool = False


def plan(path: Path) -> Memory:
    """Raises EK762 where `path` is no whole TFLite file, EK761 where it is too large to plan."""
    try:
        return planned(read_flow(path.read_bytes()))
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as broken:
        raise EdgekitError(
            "EK762",
            f"cannot plan the memory of '{path}'",
            f"it does not hold together as a TFLite file: {broken}",
            "give a whole TFLite file; `edgekit inspect` says what a file is",
        ) from broken


def plan_of(data: bytes) -> Memory | None:
    """None where it is too large. data: a whole TFLite file; one that is damaged raises what `read_flow` does."""
    flow = read_flow(data)
    small = placing.lives([claim for _, claim in _claims(flow)]) <= placing.MOST_LIVES
    return planned(flow) if small else None


def planned(flow: Flow) -> Memory:
    """Raises EK761 where it is too large."""
    named = _claims(flow)
    claims = [claim for _, claim in named]
    head_bytes = placing.height(claims, placing.place(claims))
    parts = _tail_parts(flow, HOST)
    tail_bytes, tail32_bytes = (
        aligned(sum(size_bytes for _, size_bytes in _tail_parts(flow, records))) for records in (HOST, MICRO)
    )
    timeline = _timeline(flow, claims)
    peak = max(range(len(timeline)), key=lambda i: timeline[i].alive_bytes, default=None)
    alive = [] if peak is None else [(name, c) for name, c in named if c.first <= peak + 1 <= c.last]
    kinds = tuple(dict.fromkeys(op.kind for op in flow.ops))
    guessed = tuple(kind for kind in kinds if not micro_kernels.is_measured(kind))
    evidence: Evidence = "estimated" if guessed or flow.graphs > 1 else "computed"
    return Memory(
        peak_bytes=0 if peak is None else timeline[peak].alive_bytes,
        peak_op="" if peak is None else timeline[peak].op,
        peak_number=0 if peak is None else peak + 1,
        peak_output="" if peak is None else timeline[peak].output,
        alive=tuple(
            Alive(name=name, size_bytes=claim.size_bytes)
            for name, claim in sorted(alive, key=lambda item: -item[1].size_bytes)
        ),
        timeline=timeline,
        head_bytes=head_bytes,
        tail_bytes=tail_bytes,
        tail32_bytes=tail32_bytes,
        arena_bytes=head_bytes + tail_bytes,
        needed_bytes=max(head_bytes + tail_bytes, _to_prepare(flow), _to_plan(flow, len(claims))),
        parts=(
            Part(name="activations", size_bytes=head_bytes, evidence=evidence),
            *(Part(name=name, size_bytes=size_bytes, evidence=evidence) for name, size_bytes in parts),
        ),
        without_kernel=tuple(dict.fromkeys(filter(None, (micro_kernels.missing(op, flow) for op in flow.ops)))),
        guessed=guessed,
        several_graphs=flow.graphs > 1,
    )


# ---- the head: activations -----------------------------------------------------------------------------------------


def _claims(flow: Flow) -> list[tuple[str, Claim]]:
    """What is placed, by name: tensors in the order of the file, then scratch in the order of the ops.

    A tensor lives from the op that makes it to the last one that takes it; inputs from before the first op on, outputs
    past the last one. Variables outlive a run, so they lie in the tail.
    """
    first: dict[int, int] = dict.fromkeys(flow.inputs, 0)
    last: dict[int, int] = {}
    for number, op in enumerate(flow.ops, 1):
        last |= dict.fromkeys(op.inputs, number)
        first = dict.fromkeys(op.outputs, number) | first
    last |= dict.fromkeys(flow.outputs, len(flow.ops))
    found = []
    for i, tensor in enumerate(flow.tensors):
        if i in first and _is_placed(tensor):
            life = Claim(aligned(tensor.size_bytes), first[i], max(first[i], last.get(i, 0)))
            found.append((tensor.name, life))
    for number, op in enumerate(flow.ops, 1):
        pieces = micro_kernels.scratch(op, flow)
        found += [(f"scratch of {op.kind}", Claim(aligned(piece), number, number)) for piece in pieces]
    return found


def _is_placed(tensor: Tensor) -> bool:
    return not tensor.constant and not tensor.variable and tensor.size_bytes > 0


def _timeline(flow: Flow, claims: Sequence[Claim]) -> tuple[Moment, ...]:
    change = [0] * (len(flow.ops) + 2)
    for claim in claims:
        change[claim.first] += claim.size_bytes
        change[claim.last + 1] -= claim.size_bytes
    moments, alive_bytes = [], change[0]
    for op, more in zip(flow.ops, change[1:], strict=False):
        alive_bytes += more
        output = flow.tensors[op.outputs[0]].name if op.outputs else ""
        moments.append(Moment(op=op.kind, output=output, alive_bytes=alive_bytes))
    return tuple(moments)


# ---- the tail: what lasts ------------------------------------------------------------------------------------------

Piece = tuple[int, int]  # bytes, and what their address is a multiple of


def _tail_parts(flow: Flow, records: Records) -> list[tuple[str, int]]:
    """Bytes by name, with what alignment adds to each; taken from the high end in this order."""
    pieces = (
        ("TFLM itself", [(ITSELF, 1)]),
        ("table of tensors", [(records.tensor * len(flow.tensors), records.pointer)]),
        ("table of ops", [(records.op * len(flow.ops), records.pointer)]),
        ("settings of ops", [_settings(op) for op in flow.ops]),
        ("data of kernels", [*_kept_at_start(flow), *(piece for op in flow.ops for piece in _kept(op, flow))]),
        ("scratch handles", [(records.pointer * _scratches(flow), records.pointer)]),
        ("variables", [(tensor.size_bytes, ALIGNMENT) for tensor in flow.tensors if tensor.variable]),
        ("inputs and outputs", _signature(flow, records)),
    )
    parts, end = [], 0
    for name, wanted in pieces:
        start, end = end, _stacked(end, wanted)
        parts.append((name, end - start))
    return parts


def _stacked(end: int, pieces: Sequence[Piece]) -> int:
    for size_bytes, alignment in pieces:
        end = aligned(end + size_bytes, alignment) if size_bytes else end
    return end


def _settings(op: Op) -> Piece:
    size_bytes = micro_kernels.settings_bytes(op)
    return size_bytes, 4 if size_bytes >= 4 else 1  # int32 and flags, or flags alone


def _kept_at_start(flow: Flow) -> list[Piece]:
    return [(micro_kernels.kept_at_start(op), ALIGNMENT) for op in flow.ops]


def _kept(op: Op, flow: Flow) -> list[Piece]:
    return [(size_bytes, ALIGNMENT) for size_bytes in micro_kernels.kept_when_prepared(op, flow)]


def _scratches(flow: Flow) -> int:
    return sum(len(micro_kernels.scratch(op, flow)) for op in flow.ops)


def _signature(flow: Flow, records: Records) -> list[Piece]:
    """Inputs and outputs as the application sees them."""
    pieces = []
    for numbers in (flow.inputs, flow.outputs):
        pieces.append((records.pointer * len(numbers), ALIGNMENT))
        for tensor in flow.of(numbers):
            pieces += _described(tensor, records)
    return pieces


def _described(tensor: Tensor, records: Records) -> list[Piece]:
    pieces = [(records.described, records.pointer)]
    if tensor.scales:
        pieces += [(size_bytes, records.pointer) for size_bytes in records.quantization(tensor.scales)]
    return pieces


# ---- between the two: what is given back before the first run ------------------------------------------------------


def _to_prepare(flow: Flow) -> int:
    """The most that the arena holds while an op prepares itself: the tail so far, and what it looks at."""
    end = _stacked(sum(size_bytes for _, size_bytes in _tail_parts(flow, HOST)[:4]), _kept_at_start(flow))
    most = requests = 0
    for op in flow.ops:
        end = _stacked(end, _kept(op, flow))
        looked_at = [piece for i in micro_kernels.peeks(op) for piece in _described(flow.tensors[i], HOST)]
        most = max(most, end + PER_REQUEST * (MOST_REQUESTS + requests) + _stacked(0, looked_at))
        requests += len(micro_kernels.scratch(op, flow))
    return aligned(most)


def _to_plan(flow: Flow, claims: int) -> int:
    """What the arena holds while the activations are placed: all of the tail but the last, and notes of the planner."""
    lasting = sum(size_bytes for _, size_bytes in _tail_parts(flow, HOST)[:6])
    scratches = _scratches(flow)
    notes = PER_TENSOR * (len(flow.tensors) + scratches) + PER_CLAIM * claims
    return aligned(lasting + PLANNING + notes + PER_REQUEST * (MOST_REQUESTS + scratches))
