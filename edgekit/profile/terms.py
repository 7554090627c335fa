"""What a kernel's time is made of: amounts of work, each of which costs a device so many seconds per unit.

    time = seconds[run] + sum over kernels, sum over terms: seconds[term] * amount[term]

Compute and memory terms are added, not maximized: measured nets on small cores do not hide one behind the other, and a
sum can be fitted without a starting point. What is not linear in time enters as an amount: weights beyond the cache are
counted again as `weight_spill`, since they come from memory for every block of rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from edgekit.profile.kernels import Kernel

Term = Literal[
    "mac",
    "window_mac",
    "grouped_mac",
    "patch",
    "conv_input",
    "conv_output",
    "weight",
    "weight_spill",
    "depthwise_mac",
    "large_depthwise_mac",
    "depthwise_input",
    "depthwise_output",
    "depthwise_step",
    "elementwise",
    "curve",
    "pool",
    "move",
    "op",
    "run",
]
"""mac: multiply-accumulates of products of matrices and 1x1 convolutions; window_mac: of larger convolutions, which
some runtimes compute in fewer; patch: elements that these gather first; *_input, *_output: elements;
large_depthwise_mac: of a depthwise kernel beyond 3x3, for which few runtimes have a kernel of its own; depthwise_step:
taps of output pixels, each an inner loop over the channels; elementwise, curve, pool, move: elements; op: kernels; run:
1 per run."""

TERMS: tuple[Term, ...] = get_args(Term)
ITEM_BYTES = {"float32": 4, "float16": 2, "int16x8": 2, "int8": 1, "int8-dynamic": 4}
"""Bytes of an activation."""
SMALL_TAPS = 3
RESIDENT_SHARE = 0.5
"""Of the last cache that weights can keep: rows, results and packed copies want theirs."""

Amounts = Mapping[Term, float]


def amounts(kernels: Iterable[Kernel], cache_bytes: int) -> Amounts:
    """The work in kernels, by term. cache_bytes: the last level that a core can use; 0 where there is none."""
    found: Counter[Term] = Counter({"run": 1})
    for kernel in kernels:
        found.update(of_kernel(kernel, cache_bytes))
    return found


def of_kernel(kernel: Kernel, cache_bytes: int) -> dict[Term, float]:
    """The work of one kernel, without the terms that it has none of."""
    found = {term: amount for term, amount in _work(kernel, cache_bytes).items() if amount}
    return {**found, "op": 1.0}


def _work(kernel: Kernel, cache_bytes: int) -> dict[Term, float]:
    moved = float(kernel.inputs + kernel.outputs)
    match kernel.kind:
        case "depthwise":
            large = max(kernel.taps) > SMALL_TAPS
            return {
                "large_depthwise_mac" if large else "depthwise_mac": kernel.macs,
                "depthwise_input": kernel.inputs,
                "depthwise_output": kernel.outputs,
                "depthwise_step": kernel.outputs // kernel.groups * math.prod(kernel.taps),
            }
        case "conv" | "transpose-conv" | "dense" | "matmul" | "recurrent":
            return _product(kernel, cache_bytes)
        case "elementwise":
            return {"elementwise": moved}
        case "curve" | "softmax":
            return {"curve": kernel.outputs}
        case "pool":
            return {"pool": kernel.outputs * math.prod(kernel.taps)}
        case "reduce":
            return {"pool": kernel.inputs}
        case _:
            return {"move": moved}


def _product(kernel: Kernel, cache_bytes: int) -> dict[Term, float]:
    """rows: of the matrix that the weights meet; a patch holds what one row gathers."""
    taps = math.prod(kernel.taps)
    filters = max(1, kernel.weights // max(1, kernel.depth * taps))
    gathered = kernel.outputs // filters * kernel.depth * kernel.groups * taps if taps > 1 else 0
    item = 1 if kernel.precision in {"int8", "int16x8", "int8-dynamic"} else ITEM_BYTES[kernel.precision]
    resident = RESIDENT_SHARE * cache_bytes / item
    product: Term = "grouped_mac" if kernel.groups > 1 else "window_mac" if taps > 1 else "mac"
    return {
        product: kernel.macs,
        "patch": gathered,
        "conv_input": 0 if taps > 1 else kernel.inputs,
        "conv_output": kernel.outputs,
        "weight": kernel.weights,
        "weight_spill": max(0.0, kernel.weights - resident) if cache_bytes else 0.0,
    }
