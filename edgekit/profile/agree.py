"""Does a device compute what this machine computes? The same file, the same sample, the outputs side by side.

SQNR = 10 log10(sum y^2 / sum (y - y')^2), y: here, y': there, in real numbers, over all elements of an output
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Artifact, TensorSpec
from edgekit.profile.answer import Output

# float32 summed in another order differs by its last bits, 90 dB and more; float16 arithmetic, which some kernels use
# where the processor has it, by 60 dB.
FLOAT_DB = 50.0
# Kernels may round to either side, and one step that flips early moves others behind it: on noise, tflite-runtime 2.14
# (fixed point) and ai-edge-litert 2.3 (XNNPACK) are 40, 24 and 17 dB apart for three nets of MLPerf Tiny. What is wrong
# (a kernel, a layout, memory) is at 0 dB or below.
INTEGER_DB = 10.0
EQUAL_INDICES = 0.99  # of whole numbers that stand for themselves: classes, positions


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """verdict: identical in every byte; close, by rounding; different; unknown where too large to bring along.

    sqnr_db: of the worst output, infinite where equal; worst: the largest difference of an element, in real numbers;
    why: what makes it different or unknown.
    """

    verdict: Literal["identical", "close", "different", "unknown"]
    sqnr_db: float | None = None
    worst: float | None = None
    why: str = ""


def agreement(artifact: Artifact, here: Sequence[Output], there: Sequence[Output]) -> Agreement:
    """Raises ValueError where the bytes of an output are not what they are said to be."""
    forms = [[(output.dtype, output.shape) for output in outputs] for outputs in (here, there)]
    if forms[0] != forms[1]:
        return Agreement(verdict="different", why=f"outputs of {_said(forms[1])} instead of {_said(forms[0])}")
    ours, theirs = ([output.array() for output in outputs] for outputs in (here, there))
    if [output.sha256 for output in here] == [output.sha256 for output in there]:
        return Agreement(verdict="identical", sqnr_db=math.inf, worst=0.0)
    found = []
    for spec, y, other in zip(artifact.outputs, ours, theirs, strict=True):
        if y is None or other is None:
            return Agreement(verdict="unknown", why="the hashes differ, and the outputs are too large to bring along")
        found.append(_one(spec, y, other, artifact.precision != "float32"))
    return min(found, key=lambda one: (one.verdict != "different", math.inf if one.sqnr_db is None else one.sqnr_db))


def _one(spec: TensorSpec, here: NDArray[Any], there: NDArray[Any], quantized: bool) -> Agreement:
    if spec.qparams is None and here.dtype.kind != "f":
        equal = float(np.mean(here == there)) if here.size else 1.0
        verdict: Literal["close", "different"] = "close" if equal >= EQUAL_INDICES else "different"
        return Agreement(verdict=verdict, why=f"{1 - equal:.2%} of the whole numbers of '{spec.name}' differ")
    y, other = (np.asarray(spec.from_file(x), np.float64) for x in (here, there))
    if not np.array_equal(np.isfinite(y), np.isfinite(other)):
        return Agreement(verdict="different", why=f"'{spec.name}' is not finite in the same places")
    finite = np.isfinite(y)
    error = y[finite] - other[finite]
    sqnr_db, worst = _sqnr_db(y[finite], error), float(np.max(np.abs(error), initial=0.0))
    least_db = INTEGER_DB if quantized else FLOAT_DB
    if sqnr_db >= least_db:
        return Agreement(verdict="close", sqnr_db=sqnr_db, worst=worst)
    why = f"'{spec.name}' has an SQNR of {sqnr_db:.1f} dB against this machine's, {least_db:g} dB at least is rounding"
    return Agreement(verdict="different", sqnr_db=sqnr_db, worst=worst, why=why)


def _sqnr_db(y: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    signal, noise = float(np.sum(y * y)), float(np.sum(error * error))
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def _said(forms: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    return ", ".join(f"{dtype} {'x'.join(map(str, shape)) or 'scalar'}" for dtype, shape in forms) or "nothing"
