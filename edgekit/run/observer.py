"""A session that counts what values its tensors take: exact extremes, integer histograms, means and peaks per channel.

The histogram's grid is fixed: a float32's upper 16 bits (sign, exponent, 7 bits of mantissa) are its bin, so that a bin
is at most 1/128 of its value wide, at every magnitude, and one pass suffices. Every sample is one forward of its own on
one thread, and what is added up are integers, so that batch size, order and threads cannot change a statistic.

It stands here and not in its stage because a worker that only runs and counts should not load the stage.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.run import ort

BINS = 1 << 16
MEAN_UNIT = 2.0**-28  # per-sample channel means are added as integers of this unit
LEVELS = 256  # of an input's numbers: what 8 bits hold
DIGITS, BASE = 4, 2.0**40  # an integer's digits: four hold the largest float32, and 2^23 samples' sums fit in int64

Counts = NDArray[np.int64]


class Observer:
    """Runs a graph sample by sample and counts what its values are. Lives in a worker process.

    values: whose statistics are taken; channel_axes: value -> axis, for those whose channels are looked at one by one;
    counted_as: value -> the one whose statistics it is added to, where that is another; norms: values whose channels'
    squares are summed as well; input_axes: float input -> axis of its channels. Of each sample stay the extremes of
    every value, 8 bytes.
    """

    def __init__(
        self,
        model: bytes,
        values: Sequence[str],
        channel_axes: Mapping[str, int],
        counted_as: Mapping[str, str] = MappingProxyType({}),
        norms: Sequence[str] = (),
        input_axes: Mapping[str, int | None] = MappingProxyType({}),
    ) -> None:
        self._session = ort.Session(model, threads=1)
        self._values = {name: counted_as.get(name, name) for name in values}
        self._channel_axes = dict(channel_axes)
        self._channel_sums: dict[str, Counts] = {}
        self._channel_squares: dict[str, Counts] = {name: np.zeros((DIGITS, 1), np.int64) for name in norms}
        self._channel_peaks: dict[str, NDArray[np.float32]] = {}
        self._input_axes = dict(input_axes)
        self._inputs: dict[str, InputSeen] = {}
        self._samples = 0
        names = dict.fromkeys(self._values.values())
        self._counts: dict[str, Counts] = {name: np.zeros(BINS, np.int64) for name in names}
        self._low: dict[str, float] = dict.fromkeys(names, np.inf)
        self._high: dict[str, float] = dict.fromkeys(names, -np.inf)
        self._extremes = {name: array("f") for name in names}

    def update(self, samples: Sequence[Arrays]) -> None:
        """samples: each one sample, every array (1, ...)."""
        for sample in samples:
            made = self._session.run(sample)
            known = {**made, **sample}
            for name, counted_as in self._values.items():
                self._count(counted_as, known[name])
            for name, axis in self._channel_axes.items():
                self._add_channels(name, known[name], axis)
            for name, channels in self._input_axes.items():
                self._inputs[name] = seen(sample[name], channels).with_(self._inputs.get(name))
            self._samples += 1

    def _count(self, name: str, x: NDArray[np.float32]) -> None:
        bits = np.ascontiguousarray(x, np.float32).reshape(-1).view(np.uint16)[1::2]  # little-endian: the upper halves
        self._counts[name] += np.bincount(bits, minlength=BINS)
        low, high = float(x.min()), float(x.max())
        self._low[name] = min(self._low[name], low)
        self._high[name] = max(self._high[name], high)
        self._extremes[name].extend((low, high))

    def _add_channels(self, name: str, x: NDArray[np.float32], axis: int) -> None:
        others = tuple(i for i in range(x.ndim) if i != axis)
        peak = np.maximum(x.max(axis=others), -x.min(axis=others))
        self._channel_peaks[name] = np.maximum(self._channel_peaks.get(name, peak), peak)
        mean = x.mean(axis=others, dtype=np.float64)
        self._channel_sums[name] = self._channel_sums.get(name, 0) + _digits(np.rint(mean / MEAN_UNIT))
        if name in self._channel_squares:
            square = np.square(x, dtype=np.float64).mean(axis=others)
            self._channel_squares[name] = self._channel_squares[name] + _digits(np.rint(square / MEAN_UNIT))

    def channel_sums(self) -> tuple[dict[str, Counts], int]:
        """The sums of the samples' channel means, (DIGITS, C), for `mean_of`; and the number of samples."""
        return self._channel_sums, self._samples

    def channel_squares(self) -> tuple[dict[str, Counts], int]:
        """As `channel_sums`, of the squares."""
        return self._channel_squares, self._samples

    def extremes(self) -> dict[str, NDArray[np.float32]]:
        """Value -> (observations, 2) the smallest and largest of each sample, in the order in which they came."""
        return {name: np.array(found, np.float32).reshape(-1, 2) for name, found in self._extremes.items()}

    def inputs(self) -> dict[str, InputSeen]:
        """What the model's float inputs were."""
        return self._inputs

    def channel_peaks(self) -> dict[str, NDArray[np.float32]]:
        """(C,) the largest magnitude of each channel."""
        return self._channel_peaks

    def statistics(self) -> dict[str, tuple[float, float, Counts]]:
        """Value -> its exact extremes and its histogram, (65536,) int64."""
        return {name: (self._low[name], self._high[name], counts) for name, counts in self._counts.items()}


@dataclass(frozen=True, eq=False)
class InputSeen:
    """A float input over some samples. low, high: (C,) of each channel, of all where there is no channel axis;
    whole: nothing but integers; levels: the numbers that occur, ascending, None where there are more than LEVELS."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    whole: bool
    levels: NDArray[np.float32] | None = None

    def with_(self, other: InputSeen | None) -> InputSeen:
        """Both together."""
        if other is None:
            return self
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        both = None if self.levels is None or other.levels is None else np.union1d(self.levels, other.levels)
        return InputSeen(low, high, self.whole and other.whole, None if both is None or both.size > LEVELS else both)


def seen(x: NDArray[np.float32], axis: int | None) -> InputSeen:
    """axis: of x's channels, None where it has none."""
    others = None if axis is None else tuple(i for i in range(x.ndim) if i != axis)
    whole = bool(np.array_equal(x, np.rint(x)))
    return InputSeen(np.atleast_1d(x.min(axis=others)), np.atleast_1d(x.max(axis=others)), whole, _levels(x))


def _levels(x: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Of what has too many the first few thousand numbers tell, without sorting the rest."""
    for part in (x.reshape(-1)[: 16 * LEVELS], x):
        found = np.unique(part)
        if found.size > LEVELS:
            return None
    return found


def mean_of(sums: Counts, samples: int) -> NDArray[np.float64]:
    """(C,) the mean per channel, from the sums of all observers."""
    total = sum(digit * BASE**place for place, digit in enumerate(sums))
    return np.asarray(total * (MEAN_UNIT / samples))


def _digits(whole: NDArray[np.float64]) -> Counts:
    """(DIGITS, C) the digits of whole numbers, lowest first, each with its number's sign. Exact: BASE is a power of 2.

    What is not finite has no digits: the counts tell of it.
    """
    rest, digits = np.where(np.isfinite(whole), whole, 0.0), []
    for _ in range(DIGITS):
        higher = np.trunc(rest / BASE)
        digits.append(rest - higher * BASE)
        rest = higher
    return np.stack(digits).astype(np.int64)
