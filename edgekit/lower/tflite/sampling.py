"""Sampling at computed places (GridSample), in float32: gathers of the pixels around each place, weighed.

    place = (g + 1) / 2 * (n - 1)  with aligned corners,  ((g + 1) n - 1) / 2  without
    reflected into [low, high]:  low + s - |s - (|place - low| mod 2 s)|,  s = high - low

Source: ONNX GridSample-20; cubic weights by Keys, 1981, with a = -0.75.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.images import crop
from edgekit.lower.tflite.index import pick_rows
from edgekit.lower.tflite.ops import Node, Tensor
from edgekit.lower.tflite.terms import cast, chosen, term

MODES = {"linear": "linear", "bilinear": "linear", "nearest": "nearest", "cubic": "cubic", "bicubic": "cubic"}
SHARPNESS = -0.75
INT32 = np.dtype(np.int32)


@dataclass(frozen=True)
class Axis:
    """One spatial axis of the image. padding: zeros, border or reflection."""

    size: int
    padding: str
    aligned: bool

    @property
    def ends(self) -> tuple[float, float]:
        return (0.0, self.size - 1.0) if self.aligned else (-0.5, self.size - 0.5)


@dataclass(frozen=True)
class Tap:
    """One pixel beside each place: its index, whether it is inside (None: always), its weight (None: 1)."""

    index: Tensor
    inside: Tensor | None
    weight: Tensor | None


def grid_sample(draft: Draft, node: Node) -> None:
    """The layout put the channels last: an image is rows of channels."""
    x, grid, result = draft.input(node, 0), draft.input(node, 1), draft.output(node.output)
    mode = MODES[node.attributes.get("mode", "linear")]
    padding = node.attributes.get("padding_mode", "zeros")
    aligned = bool(node.attributes.get("align_corners", 0))
    axes = [Axis(size, padding, aligned) for size in x.shape[1:-1]]
    if any(axis.ends[0] == axis.ends[1] for axis in axes):
        raise refuse.no_form(node, "aligned corners of one pixel leave nothing to measure by", "use align_corners=0")
    taps = [_taps(draft, axis, _part(draft, grid, len(axes) - 1 - i), mode) for i, axis in enumerate(axes)]
    total: Tensor | None = None
    combinations = list(product(*taps))
    for number, chosen_taps in enumerate(combinations):
        value = _value(draft, x, chosen_taps)
        last = number == len(combinations) - 1
        if total is not None:
            value = term(draft, "ADD", total, value, into=result if last else None)
        total = value
    assert total is not None
    if total is not result:
        draft.reshape(total, result.shape, result)


def _part(draft: Draft, grid: Tensor, place: int) -> Tensor:
    """One coordinate of every place, with an axis of size 1 for the channels."""
    begin = [0] * (len(grid.shape) - 1) + [place]
    end = [*grid.shape[:-1], place + 1]
    part = draft.temporary(grid, "coordinate", [*grid.shape[:-1], 1])
    crop(draft, grid, begin, end, part)
    return part


def _taps(draft: Draft, axis: Axis, grid: Tensor, mode: str) -> list[Tap]:
    half = (axis.size - 1) / 2 if axis.aligned else axis.size / 2
    place = term(draft, "ADD", term(draft, "MUL", grid, half), (axis.size - 1) / 2)
    if mode == "nearest":
        return [_tap(draft, axis, term(draft, "ROUND", place), None)]
    first = term(draft, "FLOOR", place)
    beyond = term(draft, "SUB", place, first)
    if mode == "linear":
        rest = term(draft, "SUB", _number(draft, 1.0), beyond)
        return [_tap(draft, axis, first, rest), _tap(draft, axis, term(draft, "ADD", first, 1.0), beyond)]
    return [
        _tap(draft, axis, term(draft, "ADD", first, float(step)), _cubic(draft, beyond, step)) for step in (-1, 0, 1, 2)
    ]


def _tap(draft: Draft, axis: Axis, index: Tensor, weight: Tensor | None) -> Tap:
    """The pixel at `index`, which may lie outside: index is of integers, in float32.

    Where the places themselves are clamped or reflected, the pixels beside them are so too, with the same weights.
    """
    inside = None
    if axis.padding == "zeros":
        low = term(draft, "GREATER_EQUAL", index, 0.0)
        inside = term(draft, "LOGICAL_AND", low, term(draft, "LESS_EQUAL", index, axis.size - 1.0))
    elif axis.padding == "reflection":
        index = _reflected(draft, axis, index)
    return Tap(cast(draft, _clamped(draft, axis, index), INT32), inside, weight)


def _clamped(draft: Draft, axis: Axis, x: Tensor) -> Tensor:
    return term(draft, "MINIMUM", term(draft, "MAXIMUM", x, 0.0), axis.size - 1.0)


def _reflected(draft: Draft, axis: Axis, x: Tensor) -> Tensor:
    low, high = axis.ends
    span = high - low
    turned = term(draft, "FLOOR_MOD", term(draft, "ABS", term(draft, "SUB", x, low)), 2 * span)
    short = term(draft, "ABS", term(draft, "SUB", _number(draft, span), turned))
    return term(draft, "SUB", _number(draft, high), short)


def _cubic(draft: Draft, beyond: Tensor, step: int) -> Tensor:
    """The weight of the pixel `step` from the floor: |distance| is within 1 for the inner two, else within 2."""
    a = SHARPNESS
    t = term(draft, "ADD", beyond, 1.0) if step == -1 else beyond
    if step > 0:
        t = term(draft, "SUB", _number(draft, float(step)), beyond)
    inner = step in (0, 1)
    # inner: (a + 2) t^3 - (a + 3) t^2 + 1          outer: a t^3 - 5 a t^2 + 8 a t - 4 a
    factors = (a + 2, -(a + 3), 0.0, 1.0) if inner else (a, -5 * a, 8 * a, -4 * a)
    sum_ = term(draft, "MUL", t, factors[0])
    for factor in factors[1:3]:
        sum_ = term(draft, "MUL", term(draft, "ADD", sum_, factor) if factor else sum_, t)
    return term(draft, "ADD", sum_, factors[3])


def _value(draft: Draft, x: Tensor, taps: tuple[Tap, ...]) -> Tensor:
    """What the pixels at one combination of taps add to the result."""
    strides = [math.prod(x.shape[i + 2 : -1]) for i in range(len(taps))]
    first = taps[0].index
    batch = np.arange(x.shape[0]) * math.prod(x.shape[1:-1])
    row = draft.constant(batch.astype(np.int32).reshape(-1, *[1] * (len(first.shape) - 1)), "batch")
    for tap, stride in zip(taps, strides, strict=True):
        row = term(draft, "ADD", tap.index if stride == 1 else term(draft, "MUL", tap.index, stride), row)
    rows = draft.reshape(row, row.shape[:-1])
    value = draft.temporary(x, "picked", (*rows.shape, x.shape[-1]))
    pick_rows(draft, x, rows, x.shape[-1], value)
    for tap in taps:
        if tap.inside is not None:
            value = chosen(draft, tap.inside, value, 0.0, value)
        if tap.weight is not None:
            value = term(draft, "MUL", value, tap.weight)
    return value


def _number(draft: Draft, number: float) -> Tensor:
    return draft.constant(np.asarray(number, np.float32), "constant")
