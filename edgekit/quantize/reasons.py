"""Why an op stays in float: what its numbers would lose in 256 steps, or that no runtime has an integer kernel for it.

A masked value holds numbers that stand for "never" (minus infinity, -1e9) among others: one scale for both would leave
nothing of the others. So what makes such values and what reads them stays float, up to the op that takes the mask away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from edgekit.graph import facts

SQUARES = "it squares and divides: 256 steps are too few between"
WIDE = "its result spans orders of magnitude, which 256 even steps cannot"
NO_KERNEL = "neither runtime has an integer kernel for it"
COUNTS = "its sums grow along the axis, which one scale serves badly"
CLAMPS_FLOATS = "it clamps what a float op gives"
MASKED = "it holds a mask's numbers, beside which a scale would leave nothing of the others"

REASONS: Mapping[str, str] = {
    **dict.fromkeys(("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization"), SQUARES),
    **dict.fromkeys(("LpNormalization", "MeanVarianceNormalization", "LRN", "ReduceL2", "ReduceSumSquare"), SQUARES),
    **dict.fromkeys(("Exp", "Log", "Pow", "Reciprocal", "Div", "Sqrt", "LogSoftmax", "Tan", "Sinh", "Cosh"), WIDE),
    **dict.fromkeys(("ReduceLogSum", "ReduceLogSumExp", "ReduceProd"), WIDE),
    **dict.fromkeys(("Softplus", "Softsign", "Mish", "Swish", "Selu", "Celu", "ThresholdedRelu", "Shrink"), NO_KERNEL),
    **dict.fromkeys(("Sin", "Cos", "Sign", "Floor", "Ceil", "Round", "Mod", "TopK", "OneHot", "GridSample"), NO_KERNEL),
    "CumSum": COUNTS,
}

NEVER = -1e4  # the least of what exporters write for "never"
JOINS = frozenset({"Add", "Sub", "Mul", "Where", "Concat"})  # a mask comes in by one of these
CARRIES = JOINS | {"Div", "Pad", "Reshape", "Transpose", "Slice", "Split", "Expand", "Gather", "Tile", "Squeeze"}


def without_int8_form(op_type: str) -> str:
    return REASONS.get(op_type, f"no INT8 form of {op_type}")


def masked_values(nodes: Iterable[ir.Node]) -> frozenset[ir.Value]:
    """nodes: in execution order."""
    found: set[ir.Value] = set()
    for node in nodes:
        joins = node.op_type in JOINS and any(map(_is_mask, node.inputs))
        if joins or (node.op_type in CARRIES and not found.isdisjoint(v for v in node.inputs if v is not None)):
            found.update(value for value in node.outputs if facts.is_float(value))
    return frozenset(found)


def _is_mask(value: ir.Value | None) -> bool:
    array = facts.constant(value) if facts.is_float(value) else None
    return array is not None and array.size > 0 and bool(array.min() <= NEVER or np.isposinf(array).any())
