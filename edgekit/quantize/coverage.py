"""How much of what a model is judged on lies within what it was calibrated on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgekit.artifact import Arrays
from edgekit.run.observer import InputSeen


@dataclass
class Judged:
    """An input over the evaluation samples. outside: values beyond the calibrated range."""

    low: float = np.inf
    high: float = -np.inf
    outside: int = 0
    count: int = 0


class Coverage:
    """Counts, batch by batch, the inputs' values beyond the range of the calibration samples.

    inputs: what those were, by name.
    """

    def __init__(self, inputs: Mapping[str, InputSeen]) -> None:
        self._ranges = {name: (seen.low.min(), seen.high.max()) for name, seen in inputs.items()}
        self._judged = {name: Judged() for name in inputs}

    def update(self, inputs: Arrays) -> None:
        """inputs: a batch, by the names of the model's inputs."""
        for name, (least, largest) in self._ranges.items():
            x, judged = inputs[name], self._judged[name]
            low, high = float(x.min()), float(x.max())
            judged.low, judged.high = min(judged.low, low), max(judged.high, high)
            judged.count += x.size
            if low < least or high > largest:
                judged.outside += int(np.count_nonzero(x < least) + np.count_nonzero(x > largest))

    def of(self, name: str) -> Judged | None:
        """What was counted, None where no sample came by."""
        judged = self._judged[name]
        return judged if judged.count else None
