"""The room that activations take where a result may lie in the place of an input that is read for the last time.

TFLite Micro keeps both beside each other (`placing.py`). STM32Cube.AI, which knows its kernels when it makes code, does
not: the totals that it publishes show the first convolution, depthwise ones and the 1x1 behind them, pools and sums to
write where they read. Padding is a setting of the convolution behind it there, and a reshape is nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.profile.flow import Flow, Op
from edgekit.profile.kernels import Kind
from edgekit.profile.kernels_tflite import FREE, KINDS

OVER_ITS_INPUT: frozenset[Kind] = frozenset({"depthwise", "pool", "elementwise", "curve"})
WINDOWS: frozenset[Kind] = frozenset({"conv", "depthwise", "pool"})
PADS = frozenset({"PAD", "PADV2"})


@dataclass(frozen=True, kw_only=True)
class Step:
    """One op. reads, makes: values by number; taps: kernel height and width."""

    kind: Kind
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    taps: tuple[int, int] = (1, 1)


def peak(sizes: Mapping[int, int], steps: Sequence[Step], outputs: Sequence[int] = ()) -> int:
    """The most that is alive at once, in the unit of `sizes`: by value, those that no step makes being inputs.

    outputs: values that outlive the last step; those that nothing reads do too.
    """
    last = {value: index for index, step in enumerate(steps) for value in step.reads}
    ends = {value: len(steps) if value in outputs else last.get(value, len(steps)) for value in sizes}
    made_at = {value: index for index, step in enumerate(steps) for value in step.makes}
    first_conv = next((index for index, step in enumerate(steps) if step.kind == "conv"), None)
    most = 0
    for index, step in enumerate(steps):
        alive = sum(size for value, size in sizes.items() if made_at.get(value, -1) <= index <= ends[value])
        behind_depthwise = any(value in made_at and steps[made_at[value]].kind == "depthwise" for value in step.reads)
        able = step.kind in OVER_ITS_INPUT or index == first_conv
        able = able or (step.kind == "conv" and step.taps == (1, 1) and behind_depthwise)
        made = sum(sizes[value] for value in step.makes)
        dying = [sizes[value] for value in step.reads if ends[value] == index] if able else []
        most = max(most, alive - max((min(size, made) for size in dying), default=0))
    return most


def peak_bytes(flow: Flow) -> int:
    """Of a TFLite file's activations."""
    readers: dict[int, list[Op]] = {}
    for op in flow.ops:
        for number in op.inputs:
            readers.setdefault(number, []).append(op)
    same: dict[int, int] = {}  # a value that is another, under its own number
    steps = []
    for op in flow.ops:
        reads = tuple(same.get(number, number) for number in op.inputs if _moves(flow, number))
        if reads and (op.kind in FREE or (op.kind in PADS and _folded(readers.get(op.outputs[0], [])))):
            same |= dict.fromkeys(op.outputs, reads[0])
            continue
        kind = KINDS.get(op.kind, "other")
        steps.append(Step(kind=kind, reads=reads, makes=op.outputs, taps=_taps(kind, op, flow)))
    values = {*flow.inputs, *(number for step in steps for number in (*step.reads, *step.makes))}
    sizes = {number: flow.tensors[number].size_bytes for number in sorted(values)}
    return peak(sizes, steps, [same.get(number, number) for number in flow.outputs])


def _moves(flow: Flow, number: int) -> bool:
    return not flow.tensors[number].constant and not flow.tensors[number].variable


def _folded(readers: Sequence[Op]) -> bool:
    return bool(readers) and all(KINDS.get(reader.kind) in WINDOWS for reader in readers)


def _taps(kind: Kind, op: Op, flow: Flow) -> tuple[int, int]:
    """Of a convolution's weights, (O, H, W, I)."""
    shape = flow.tensors[op.inputs[1]].shape if kind == "conv" and len(op.inputs) > 1 else ()
    return (shape[1], shape[2]) if len(shape) == 4 else (1, 1)
