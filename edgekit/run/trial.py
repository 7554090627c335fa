"""How far one graph's outputs lie from another's on a few samples, under scales that change from trial to trial.

Of a large graph a trial runs one block alone: what the blocks before it give, in float and quantized, is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.run import ort
from edgekit.run.memory import trim


class Signal(NamedTuple):
    """Of the values that an output should have: their sum, the sum of their squares, and how many they are."""

    total: float
    squares: float
    size: int


Errors = list[list[tuple[float, Signal]]]
"""Per sample and output: the squared error, and what it is an error of."""


class Trial:
    """The float and the quantized graph on a few samples. Lives in a worker process."""

    def __init__(self, float_model: bytes, samples: Sequence[Arrays]) -> None:
        self._samples = samples
        self._quantized: ort.Session | None = None
        reference = ort.Session(float_model, threads=1)
        self._expected = [reference.run(sample) for sample in samples]
        self._signals = [{name: _signal(real) for name, real in expected.items()} for expected in self._expected]

    def open(self, quantized_model: bytes) -> None:
        """From now on, measure this graph, whose scales are inputs."""
        self._quantized = None  # before the next is there
        trim()
        self._quantized = ort.Session(quantized_model, threads=1, as_written=True)
        trim()
        self._real = [dict(sample) for sample in self._samples]
        self._found = [dict(sample) for sample in self._samples]

    def errors(self, scales: Arrays) -> Errors:
        assert self._quantized is not None
        outputs = (_run(self._quantized, sample, scales) for sample in self._samples)
        return [
            [(_square(found[name], real), signals[name]) for name, real in expected.items()]
            for found, expected, signals in zip(outputs, self._expected, self._signals, strict=True)
        ]

    def enter(self, float_block: bytes, quantized_block: bytes, seen: Mapping[str, str]) -> None:
        """From now on, measure this block too. seen: its float outputs, and what they are called when quantized."""
        block = ort.Session(float_block, threads=1)
        for known in self._real:
            known.update(_run(block, known))
        self._block, self._seen = ort.Session(quantized_block, threads=1, as_written=True), seen
        self._block_signals = [{name: _signal(known[name]) for name in seen} for known in self._real]

    def block_errors(self, scales: Arrays) -> Errors:
        outputs = (_run(self._block, known, scales) for known in self._found)
        return [
            [(_square(found[name], real[float_name]), signals[float_name]) for float_name, name in self._seen.items()]
            for found, real, signals in zip(outputs, self._real, self._block_signals, strict=True)
        ]

    def leave(self, scales: Arrays, needed: Iterable[str]) -> None:
        """Keep what the block gives under these scales, and of all that is known only what later blocks need."""
        wanted = frozenset(needed)
        for index, (found, real) in enumerate(zip(self._found, self._real, strict=True)):
            given = {**found, **_run(self._block, found, scales)}
            self._found[index] = {name: array for name, array in given.items() if name in wanted}
            self._real[index] = {name: array for name, array in real.items() if name in wanted}


def _run(session: ort.Session, known: Arrays, scales: Arrays | None = None) -> Arrays:
    feeds = {**known, **(scales or {})}
    return session.run({name: feeds[name] for name in session.inputs})


def _signal(real: NDArray[Any]) -> Signal:
    return Signal(float(real.sum(dtype=np.float64)), float(np.square(real, dtype=np.float64).sum()), real.size)


def _square(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Squared distance. Subtracted in float64: outputs may be masks, and integers without a sign."""
    return float(np.square(np.subtract(x, y, dtype=np.float64)).sum())
