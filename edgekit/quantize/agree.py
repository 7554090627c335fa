"""Scales under which the runtimes' additions give the same integers.

    y = round((s_a / s_y) a + (s_b / s_y) b)

ONNX Runtime computes this in floats, XNNPACK with multipliers of 21 bits. Where a sum of two codes lies within their
errors of a tie, the two round apart, and one such step can grow through the layers behind it. There are only 65 536
pairs of codes: a scale that is widened by a fraction of a percent has no such pair among them, and one is soon found.

Source: XNNPACK, xnn_init_qs8_add_minmax_params: multipliers in [2^20, 2^21), rounding half up after the shift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit import affine
from edgekit.quantize.assign import Plan, Scales, data_inputs

MULTIPLIER_BITS = 20
FLOAT_ERROR = 2.0 * 2.0**-24  # of ONNX Runtime's float32 sum, as a share of its largest intermediate: seen up to 1.02
LARGEST_STEP = 2.0**8  # of an operand, in steps of the sum: XNNPACK takes none from there on
WIDEST = 0.01  # share by which a scale may grow
TRIALS = 512


def agreeing_scales(graph: ir.Model, plan: Plan, scales: Scales) -> dict[str, affine.QParams]:
    """The scales, those of additions' outputs widened in graph order so that fewest pairs of codes round apart."""
    agreed = dict(scales)
    groups = plan.group_of
    pinned = {group.name for group in plan.groups if group.fixed is not None}
    for node in graph.graph:
        if node.op_type not in ("Add", "Sub") or node.name not in plan.int8_nodes:
            continue
        operands = [plan.group_read(node, value.name or "").name for value in data_inputs(node)]
        output = groups[node.outputs[0].name or ""].name
        if len(operands) == 2 and output not in pinned | set(operands):
            sign = -1 if node.op_type == "Sub" else 1
            agreed[output] = widened(agreed[operands[0]], agreed[operands[1]], agreed[output], sign)
        pinned.update([*operands, output])  # a later change would undo what was found for this addition
    return agreed


def widened(a: affine.QParams, b: affine.QParams, output: affine.QParams, sign: int = 1) -> affine.QParams:
    """`output` with its scale grown to the first of TRIALS steps at which the fewest pairs of codes round apart.

    As it is where a single step of an operand spans the whole sum: operands that cancel each other.
    """
    if max(float(a.scale), float(b.scale)) >= LARGEST_STEP * float(output.scale):
        return output
    best, fewest = output, disagreements(a, b, output, sign)
    for trial in _trials(output):
        if not fewest:
            break
        count = disagreements(a, b, trial, sign)
        if count < fewest:
            best, fewest = trial, count
    return best


def _trials(output: affine.QParams) -> Iterator[affine.QParams]:
    for step in range(1, TRIALS + 1):
        grown = np.float32(float(output.scale) * (1 + WIDEST * step / TRIALS))
        yield replace(output, scale=np.asarray(grown))


def disagreements(a: affine.QParams, b: affine.QParams, output: affine.QParams, sign: int = 1) -> int:
    """Pairs of codes whose sum the two runtimes may round to different integers, where it does not saturate."""
    codes_a, codes_b = (np.arange(-128, 128, dtype=np.int64) - q.zero_point for q in (a, b))
    ratios = np.array([a.scale / output.scale, sign * (b.scale / output.scale)], np.float32)
    exact = np.add.outer(codes_a * float(a.scale), sign * codes_b * float(b.scale)) / float(output.scale)
    fixed = _fixed_point(codes_a, codes_b, ratios)
    low, high = -128 - output.zero_point, 127 - output.zero_point
    inside = (exact > low - 0.5) & (exact < high + 0.5)
    near_tie = np.abs(exact - np.floor(exact) - 0.5) < FLOAT_ERROR * 256 * np.abs(ratios).sum()
    return int(np.count_nonzero(inside & (near_tie | (fixed != np.rint(exact)))))


def _fixed_point(a: NDArray[np.int64], b: NDArray[np.int64], ratios: NDArray[np.float32]) -> NDArray[np.int64]:
    """What XNNPACK computes, before the zero point is added and the sum saturates."""
    exponent = int(np.frexp(np.abs(ratios).max())[1]) - 1
    shift = MULTIPLIER_BITS - exponent
    multipliers = np.rint(np.ldexp(ratios.astype(np.float64), shift)).astype(np.int64)
    total = np.add.outer(a * multipliers[0], b * multipliers[1]) + (1 << (shift - 1))
    return np.asarray(total >> shift)
