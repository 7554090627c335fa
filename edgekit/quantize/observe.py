"""What values each tensor takes on the calibration samples, as `run.observer` counted them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit.graph import facts, files
from edgekit.run.observer import BINS

_SIGN = 1 << 15
_INFINITE = 0x7F80  # the bin of infinity; above it lie the NaNs

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Statistics:
    """low, high: exact extremes; counts: (65536,) int64, elements per bin of the fixed grid; reach: the range that a
    new sample hardly leaves, None where nobody estimated it; levels: an input's numbers, where 8 bits could hold them.
    """

    low: float
    high: float
    counts: Counts
    reach: tuple[float, float] | None = None
    levels: NDArray[np.float32] | None = None

    @staticmethod
    def merged(parts: Sequence[Statistics]) -> Statistics:
        reaches = [part.reach or (part.low, part.high) for part in parts]
        return Statistics(
            min(part.low for part in parts),
            max(part.high for part in parts),
            np.sum([part.counts for part in parts], axis=0),
            (min(low for low, _ in reaches), max(high for _, high in reaches)),
            parts[0].levels if len(parts) == 1 else None,
        )

    def points(self) -> tuple[NDArray[np.float64], Counts]:
        """(values, counts): the middle of every bin that holds something, ascending; the extremes are exact."""
        bins = np.flatnonzero(self.counts)
        values = bin_middles()[bins].clip(self.low, self.high)
        order = np.argsort(values, kind="stable")
        return values[order], self.counts[bins[order]]


def bin_middles() -> NDArray[np.float64]:
    """(65536,) the middle of each bin; 0 for the two bins of the smallest numbers."""
    patterns = (np.arange(BINS, dtype=np.uint32) << 16) | 0x8000
    with np.errstate(invalid="ignore"):
        middles = patterns.view(np.float32).astype(np.float64)
    middles[[0, _SIGN]] = 0.0
    return middles


def observable(graph: ir.Model, values: Iterable[str]) -> bytes:
    """The graph as ONNX bytes with `values` among its outputs."""
    graph = graph.clone()
    outputs = {value.name for value in graph.graph.outputs} | {value.name for value in graph.graph.inputs}
    made = {value.name: value for node in graph.graph for value in node.outputs}
    for name in values:
        if name not in outputs:
            graph.graph.outputs.append(made[name])
    return files.to_bytes(graph)


def check_finite(statistics: dict[str, Statistics]) -> None:
    """Refuse NaN and infinity: no scale can hold them."""
    for name, found in statistics.items():
        bad = int(found.counts[_INFINITE:_SIGN].sum() + found.counts[_SIGN + _INFINITE :].sum())
        if bad:
            raise EdgekitError(
                "EK411",
                f"cannot quantize tensor '{name}'",
                f"{bad} of its {int(found.counts.sum())} values on the calibration samples are NaN or infinite",
                "check the samples and the preprocess contract (--scale, --mean, --std)",
            )


def check_not_all_zero(graph: ir.Model, statistics: dict[str, Statistics], samples: int) -> None:
    """Refuse an input that is zero throughout: its scale would be 0, and so would everything behind it."""
    for value in graph.graph.inputs:
        found = statistics.get(value.name or "")
        if found is not None and facts.is_float(value) and found.low == found.high == 0.0:
            raise EdgekitError(
                "EK412",
                f"cannot quantize input '{value.name}'",
                f"calibration saw only zeros in {samples} samples, so its scale would be 0",
                "give real samples with --calib or --data, and check the preprocess contract (--scale, --mean, --std)",
            )
