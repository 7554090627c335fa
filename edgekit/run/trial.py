"""How far one graph's outputs lie from another's on a few samples, under scales that change from trial to trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.run import ort


class Trial:
    """The float and the quantized graph on a few samples. Lives in a worker process."""

    def __init__(self, float_model: bytes, samples: Sequence[Arrays]) -> None:
        self._samples = samples
        reference = ort.Session(float_model, threads=1)
        self._expected = [reference.run(sample) for sample in samples]

    def open(self, quantized_model: bytes) -> None:
        """From now on, measure this graph, whose scales are inputs."""
        self._quantized = ort.Session(quantized_model, threads=1)

    def errors(self, scales: Arrays) -> list[list[tuple[float, float]]]:
        """Per sample and output: the squared error, and the squared distance of the expected values from their mean."""
        found = []
        for sample, expected in zip(self._samples, self._expected, strict=True):
            outputs = self._quantized.run({**sample, **scales})
            found.append(
                [(_square(outputs[name], real), _square(real, real.mean())) for name, real in expected.items()]
            )
        return found


def _square(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Squared distance. Subtracted in float64: outputs may be masks, and integers without a sign."""
    return float(np.square(np.subtract(x, y, dtype=np.float64)).sum())
